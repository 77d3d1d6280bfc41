"""Data key pairs: every spec, format and operation, as OpenSSL sees them."""

import threading

import pytest

from harness import blobs, openssl
from harness.operations import OPENING, PAIRS, operation
from harness.refusals import refusal

FORMATS = ["PEM", "DER"]
INSTANCE_PAIRS = [sealer for sealer in PAIRS if sealer.service == "instance"]
KMS_PAIRS = [sealer for sealer in PAIRS if sealer.service == "kms"]
SPEC_NUMBERS = {spec: number for number, spec in enumerate(openssl.DESCRIPTIONS, start=1)}

# RSA keys take long to find: the large ones go through some of the operations and formats.
QUICK_SPECS = ["EC_P256", "EC_P384", "EC_P521", "EC_P256K", "RSA_2048"]
COMBINATIONS = [
    (sealer, spec, key_format)
    for spec in QUICK_SPECS
    for sealer in PAIRS
    for key_format in FORMATS
] + [
    (operation("instance-GenerateDataKeyPair"), "RSA_3072", "PEM"),
    (operation("kms-GenerateDataKeyPair"), "RSA_3072", "DER"),
    (operation("instance-AdvanceGenerateDataKeyPair"), "RSA_4096", "DER"),
    (operation("kms-GenerateDataKeyPairWithoutPlaintext"), "RSA_4096", "PEM"),
]

OTHER_SPELLINGS = {
    "ECC_NIST_P256": "EC_P256",
    "ECC_NIST_P384": "EC_P384",
    "ECC_NIST_P521": "EC_P521",
    "ECC_SECG_P256K1": "EC_P256K",
}


@pytest.mark.parametrize("sealer, spec, key_format", COMBINATIONS, ids=str)
def test_pair_is_good(client, key, sealer, spec, key_format):
    sealed = sealer.seal(client, key, spec=spec, format=key_format)
    header = blobs.parse(sealed.blob)
    kind = blobs.KIND_WRAPPED_PEM if key_format == "PEM" else blobs.KIND_WRAPPED_DER
    assert (header.kind, header.pair_spec) == (kind, SPEC_NUMBERS[spec])

    opened = {opener.open(client, sealed).plaintext for opener in OPENING}
    assert len(opened) == 1
    (private_key,) = opened
    if sealer.returns_plaintext:
        assert private_key == sealed.plaintext
    openssl.check_pair(spec, key_format, private_key, sealed.public_key)


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
@pytest.mark.parametrize("sealer", PAIRS, ids=str)
def test_other_spelling_of_a_curve(client, key, sealer, spelling):
    sealed = sealer.seal(client, key, spec=spelling, format="DER")
    private_key = OPENING[0].open(client, sealed).plaintext
    openssl.check_pair(OTHER_SPELLINGS[spelling], "DER", private_key, sealed.public_key)


@pytest.mark.parametrize("spelling", ["EC_P256", "ECC_NIST_P256"])
@pytest.mark.parametrize("sealer", INSTANCE_PAIRS, ids=str)
def test_instance_answer_repeats_the_spelling(client, key, sealer, spelling):
    assert sealer.seal(client, key, spec=spelling).answer.KeyPairSpec == spelling


@pytest.mark.parametrize("sealer", KMS_PAIRS, ids=str)
def test_kms_answer_tells_spec_and_format(client, key, sealer):
    answer = sealer.seal(client, key, spec="EC_P384", format="PEM").answer
    request = sealer.request(spec="EC_P384", format="PEM")
    assert (answer.key_pair_spec, answer.key_format) == (request.key_pair_spec, request.key_format)


@pytest.mark.parametrize("sealer", KMS_PAIRS, ids=str)
def test_kms_format_is_der_by_default(client, key, sealer):
    sealed = sealer.seal(client, key, format="UNSPECIFIED")
    assert sealed.answer.key_format == sealer.request(format="DER").key_format
    private_key = OPENING[0].open(client, sealed).plaintext
    openssl.check_pair("EC_P256", "DER", private_key, sealed.public_key)


@pytest.mark.parametrize("wrong", ["pem", "der", "Pem", "PKCS8", " PEM"])
@pytest.mark.parametrize("sealer", INSTANCE_PAIRS, ids=str)
def test_another_format_is_refused(client, key, sealer, wrong):
    refused = refusal(sealer.seal, client, key, format=wrong)
    assert refused.reason == "InvalidParameter"
    assert refused.message == f'KeyFormat: "{wrong}" is not valid; valid are PEM, DER'


@pytest.mark.parametrize("wrong", ["rsa_2048", "RSA_1024", "EC_P224", "RSA_2048 ", "ED25519"])
@pytest.mark.parametrize("sealer", INSTANCE_PAIRS, ids=str)
def test_another_spec_is_refused(client, key, sealer, wrong):
    refused = refusal(sealer.seal, client, key, spec=wrong)
    assert refused.reason == "InvalidParameter"
    assert refused.message.startswith(f'KeyPairSpec: "{wrong}" is not valid; valid are')
    for valid in list(openssl.DESCRIPTIONS) + list(OTHER_SPELLINGS):
        assert valid in refused.message


@pytest.mark.parametrize("field, name", [("spec", "KeyPairSpec"), ("format", "KeyFormat")])
@pytest.mark.parametrize("sealer", INSTANCE_PAIRS, ids=str)
def test_spec_and_format_are_required(client, key, sealer, field, name):
    refused = refusal(sealer.seal, client, key, **{field: ""})
    assert (refused.reason, refused.message.split(":")[0]) == ("MissingParameter", name)


@pytest.mark.parametrize("sealer", KMS_PAIRS, ids=str)
def test_numbers_that_are_no_enumerators_are_refused(client, key, sealer):
    refused = refusal(sealer.seal, client, key, spec=0)
    assert (refused.reason, refused.message.split(":")[0]) == ("MissingParameter", "key_pair_spec")
    refused = refusal(sealer.seal, client, key, spec=8)
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "key_pair_spec")
    assert "RSA_2048" in refused.message
    refused = refusal(sealer.seal, client, key, format=3)
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "key_format")
    assert "KEY_FORMAT_PEM" in refused.message


@pytest.mark.parametrize("sealer", PAIRS, ids=str)
def test_pairs_do_not_repeat(client, key, sealer):
    assert len({sealer.seal(client, key).public_key for _ in range(5)}) == 5


# --- The limit on generations at a time -----------------------------------------------------------


def seal_in_thread(sealer, client, key, answers):
    thread = threading.Thread(target=lambda: answers.append(sealer.seal(client, key)))
    thread.start()
    return thread


@pytest.mark.parametrize("limit", [1, 2])
def test_one_generation_too_many_is_refused(server, limit):
    faults = server.use_faults()
    points = [faults.hold("C_GenerateKeyPair", f"call={i + 1}") for i in range(limit)]
    if limit > 1:
        server.config["limits"] = {"concurrent_pair_generations": limit}
    client = server.start().client()
    key = client.create_key()
    answers = []
    threads = []
    for point in points:
        threads.append(seal_in_thread(PAIRS[0], client, key, answers))
        point.wait_until_held()

    for sealer in PAIRS:
        refused = refusal(sealer.seal, client, key)
        assert refused.reason == "Rejected.Throttling"
        assert refused.retry_delay == 1
    # All else goes on meanwhile.
    for name in ("kms-GenerateDataKey", "instance-AdvanceEncrypt"):
        assert OPENING[0].open(client, operation(name).seal(client, key)).plaintext

    for point in points:
        point.release()
    for thread in threads:
        thread.join()
    assert len(answers) == limit
    for sealed in answers:
        private_key = OPENING[0].open(client, sealed).plaintext
        openssl.check_pair("EC_P256", "DER", private_key, sealed.public_key)
    assert PAIRS[0].seal(client, key).public_key
