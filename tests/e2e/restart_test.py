"""Whatever was acknowledged is there after a restart, however the server ended."""

import threading

import grpc
import pytest

from harness import blobs
from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from harness.server import Server
from strongroom.v1 import key_management_service_pb2 as key_pb


def listed(client):
    """All that the lists have."""
    keys = client.keys.ListKeys(key_pb.ListKeysRequest(page_size=1000)).keys
    versions = [
        version
        for key in keys
        for version in client.keys.ListKeyVersions(
            key_pb.ListKeyVersionsRequest(key_id=key.key_id, page_size=1000)
        ).key_versions
    ]
    aliases = client.keys.ListAliases(key_pb.ListAliasesRequest(page_size=1000)).aliases
    # Uses are reserved in blocks, and what is left of one when the server ends is given up.
    for key in keys:
        key.ClearField("primary_uses_left")
        key.ClearField("initial_uses_left")
    for version in versions:
        version.ClearField("uses_left")
    return list(keys), versions, list(aliases)


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stop", "kill"])
def test_everything_is_kept(server, end):
    client = server.start().client()
    key, disabled, other = (client.create_key(name) for name in ("a", "b", "c"))
    client.create_alias("alias/kept", key)
    client.create_alias("alias/moved", key)
    client.create_alias("alias/deleted", key)
    sealed = [sealer.seal(client, key) for sealer in SEALING]
    bound_to_aad = operation("instance-GenerateDataKey").seal(client, key, aad=b"aad")
    bound_to_context = operation("kms-GenerateDataKey").seal(client, key, context={"a": "b"})
    client.rotate(key)
    sealed += [sealer.seal(client, key) for sealer in SEALING]
    sealed_under_disabled = operation("kms-GenerateDataKey").seal(client, disabled)
    client.disable(disabled)
    client.move_alias("alias/moved", other)
    client.keys.DeleteAlias(key_pb.DeleteAliasRequest(alias_name="alias/deleted"))
    contents = [KMS_DECRYPT.open(client, one).plaintext for one in sealed]
    before = listed(client)

    end(server)
    client = server.start().client()

    assert listed(client) == before
    for one, content in zip(sealed, contents):
        for opener in OPENING:
            assert opener.open(client, one).plaintext == content
    assert KMS_DECRYPT.open(client, bound_to_aad, aad=b"aad").plaintext == bound_to_aad.plaintext
    opened = KMS_DECRYPT.open(client, bound_to_context, context={"a": "b"})
    assert opened.plaintext == bound_to_context.plaintext
    assert refusal(KMS_DECRYPT.open, client, bound_to_context).reason == "InvalidCiphertext"
    refused = refusal(KMS_DECRYPT.open, client, sealed_under_disabled)
    assert refused.reason == "Rejected.Disabled"
    client.enable(disabled)
    opened = KMS_DECRYPT.open(client, sealed_under_disabled)
    assert opened.plaintext == sealed_under_disabled.plaintext

    # Both version rules go on as before.
    versions = client.describe(key)
    for sealer in SEALING:
        expected = (
            versions.initial_key_version_id
            if sealer.version == "initial"
            else versions.primary_key_version_id
        )
        again = sealer.seal(client, "alias/kept")
        assert blobs.parse(again.blob).key_version_id == expected
    assert client.describe("alias/moved").key_id == other
    assert client.rotate(key) == client.describe(key).primary_key_version_id


def test_second_restart_keeps_everything_too(server):
    client = server.start().client()
    key = client.create_key()
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    for _ in range(3):
        server.stop()
        client = server.start().client()
        assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
        started = server.wait_for_event(lambda event: event["event"] == "started")
        assert started["key_versions"] == 1
        assert started["key_versions_unusable"] == started["key_versions_reaped"] == 0
        assert started["key_versions_unknown"] == 0


class Acknowledged:
    """What a server said is done, by many threads, until it was killed."""

    def __init__(self, server):
        self._server = server
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._wanted = 0
        self.sealed = []
        self.versions = []  # (key, version)
        self.aliases = {}
        self.states = {}

    def run(self, enough):
        """Works until `enough` calls were acknowledged, then kills the server."""
        self._wanted = enough
        workers = (self.seal, self.create, self.rotate, self.name, self.switch)
        threads = [threading.Thread(target=self._until_killed, args=(work,)) for work in workers]
        for thread in threads:
            thread.start()
        assert self._enough.wait(120)
        self._server.process.kill()
        for thread in threads:
            thread.join()
        self._server.kill()

    def _until_killed(self, work):
        client = self._server.client()
        key = client.create_key()
        try:
            for number in range(10000):
                work(client, key, number)
                with self._lock:
                    self._wanted -= 1
                    if self._wanted == 0:
                        self._enough.set()
        except grpc.RpcError as error:
            assert self._enough.is_set() and error.code() is grpc.StatusCode.UNAVAILABLE, error

    def seal(self, client, key, number):
        """Seals data keys."""
        self.sealed.append(SEALING[number % 2].seal(client, key))

    def create(self, client, _, __):
        """Creates keys, each of which seals something."""
        key = client.create_key()
        self.versions.append((key, client.describe(key).primary_key_version_id))
        self.sealed.append(operation("kms-Encrypt").seal(client, key))

    def rotate(self, client, key, _):
        """Rotates one key, and seals under each version."""
        self.versions.append((key, client.rotate(key)))
        self.sealed.append(operation("kms-Encrypt").seal(client, key))

    def name(self, client, key, number):
        """Makes aliases."""
        alias = client.create_alias(f"alias/{number}", key)
        self.aliases[alias.alias_name] = alias.key_id

    def switch(self, client, key, number):
        """Disables and enables a key; what was asked for last may or may not have happened."""
        self.states.pop(key, None)
        self.states[key] = (client.disable if number % 2 == 0 else client.enable)(key).state


def test_whatever_was_acknowledged_before_a_kill_is_kept(server):
    done = Acknowledged(server.start())
    done.run(enough=400)
    assert done.sealed and done.versions and done.aliases
    client = server.start().client()
    keys, versions, aliases = listed(client)
    present = {(version.key_id, version.key_version_id) for version in versions}
    assert present.issuperset(done.versions)
    names = {alias.alias_name: alias.key_id for alias in aliases}
    assert names.items() >= done.aliases.items()
    states = {key.key_id: key.state for key in keys}
    assert states.items() >= done.states.items()
    for sealed in done.sealed:
        content = KMS_DECRYPT.open(client, sealed).plaintext
        assert sealed.plaintext is None or content == sealed.plaintext
    started = server.wait_for_event(lambda event: event["event"] == "started")
    assert started["key_versions_unusable"] == started["key_versions_unknown"] == 0


def test_rotation_that_a_kill_cut_short_never_was(server):
    faults = server.use_faults()
    # The very first start makes the token's MAC keys, and later ones do not.
    server.start().stop()
    server.start().stop()
    at_start = faults.calls("C_GenerateKey")
    client = server.start().client()
    key = client.create_key()
    sealed = operation("kms-GenerateDataKey").seal(client, key)
    server.stop()

    # One of the version's two keys is in the token, the other one is about to be.
    point = faults.hold("C_GenerateKey", f"call={at_start + 2}")
    client = server.start().client()

    def rotate():
        with pytest.raises(grpc.RpcError):
            client.rotate(key)

    thread = threading.Thread(target=rotate)
    thread.start()
    point.wait_until_held()
    server.kill()
    thread.join()
    faults.set()

    client = server.start().client()
    started = server.wait_for_event(lambda event: event["event"] == "started")
    assert (started["key_versions"], started["key_versions_reaped"]) == (1, 1)
    assert started["key_versions_unknown"] == 0
    assert client.describe(key).primary_key_version_id == sealed.key_version_id
    assert KMS_DECRYPT.open(client, sealed).plaintext == sealed.plaintext
    versions = client.keys.ListKeyVersions(key_pb.ListKeyVersionsRequest(key_id=key)).key_versions
    assert len(versions) == 1
    assert client.rotate(key) == operation("kms-Encrypt").seal(client, key).key_version_id
