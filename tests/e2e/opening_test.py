"""One blob format for both services: what opens what was made by the other."""

import pytest

from harness.operations import (
    ADVANCE_DECRYPT,
    DATA_KEYS,
    INSTANCE_DECRYPT,
    KMS_DECRYPT,
    OPENING,
    SEALING,
    operation,
)
from harness.refusals import refusal

AAD = b"tenant=7\x00\xff"
CONTEXT = {"tenant": "7", "purpose": "backup"}

KMS_SEALING = [sealer for sealer in SEALING if sealer.service == "kms"]
INSTANCE_SEALING = [sealer for sealer in SEALING if sealer.service == "instance"]


def content_of(client, sealed, **binding):
    """What was sealed, known from the answer or from a first opening."""
    if sealed.plaintext is not None:
        return sealed.plaintext
    return KMS_DECRYPT.open(client, sealed, **binding).plaintext


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_unbound_blob_opens_through_either_service(client, key, sealer, opener):
    sealed = sealer.seal(client, key)
    opened = opener.open(client, sealed)
    assert opened.plaintext == content_of(client, sealed)
    assert opened.key_id == key


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("sealer", INSTANCE_SEALING, ids=str)
def test_blob_bound_to_aad_opens_through_either_service(client, key, sealer, opener):
    sealed = sealer.seal(client, key, aad=AAD)
    assert opener.open(client, sealed, aad=AAD).plaintext == content_of(client, sealed, aad=AAD)


@pytest.mark.parametrize("sealer", KMS_SEALING, ids=str)
def test_blob_bound_to_context_opens_with_it(client, key, sealer):
    sealed = sealer.seal(client, key, context=CONTEXT)
    opened = KMS_DECRYPT.open(client, sealed, context=CONTEXT)
    assert opened.plaintext == content_of(client, sealed, context=CONTEXT)
    assert opened.key_id == key


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("wrong", [b"", AAD[:-1], AAD + b"\x00", AAD.upper()])
@pytest.mark.parametrize("sealer", INSTANCE_SEALING, ids=str)
def test_wrong_aad_is_refused(client, key, sealer, wrong, opener):
    sealed = sealer.seal(client, key, aad=AAD)
    assert refusal(opener.open, client, sealed, aad=wrong).reason == "InvalidCiphertext"


@pytest.mark.parametrize("wrong", [{}, {"tenant": "7"}, {**CONTEXT, "more": ""}])
@pytest.mark.parametrize("sealer", KMS_SEALING, ids=str)
def test_wrong_context_is_refused(client, key, sealer, wrong):
    sealed = sealer.seal(client, key, context=CONTEXT)
    assert refusal(KMS_DECRYPT.open, client, sealed, context=wrong).reason == "InvalidCiphertext"


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_unbound_blob_does_not_open_with_a_binding(client, key, sealer):
    sealed = sealer.seal(client, key)
    for opener in OPENING:
        assert refusal(opener.open, client, sealed, aad=AAD).reason == "InvalidCiphertext"
    assert refusal(KMS_DECRYPT.open, client, sealed, context=CONTEXT).reason == "InvalidCiphertext"


@pytest.mark.parametrize("sealer", DATA_KEYS, ids=str)
def test_opening_twice_gives_the_same(client, key, sealer):
    sealed = sealer.seal(client, key)
    assert len({KMS_DECRYPT.open(client, sealed).plaintext for _ in range(3)}) == 1


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_opening_under_the_key_it_was_sealed_under_works(client, key, opener):
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    assert opener.open(client, sealed, key=key).plaintext == sealed.plaintext


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_opening_under_another_key_is_refused(client, key, opener):
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    other = client.create_key()
    assert refusal(opener.open, client, sealed, key=other).reason == "IncorrectKey"


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_another_key_is_told_only_for_a_genuine_blob(client, key, opener):
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    other = client.create_key()
    tampered = sealed.blob[:-1] + bytes([sealed.blob[-1] ^ 1])
    assert refusal(opener.open, client, tampered, key=other).reason == "InvalidCiphertext"
    wrong_aad = refusal(opener.open, client, sealed.blob, key=other, aad=b"x")
    assert wrong_aad.reason == "InvalidCiphertext"


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_blob_is_required(client, key, opener):
    answer = refusal(opener.open, client, b"", key=key)
    assert answer.reason == "MissingParameter"
    assert answer.message.lower().replace("_", "").startswith("ciphertextblob:")


def test_instance_decrypt_requires_the_key(client, key):
    sealed = operation("instance-Encrypt").seal(client, key)
    answer = refusal(INSTANCE_DECRYPT.open, client, sealed.blob)
    assert (answer.reason, answer.message.split(":")[0]) == ("MissingParameter", "KeyId")


def test_kms_decrypt_takes_one_binding_at_most(client, key):
    sealed = operation("kms-Encrypt").seal(client, key)
    answer = refusal(KMS_DECRYPT.open, client, sealed, aad=AAD, context=CONTEXT)
    assert (answer.reason, answer.message.split(":")[0]) == ("InvalidParameter", "aad")


# --- The IV, which only the instance service's callers see ----------------------------------------


@pytest.mark.parametrize("opener", [INSTANCE_DECRYPT, ADVANCE_DECRYPT], ids=str)
@pytest.mark.parametrize("sealer", INSTANCE_SEALING, ids=str)
def test_blob_opens_with_its_own_iv(client, key, sealer, opener):
    sealed = sealer.seal(client, key)
    opened = opener.open(client, sealed, iv=sealed.answer.Iv)
    assert opened.plaintext == content_of(client, sealed)


@pytest.mark.parametrize("opener", [INSTANCE_DECRYPT, ADVANCE_DECRYPT], ids=str)
def test_wrong_iv_is_refused(client, key, opener):
    sealed = operation("instance-Encrypt").seal(client, key)
    for wrong in (bytes(12), sealed.answer.Iv[::-1]):
        assert refusal(opener.open, client, sealed, iv=wrong).reason == "InvalidCiphertext"


@pytest.mark.parametrize("opener", [INSTANCE_DECRYPT, ADVANCE_DECRYPT], ids=str)
@pytest.mark.parametrize("length", [1, 11, 13, 16, 1024])
def test_iv_of_another_length_is_refused(client, key, length, opener):
    sealed = operation("instance-Encrypt").seal(client, key)
    answer = refusal(opener.open, client, sealed, iv=bytes(length))
    assert (answer.reason, answer.message.split(":")[0]) == ("InvalidParameter", "Iv")


@pytest.mark.parametrize("name", ["instance-Encrypt", "instance-AdvanceEncrypt"])
def test_encrypting_with_an_iv_of_the_callers_is_refused(client, key, name):
    answer = refusal(operation(name).seal, client, key, iv=bytes(12))
    assert (answer.reason, answer.message.split(":")[0]) == ("InvalidParameter", "Iv")
