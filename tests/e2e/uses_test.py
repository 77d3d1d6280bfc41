"""How often a key version seals: never more often than it may, whatever happens meanwhile."""

import collections
import threading

import grpc

from harness import blobs
from harness.operations import KMS_DECRYPT, operation
from harness.refusals import decode, refusal

ENCRYPT = operation("kms-Encrypt")
MOST = 1000
THREADS = 8


class Sealers:
    """Threads that seal under one key until that is refused, or the server is killed."""

    def __init__(self, server, key):
        self._server = server
        self._key = key
        self._lock = threading.Lock()
        self.sealed = []
        self.refusals = []

    def run(self, kill_after=None):
        """Kills the server after so many more seals, if they come to that."""
        enough = threading.Event()
        before = len(self.sealed)

        def work():
            client = self._server.client()
            try:
                while True:
                    one = ENCRYPT.seal(client, self._key)
                    with self._lock:
                        self.sealed.append(one)
                        if kill_after is not None and len(self.sealed) - before >= kill_after:
                            enough.set()
            except grpc.RpcError as error:
                # A killed server gives no reason.
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self.refusals.append(decode(error).reason)
                enough.set()

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        assert enough.wait(120)
        if kill_after is not None:
            self._server.process.kill()
        for thread in threads:
            thread.join()
        if kill_after is not None:
            self._server.kill()

    def uses(self):
        """How often each version has sealed what these threads got. No IV is there twice."""
        headers = [blobs.parse(one.blob) for one in self.sealed]
        assert len({header.iv for header in headers}) == len(headers)
        return collections.Counter(header.key_version_id for header in headers)


def test_version_refuses_at_its_limit_through_kills_and_threads(server):
    server.config["keys"] = {"max_uses": MOST, "rotate_after_uses": MOST}
    client = server.start().client()
    key = client.create_key()
    sealers = Sealers(server, key)
    for _ in range(3):
        sealers.run(kill_after=150)
        client = server.start().client()
        left = client.describe(key).primary_uses_left
        # The proof of the new key is a use too.
        assert left <= MOST - 1 - len(sealers.sealed)
    assert sum(sealers.uses().values()) < MOST
    assert KMS_DECRYPT.open(client, sealers.sealed[0]).plaintext == sealers.sealed[0].plaintext

    # Up to the very limit by the operation that rotation gives no other version.
    initial = client.describe(key).initial_key_version_id
    plain = operation("instance-Encrypt")
    count = sealers.uses()[initial]
    while True:
        try:
            plain.seal(client, key)
            count += 1
        except grpc.RpcError as error:
            assert decode(error).reason == "Rejected.LimitExceeded"
            break
        assert count < MOST
    server.kill()
    client = server.start().client()
    assert refusal(plain.seal, client, key).reason == "Rejected.LimitExceeded"
    assert client.describe(key).initial_uses_left == 0
    assert KMS_DECRYPT.open(client, sealers.sealed[0]).plaintext == sealers.sealed[0].plaintext


def test_key_rotates_by_itself_before_its_uses_are_spent(server):
    server.config["keys"] = {"max_uses": MOST, "rotate_after_uses": 100}
    client = server.start().client()
    key = client.create_key()
    sealers = Sealers(server, key)
    sealers.run(kill_after=600)
    client = server.start().client()
    uses = sealers.uses()
    assert len(uses) >= 2
    assert max(uses.values()) < MOST
    assert sealers.refusals == []
    versions = client.versions(key)
    assert len(versions) >= len(uses)
    assert all(version.uses_left >= 0 for version in versions)
    for one in (sealers.sealed[0], sealers.sealed[-1]):
        assert KMS_DECRYPT.open(client, one).plaintext == one.plaintext
