"""Pairs that wait in the reservoir are there after a restart, and none is handed out twice."""

import itertools
import threading

import grpc
import pytest

from harness.operations import KMS_DECRYPT, operation
from harness.server import Server

PAIR = operation("kms-GenerateDataKeyPairWithoutPlaintext")
SIZE = 16
# What changes something in the token.
STEPS = ("C_GenerateKey", "C_UnwrapKey", "C_DestroyObject")


def configure(server, **fields):
    """Gives a server that does not run yet a reservoir."""
    path = str(server.directory / "pairs.db")
    server.config["reservoir"] = {"path": path, "pairs": {"EC_P256": SIZE}, **fields}


def start_full(server):
    """Starts the server, and returns when its reservoir is full."""
    server.start()
    server.wait_for_event(lambda event: event["event"] == "reservoir_filled")
    return server.client()


def loaded(server):
    """How many pairs the server found on disk."""
    return server.wait_for_event(lambda event: event["event"] == "reservoir_loaded")["pairs"]


def public_key(client, key):
    """Of a new pair."""
    return PAIR.seal(client, key, spec="EC_P256", format="DER").public_key


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stop", "kill"])
def test_warm_reservoir_is_warm_after_a_restart(server, end):
    faults = server.use_faults()
    configure(server)
    key = start_full(server).create_key()
    end(server)
    # From now on, what is given was there.
    faults.add("fail C_GenerateKeyPair CKR_DEVICE_ERROR")
    client = server.start().client()
    pairs = loaded(server)
    # A crash loses what was claimed, a quarter.
    assert pairs == SIZE if end is Server.stop else SIZE * 3 // 4 <= pairs < SIZE
    seen = set()
    for _ in range(pairs):
        sealed = PAIR.seal(client, key, spec="EC_P256", format="DER")
        assert KMS_DECRYPT.open(client, sealed).plaintext
        seen.add(sealed.public_key)
    assert len(seen) == pairs
    with pytest.raises(grpc.RpcError):
        public_key(client, key)


def test_no_pair_is_handed_out_twice_over_kills(server):
    configure(server)
    key = start_full(server).create_key()
    answered = []
    for after in (0, 1, 3, 7, SIZE - 1, SIZE, 3 * SIZE):
        enough = threading.Event()
        goal = len(answered) + after
        client = server.client()

        def take(client=client, goal=goal, enough=enough):
            for _ in itertools.count():
                if len(answered) >= goal:
                    enough.set()
                try:
                    answered.append(public_key(client, key))
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        return
                except ValueError:
                    return  # The channel is closed, as the server is gone.

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        enough.wait()
        server.kill()
        for thread in threads:
            thread.join()
        assert len(set(answered)) == len(answered)
        start_full(server)
    client = server.client()
    answered += [public_key(client, key) for _ in range(SIZE)]
    assert len(set(answered)) == len(answered)


def test_kill_at_any_step_of_loading_hands_nothing_out_twice(server):
    faults = server.use_faults()
    configure(server)
    client = start_full(server)
    key = client.create_key()
    answered = [public_key(client, key) for _ in range(3)]
    server.stop()
    reservoir = server.config.pop("reservoir")
    server.start()
    server.stop()
    idle = {step: faults.calls(step) for step in STEPS}
    server.config["reservoir"] = reservoir
    start_full(server)
    server.stop()
    objects = server.token.objects()
    busy = {step: faults.calls(step) for step in STEPS}
    # The keys of this start, a pair that is brought back, the keys of the last start.
    for step, number in [
        ("C_GenerateKey", 1),
        ("C_GenerateKey", 2),
        ("C_UnwrapKey", 1),
        ("C_UnwrapKey", 2),
        ("C_DestroyObject", 1),
        ("C_DestroyObject", 2),
    ]:
        assert busy[step] >= idle[step] + number
        point = faults.hold(step, f"call={idle[step] + number}")
        server.start()
        point.wait_until_held()
        server.kill()
        faults.clear()
        client = start_full(server)
        assert loaded(server) >= SIZE * 3 // 4
        started = server.wait_for_event(lambda event: event["event"] == "started")
        assert started["key_versions_unusable"] == started["key_versions_unknown"] == 0
        answered += [public_key(client, key) for _ in range(5)]
        assert len(set(answered)) == len(answered)
        server.stop()
        assert server.token.objects() == objects
        faults.clear()


def test_old_file_that_is_put_back_gives_nothing(server):
    configure(server)
    key = start_full(server).create_key()
    server.stop()
    path = server.directory / "pairs.db"
    copy = path.read_bytes()
    client = start_full(server)
    answered = [public_key(client, key) for _ in range(SIZE)]
    server.kill()
    for left in server.directory.glob("pairs.db-*"):
        left.unlink()
    path.write_bytes(copy)
    client = start_full(server)
    assert loaded(server) == 0
    answered += [public_key(client, key) for _ in range(SIZE)]
    assert len(set(answered)) == len(answered)


def test_private_keys_are_nowhere_in_the_file(server):
    configure(server)
    client = start_full(server)
    key = client.create_key()
    file = server.directory / "pairs.db"
    kept = b"".join(one.read_bytes() for one in server.directory.glob("pairs.db*"))
    for _ in range(SIZE):
        sealed = PAIR.seal(client, key, spec="EC_P256", format="DER")
        # PKCS#8 of P-256 has the scalar after 36 bytes.
        scalar = KMS_DECRYPT.open(client, sealed).plaintext[36:68]
        assert scalar not in kept
        assert sealed.public_key not in kept
    assert file.stat().st_mode & 0o777 == 0o600


def test_file_that_cannot_be_used_does_not_keep_the_server_from_starting(server):
    configure(server, path=str(server.directory / "not-there" / "pairs.db"))
    client = server.start().client()
    key = client.create_key()
    assert public_key(client, key)
    server.wait_for_event(lambda event: event["event"] == "reservoir_load_failed")
    server.stop()
    configure(server)
    (server.directory / "pairs.db").write_text("a text of more than sixteen bytes")
    assert public_key(server.start().client(), key)
