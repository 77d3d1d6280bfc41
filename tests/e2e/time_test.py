"""What the server does of itself when its time has come: days pass while it is down."""

import pytest

from harness.operations import KMS_DECRYPT, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb

ENCRYPT = operation("kms-Encrypt")


@pytest.fixture(name="days_later")
def _days_later(servers):
    """Servers one after the other on one store and token, each with its clock some days ahead."""
    first = servers.new()

    def start(days):
        if first.process is not None:
            first.stop()
        first.set_days_ahead(days)
        return first.start()

    return start


def wait_for(server, operation_name, target=None):
    """Waits until the server has said that it did something of itself."""
    return server.wait_for_event(
        lambda event: event["event"] == "upkeep"
        and event["operation"] == operation_name
        and target in (None, event["target"])
    )


def test_rotation_that_was_missed_is_made_up_for_once(days_later):
    client = days_later(0).client()
    key = client.create_key(rotation_period_days=10)
    other = client.create_key(rotation_period_days=100)
    disabled = client.create_key(rotation_period_days=10)
    never = client.create_key(rotation_period_days=0)
    client.disable(disabled)
    sealed = ENCRYPT.seal(client, key)

    # Three times that long.
    server = days_later(35)
    client = server.client()
    assert wait_for(server, "Upkeep.RotateKey")["key_id"] == key
    versions = client.versions(key)
    assert [version.number for version in versions] == [1, 2]
    described = client.describe(key)
    assert described.primary_key_version_id == versions[1].key_version_id
    due = described.next_rotation_time.ToDatetime() - versions[1].create_time.ToDatetime()
    assert due.days == 10
    assert ENCRYPT.seal(client, key).key_version_id == versions[1].key_version_id
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    # A disabled key's is made up for when it is enabled.
    client.enable(disabled)
    server.wait_for_event(
        lambda event: event["event"] == "upkeep" and event["key_id"] == disabled
    )
    assert len(client.versions(disabled)) == 2
    for one in (other, never):
        assert len(client.versions(one)) == 1

    # Not again, at the next start.
    client = days_later(36).client()
    assert len(client.versions(key)) == len(client.versions(disabled)) == 2


def test_key_is_destroyed_after_its_window_and_not_before(days_later):
    server = days_later(0)
    client = server.client()
    doomed, saved, kept = (client.create_key() for _ in range(3))
    client.rotate(doomed)
    client.create_alias("alias/doomed", doomed)
    sealed = {key: ENCRYPT.seal(client, key) for key in (doomed, saved, kept)}
    for key in (doomed, saved):
        client.schedule_deletion(key, 7)
    objects = server.token.objects()

    client = days_later(6).client()
    for key in (doomed, saved):
        assert client.describe(key).state == key_pb.KEY_STATE_PENDING_DELETION
    client.cancel_deletion(saved)

    server = days_later(8)
    client = server.client()
    assert wait_for(server, "Upkeep.DestroyKey", "end")["key_id"] == doomed
    assert refusal(client.describe, doomed).reason == "Forbidden.KeyNotFound"
    assert refusal(client.describe, "alias/doomed").reason == "Forbidden.AliasNotFound"
    refused = refusal(KMS_DECRYPT.open, client, sealed[doomed])
    assert refused.reason == "InvalidCiphertext"
    # Two objects for each of its two versions.
    assert server.token.objects() == objects - 4
    client.enable(saved)
    for key in (saved, kept):
        assert KMS_DECRYPT.open(client, sealed[key]).plaintext == sealed[key].plaintext
    listed = client.keys.ListKeys(key_pb.ListKeysRequest()).keys
    assert {key.key_id for key in listed} == {saved, kept}
    # The name is free.
    client.create_alias("alias/doomed", kept)

    client = days_later(60).client()
    assert len(client.keys.ListKeys(key_pb.ListKeysRequest()).keys) == 2


def test_destruction_that_a_kill_cut_short_is_finished(servers):
    server = servers.new()
    faults = server.use_faults()
    server.start().stop()
    client = server.start().client()
    key, kept = client.create_key(), client.create_key()
    client.rotate(key)
    client.schedule_deletion(key, 7)
    sealed = ENCRYPT.seal(client, kept)
    objects = server.token.objects()
    server.stop()
    server.start().stop()
    idle = faults.calls("C_DestroyObject")
    # Before each of its four objects: every start but the first destroys one, and comes to another.
    server.set_days_ahead(8)
    for destroyed in range(4):
        faults.clear()
        point = faults.hold("C_DestroyObject", f"call={idle + 1 + min(destroyed, 1)}")
        server.launch()
        point.wait_until_held()
        server.kill()
        assert server.token.objects() == objects - destroyed
    faults.clear()
    client = server.start().client()
    wait_for(server, "Upkeep.DestroyKey", "end")
    assert server.token.objects() == objects - 4
    assert refusal(client.describe, key).reason == "Forbidden.KeyNotFound"
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    started = server.wait_for_event(lambda event: event["event"] == "started")
    assert started["key_versions"] == 1 and started["key_versions_unknown"] == 0
