"""Sealing again what a blob holds, without its leaving the server."""

import dataclasses

import pytest

from harness import blobs
from harness.client import conditions, statement
from harness.operations import KMS_DECRYPT, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import kms_service_pb2 as kms_pb

ENCRYPT = operation("kms-Encrypt")


def again(sealed, answer):
    """A Sealed like the one before, of the new blob."""
    return dataclasses.replace(
        sealed,
        key_id=answer.key_id,
        key_version_id=answer.key_version_id,
        blob=answer.ciphertext_blob,
    )


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_what_is_sealed_stays_the_same_under_another_key(client, key, sealer):
    other = client.create_key()
    sealed = sealer.seal(client, key)
    before = KMS_DECRYPT.open(client, sealed)
    answer = client.re_encrypt(sealed.blob, other)
    old, new = blobs.parse(sealed.blob), blobs.parse(answer.ciphertext_blob)
    assert (answer.source_key_id, answer.source_key_version_id) == (key, old.key_version_id)
    assert (answer.key_id, answer.key_version_id) == (other, new.key_version_id)
    assert (new.kind, new.pair_spec, new.content_length) == (
        old.kind,
        old.pair_spec,
        old.content_length,
    )
    assert new.iv != old.iv
    opened = KMS_DECRYPT.open(client, again(sealed, answer))
    assert opened.plaintext == before.plaintext
    assert (opened.key_id, opened.key_version_id) == (other, answer.key_version_id)
    # And back; the first blob opens as before.
    back = client.re_encrypt(answer.ciphertext_blob, key)
    assert KMS_DECRYPT.open(client, back.ciphertext_blob).plaintext == before.plaintext
    assert KMS_DECRYPT.open(client, sealed).plaintext == before.plaintext


@pytest.mark.parametrize("key_format", ["PEM", "DER"])
@pytest.mark.parametrize("spec", ["RSA_2048", "EC_P521"])
def test_pair_stays_the_same_byte_for_byte_and_signs(client, key, spec, key_format):
    pair = operation("instance-GenerateDataKeyPair").seal(
        client, key, spec=spec, format=key_format, aad=b"aad"
    )
    answer = client.re_encrypt(pair.blob, client.create_key(), source_aad=b"aad")
    assert KMS_DECRYPT.open(client, answer.ciphertext_blob).plaintext == pair.plaintext
    signed = client.kms.SignWithDataKeyPair(
        kms_pb.SignWithDataKeyPairRequest(
            private_key_ciphertext_blob=answer.ciphertext_blob,
            message=b"x",
            signing_algorithm=1 if spec == "RSA_2048" else 9,
        )
    )
    assert signed.key_id == answer.key_id


@pytest.mark.parametrize("size", [1, 7, 16, 1023, 1024])
def test_length_of_a_data_key_stays(client, key, size):
    sealed = operation("kms-GenerateDataKeyWithoutPlaintext").seal(
        client, key, number_of_bytes=size
    )
    before = KMS_DECRYPT.open(client, sealed).plaintext
    answer = client.re_encrypt(sealed.blob, client.create_key())
    opened = KMS_DECRYPT.open(client, answer.ciphertext_blob).plaintext
    assert opened == before and len(opened) == size


@pytest.mark.parametrize("name", ["kms-GenerateDataKey", "kms-GenerateDataKeyWithoutPlaintext"])
def test_after_a_rotation_it_is_under_the_new_version(client, name):
    key = client.create_key()
    sealed = operation(name).seal(client, key)
    plaintext = KMS_DECRYPT.open(client, sealed).plaintext
    version = client.rotate(key)
    answer = client.re_encrypt(sealed.blob, key)
    assert (answer.source_key_version_id, answer.key_version_id) == (sealed.key_version_id, version)
    assert KMS_DECRYPT.open(client, answer.ciphertext_blob).plaintext == plaintext
    # Under the version that it has already, as well.
    answer = client.re_encrypt(answer.ciphertext_blob, key)
    assert KMS_DECRYPT.open(client, answer.ciphertext_blob).plaintext == plaintext


def test_it_is_bound_anew(client, key):
    sealed = ENCRYPT.seal(client, key, context={"a": "b"})
    answer = client.re_encrypt(sealed.blob, key, {"a": "b"}, {"c": "d"})
    bound = again(sealed, answer)
    assert KMS_DECRYPT.open(client, bound, context={"c": "d"}).plaintext == sealed.plaintext
    for wrong in ({"a": "b"}, {}):
        assert refusal(KMS_DECRYPT.open, client, bound, context=wrong).reason == "InvalidCiphertext"
    free = client.re_encrypt(answer.ciphertext_blob, key, {"c": "d"})
    assert KMS_DECRYPT.open(client, free.ciphertext_blob).plaintext == sealed.plaintext
    to_aad = operation("instance-Encrypt").seal(client, key, aad=b"aad")
    answer = client.re_encrypt(to_aad.blob, key, None, {"c": "d"}, source_aad=b"aad")
    opened = KMS_DECRYPT.open(client, answer.ciphertext_blob, context={"c": "d"})
    assert opened.plaintext == to_aad.plaintext


def test_source_has_to_be_genuine_and_bound_so(client, key):
    sealed = ENCRYPT.seal(client, key, context={"a": "b"})
    blob = sealed.blob
    for wrong, context in (
        (blob, {}),
        (blob, {"a": "c"}),
        (blob[:-1], {"a": "b"}),
        (blob[:-1] + bytes([blob[-1] ^ 1]), {"a": "b"}),
        (b"no blob", {"a": "b"}),
    ):
        # The destination's binding does not stand in for the source's.
        refused = refusal(client.re_encrypt, wrong, key, context, {"a": "b"})
        assert refused.reason == "InvalidCiphertext"
    refused = refusal(client.re_encrypt, blob, key, {"a": "b"}, source_aad=b"x")
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith("source_aad: ")
    assert "source_encryption_context" in refused.message


def test_fields_are_checked_by_name(client, key):
    blob = ENCRYPT.seal(client, key).blob
    large = {"x" * 5000: "y" * 5000}
    for arguments, fields, reason, name in (
        ((b"", key), {}, "MissingParameter", "ciphertext_blob"),
        ((blob, ""), {}, "MissingParameter", "destination_key_id"),
        ((blob, "two words"), {}, "InvalidParameter", "destination_key_id"),
        ((blob, key), {"source_key_id": "x"}, "InvalidParameter", "source_key_id"),
        ((blob, key, large), {}, "InvalidParameter", "source_encryption_context"),
        ((blob, key, {}, large), {}, "InvalidParameter", "destination_encryption_context"),
        ((blob, key), {"source_aad": b"x" * 8193}, "InvalidParameter", "source_aad"),
    ):
        refused = refusal(client.re_encrypt, *arguments, **fields)
        assert refused.reason == reason and refused.message.startswith(name + ": ")


def test_keys_may_be_named_and_have_to_be_there(client, key):
    other = client.create_key()
    alias = f"alias/destination-{other}"
    client.create_alias(alias, other)
    blob = ENCRYPT.seal(client, key).blob
    assert client.re_encrypt(blob, alias, source_key_id=key).key_id == other
    assert refusal(client.re_encrypt, blob, key, source_key_id=other).reason == "IncorrectKey"
    refused = refusal(client.re_encrypt, blob, "alias/missing")
    assert refused.reason == "Forbidden.AliasNotFound"


def test_both_keys_have_to_be_enabled(client):
    source, destination = client.create_key(), client.create_key()
    blob = ENCRYPT.seal(client, source).blob
    for key in (source, destination):
        client.disable(key)
        refused = refusal(client.re_encrypt, blob, destination)
        assert refused.reason == "Rejected.Disabled" and key in refused.message
        client.enable(key)
        client.schedule_deletion(key)
        refused = refusal(client.re_encrypt, blob, destination)
        assert refused.reason == "Rejected.PendingDeletion" and key in refused.message
        client.cancel_deletion(key)
        client.enable(key)
    assert client.re_encrypt(blob, destination)


# --- Permissions ----------------------------------------------------------------------------------


@pytest.fixture(name="parties")
def _parties(server):
    """Who may do everything, and alice, who may do nothing."""
    server.add_principal("alice")
    server.start()
    return server.client(), server.client_of("alice")


def test_from_and_to_are_separate_permissions(parties):
    owner, alice = parties
    source, destination = owner.create_key(), owner.create_key()
    blob = ENCRYPT.seal(owner, source).blob
    for of_source, of_destination, may in (
        (["ReEncryptFrom"], ["ReEncryptTo"], True),
        (["group:open"], ["group:seal"], True),
        (["*"], ["*"], True),
        (["ReEncryptFrom"], ["ReEncryptFrom"], False),
        (["ReEncryptTo"], ["ReEncryptTo"], False),
        (["ReEncryptTo"], ["ReEncryptFrom"], False),
        (["Decrypt"], ["Encrypt"], False),
        (["*"], ["group:open"], False),
        (["group:seal"], ["*"], False),
    ):
        owner.put_policy(source, statement(["alice"], of_source))
        owner.put_policy(destination, statement(["alice"], of_destination))
        if may:
            assert alice.re_encrypt(blob, destination).key_id == destination
        else:
            refused = refusal(alice.re_encrypt, blob, destination)
            assert refused.reason == "Forbidden.NoPermission", (of_source, of_destination)


def test_each_half_is_permitted_by_its_own_context(parties):
    owner, alice = parties
    key = owner.create_key()
    owner.put_policy(
        key,
        statement(["alice"], ["ReEncryptFrom"], equals={"tenant": "old"}),
        statement(["alice"], ["ReEncryptTo"], equals={"tenant": "new"}),
    )
    old, new = {"tenant": "old"}, {"tenant": "new"}
    of_old = ENCRYPT.seal(owner, key, context=old).blob
    of_new = ENCRYPT.seal(owner, key, context=new).blob
    moved = alice.re_encrypt(of_old, key, old, new)
    assert KMS_DECRYPT.open(owner, moved.ciphertext_blob, context=new).plaintext
    for blob, source, destination in (
        (of_new, new, old),
        (of_new, new, new),
        (of_old, old, old),
        (of_old, old, {}),
    ):
        refused = refusal(alice.re_encrypt, blob, key, source, destination)
        assert refused.reason == "Forbidden.NoPermission"


def test_nobody_is_permitted_the_whole_by_its_name(parties):
    owner, _ = parties
    key = owner.create_key()
    for name in ("ReEncrypt", "KmsService.ReEncrypt"):
        for call, *arguments in (
            (owner.put_policy, key, statement(["alice"], [name])),
            (owner.grant, key, "alice", [name]),
        ):
            refused = refusal(call, *arguments)
            assert refused.reason == "InvalidParameter"
            assert "ReEncryptFrom" in refused.message and "ReEncryptTo" in refused.message


def test_both_halves_can_be_granted(parties):
    owner, alice = parties
    source, destination = owner.create_key(), owner.create_key()
    blob = ENCRYPT.seal(owner, source, context={"a": "b"}).blob
    tokens = [
        owner.grant(
            source, "alice", ["ReEncryptFrom"], constraints=conditions(equals={"a": "b"})
        ).grant_token
    ]
    refused = refusal(alice.re_encrypt, blob, destination, {"a": "b"}, grant_tokens=tokens)
    assert refused.reason == "Forbidden.NoPermission"
    tokens.append(owner.grant(destination, "alice", ["ReEncryptTo"]).grant_token)
    answer = alice.re_encrypt(blob, destination, {"a": "b"}, {"c": "d"}, grant_tokens=tokens)
    assert KMS_DECRYPT.open(owner, answer.ciphertext_blob, context={"c": "d"}).plaintext
    assert alice.re_encrypt(blob, destination, {"a": "b"}).key_id == destination


def test_absent_and_forbidden_are_the_same_to_who_may_not_know(parties):
    owner, alice = parties
    mine, forbidden = owner.create_key(), owner.create_key()
    owner.put_policy(mine, statement(["alice"], ["*"]))
    blob = ENCRYPT.seal(owner, mine).blob
    absent = "00000000-0000-4000-8000-000000000000"
    one, other = (refusal(alice.re_encrypt, blob, name) for name in (forbidden, absent))
    assert (one.reason, one.message) == (other.reason, other.message)
    foreign = ENCRYPT.seal(owner, forbidden).blob
    first, end = blobs.FIELDS["key_id"]
    lost = foreign[:first] + bytes(end - first) + foreign[end:]
    one, other = (refusal(alice.re_encrypt, name, mine) for name in (foreign, lost))
    assert (one.reason, one.message) == (other.reason, other.message)
    assert one.reason == "Forbidden.NoPermission"
    assert refusal(owner.re_encrypt, lost, mine).reason == "InvalidCiphertext"
