"""A blob that is not as it was made does not open, and nobody learns why."""

import itertools
import random

import pytest

from harness import blobs
from harness.operations import ADVANCE_DECRYPT, KMS_DECRYPT, OPENING, operation
from harness.refusals import refusal

# One blob of each kind of content.
KINDS = {
    "bytes": ("kms-GenerateDataKey", {}),
    "wrapped-bytes": ("kms-GenerateDataKeyWithoutPlaintext", {"number_of_bytes": 32}),
    "wrapped-pem": ("instance-GenerateDataKeyPair", {"format": "PEM"}),
    "wrapped-der": ("instance-GenerateDataKeyPair", {"format": "DER"}),
}
KIND_NUMBERS = {
    "bytes": blobs.KIND_BYTES,
    "wrapped-bytes": blobs.KIND_WRAPPED_BYTES,
    "wrapped-pem": blobs.KIND_WRAPPED_PEM,
    "wrapped-der": blobs.KIND_WRAPPED_DER,
}


def seal_kind(client, key, kind):
    name, fields = KINDS[kind]
    sealed = operation(name).seal(client, key, **fields)
    assert blobs.parse(sealed.blob).kind == KIND_NUMBERS[kind]
    return sealed.blob


@pytest.fixture(scope="module")
def genuine(client, key):
    """A blob of each kind under one key."""
    return {kind: seal_kind(client, key, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def message(client, genuine):
    """The one wording for all of them."""
    return refusal(KMS_DECRYPT.open, client, genuine["bytes"][:-1]).message


def assert_refused(client, message, blob, opener=ADVANCE_DECRYPT, **fields):
    refused = refusal(opener.open, client, blob, **fields)
    assert (refused.reason, refused.message) == ("InvalidCiphertext", message)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bit_in_the_header(client, genuine, message, kind):
    blob = genuine[kind]
    for byte, bit in itertools.product(range(blobs.HEADER_BYTES), range(8)):
        flipped = bytearray(blob)
        flipped[byte] ^= 1 << bit
        assert_refused(client, message, bytes(flipped))


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bit_in_the_ciphertext_and_the_tag(client, genuine, message, kind):
    blob = genuine[kind]
    for byte in range(blobs.HEADER_BYTES, len(blob)):
        flipped = bytearray(blob)
        flipped[byte] ^= 1 << (byte % 8)
        assert_refused(client, message, bytes(flipped))


@pytest.mark.parametrize("kind", KINDS)
def test_truncation(client, genuine, message, kind):
    blob = genuine[kind]
    for length in range(1, len(blob)):
        assert_refused(client, message, blob[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_beginning_cut_off(client, genuine, message, kind):
    blob = genuine[kind]
    for cut in (1, 4, 8, blobs.HEADER_BYTES, len(blob) - 1):
        assert_refused(client, message, blob[cut:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [b"\x00", bytes(8), bytes(16)])
def test_something_appended(client, genuine, message, kind, more):
    assert_refused(client, message, genuine[kind] + more)


@pytest.mark.parametrize("header, body", list(itertools.permutations(KINDS, 2)))
def test_header_of_another_kind(client, genuine, message, header, body):
    spliced = genuine[header][: blobs.HEADER_BYTES] + genuine[body][blobs.HEADER_BYTES :]
    assert_refused(client, message, spliced)


@pytest.mark.parametrize("kind, other", list(itertools.permutations(KINDS, 2)))
def test_field_of_another_kind(client, genuine, message, kind, other):
    spliced = {field: blobs.splice(genuine[kind], field, genuine[other]) for field in blobs.FIELDS}
    different = {field for field, blob in spliced.items() if blob != genuine[kind]}
    assert different >= {"kind", "iv"}
    for field in different:
        assert_refused(client, message, spliced[field])


@pytest.mark.parametrize("kind", KINDS)
def test_header_of_another_blob_of_its_kind(client, key, genuine, message, kind):
    other = seal_kind(client, key, kind)
    assert_refused(
        client, message, other[: blobs.HEADER_BYTES] + genuine[kind][blobs.HEADER_BYTES :]
    )
    assert_refused(client, message, blobs.splice(genuine[kind], "iv", other))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_another_key_or_version(client, message, kind):
    key, another = client.create_key(), client.create_key()
    blob = seal_kind(client, key, kind)
    of_another_key = seal_kind(client, another, kind)
    for fields in (["key_id"], ["key_version_id"], ["key_id", "key_version_id"]):
        spliced = blob
        for field in fields:
            spliced = blobs.splice(spliced, field, of_another_key)
        assert_refused(client, message, spliced)
    client.rotate(key)
    of_another_version = operation("kms-GenerateDataKey").seal(client, key).blob
    assert_refused(client, message, blobs.splice(blob, "key_version_id", of_another_version))


@pytest.mark.parametrize("opener", OPENING, ids=str)
def test_foreign_bytes(client, key, message, opener):
    numbers = random.Random(7)
    foreign = [b"x", b"SRKB", b"\x00" * 72, b"SRKB\x01\x01\x01\x00" + bytes(100)]
    foreign += [numbers.randbytes(numbers.randrange(1, 4096)) for _ in range(20)]
    for blob in foreign:
        assert_refused(client, message, blob, opener, key=key)


def test_genuine_blobs_still_open(client, genuine):
    for blob in genuine.values():
        assert ADVANCE_DECRYPT.open(client, blob).plaintext
