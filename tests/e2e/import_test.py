"""Keys whose material comes from outside."""

import datetime

import pytest

from harness import openssl
from harness.imports import (
    bring_in,
    create_external_key,
    delete_material,
    new_material,
    parameters_for,
)
from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb

ENCRYPT = operation("kms-Encrypt")


@pytest.fixture(scope="module")
def imported(client):
    """A key whose material was imported, which tests leave as it is."""
    key = create_external_key(client)
    bring_in(client, key, new_material())
    return key


def test_new_key_waits_for_its_material(client):
    key = create_external_key(client, description="ours", tags={"a": "b"})
    described = client.describe(key)
    assert described.state == key_pb.KEY_STATE_PENDING_IMPORT
    assert described.origin == key_pb.KEY_ORIGIN_EXTERNAL
    assert (described.description, dict(described.tags)) == ("ours", {"a": "b"})
    assert described.rotation_period_days == 0
    assert not described.HasField("next_rotation_time")
    for call, *arguments in (
        *((sealer.seal, client, key) for sealer in SEALING),
        (client.rotate, key),
        (client.enable, key),
        (client.disable, key),
    ):
        refused = refusal(call, *arguments)
        assert refused.reason == "Rejected.Unavailable", arguments
        assert "ImportKeyMaterial" in refused.message
    # All else can be said before.
    client.tag(key, {"c": "d"})
    client.create_alias(f"alias/external-{key}", key)


def test_parameters_say_how_and_until_when(client):
    key = create_external_key(client)
    for spec, bits in (("UNSPECIFIED", 3072), ("RSA_2048", 2048), ("RSA_4096", 4096)):
        answer = parameters_for(client, key, spec=spec)
        assert answer.key_id == key and answer.import_token
        text = openssl.run(
            *("pkey", "-pubin", "-inform", "DER", "-noout", "-text"), stdin=answer.public_key
        )
        assert f"Public-Key: ({bits} bit)".encode() in text
        left = answer.expire_time.ToDatetime() - datetime.datetime.utcnow()
        assert abs(left - datetime.timedelta(days=1)) < datetime.timedelta(minutes=10)


def test_whole_life_of_imported_material(client):
    key, material = create_external_key(client), new_material()
    enabled = bring_in(client, key, material)
    assert enabled == client.describe(key)
    assert enabled.state == key_pb.KEY_STATE_ENABLED
    sealed = {str(sealer): sealer.seal(client, key) for sealer in SEALING}
    contents = {name: KMS_DECRYPT.open(client, one).plaintext for name, one in sealed.items()}

    gone = delete_material(client, key)
    assert gone == client.describe(key)
    assert gone.state == key_pb.KEY_STATE_PENDING_IMPORT
    for sealer in SEALING:
        assert refusal(sealer.seal, client, key).reason == "Rejected.Unavailable"
        for opener in OPENING:
            refused = refusal(opener.open, client, sealed[str(sealer)])
            assert refused.reason == "Rejected.Unavailable"
    # Twice does no harm.
    assert delete_material(client, key).state == key_pb.KEY_STATE_PENDING_IMPORT

    refused = refusal(bring_in, client, key, new_material())
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith("encrypted_key_material: ")
    assert client.describe(key).state == key_pb.KEY_STATE_PENDING_IMPORT

    again = bring_in(client, key, material)
    assert again.state == key_pb.KEY_STATE_ENABLED
    assert again.primary_key_version_id == enabled.primary_key_version_id
    # Uses are those of the material, however often it comes and goes.
    assert again.primary_uses_left <= enabled.primary_uses_left - len(SEALING)
    for name, one in sealed.items():
        assert KMS_DECRYPT.open(client, one).plaintext == contents[name]
    assert KMS_DECRYPT.open(client, ENCRYPT.seal(client, key)).plaintext


def test_same_material_makes_different_keys(client, imported):
    material = new_material()
    one, other = create_external_key(client), create_external_key(client)
    bring_in(client, one, material)
    bring_in(client, other, material)
    blob = ENCRYPT.seal(client, one).blob
    assert KMS_DECRYPT.open(client, blob).key_id == one
    assert refusal(KMS_DECRYPT.open, client, blob, key=other).reason == "IncorrectKey"
    assert imported


def test_key_with_material_takes_no_other(client, imported):
    for call, *arguments in (
        (parameters_for, client, imported),
        (bring_in, client, imported, b"", None, b"x", b"x"),
    ):
        refused = refusal(call, *arguments)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("key_id: ")
        assert "DeleteImportedKeyMaterial" in refused.message


def test_material_that_does_not_unwrap_to_32_bytes_is_refused(client):
    key = create_external_key(client)
    parameters = parameters_for(client, key)
    foreign = parameters_for(client, create_external_key(client))
    good = openssl.encrypt_oaep(parameters.public_key, new_material(), "sha1")
    for wrapped in (
        openssl.encrypt_oaep(parameters.public_key, b"x" * 31, "sha1"),
        openssl.encrypt_oaep(parameters.public_key, b"x" * 33, "sha1"),
        openssl.encrypt_oaep(parameters.public_key, new_material(), "sha256"),
        openssl.encrypt_oaep(foreign.public_key, new_material(), "sha1"),
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:-1],
        b"x",
    ):
        refused = refusal(bring_in, client, key, None, parameters, wrapped)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("encrypted_key_material: ")
    # None of them used the parameters up.
    assert bring_in(client, key, None, parameters, good).state == key_pb.KEY_STATE_ENABLED


def test_import_token_has_to_be_the_keys_newest(client):
    key, other = create_external_key(client), create_external_key(client)
    old = parameters_for(client, key)
    new = parameters_for(client, key)
    foreign = parameters_for(client, other)
    material = new_material()
    for parameters, token in (
        (old, None),
        (new, old.import_token),
        (foreign, None),
        (new, foreign.import_token),
        (new, new.import_token[:-1]),
        (new, b"x"),
    ):
        refused = refusal(bring_in, client, key, material, parameters, None, token)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("import_token: ")
    for fields, name in (((b"", b"x"), "import_token"), ((b"x", b""), "encrypted_key_material")):
        token, wrapped = fields
        refused = refusal(bring_in, client, key, None, new, wrapped, token)
        assert refused.reason == "MissingParameter" and refused.message.startswith(name + ": ")
    bring_in(client, key, material, new)
    delete_material(client, key)
    # Once is enough.
    assert refusal(bring_in, client, key, material, new).reason == "InvalidParameter"


def test_token_that_cannot_unwrap_so_says_it(client):
    key = create_external_key(client)
    for algorithm in ("RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"):
        refused = refusal(parameters_for, client, key, algorithm)
        assert refused.reason == "UnsupportedOperation"


def test_key_of_the_token_takes_no_material(client, key):
    for call, *arguments in (
        (parameters_for, client, key),
        (bring_in, client, key, b"", None, b"x", b"x"),
        (delete_material, client, key),
    ):
        assert refusal(call, *arguments).reason == "UnsupportedOperation"


def test_imported_key_does_not_rotate(client, imported):
    for call, *arguments in ((client.rotate, imported), (client.set_rotation, imported, 30)):
        assert refusal(call, *arguments).reason == "UnsupportedOperation"
    refused = refusal(create_external_key, client, rotation_period_days=30)
    assert refused.reason == "UnsupportedOperation"
    assert create_external_key(client, rotation_period_days=0)


def test_fields_are_checked_by_name(client):
    key = create_external_key(client)
    request = key_pb.GetParametersForImportRequest(key_id=key)
    call = client.keys.GetParametersForImport
    refused = refusal(call, request)
    assert refused.reason == "MissingParameter"
    assert refused.message.startswith("wrapping_algorithm: ")
    for field in ("wrapping_algorithm", "wrapping_key_spec"):
        request = key_pb.GetParametersForImportRequest(key_id=key, wrapping_algorithm=2)
        setattr(request, field, 99)
        refused = refusal(call, request)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith(field + ": 99 ") and "RSA" in refused.message
    refused = refusal(client.keys.CreateKey, key_pb.CreateKeyRequest(origin=99))
    assert refused.reason == "InvalidParameter" and refused.message.startswith("origin: 99 ")


def test_disabled_and_doomed_keys_with_and_without_material(client):
    key, material = create_external_key(client), new_material()
    assert client.schedule_deletion(key).state == key_pb.KEY_STATE_PENDING_DELETION
    refused = refusal(parameters_for, client, key)
    assert refused.reason == "Rejected.PendingDeletion"
    assert client.cancel_deletion(key).state == key_pb.KEY_STATE_PENDING_IMPORT
    bring_in(client, key, material)
    client.disable(key)
    assert delete_material(client, key).state == key_pb.KEY_STATE_PENDING_IMPORT
    assert bring_in(client, key, material).state == key_pb.KEY_STATE_ENABLED
    client.schedule_deletion(key)
    assert refusal(delete_material, client, key).reason == "Rejected.PendingDeletion"
    assert client.cancel_deletion(key).state == key_pb.KEY_STATE_DISABLED


def test_imported_material_survives_a_restart_and_parameters_too(server):
    client = server.start().client()
    key, waiting = create_external_key(client), create_external_key(client)
    material = new_material()
    bring_in(client, key, material)
    sealed = ENCRYPT.seal(client, key)
    parameters = parameters_for(client, waiting)
    server.kill()
    client = server.start().client()
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    bring_in(client, waiting, material, parameters)
    ENCRYPT.seal(client, waiting)
    delete_material(client, key)
    server.stop()
    client = server.start().client()
    assert client.describe(key).state == key_pb.KEY_STATE_PENDING_IMPORT
    bring_in(client, key, material)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    # What was brought in is nowhere but in the token.
    server.check_log_keeps_secrets([material])
    server.check_files_keep_secrets([material])
