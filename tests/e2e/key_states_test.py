"""Disabled keys seal and open nothing, and work again when they are enabled."""

import pytest

from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import kms_service_pb2 as kms_pb


@pytest.fixture(scope="module")
def disabled(client):
    """A disabled key with two versions, and what each operation had sealed under it before."""
    key = client.create_key()
    client.rotate(key)
    sealed = {sealer: sealer.seal(client, key) for sealer in SEALING}
    client.disable(key)
    return key, sealed


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_disabled_key_does_not_seal(client, disabled, sealer):
    key, _ = disabled
    refused = refusal(sealer.seal, client, key)
    assert refused.reason == "Rejected.Disabled"
    assert key in refused.message


@pytest.mark.parametrize("opener", OPENING, ids=str)
@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_disabled_key_does_not_open(client, disabled, sealer, opener):
    _, sealed = disabled
    assert refusal(opener.open, client, sealed[sealer]).reason == "Rejected.Disabled"


def test_disabled_key_does_not_rotate(client, disabled):
    key, _ = disabled
    assert refusal(client.rotate, key).reason == "Rejected.Disabled"


def test_disabled_key_is_described_and_listed(client, disabled):
    key, _ = disabled
    assert client.describe(key).state == key_pb.KEY_STATE_DISABLED
    listed = client.keys.ListKeyVersions(key_pb.ListKeyVersionsRequest(key_id=key)).key_versions
    assert len(listed) == 2


def test_disabling_again_changes_nothing(client, disabled):
    key, _ = disabled
    assert client.disable(key) == client.describe(key)


def test_other_keys_and_random_bytes_go_on(client, disabled, key):
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    assert client.kms.GenerateRandom(kms_pb.GenerateRandomRequest(number_of_bytes=8)).plaintext


def test_enabled_key_works_again(client):
    key = client.create_key()
    before = {sealer: sealer.seal(client, key) for sealer in SEALING}
    assert client.disable(key).state == key_pb.KEY_STATE_DISABLED
    assert client.enable(key).state == key_pb.KEY_STATE_ENABLED
    assert client.enable(key).state == key_pb.KEY_STATE_ENABLED
    for sealer in SEALING:
        for sealed in (before[sealer], sealer.seal(client, key)):
            for opener in OPENING:
                content = opener.open(client, sealed).plaintext
                assert sealed.plaintext is None or content == sealed.plaintext
    assert client.rotate(key)


def test_disabling_holds_whatever_the_key_is_called(client):
    key = client.create_key()
    client.create_alias("alias/of-a-disabled-key", key)
    client.disable("alias/of-a-disabled-key")
    for name in (key, "alias/of-a-disabled-key", f"arn:aws:kms:r:1:key/{key}"):
        refused = refusal(operation("kms-GenerateDataKey").seal, client, name)
        assert refused.reason == "Rejected.Disabled"


def test_every_switch_is_seen_by_the_next_call(client):
    key = client.create_key()
    sealer = operation("kms-Encrypt")
    sealed = sealer.seal(client, key)
    for _ in range(20):
        client.disable(key)
        assert refusal(sealer.seal, client, key).reason == "Rejected.Disabled"
        assert refusal(KMS_DECRYPT.open, client, sealed).reason == "Rejected.Disabled"
        client.enable(key)
        assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
