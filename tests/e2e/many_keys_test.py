"""A server whose store has many keys, most of which its token lacks."""

import subprocess

from harness import runfile
from harness.operations import KMS_DECRYPT, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb

ADD_SYNTHETIC_KEYS = runfile("tests/testing/add_synthetic_keys")
MANY = 2000
LINES = 20  # of a log, for versions that are not usable


def listed(client, **filters):
    """The ids of all keys that a filter lets through."""
    ids = []
    token = ""
    while True:
        request = key_pb.ListKeysRequest(page_size=700, page_token=token, **filters)
        page = client.keys.ListKeys(request)
        ids += [key.key_id for key in page.keys]
        token = page.next_page_token
        if not token:
            return ids


def test_hot_keys_are_served_among_many(server):
    client = server.start().client()
    hot = [client.create_key() for _ in range(3)]
    sealed = [operation("kms-GenerateDataKey").seal(client, key) for key in hot]
    server.stop()
    subprocess.run([ADD_SYNTHETIC_KEYS, server.config["store"]["path"], str(MANY)], check=True)
    client = server.start().client()

    started = server.wait_for_event(lambda event: event["event"] == "started")
    assert started["key_versions"] == MANY + len(hot)
    assert started["key_versions_unusable"] == MANY
    events = server.events()
    assert len([e for e in events if e["event"] == "key_version_unusable"]) == LINES
    (rest,) = [e for e in events if e["event"] == "key_versions_unusable"]
    assert rest["more"] == MANY - LINES

    everything = listed(client)
    assert len(everything) == MANY + len(hot)
    unavailable = listed(client, states=[key_pb.KEY_STATE_UNAVAILABLE])
    assert sorted(unavailable + hot) == sorted(everything)

    for one in sealed:
        assert KMS_DECRYPT.open(client, one).plaintext == one.plaintext
    for key in hot:
        for sealer in SEALING:
            sealer.seal(client, key)
    for key in unavailable[:: MANY // 5]:
        assert client.describe(key).state == key_pb.KEY_STATE_UNAVAILABLE
        for sealer in SEALING:
            assert refusal(sealer.seal, client, key).reason == "Rejected.Unavailable"
