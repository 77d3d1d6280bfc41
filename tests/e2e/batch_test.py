"""Many data keys in one call, an outcome each."""

import json

import pytest

from harness import blobs
from harness.client import statement
from harness.operations import KMS_DECRYPT, operation
from harness.refusals import refusal
from strongroom.v1 import kms_service_pb2 as kms_pb

BATCH = operation("kms-BatchGenerateDataKey")
CONTEXT = {"table": "accounts"}


def batch(client, key, count, **fields):
    """The answer of one call."""
    return client.kms.BatchGenerateDataKey(
        kms_pb.BatchGenerateDataKeyRequest(key_id=key, count=count, **fields)
    )


def made(answer):
    """The data keys of an answer, which come first."""
    keys = [one.data_key for one in answer.outcomes if one.WhichOneof("outcome") == "data_key"]
    assert [one.data_key for one in answer.outcomes[: len(keys)]] == keys
    return keys


def records(server, **fields):
    """The audit trail's records of batches that have these fields, of a server that has stopped."""
    found = []
    for path in sorted(server.audit_directory.glob("*.jsonl")):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    fields["operation"] = "KmsService.BatchGenerateDataKey"
    return [one for one in found if fields.items() <= one.items()]


def check(client, answer, keys, number_of_bytes=32, sample=50, context=None):
    """That the data keys are new, and that a sample opens to what is in the clear."""
    headers = [blobs.parse(one.ciphertext_blob) for one in keys]
    assert {(header.key_id, header.key_version_id) for header in headers} == {
        (answer.key_id, keys[0].key_version_id)
    }
    assert {header.content_length for header in headers} == {number_of_bytes}
    assert len({header.iv for header in headers}) == len(keys)
    in_the_clear = [one.plaintext for one in keys if one.plaintext]
    assert len(set(in_the_clear)) == len(in_the_clear)
    opened = set()
    for one in keys[:: max(1, len(keys) // sample)]:
        content = KMS_DECRYPT.open(client, one.ciphertext_blob, context=context).plaintext
        assert len(content) == number_of_bytes
        assert one.plaintext in (b"", content)
        assert content not in opened
        opened.add(content)


@pytest.mark.parametrize("without_plaintext", [False, True])
@pytest.mark.parametrize("count", [1, 2, 64, 65, 1000])
def test_count(client, key, count, without_plaintext):
    answer = batch(client, key, count, without_plaintext=without_plaintext)
    keys = made(answer)
    assert len(answer.outcomes) == len(keys) == count
    assert {bool(one.plaintext) for one in keys} == {not without_plaintext}
    check(client, answer, keys)


@pytest.mark.parametrize("count", [0, -1, 1001, -(2**31), 2**31 - 1])
def test_count_outside_the_range(client, key, count):
    refused = refusal(batch, client, key, count)
    assert refused.reason == "InvalidParameter"
    assert refused.message == f"count: {count} is not valid; valid are 1 to 1000"
    refused = refusal(batch, client, key, count, dry_run=True)
    assert (refused.reason, refused.failed_check) == ("ValidationError", "request")


def test_largest_batch_fits_what_a_client_receives_by_default(client, key):
    answer = batch(client, key, 1000, number_of_bytes=1024)
    assert 2_000_000 < answer.ByteSize() < 2_200_000
    check(client, answer, made(answer), number_of_bytes=1024)


def test_context_binds_every_key(client, key):
    answer = batch(client, key, 3, encryption_context=CONTEXT)
    keys = made(answer)
    check(client, answer, keys, context=CONTEXT)
    for one in keys:
        for context in (None, {"table": "customers"}):
            refused = refusal(KMS_DECRYPT.open, client, one.ciphertext_blob, context=context)
            assert refused.reason == "InvalidCiphertext"


def test_permission_is_its_own_and_a_grant_may_give_it(server):
    for principal in ("alice", "bob"):
        server.add_principal(principal)
    server.start()
    owner, alice, bob = server.client(), server.client_of("alice"), server.client_of("bob")
    key = owner.create_key()
    owner.put_policy(key, statement(["bob"], ["GenerateDataKey"]))
    assert refusal(batch, bob, key, 2).reason == "Forbidden.NoPermission"
    assert refusal(batch, alice, key, 2).reason == "Forbidden.NoPermission"
    granted = owner.grant(key, "alice", ["BatchGenerateDataKey"])
    answer = batch(alice, key, 2, grant_tokens=[granted.grant_token])
    assert len(made(answer)) == 2
    assert refusal(batch, bob, key, 2, grant_tokens=["x"]).reason == "InvalidGrantToken"
    owner.put_policy(key, statement(["bob"], ["BatchGenerateDataKey"], equals=CONTEXT))
    assert refusal(batch, bob, key, 2).reason == "Forbidden.NoPermission"
    assert len(made(batch(bob, key, 2, encryption_context=CONTEXT))) == 2
    server.stop()
    # A record each, whatever the count is.
    assert [one["count"] for one in records(server)] == [2] * 6
    (record,) = records(server, request_id=answer.request_id)
    assert record["grant_id"] == granted.grant.grant_id


def test_batch_counts_as_its_keys(server):
    server.config["limits"] = {"rates": {"default": {"data_key": {"rate": 0.001, "burst": 10}}}}
    client = server.start().client()
    key = client.create_key()
    refused = refusal(batch, client, key, 11)
    assert (refused.reason, refused.retry_delay) == ("InvalidParameter", None)
    assert refused.message.startswith("count: 11 ")
    # That was a call, and this is one.
    assert refusal(batch, client, key, 5, dry_run=True).reason == "DryRunOperationError"
    assert len(made(batch(client, key, 6))) == 6
    refused = refusal(batch, client, key, 3)
    assert refused.reason == "Rejected.Throttling" and "batch of 3" in refused.message
    # The refused call took one of two; two more are needed, at 1,000 seconds each.
    assert 1900 < refused.retry_delay <= 2000
    assert len(made(batch(client, key, 1))) == 1
    assert refusal(operation("kms-GenerateDataKey").seal, client, key).reason == (
        "Rejected.Throttling"
    )


def failures(answer):
    """The reasons of what was not made, each once, and how many they are."""
    errors = [one.error for one in answer.outcomes if one.WhichOneof("outcome") == "error"]
    assert all(one.message for one in errors)
    return {one.reason for one in errors}, len(errors)


@pytest.mark.parametrize("without_plaintext", [False, True])
def test_uses_that_run_out_leave_what_was_made(server, without_plaintext):
    server.config["keys"] = {"max_uses": 1000, "rotate_after_uses": 1000}
    client = server.start().client()
    key = client.create_key()
    version = client.describe(key).primary_key_version_id
    # The proof of the new key is a use, too.
    assert len(made(batch(client, key, 600))) == 600
    answer = batch(client, key, 1000, without_plaintext=without_plaintext)
    keys = made(answer)
    assert (len(answer.outcomes), len(keys)) == (1000, 399)
    assert failures(answer) == ({"Rejected.LimitExceeded"}, 601)
    assert {one.key_version_id for one in keys} == {version}
    check(client, answer, keys)
    server.stop()
    (record,) = records(server, request_id=answer.request_id)
    assert (record["outcome"], record["count"]) == ("allowed", 1000)
    assert record["target"] == "made 399, then Rejected.LimitExceeded"


def test_token_that_goes_away_is_not_asked_for_the_rest(server):
    faults = server.use_faults()
    client = server.start().client()
    key = client.create_key()
    server.stop()
    # How many calls a start takes, now that there is a key.
    server.start().stop()
    before = {name: faults.calls(name) for name in ("C_EncryptInit", "C_Encrypt")}
    first = before["C_EncryptInit"] + 1
    faults.add(f"fail C_EncryptInit CKR_DEVICE_REMOVED call={first + 100}-{first + 101}")
    client = server.start().client()
    answer = batch(client, key, 1000)
    keys = made(answer)
    assert (len(answer.outcomes), len(keys)) == (1000, 100)
    assert failures(answer) == ({"Rejected.Unavailable"}, 900)
    line = server.wait_for_event(lambda event: event.get("request_id") == answer.request_id)
    assert line["level"] == "error"
    assert "CKR_DEVICE_REMOVED" in line["detail"]
    assert all("CKR" not in one.error.message for one in answer.outcomes)
    # Away for the very first key, it makes the call fail.
    refused = refusal(batch, client, key, 1000)
    assert (refused.reason, refused.retry_delay) == ("Rejected.Unavailable", 1)
    # It is back.
    check(client, answer, keys)
    server.stop()
    # Decrypt alone uses none of these.
    assert faults.calls("C_EncryptInit") - before["C_EncryptInit"] == 102
