"""Key material from outside, brought in as its owner would: wrapped by OpenSSL's own command."""

import secrets

from harness import openssl
from strongroom.v1 import key_management_service_pb2 as key_pb


def new_material():
    """Material that nobody else has."""
    return secrets.token_bytes(32)


def create_external_key(client, **fields):
    """The id of a key that waits for its material."""
    return client.create_key(origin="KEY_ORIGIN_EXTERNAL", **fields)


def parameters_for(client, key, algorithm="RSAES_OAEP_SHA_1", spec="RSA_2048"):
    """The answer of GetParametersForImport."""
    return client.keys.GetParametersForImport(
        key_pb.GetParametersForImportRequest(
            key_id=key,
            wrapping_algorithm=f"IMPORT_WRAPPING_ALGORITHM_{algorithm}",
            wrapping_key_spec=f"IMPORT_WRAPPING_KEY_SPEC_{spec}",
        )
    )


def bring_in(client, key, material, parameters=None, wrapped=None, token=None):
    """The key, after ImportKeyMaterial."""
    if wrapped is None or token is None:
        parameters = parameters or parameters_for(client, key)
    if wrapped is None:
        wrapped = openssl.encrypt_oaep(parameters.public_key, material, "sha1")
    if token is None:
        token = parameters.import_token
    request = key_pb.ImportKeyMaterialRequest(
        key_id=key, import_token=token, encrypted_key_material=wrapped
    )
    return client.keys.ImportKeyMaterial(request).key


def delete_material(client, key):
    """The key, after DeleteImportedKeyMaterial."""
    request = key_pb.DeleteImportedKeyMaterialRequest(key_id=key)
    return client.keys.DeleteImportedKeyMaterial(request).key
