"""The log, the trail and the database tell no secrets, whatever is called and however it ends."""

import pytest

from harness import openssl
from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.instance.v1 import messages_pb2 as instance_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

PLAINTEXT = b"4012-8888-8888-1881 is a secret of the caller's"
AAD = b"the-aad-of-one-customer"
CONTEXT = {"customer": "the-context-of-one-customer"}


def use_everything(client, key):
    """Every operation, well and badly, with secrets wherever they may be."""
    for sealer in SEALING:
        fields = {"plaintext": PLAINTEXT} if sealer.kind == "encrypt" else {}
        if sealer.kind == "pair":
            fields = {"format": "PEM"}
        binding = {"context": CONTEXT} if sealer.service == "kms" else {"aad": AAD}
        sealed = sealer.seal(client, key, **fields, **binding)
        KMS_DECRYPT.open(client, sealed, **binding)
        for opener in OPENING:
            refusal(opener.open, client, sealed, aad=b"wrong" + AAD)
            refusal(opener.open, client, sealed.blob[:-1], key=key)
        unbound = sealer.seal(client, key, **fields)
        for opener in OPENING:
            opener.open(client, unbound)
    use_private_keys(client, key)
    client.kms.GenerateRandom(kms_pb.GenerateRandomRequest(number_of_bytes=32))
    client.instance.GenerateRandom(instance_pb.GenerateRandomRequest(Length=32))
    # Too long, or in the wrong place.
    refusal(client.kms.Encrypt, kms_pb.EncryptRequest(key_id=key, plaintext=PLAINTEXT * 100))
    decrypt = kms_pb.DecryptRequest(ciphertext_blob=PLAINTEXT, aad=AAD)
    refusal(client.kms.Decrypt, decrypt)
    refusal(client.instance.Encrypt, instance_pb.EncryptRequest(KeyId=key, Iv=PLAINTEXT))
    wrong_mode = instance_pb.EncryptRequest(KeyId=key, PaddingMode=PLAINTEXT.decode())
    refusal(client.instance.Encrypt, wrong_mode)


def use_private_keys(client, key):
    """What is done with sealed private keys, and with what is sealed again."""
    pair = operation("kms-GenerateDataKeyPair")
    rsa = pair.seal(client, key, spec="RSA_2048", context=CONTEXT)
    curve = pair.seal(client, key, context=CONTEXT)
    of_rsa = {"private_key_ciphertext_blob": rsa.blob, "encryption_context": CONTEXT}
    of_curve = {"private_key_ciphertext_blob": curve.blob, "encryption_context": CONTEXT}
    for number, public_key in ((2, rsa.public_key), (1, rsa.public_key)):
        ciphertext = openssl.encrypt_oaep(public_key, PLAINTEXT, "sha1")
        request = kms_pb.DecryptWithDataKeyPairRequest(
            **of_rsa, ciphertext=ciphertext, decryption_algorithm=number
        )
        if number == 2:
            assert client.kms.DecryptWithDataKeyPair(request).plaintext == PLAINTEXT
        else:
            refusal(client.kms.DecryptWithDataKeyPair, request)
    derive = kms_pb.DeriveSharedSecretRequest(**of_curve, public_key=curve.public_key)
    assert client.kms.DeriveSharedSecret(derive).shared_secret
    for algorithm in (4, 7):
        sign = kms_pb.SignWithDataKeyPairRequest(
            **of_curve, message=PLAINTEXT, signing_algorithm=algorithm
        )
        if algorithm == 7:
            client.kms.SignWithDataKeyPair(sign)
        else:
            refusal(client.kms.SignWithDataKeyPair, sign)
    for sealer in SEALING[:5]:
        fields = {"plaintext": PLAINTEXT} if sealer.kind == "encrypt" else {}
        blob = sealer.seal(client, key, context=CONTEXT, **fields).blob
        answer = client.re_encrypt(blob, key, CONTEXT)
        KMS_DECRYPT.open(client, answer.ciphertext_blob)
        refusal(client.re_encrypt, blob, key, None, CONTEXT)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_log_tells_no_secrets(server, level):
    server.config["log"] = {"level": level}
    client = server.start().client()
    use_everything(client, client.create_key())
    client.disable(client.create_key())
    server.stop()
    # What every client of the server was given: data keys, private keys, contents.
    assert len(server.secrets) > 20
    server.check_log_keeps_secrets(server.secrets | {PLAINTEXT, PLAINTEXT[:19], AAD})
    log = server.log()
    assert CONTEXT["customer"] not in log
    assert "PRIVATE KEY" not in log
    for private_key in (secret for secret in server.secrets if b"PRIVATE KEY" in secret):
        for line in private_key.splitlines():
            assert line.decode() not in log


def test_trail_and_database_tell_no_secrets(server):
    client = server.start().client()
    use_everything(client, client.create_key())
    server.stop()
    assert len(server.secrets) > 20
    server.check_files_keep_secrets(server.secrets | {PLAINTEXT, PLAINTEXT[:19], AAD})


def test_failures_of_the_token_tell_no_secrets(server):
    faults = server.use_faults()
    server.config["log"] = {"level": "debug"}
    server.start().stop()
    at_start = {function: faults.calls(function) for function in ("C_Decrypt", "C_UnwrapKey")}
    for function, calls in at_start.items():
        faults.add(f"fail {function} CKR_DEVICE_ERROR call={calls + 1}-")
    client = server.start().client()
    # Of a new key the token is tried, too.
    key = refusal(client.create_key)
    assert key.reason == "Rejected.Unavailable"
    server.stop()
    line = server.calls()[key.request_id]
    assert line["level"] == "error"
    assert "C_Decrypt" in line["detail"] and "C_Decrypt" not in key.message
