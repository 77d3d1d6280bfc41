"""Data keys and random bytes: how long, how random."""

import pytest

from harness import blobs
from harness.operations import ADVANCE_DECRYPT, DATA_KEYS, KMS_DECRYPT, operation
from harness.refusals import refusal
from strongroom.instance.v1 import messages_pb2 as instance_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

KMS_DATA_KEYS = [sealer for sealer in DATA_KEYS if sealer.service == "kms"]
WRONG_NUMBERS = [0, -1, 1025, -(2**31), 2**31 - 1]


def field_name(sealer):
    return "number_of_bytes" if sealer.service == "kms" else "NumberOfBytes"


def key_bytes(client, sealed):
    """The data key, checked to be what both services open."""
    content = KMS_DECRYPT.open(client, sealed).plaintext
    assert ADVANCE_DECRYPT.open(client, sealed).plaintext == content
    if sealed.plaintext is not None:
        assert sealed.plaintext == content
    assert blobs.parse(sealed.blob).content_length == len(content)
    return content


@pytest.mark.parametrize("number", [1, 16, 32, 1023, 1024])
@pytest.mark.parametrize("sealer", DATA_KEYS, ids=str)
def test_number_of_bytes(client, key, sealer, number):
    sealed = sealer.seal(client, key, number_of_bytes=number)
    assert len(key_bytes(client, sealed)) == number


@pytest.mark.parametrize("number", WRONG_NUMBERS)
@pytest.mark.parametrize("sealer", DATA_KEYS, ids=str)
def test_number_of_bytes_outside_the_range(client, key, sealer, number):
    refused = refusal(sealer.seal, client, key, number_of_bytes=number)
    assert refused.reason == "InvalidParameter"
    assert refused.message == f"{field_name(sealer)}: {number} is not valid; valid are 1 to 1024"


@pytest.mark.parametrize("sealer", DATA_KEYS, ids=str)
def test_default_is_32_bytes(client, key, sealer):
    assert len(key_bytes(client, sealer.seal(client, key))) == 32


@pytest.mark.parametrize("spec, number", [("AES_256", 32), ("AES_128", 16), ("UNSPECIFIED", 32)])
@pytest.mark.parametrize("sealer", KMS_DATA_KEYS, ids=str)
def test_key_spec(client, key, sealer, spec, number):
    assert len(key_bytes(client, sealer.seal(client, key, key_spec=spec))) == number


@pytest.mark.parametrize("spec, number", [("AES_256", 16), ("AES_128", 32), ("AES_128", 1024)])
@pytest.mark.parametrize("sealer", KMS_DATA_KEYS, ids=str)
def test_number_of_bytes_beats_key_spec(client, key, sealer, spec, number):
    sealed = sealer.seal(client, key, key_spec=spec, number_of_bytes=number)
    assert len(key_bytes(client, sealed)) == number


@pytest.mark.parametrize("sealer", KMS_DATA_KEYS, ids=str)
def test_zero_bytes_are_not_saved_by_a_key_spec(client, key, sealer):
    refused = refusal(sealer.seal, client, key, key_spec="AES_256", number_of_bytes=0)
    assert refused.reason == "InvalidParameter"


@pytest.mark.parametrize("sealer", KMS_DATA_KEYS, ids=str)
def test_unknown_key_spec_is_refused(client, key, sealer):
    refused = refusal(sealer.seal, client, key, key_spec=99)
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "key_spec")
    assert "AES_256" in refused.message and "AES_128" in refused.message


@pytest.mark.parametrize("number", range(1, 41))
def test_wrapped_key_comes_back_at_its_length(client, key, number):
    # Tokens fill secrets up to multiples of 8 bytes before they wrap them.
    sealer = operation("kms-GenerateDataKeyWithoutPlaintext")
    assert len(key_bytes(client, sealer.seal(client, key, number_of_bytes=number))) == number


@pytest.mark.parametrize("sealer", DATA_KEYS, ids=str)
def test_keys_and_ivs_do_not_repeat(client, key, sealer):
    sealed = [sealer.seal(client, key, number_of_bytes=16) for _ in range(50)]
    assert len({key_bytes(client, one) for one in sealed}) == 50
    assert len({blobs.parse(one.blob).iv for one in sealed}) == 50


@pytest.mark.parametrize("sealer", [s for s in DATA_KEYS if s.service == "instance"], ids=str)
def test_instance_answers_tell_algorithm_and_iv(client, key, sealer):
    sealed = sealer.seal(client, key)
    assert sealed.answer.Algorithm == "AES_GCM"
    assert sealed.answer.Iv == blobs.parse(sealed.blob).iv


@pytest.mark.parametrize("algorithm", ["AES_GCM", ""])
def test_algorithm(client, key, algorithm):
    request = instance_pb.GenerateDataKeyRequest(KeyId=key, Algorithm=algorithm)
    assert client.instance.GenerateDataKey(request).Algorithm == "AES_GCM"


@pytest.mark.parametrize("algorithm", ["aes_gcm", "AES_CBC", "AES-GCM"])
def test_another_algorithm_is_refused(client, key, algorithm):
    request = instance_pb.GenerateDataKeyRequest(KeyId=key, Algorithm=algorithm)
    refused = refusal(client.instance.GenerateDataKey, request)
    assert (refused.reason, refused.message.split(":")[0]) == ("InvalidParameter", "Algorithm")
    assert "AES_GCM" in refused.message


def random_kms(client, number):
    request = kms_pb.GenerateRandomRequest(number_of_bytes=number)
    return client.kms.GenerateRandom(request).plaintext


def random_instance(client, number):
    request = instance_pb.GenerateRandomRequest(Length=number)
    return client.instance.GenerateRandom(request).Random


@pytest.mark.parametrize("number", [1, 16, 32, 1023, 1024])
@pytest.mark.parametrize("generate", [random_kms, random_instance])
def test_random(client, generate, number):
    assert len(generate(client, number)) == number


@pytest.mark.parametrize("number", WRONG_NUMBERS)
@pytest.mark.parametrize("generate", [random_kms, random_instance])
def test_random_outside_the_range(client, generate, number):
    refused = refusal(generate, client, number)
    assert refused.reason == "InvalidParameter"
    assert refused.message.split(":")[0] in ("number_of_bytes", "Length")


@pytest.mark.parametrize("generate", [random_kms, random_instance])
def test_random_does_not_repeat(client, generate):
    assert len({generate(client, 16) for _ in range(100)}) == 100


@pytest.mark.parametrize("length", [1, 4096])
@pytest.mark.parametrize("name", ["kms-Encrypt", "instance-Encrypt", "instance-AdvanceEncrypt"])
def test_encrypt(client, key, name, length):
    plaintext = bytes(range(256)) * 16
    sealed = operation(name).seal(client, key, plaintext=plaintext[:length])
    assert key_bytes(client, sealed) == plaintext[:length]


@pytest.mark.parametrize("name", ["kms-Encrypt", "instance-Encrypt", "instance-AdvanceEncrypt"])
def test_encrypting_nothing_or_too_much_is_refused(client, key, name):
    refused = refusal(operation(name).seal, client, key, plaintext=b"")
    assert (refused.reason, refused.message.split(":")[0].lower()) == (
        "MissingParameter",
        "plaintext",
    )
    refused = refusal(operation(name).seal, client, key, plaintext=bytes(4097))
    assert (refused.reason, refused.message.split(":")[0].lower()) == (
        "InvalidParameter",
        "plaintext",
    )
