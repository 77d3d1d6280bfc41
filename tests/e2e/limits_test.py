"""How often callers may call: by principal and class of operation, as the configuration has it."""

import json

import pytest

from harness.operations import KMS_DECRYPT, PAIRS, operation
from harness.refusals import refusal
from strongroom.v1 import kms_service_pb2 as kms_pb

DATA_KEY = operation("kms-GenerateDataKey")
BURST = 3
# So rare that a burst is all that a test gets, however slow the server is.
LIMIT = {"rate": 0.001, "burst": BURST}
INTERVAL = 1000  # seconds


def random_bytes(client):
    """One call of the class random."""
    return client.kms.GenerateRandom(kms_pb.GenerateRandomRequest(number_of_bytes=8))


def use_up(call, *args):
    """Makes the calls of a whole burst, and returns how the next one is refused."""
    for _ in range(BURST):
        call(*args)
    return refusal(call, *args)


def check_throttled(refused, principal, operation_class):
    """The refusal says whom, what and how long."""
    assert refused.reason == "Rejected.Throttling"
    for word in (principal, operation_class, str(BURST)):
        assert word in refused.message
    # Nearly the whole of what one token takes.
    # Up to a second more, so that not all who were refused come back at once.
    assert INTERVAL / 2 < refused.retry_delay <= INTERVAL + 1


def start(server, **rates):
    """Starts the server with these rates; gives clients of the principals e2e and alice."""
    server.add_principal("alice")
    server.config["policy"] = [{"principals": ["e2e", "alice"], "operations": ["*"]}]
    server.config["limits"] = {"rates": rates}
    server.start()
    return server.client(), server.client_of("alice")


CALLS = {
    "data_key": lambda client, key, sealed: DATA_KEY.seal(client, key),
    "key_pair": lambda client, key, sealed: PAIRS[0].seal(client, key),
    "decrypt": lambda client, key, sealed: KMS_DECRYPT.open(client, sealed),
    "random": lambda client, key, sealed: random_bytes(client),
    "management": lambda client, key, sealed: client.describe(key),
}


@pytest.mark.parametrize("limited", CALLS)
def test_burst_is_served_and_one_more_is_refused(server, limited):
    owner, alice = start(
        server,
        default={limited: LIMIT},
        # Who prepares the test.
        principals=[{"principal": "alice", limited: {"rate": 1000, "burst": 1000}}],
    )
    key = alice.create_key()
    sealed = DATA_KEY.seal(alice, key)
    check_throttled(use_up(CALLS[limited], owner, key, sealed), "e2e", limited)
    # Other classes and other principals are served.
    for name, call in CALLS.items():
        call(alice, key, sealed)
        if name != limited:
            call(owner, key, sealed)
    assert refusal(CALLS[limited], owner, key, sealed).reason == "Rejected.Throttling"


def test_all_operations_and_connections_share_what_their_class_has(server):
    owner, alice = start(server, default={"data_key": LIMIT})
    key = owner.create_key()
    # The principal counts, and not the connection.
    other = server.client()
    operation("kms-Encrypt").seal(owner, key)
    operation("instance-GenerateDataKey").seal(other, key)
    operation("instance-AdvanceEncrypt").seal(owner, key)
    for sealer in ("kms-GenerateDataKeyWithoutPlaintext", "instance-Encrypt"):
        for client in (owner, other):
            check_throttled(refusal(operation(sealer).seal, client, key), "e2e", "data_key")
    operation("kms-Encrypt").seal(alice, key)


def test_principal_has_its_own_limit_in_place_of_the_default(server):
    owner, alice = start(
        server,
        default={"random": {"rate": 0.001, "burst": 1}, "data_key": {"rate": 0.001, "burst": 1}},
        principals=[{"principal": "alice", "random": LIMIT}],
    )
    key = owner.create_key()
    check_throttled(use_up(random_bytes, alice), "alice", "random")
    random_bytes(owner)
    assert refusal(random_bytes, owner).reason == "Rejected.Throttling"
    # Where it has none of its own, the default holds.
    DATA_KEY.seal(alice, key)
    assert refusal(DATA_KEY.seal, alice, key).reason == "Rejected.Throttling"


def test_without_rates_nothing_is_limited(server):
    client = server.start().client()
    for _ in range(100):
        random_bytes(client)


def test_refused_calls_count_too(server):
    """Whoever is not permitted anything cannot try without end."""
    owner, alice = start(server, default={"management": LIMIT})
    for _ in range(BURST):
        assert refusal(alice.describe, "alias/missing").reason == "Forbidden.AliasNotFound"
    check_throttled(refusal(alice.describe, "alias/missing"), "alice", "management")
    owner.create_key()


def test_throttled_calls_are_in_the_trail(server):
    owner, alice = start(server, default={"random": LIMIT})
    refused = [use_up(random_bytes, owner)] + [refusal(random_bytes, owner) for _ in range(2)]
    random_bytes(alice)
    server.stop()
    records = {}
    for path in server.audit_directory.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            if record["type"] == "call":
                records[record["request_id"]] = record
    assert len(records) == BURST + len(refused) + 1
    for one in refused:
        record = records[one.request_id]
        assert (record["outcome"], record["reason"]) == ("failed", "Rejected.Throttling")
        assert record["principal"] == "e2e"
        assert record["operation"] == "KmsService.GenerateRandom"
    served = [record for record in records.values() if record["reason"] == "OK"]
    assert [record["principal"] for record in served].count("e2e") == BURST
