"""What a blob is bound to: contexts are maps, and no context is an Aad."""

import json

import pytest

from harness import blobs
from harness.operations import KMS_DECRYPT, OPENING, operation
from harness.refusals import refusal

SEAL_WITH_CONTEXT = operation("kms-Encrypt")
SEAL_WITH_AAD = operation("instance-Encrypt")

CONTEXTS = (
    {"a": "b"},
    {"": ""},
    {"a": "1", "b": "2"},
    {"tenant": "7", "path": "/etc/ü", "empty": ""},
)

# Bytes that somebody might take for a context.
ENCODINGS = {
    "as-in-the-blob": blobs.encode_context,
    "as-in-the-blob-with-kind": lambda context: b"\x02" + blobs.encode_context(context),
    "as-in-the-blob-with-aad-kind": lambda context: b"\x01" + blobs.encode_context(context),
    "json": lambda context: json.dumps(context, sort_keys=True).encode(),
    "json-compact": lambda context: json.dumps(context, separators=(",", ":")).encode(),
    "query": lambda context: "&".join(f"{k}={v}" for k, v in sorted(context.items())).encode(),
    "protobuf": lambda context: SEAL_WITH_CONTEXT.request(context=context).SerializeToString(),
    "kind-only": lambda context: b"\x02",
    "nothing": lambda context: b"",
}


def case_of(context):
    return json.dumps(context, ensure_ascii=True)


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("context", CONTEXTS, ids=case_of)
def test_context_does_not_open_with_aad(client, key, context, encoding, opener):
    sealed = SEAL_WITH_CONTEXT.seal(client, key, context=context)
    aad = ENCODINGS[encoding](context)
    assert refusal(opener.open, client, sealed, aad=aad).reason == "InvalidCiphertext"


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "nothing"])
@pytest.mark.parametrize("context", CONTEXTS, ids=case_of)
def test_aad_does_not_open_with_context(client, key, context, encoding):
    sealed = SEAL_WITH_AAD.seal(client, key, aad=ENCODINGS[encoding](context) or b"x")
    assert refusal(KMS_DECRYPT.open, client, sealed, context=context).reason == "InvalidCiphertext"


def test_order_of_a_context_does_not_matter(client, key):
    forwards = {f"key{i}": str(i) for i in range(20)}
    backwards = dict(reversed(forwards.items()))

    def raw_request(context):
        # A map is a repeated entry on the wire, whose order the stubs do not promise to keep.
        request = SEAL_WITH_CONTEXT.request(key=key, plaintext=b"x").SerializeToString()
        for name, value in context.items():
            request += SEAL_WITH_CONTEXT.request(context={name: value}).SerializeToString()
        return request

    assert raw_request(forwards) != raw_request(backwards)
    encrypt = client.channel.unary_unary("/strongroom.v1.KmsService/Encrypt")
    answer_type = type(SEAL_WITH_CONTEXT.seal(client, key).answer)
    for context in (forwards, backwards):
        blob = answer_type.FromString(encrypt(raw_request(context), timeout=60)).ciphertext_blob
        for other in (forwards, backwards):
            assert KMS_DECRYPT.open(client, blob, context=other).plaintext == b"x"


@pytest.mark.parametrize(
    "context, other",
    [
        # Other encodings of contexts have these as the same bytes.
        ({"a": "1&b=2"}, {"a": "1", "b": "2"}),
        ({"a": "b", "c": "d"}, {"a": 'b","c":"d'}),
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": ""}, {"": "a"}),
        ({"a=b": "c"}, {"a": "b=c"}),
        ({"a": "b\x00"}, {"a": "b"}),
        # Case, blanks and forms of one character.
        ({"a": "b"}, {"A": "b"}),
        ({"a": "b"}, {"a": "B"}),
        ({"a": "b"}, {"a": "b "}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
        # More and less.
        ({"a": "b"}, {"a": "b", "": ""}),
        ({"a": "b", "c": "d"}, {"a": "b"}),
        ({"a": "b", "c": "d"}, {"a": "d", "c": "b"}),
        ({"": ""}, {}),
    ],
    ids=case_of,
)
def test_different_contexts_do_not_open_each_other(client, key, context, other):
    for sealing, opening in ((context, other), (other, context)):
        sealed = SEAL_WITH_CONTEXT.seal(client, key, context=sealing)
        refused = refusal(KMS_DECRYPT.open, client, sealed, context=opening)
        assert refused.reason == "InvalidCiphertext"
        assert KMS_DECRYPT.open(client, sealed, context=sealing).plaintext == sealed.plaintext


def test_empty_aad_and_empty_context_are_nothing(client, key):
    by_context = SEAL_WITH_CONTEXT.seal(client, key, context={})
    by_aad = SEAL_WITH_AAD.seal(client, key, aad=b"")
    for sealed in (by_context, by_aad):
        assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
        assert KMS_DECRYPT.open(client, sealed, aad=b"").plaintext == sealed.plaintext
        assert KMS_DECRYPT.open(client, sealed, context={}).plaintext == sealed.plaintext


def test_longest_aad_works_and_a_longer_one_does_not(client, key):
    sealed = SEAL_WITH_AAD.seal(client, key, aad=b"a" * 8192)
    for opener in OPENING:
        assert opener.open(client, sealed, aad=b"a" * 8192).plaintext == sealed.plaintext
        refused = refusal(opener.open, client, sealed, aad=b"a" * 8193)
        assert (refused.reason, refused.message.split(":")[0].lower()) == (
            "InvalidParameter",
            "aad",
        )
    assert refusal(SEAL_WITH_AAD.seal, client, key, aad=b"a" * 8193).reason == "InvalidParameter"


def test_longest_context_works_and_a_longer_one_does_not(client, key):
    # Four bytes of length for the key and the value each.
    longest = {"k": "v" * (8192 - 8 - 1)}
    sealed = SEAL_WITH_CONTEXT.seal(client, key, context=longest)
    assert KMS_DECRYPT.open(client, sealed, context=longest).plaintext == sealed.plaintext
    longer = {"k": longest["k"] + "v"}
    refused = refusal(SEAL_WITH_CONTEXT.seal, client, key, context=longer)
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith("encryption_context:")
