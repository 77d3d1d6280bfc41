"""Private keys of data key pairs, used in the token: what they make, OpenSSL takes."""

import hashlib
import itertools

import pytest

from harness import openssl
from harness.operations import PAIRS, operation
from harness.refusals import refusal
from strongroom.v1 import kms_service_pb2 as kms_pb

PAIR = operation("kms-GenerateDataKeyPair")
CURVES = {"EC_P256": "P-256", "EC_P384": "P-384", "EC_P521": "P-521", "EC_P256K": "secp256k1"}
# How many bytes the order of the curve has, and its field.
CURVE_BYTES = {"EC_P256": 32, "EC_P384": 48, "EC_P521": 66, "EC_P256K": 32}
HASHES = {"SHA_256": "sha256", "SHA_384": "sha384", "SHA_512": "sha512"}
MESSAGE = "what is signed, größer".encode()

SIGNATURES = [
    (spec, scheme, digest)
    for spec in openssl.DESCRIPTIONS
    for scheme in (("ECDSA",) if spec in CURVES else ("RSASSA_PKCS1_V1_5", "RSASSA_PSS"))
    for digest in HASHES
]


@pytest.fixture(scope="module")
def pairs(client, key):
    """A pair of each spec, made when it is first asked for."""
    made = {}

    def pair(spec):
        if spec not in made:
            made[spec] = PAIR.seal(client, key, spec=spec)
        return made[spec]

    return pair


def sign(client, pair, algorithm, message, **fields):
    """The answer of SignWithDataKeyPair."""
    blob = fields.pop("blob", pair and pair.blob)
    return client.kms.SignWithDataKeyPair(
        kms_pb.SignWithDataKeyPairRequest(
            private_key_ciphertext_blob=blob,
            message=message,
            signing_algorithm=f"SIGNING_ALGORITHM_{algorithm}",
            **fields,
        )
    )


def decrypt(client, pair, ciphertext, digest="SHA_1", **fields):
    """The answer of DecryptWithDataKeyPair."""
    return client.kms.DecryptWithDataKeyPair(
        kms_pb.DecryptWithDataKeyPairRequest(
            private_key_ciphertext_blob=pair.blob,
            ciphertext=ciphertext,
            decryption_algorithm=f"ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_{digest}",
            **fields,
        )
    )


def derive(client, pair, public_key, **fields):
    """The answer of DeriveSharedSecret."""
    return client.kms.DeriveSharedSecret(
        kms_pb.DeriveSharedSecretRequest(
            private_key_ciphertext_blob=pair.blob, public_key=public_key, **fields
        )
    )


def to_der(fixed):
    """Ecdsa-Sig-Value of r and s, one behind the other."""

    def tlv(tag, value):
        length = bytes([len(value)]) if len(value) < 128 else bytes([0x81, len(value)])
        return bytes([tag]) + length + value

    half = len(fixed) // 2
    numbers = b""
    for part in (fixed[:half], fixed[half:]):
        number = int.from_bytes(part, "big")
        numbers += tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
    return tlv(0x30, numbers)


def peer_of(curve):
    """A key pair of the other side's, in PEM."""
    made = openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
    return made, openssl.run("pkey", "-pubout", stdin=made)


# --- Signing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, scheme, digest_name", SIGNATURES, ids=["-".join(one) for one in SIGNATURES]
)
def test_signature_verifies(client, key, pairs, spec, scheme, digest_name):
    pair = pairs(spec)
    algorithm = f"{scheme}_{digest_name}"
    digest = hashlib.new(HASHES[digest_name], MESSAGE).digest()
    for message, kind in ((MESSAGE, 0), (MESSAGE, 1), (digest, 2)):
        answer = sign(client, pair, algorithm, message, message_type=kind)
        openssl.verify(
            pair.public_key,
            scheme.replace("RSASSA_", ""),
            HASHES[digest_name],
            digest,
            answer.signature,
        )
        assert (answer.key_id, answer.key_version_id) == (key, pair.key_version_id)
        assert kms_pb.SigningAlgorithm.Name(answer.signing_algorithm).endswith(algorithm)
        assert answer.key_pair_spec == pair.answer.key_pair_spec
    if scheme == "ECDSA":
        fixed = sign(client, pair, algorithm, digest, message_type=2, ecdsa_signature_format=2)
        assert len(fixed.signature) == 2 * CURVE_BYTES[spec]
        signature = to_der(fixed.signature)
        openssl.verify(pair.public_key, "ECDSA", HASHES[digest_name], digest, signature)


@pytest.mark.parametrize("sealer", PAIRS, ids=str)
@pytest.mark.parametrize("key_format", ["PEM", "DER"])
def test_pair_of_every_operation_signs(client, key, sealer, key_format):
    pair = sealer.seal(client, key, format=key_format)
    answer = sign(client, pair, "ECDSA_SHA_256", MESSAGE)
    public_key = pair.public_key
    if key_format == "PEM":
        public_key = openssl.from_pem("PUBLIC KEY", public_key)
    digest = hashlib.sha256(MESSAGE).digest()
    openssl.verify(public_key, "ECDSA", "sha256", digest, answer.signature)


def test_pair_of_an_older_version_signs(client):
    key = client.create_key()
    pair = PAIR.seal(client, key)
    client.rotate(key)
    assert sign(client, pair, "ECDSA_SHA_256", b"x").key_version_id == pair.key_version_id


def test_messages_and_digests_have_their_lengths(client, pairs):
    pair = pairs("EC_P256")
    assert sign(client, pair, "ECDSA_SHA_256", b"x" * 4096).signature
    refused = refusal(sign, client, pair, "ECDSA_SHA_256", b"x" * 4097)
    assert refused.reason == "InvalidParameter" and refused.message.startswith("message: ")
    assert "4096" in refused.message
    refused = refusal(sign, client, pair, "ECDSA_SHA_256", b"")
    assert refused.reason == "MissingParameter" and refused.message.startswith("message: ")
    for digest, length in (("SHA_256", 32), ("SHA_384", 48), ("SHA_512", 64)):
        for wrong in {1, 32, 48, 64, length - 1, length + 1} - {length}:
            algorithm = f"ECDSA_{digest}"
            refused = refusal(sign, client, pair, algorithm, b"x" * wrong, message_type=2)
            assert refused.reason == "InvalidParameter"
            assert refused.message.startswith("message: ") and str(length) in refused.message


def test_algorithm_has_to_be_the_pairs(client, pairs):
    for spec, algorithm in itertools.chain(
        itertools.product(["RSA_2048"], ["ECDSA_SHA_256", "ECDSA_SHA_512"]),
        itertools.product(["EC_P256", "EC_P256K"], ["RSASSA_PSS_SHA_256"]),
        itertools.product(["EC_P521"], ["RSASSA_PKCS1_V1_5_SHA_512"]),
    ):
        refused = refusal(sign, client, pairs(spec), algorithm, b"x")
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("signing_algorithm: ")


# --- Decrypting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
def test_what_openssl_encrypts_is_decrypted(client, key, pairs, spec):
    pair = pairs(spec)
    most = int(spec[4:]) // 8 - 2 * 20 - 2
    for plaintext in (b"x", bytes(range(100)), b"\0" * most):
        ciphertext = openssl.encrypt_oaep(pair.public_key, plaintext, "sha1")
        answer = decrypt(client, pair, ciphertext)
        assert answer.plaintext == plaintext
        assert (answer.key_id, answer.key_version_id) == (key, pair.key_version_id)
        assert answer.decryption_algorithm == 2


def test_hash_that_the_token_does_not_know_is_unsupported(client, pairs):
    ciphertext = openssl.encrypt_oaep(pairs("RSA_2048").public_key, b"x", "sha256")
    refused = refusal(decrypt, client, pairs("RSA_2048"), ciphertext, "SHA_256")
    assert refused.reason == "UnsupportedOperation"


def test_what_does_not_decrypt_is_an_invalid_ciphertext(client, pairs):
    pair = pairs("RSA_2048")
    right = openssl.encrypt_oaep(pair.public_key, b"secret", "sha1")
    changed = right[:-1] + bytes([right[-1] ^ 1])
    foreign = openssl.encrypt_oaep(pairs("RSA_3072").public_key, b"secret", "sha1")
    other_hash = openssl.encrypt_oaep(pair.public_key, b"secret", "sha256")
    for wrong in (changed, foreign, other_hash, b"x", right + b"x", b"\xff" * 256, b"\0" * 256):
        assert refusal(decrypt, client, pair, wrong).reason == "InvalidCiphertext", wrong
    assert decrypt(client, pair, right).plaintext == b"secret"
    assert refusal(decrypt, client, pair, b"").reason == "MissingParameter"


# --- Agreeing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", CURVES)
def test_both_sides_agree(client, key, pairs, spec):
    pair = pairs(spec)
    for _ in range(3):
        private, public = peer_of(CURVES[spec])
        mine = openssl.to_pem("PUBLIC KEY", pair.public_key)
        expected = openssl.pkeyutl("-derive", inkey=private, peerkey=mine)
        for encoded in (public, openssl.from_pem("PUBLIC KEY", public)):
            answer = derive(client, pair, encoded)
            assert answer.shared_secret == expected
            assert len(expected) == CURVE_BYTES[spec]
            assert (answer.key_id, answer.key_version_id) == (key, pair.key_version_id)


def test_other_sides_key_has_to_be_one_of_the_curve(client, pairs):
    _, public = peer_of("P-256")
    der = openssl.from_pem("PUBLIC KEY", public)
    off_the_curve = der[:-1] + bytes([der[-1] ^ 1])
    for spec, wrong in (
        ("EC_P384", public),
        ("EC_P256K", public),
        ("EC_P256", pairs("RSA_2048").public_key),
        ("EC_P256", off_the_curve),
        ("EC_P256", der[:-1]),
        ("EC_P256", der + b"\0"),
        ("EC_P256", b"no key"),
        ("EC_P256", pairs("EC_P256").blob),
    ):
        refused = refusal(derive, client, pairs(spec), wrong)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("public_key: ")
    refused = refusal(derive, client, pairs("EC_P256"), b"")
    assert refused.reason == "MissingParameter" and refused.message.startswith("public_key: ")


# --- What all three have in common ----------------------------------------------------------------

_, PEER = peer_of("P-256")


def sign_something(client, pair, **fields):
    """Signs, with a pair of EC_P256."""
    return sign(client, pair, "ECDSA_SHA_256", b"x", **fields)


def decrypt_something(client, pair, **fields):
    """Decrypts, with a pair of RSA_2048."""
    ciphertext = openssl.encrypt_oaep(pair.public_key, b"x", "sha1")
    return decrypt(client, pair, ciphertext, **fields)


def derive_something(client, pair, **fields):
    """Derives, with a pair of EC_P256."""
    return derive(client, pair, PEER, **fields)


USES = {
    "sign": ("EC_P256", sign_something),
    "decrypt": ("RSA_2048", decrypt_something),
    "derive": ("EC_P256", derive_something),
}


@pytest.fixture(params=USES, name="use")
def _use(request):
    """Each of the three, with a spec that it takes."""
    return USES[request.param]


def test_binding_has_to_be_the_pairs(client, key, use):
    spec, call = use
    bound = PAIR.seal(client, key, spec=spec, context={"a": "b"})
    assert call(client, bound, encryption_context={"a": "b"}).key_id == key
    for wrong in ({}, {"encryption_context": {"a": "c"}}, {"aad": b"ab"}):
        assert refusal(call, client, bound, **wrong).reason == "InvalidCiphertext", wrong
    refused = refusal(call, client, bound, encryption_context={"a": "b"}, aad=b"x")
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith("aad: ") and "encryption_context" in refused.message

    to_aad = operation("instance-GenerateDataKeyPair").seal(client, key, spec=spec, aad=b"aad")
    assert call(client, to_aad, aad=b"aad").key_id == key
    for wrong in ({}, {"aad": b"add"}, {"encryption_context": {"a": "b"}}):
        assert refusal(call, client, to_aad, **wrong).reason == "InvalidCiphertext", wrong


def test_key_may_be_named_and_has_to_be_the_pairs(client, key, pairs, use):
    spec, call = use
    assert call(client, pairs(spec), key_id=key).key_id == key
    other = client.create_key()
    assert refusal(call, client, pairs(spec), key_id=other).reason == "IncorrectKey"
    refused = refusal(call, client, pairs(spec), key_id="alias/missing")
    assert refused.reason == "Forbidden.AliasNotFound"


def test_blob_has_to_hold_a_private_key_of_the_kind(client, key, pairs, use):
    spec, call = use
    other_kind = pairs("EC_P256" if spec == "RSA_2048" else "RSA_2048")
    for name in ("kms-GenerateDataKey", "kms-GenerateDataKeyWithoutPlaintext", "kms-Encrypt"):
        wrong = operation(name).seal(client, key)
        wrong = type(wrong)(**{**wrong.__dict__, "public_key": pairs("RSA_2048").public_key})
        refused = refusal(call, client, wrong)
        assert refused.reason == "InvalidParameter"
        assert refused.message.startswith("private_key_ciphertext_blob: ")
    if spec == "RSA_2048":
        ciphertext = openssl.encrypt_oaep(pairs("RSA_2048").public_key, b"x", "sha1")
        refused = refusal(decrypt, client, other_kind, ciphertext)
    else:
        refused = refusal(call, client, other_kind)
    assert refused.reason == "InvalidParameter"


def test_blob_has_to_be_genuine(client, pairs, use):
    spec, call = use
    pair = pairs(spec)

    def with_blob(blob):
        return type(pair)(**{**pair.__dict__, "blob": blob})

    blob = pair.blob
    for wrong in (blob[:-1], blob + b"x", blob[:-1] + bytes([blob[-1] ^ 1]), b"no blob"):
        assert refusal(call, client, with_blob(wrong)).reason == "InvalidCiphertext"
    refused = refusal(call, client, with_blob(b""))
    assert refused.reason == "MissingParameter"
    assert refused.message.startswith("private_key_ciphertext_blob: ")


def test_disabled_key_uses_nothing_not_even_what_was_just_used(client, use):
    spec, call = use
    key = client.create_key()
    pair = PAIR.seal(client, key, spec=spec)
    for _ in range(3):
        call(client, pair)
        client.disable(key)
        assert refusal(call, client, pair).reason == "Rejected.Disabled"
        client.enable(key)
    call(client, pair)
    client.schedule_deletion(key)
    assert refusal(call, client, pair).reason == "Rejected.PendingDeletion"


@pytest.mark.parametrize(
    "method, field, valid",
    [
        ("SignWithDataKeyPair", "signing_algorithm", "RSASSA_PSS_SHA_384"),
        ("SignWithDataKeyPair", "message_type", "MESSAGE_TYPE_DIGEST"),
        ("SignWithDataKeyPair", "ecdsa_signature_format", "ECDSA_SIGNATURE_FORMAT_FIXED"),
        ("DecryptWithDataKeyPair", "decryption_algorithm", "RSAES_OAEP_SHA_1"),
    ],
)
def test_enumerators_are_checked_by_name(client, pairs, method, field, valid):
    request = getattr(kms_pb, method + "Request")(
        private_key_ciphertext_blob=pairs("EC_P256").blob
    )
    required = {"ciphertext": b"x"}
    if method.startswith("Sign"):
        required = {"message": b"x", "signing_algorithm": 7}
    for name, value in required.items():
        setattr(request, name, value)
    setattr(request, field, 99)
    refused = refusal(getattr(client.kms, method), request)
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith(f"{field}: 99 ") and valid in refused.message
    if field.endswith("algorithm"):
        setattr(request, field, 0)
        refused = refusal(getattr(client.kms, method), request)
        assert refused.reason == "MissingParameter" and refused.message.startswith(f"{field}: ")
