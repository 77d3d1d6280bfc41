"""A dry run says whether a call would work, always as an error, and touches no key material."""

import uuid

import pytest

from harness.client import statement
from harness.operations import OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import kms_service_pb2 as kms_pb

DRY = (("x-strongroom-dry-run", "true"),)


def dry(client, an_operation, request):
    """How a dry run of the operation is refused."""
    if "dry_run" in request.DESCRIPTOR.fields_by_name:
        request.dry_run = True
        return refusal(an_operation.call, client, request)
    return refusal(an_operation.call, client, request, metadata=DRY)


def dry_seal(client, sealer, key, **fields):
    """How a dry run of sealing is refused."""
    return dry(client, sealer, sealer.sealing_request(key, **fields))


def dry_open(client, opener, sealed, **fields):
    """How a dry run of opening is refused."""
    if opener.needs_key:
        fields.setdefault("key", sealed.key_id)
    return dry(client, opener, opener.request(blob=sealed.blob, **fields))


def verdict(refused):
    """What matters of a dry run's refusal."""
    return refused.reason, refused.failed_check, refused.token


WOULD_WORK = ("DryRunOperationError", "none", "able")


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_what_would_seal_says_so(client, key, sealer):
    assert verdict(dry_seal(client, sealer, key)) == WOULD_WORK


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_what_would_open_says_so(client, key, opener):
    sealed = operation("kms-GenerateDataKeyWithoutPlaintext").seal(client, key)
    if "instance" in str(opener):
        sealed = operation("instance-GenerateDataKey").seal(client, key)
    assert verdict(dry_open(client, opener, sealed)) == WOULD_WORK


def test_wrong_request_is_a_validation_error(client, key):
    for sealer, fields in (
        ("kms-GenerateDataKey", {"number_of_bytes": 1025}),
        ("kms-GenerateDataKeyPair", {"key_pair_spec": 99}),
        ("kms-Encrypt", {"plaintext": b""}),
    ):
        request = operation(sealer).sealing_request(key)
        for field, value in fields.items():
            setattr(request, field, value)
        refused = dry(client, operation(sealer), request)
        assert verdict(refused) == ("ValidationError", "request", "able")
        assert next(iter(fields)) in refused.message


def test_key_that_cannot_be_used_is_a_validation_error(client):
    key = client.create_key()
    sealed = operation("kms-Encrypt").seal(client, key)
    client.disable(key)
    expected = ("ValidationError", "key", "able")
    sealer, opener = operation("kms-GenerateDataKey"), operation("kms-Decrypt")
    assert verdict(dry_seal(client, sealer, key)) == expected
    assert verdict(dry_open(client, opener, sealed)) == expected
    assert verdict(dry_seal(client, sealer, str(uuid.uuid4()))) == expected
    other = client.create_key()
    refused = dry_open(client, opener, sealed, key=other)
    assert refused.reason == "ValidationError"


def test_caller_without_permission_is_told_so_and_nothing_of_the_key(server):
    server.add_principal("alice")
    server.start()
    owner, alice = server.client(), server.client_of("alice")
    key = owner.create_key()
    owner.put_policy(key, statement(["alice"], ["GenerateDataKey"]))
    expected = ("AccessDeniedError", "permission", "able")
    encrypt = operation("kms-Encrypt")
    there, absent = (dry_seal(alice, encrypt, name) for name in (key, str(uuid.uuid4())))
    assert verdict(there) == verdict(absent) == expected
    assert there.message == absent.message
    sealed = encrypt.seal(owner, key)
    assert verdict(dry_open(alice, operation("kms-Decrypt"), sealed)) == expected
    # With what alice may do, it is another matter.
    assert verdict(dry_seal(alice, operation("kms-GenerateDataKey"), key)) == WOULD_WORK
    request = encrypt.sealing_request(key)
    request.grant_tokens.append("x")
    assert verdict(dry(alice, encrypt, request)) == expected


def dry_use(client, method, pair, **fields):
    """How a dry run of a use of a private key is refused."""
    request = getattr(kms_pb, method + "Request")(
        private_key_ciphertext_blob=pair.blob, dry_run=True, **fields
    )
    return refusal(getattr(client.kms, method), request)


def test_use_of_a_private_key_says_what_can_be_told_without_it(client, key):
    pair = operation("kms-GenerateDataKeyPair")
    curve, rsa = (pair.seal(client, key, spec=spec) for spec in ("EC_P256", "RSA_2048"))
    data_key = operation("kms-GenerateDataKey").seal(client, key)
    sign = {"message": b"x", "signing_algorithm": "SIGNING_ALGORITHM_ECDSA_SHA_256"}
    decrypt = {"ciphertext": b"x", "decryption_algorithm": 2}
    derive = {"public_key": curve.public_key}
    wrong_request = ("ValidationError", "request", "able")
    wrong_key = ("ValidationError", "key", "able")
    for method, pairs, fields, expected in (
        ("SignWithDataKeyPair", [curve], sign, WOULD_WORK),
        ("SignWithDataKeyPair", [rsa, data_key], sign, wrong_key),
        ("SignWithDataKeyPair", [curve], {**sign, "message_type": 2}, wrong_request),
        ("SignWithDataKeyPair", [curve], {**sign, "message": b"x" * 4097}, wrong_request),
        ("SignWithDataKeyPair", [curve], {"message": b"x"}, wrong_request),
        ("DecryptWithDataKeyPair", [rsa], decrypt, WOULD_WORK),
        ("DecryptWithDataKeyPair", [curve, data_key], decrypt, wrong_key),
        ("DecryptWithDataKeyPair", [rsa], {"ciphertext": b"x"}, wrong_request),
        ("DeriveSharedSecret", [curve], derive, WOULD_WORK),
        ("DeriveSharedSecret", [rsa, data_key], derive, wrong_key),
        ("DeriveSharedSecret", [curve], {"public_key": rsa.public_key}, wrong_key),
        ("DeriveSharedSecret", [curve], {}, wrong_request),
    ):
        for one in pairs:
            assert verdict(dry_use(client, method, one, **fields)) == expected, method
    disabled = client.create_key()
    pair = pair.seal(client, disabled)
    client.disable(disabled)
    assert verdict(dry_use(client, "SignWithDataKeyPair", pair, **sign)) == wrong_key


def test_re_encryption_says_what_of_either_key_is_wrong(server):
    server.add_principal("alice")
    server.start()
    owner, alice = server.client(), server.client_of("alice")
    source, destination = owner.create_key(), owner.create_key()
    blob = operation("kms-Encrypt").seal(owner, source).blob

    def dry_run(client, key=destination, **fields):
        return verdict(refusal(client.re_encrypt, blob, key, dry_run=True, **fields))

    assert dry_run(owner) == WOULD_WORK
    wrong_key = ("ValidationError", "key", "able")
    assert dry_run(owner, source_key_id=destination) == wrong_key
    assert dry_run(owner, "alias/missing") == wrong_key
    assert dry_run(owner, "two words") == ("ValidationError", "request", "able")
    denied = ("AccessDeniedError", "permission", "able")
    assert dry_run(alice) == denied
    owner.put_policy(source, statement(["alice"], ["ReEncryptFrom"]))
    assert dry_run(alice) == denied
    owner.put_policy(destination, statement(["alice"], ["ReEncryptTo"]))
    assert dry_run(alice) == WOULD_WORK
    for key in (source, destination):
        owner.disable(key)
        assert dry_run(alice) == wrong_key
        owner.enable(key)


def test_token_that_cannot_is_told(server):
    server.use_faults().add("hide CKM_RSA_PKCS_KEY_PAIR_GEN")
    client = server.start().client()
    key = client.create_key()
    pair = operation("kms-GenerateDataKeyPair")
    for name, check in ((key, "token"), ("alias/missing", "key")):
        request = pair.sealing_request(name)
        request.key_pair_spec = 1  # RSA_2048
        assert verdict(dry(client, pair, request)) == ("ValidationError", check, "unable")


def test_token_that_is_away_is_told(server):
    faults = server.use_faults()
    client = server.start().client()
    key = client.create_key()
    server.stop()
    server.start()
    server.stop()
    at_start = faults.calls("C_GetAttributeValue")
    faults.add(f"fail C_GetAttributeValue CKR_DEVICE_REMOVED call={at_start + 1}-")
    client = server.start().client()
    refused = dry_seal(client, operation("kms-GenerateDataKey"), key)
    assert verdict(refused) == ("ValidationError", "token", "away")


def test_dry_runs_touch_no_key_material(server):
    faults = server.use_faults()
    client = server.start().client()
    key = client.create_key()
    sealed = {"kms": operation("kms-GenerateDataKeyPair").seal(client, key)}
    sealed["instance"] = operation("instance-GenerateDataKey").seal(client, key)
    server.stop()

    used = ("C_Encrypt", "C_Decrypt", "C_WrapKey", "C_UnwrapKey", "C_GenerateKey")
    used += ("C_GenerateKeyPair", "C_GenerateRandom", "C_CreateObject")
    server.start()
    server.stop()
    idle = {function: faults.calls(function) for function in used}
    client = server.start().client()
    for sealer in SEALING:
        assert verdict(dry_seal(client, sealer, key)) == WOULD_WORK
    for opener in OPENING:
        family = "instance" if "instance" in str(opener) else "kms"
        assert verdict(dry_open(client, opener, sealed[family])) == WOULD_WORK
    pair = sealed["kms"]
    for method, fields in (
        ("SignWithDataKeyPair", {"message": b"x", "signing_algorithm": 7}),
        ("DeriveSharedSecret", {"public_key": pair.public_key}),
    ):
        assert verdict(dry_use(client, method, pair, **fields)) == WOULD_WORK
    refused = refusal(client.re_encrypt, pair.blob, key, dry_run=True)
    assert verdict(refused) == WOULD_WORK
    server.stop()
    assert {function: faults.calls(function) for function in used} == idle
