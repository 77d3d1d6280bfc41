"""The audit trail: one record a call, chained and sealed, without which nothing is served."""

import hashlib
import json
import shutil

import pytest

from harness.client import statement
from harness.operations import KMS_DECRYPT, OPENING, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import audit_service_pb2 as audit_pb
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

ENCRYPT = operation("kms-Encrypt")


def records(server):
    """All records of a server that has stopped, whose chain has to be whole."""
    found = []
    before = "0" * 64
    for path in sorted(server.audit_directory.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            assert record["seq"] == len(found) + 1
            assert record["prev"] == before
            before = hashlib.sha256(line).hexdigest()
            found.append(record)
    return found


def calls(server):
    """The records of calls, by their request ids."""
    found = [record for record in records(server) if record["type"] == "call"]
    assert len({record["request_id"] for record in found}) == len(found)
    return {record["request_id"]: record for record in found}


def test_every_call_has_one_record(server):
    server.add_principal("alice")
    server.start()
    owner, alice = server.client(), server.client_of("alice")
    key = owner.create_key()
    sealed = {str(sealer): sealer.seal(owner, key) for sealer in SEALING}
    opened = [opener.open(owner, sealed["instance-Encrypt"]) for opener in OPENING[1:]]
    denied = refusal(ENCRYPT.seal, alice, key)
    failed = refusal(ENCRYPT.seal, owner, "alias/missing")
    malformed = refusal(ENCRYPT.seal, owner, "two words")
    server.stop()

    found = calls(server)
    for sealer in SEALING:
        answer = sealed[str(sealer)].answer
        request_id = answer.request_id if sealer.service == "kms" else answer.RequestId
        record = found[request_id]
        service = "KmsService" if sealer.service == "kms" else "KmsInstanceService"
        assert record["operation"] == f"{service}.{sealer.name}"
        assert (record["principal"], record["key_id"]) == ("e2e", key)
        assert (record["outcome"], record["reason"]) == ("allowed", "OK")
        assert record["key_version_id"] and record["duration_us"] >= 0
    for one in opened:
        assert found[one.answer.RequestId]["outcome"] == "allowed"
    outcomes = [
        (found[one.request_id]["outcome"], found[one.request_id]["reason"])
        for one in (denied, failed, malformed)
    ]
    assert outcomes == [
        ("denied", "Forbidden.NoPermission"),
        ("failed", "Forbidden.AliasNotFound"),
        ("failed", "InvalidParameter"),
    ]
    assert found[denied.request_id]["principal"] == "alice"
    # CreateKey, and the calls above.
    assert len(found) == 1 + len(SEALING) + 2 + 3
    kinds = [record["type"] for record in records(server)]
    assert kinds[0] == "start" and kinds[-2:] == ["stop", "seal"]


def test_context_is_recorded_and_an_aad_by_its_digest(server):
    client = server.start().client()
    key = client.create_key()
    context = {"tenant": "7", "é\n\"": "\\"}
    request = kms_pb.EncryptRequest(key_id=key, plaintext=b"x", encryption_context=context)
    with_context = client.kms.Encrypt(request).request_id
    aad = b"\x00\xff"
    with_aad = operation("instance-AdvanceEncrypt").seal(client, key, aad=aad).answer.RequestId
    server.stop()
    found = calls(server)
    assert found[with_context]["context"] == context
    assert "context" not in found[with_aad]
    assert found[with_aad]["aad_sha256"] == hashlib.sha256(aad).hexdigest()


def test_what_else_a_call_was_about_is_recorded(server):
    client = server.start().client()
    key = client.create_key()
    pair = operation("kms-GenerateDataKeyPair").seal(client, key)
    expected = {}

    def call(method, request, target):
        answer = getattr(client.keys, method)(request)
        expected[answer.request_id] = (f"KeyManagementService.{method}", target)

    tags = {'a,"b\\': "value", "c": ""}
    call("TagKey", key_pb.TagKeyRequest(key_id=key, tags=tags), 'tags "a,\\"b\\\\","c"')
    names = key_pb.UntagKeyRequest(key_id=key, tag_names=["c"])
    call("UntagKey", names, 'tags "c"')
    for days, target in ((90, "rotation every 90 days"), (0, "no rotation")):
        request = key_pb.UpdateRotationPolicyRequest(key_id=key, rotation_period_days=days)
        call("UpdateRotationPolicy", request, target)
    external = client.create_key(origin="KEY_ORIGIN_EXTERNAL")
    request = key_pb.GetParametersForImportRequest(
        key_id=external, wrapping_algorithm=2, wrapping_key_spec=1
    )
    call("GetParametersForImport", request, "RSAES_OAEP_SHA_1 RSA_2048")
    request = key_pb.ScheduleKeyDeletionRequest(key_id=external)
    call("ScheduleKeyDeletion", request, "deletion in 30 days")
    signed = client.kms.SignWithDataKeyPair(
        kms_pb.SignWithDataKeyPairRequest(
            private_key_ciphertext_blob=pair.blob, message=b"x", signing_algorithm=8
        )
    )
    expected[signed.request_id] = ("KmsService.SignWithDataKeyPair", "ECDSA_SHA_384")
    server.stop()
    found = calls(server)
    for request_id, (name, target) in expected.items():
        record = found[request_id]
        assert (record["operation"], record["target"]) == (name, target)
        assert record["outcome"] == "allowed"
    assert found[signed.request_id]["key_version_id"] == pair.key_version_id


def test_re_encryption_is_recorded_with_both_keys_and_contexts(server):
    server.add_principal("alice")
    server.start()
    owner, alice = server.client(), server.client_of("alice")
    source, destination = owner.create_key(), owner.create_key()
    sealed = ENCRYPT.seal(owner, source, context={"a": "old"})
    done = owner.re_encrypt(sealed.blob, destination, {"a": "old"}, {"a": "new"})
    failed = refusal(owner.re_encrypt, sealed.blob, destination, {"a": "new"}, {"a": "old"})
    no_from = refusal(alice.re_encrypt, sealed.blob, destination, {"a": "old"})
    owner.put_policy(source, statement(["alice"], ["ReEncryptFrom"]))
    no_to = refusal(alice.re_encrypt, sealed.blob, destination, {"a": "old"})
    server.stop()
    found = calls(server)

    record = found[done.request_id]
    assert record["operation"] == "KmsService.ReEncrypt"
    assert (record["key_id"], record["key_version_id"]) == (destination, done.key_version_id)
    assert record["target"] == f"from {source}/{sealed.key_version_id}"
    assert record["context"] == {"a": "old"}
    assert record["destination_context"] == {"a": "new"}
    record = found[failed.request_id]
    assert (record["outcome"], record["reason"]) == ("failed", "InvalidCiphertext")
    assert (record["key_id"], record["target"]) == (destination, f"from {source}")
    assert record["context"] == {"a": "new"}
    assert record["destination_context"] == {"a": "old"}
    assert (found[no_from.request_id]["outcome"], found[no_from.request_id]["key_id"]) == (
        "denied",
        source,
    )
    assert (found[no_to.request_id]["outcome"], found[no_to.request_id]["key_id"]) == (
        "denied",
        destination,
    )


def test_trail_is_private_and_goes_on_after_a_restart(server):
    for _ in range(3):
        server.start().client().create_key()
        server.stop()
    assert [record["type"] for record in records(server)].count("start") == 3
    for path in server.audit_directory.glob("*.jsonl"):
        assert path.stat().st_mode & 0o777 == 0o640


def test_seals_are_genuine_and_forged_ones_are_not(server):
    server.config["audit"]["seal_interval_seconds"] = 1
    server.start().client().create_key()
    server.stop()
    seals = [record for record in records(server) if record["type"] == "seal"]
    client = server.start().client()

    def verify(*seals):
        return client.audit.VerifyAuditSeals(audit_pb.VerifyAuditSealsRequest(seals=seals))

    right = [
        audit_pb.AuditSeal(
            sequence=seal["seq"],
            previous_hash=bytes.fromhex(seal["prev"]),
            mac=bytes.fromhex(seal["mac"]),
        )
        for seal in seals
    ]
    answer = verify(*right)
    assert list(answer.genuine) == [True] * len(seals)
    assert answer.head_sequence > seals[-1]["seq"] and len(answer.head_hash) == 32
    one = right[-1]
    forged = (
        audit_pb.AuditSeal(
            sequence=one.sequence + 1, previous_hash=one.previous_hash, mac=one.mac
        ),
        audit_pb.AuditSeal(sequence=one.sequence, previous_hash=bytes(32), mac=one.mac),
        audit_pb.AuditSeal(
            sequence=one.sequence, previous_hash=one.previous_hash, mac=bytes(32)
        ),
    )
    assert list(verify(*forged, one).genuine) == [False, False, False, True]
    refused = refusal(verify, audit_pb.AuditSeal(sequence=1, previous_hash=b"x", mac=bytes(32)))
    assert refused.reason == "InvalidParameter" and "seals[0]" in refused.message
    many = [audit_pb.AuditSeal(sequence=1)] * 1001
    assert refusal(verify, *many).reason == "InvalidParameter"


@pytest.mark.parametrize("call", ["seal", "open", "create", "random"])
def test_nothing_is_served_while_the_trail_cannot_be_written(server, call):
    client = server.start().client()
    key = client.create_key()
    sealed = ENCRYPT.seal(client, key)
    attempts = {
        "seal": lambda: operation("kms-GenerateDataKey").seal(client, key),
        "open": lambda: KMS_DECRYPT.open(client, sealed),
        "create": client.create_key,
        "random": lambda: client.kms.GenerateRandom(
            kms_pb.GenerateRandomRequest(number_of_bytes=8)
        ),
    }
    away = server.audit_directory.with_name("away")
    server.audit_directory.rename(away)
    for _ in range(3):
        refused = refusal(attempts[call])
        assert refused.reason == "ServiceUnavailableTemporary"
        assert "audit" in refused.message and refused.retry_delay is not None
    # Health does not need a record.
    assert client.health_of("strongroom.v1.KmsService") == "SERVING"

    away.rename(server.audit_directory)
    while True:  # It comes back by itself.
        try:
            attempts[call]()
            break
        except Exception:  # pylint: disable=broad-except
            continue
    server.stop()
    kinds = [record["type"] for record in records(server)]
    assert "recovered" in kinds


def test_trail_that_was_cut_is_found_at_the_next_start(server):
    server.start().client().create_key()
    server.stop()
    (path,) = server.audit_directory.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    server.start()
    server.stop()
    found = [
        json.loads(line)
        for path in sorted(server.audit_directory.glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    sequences = [record["seq"] for record in found]
    assert sequences != list(range(1, len(sequences) + 1))
    assert "damaged" in [record["type"] for record in found]


def test_folder_that_is_gone_for_good_gets_a_new_file(server):
    client = server.start().client()
    client.create_key()
    shutil.rmtree(server.audit_directory)
    assert refusal(client.create_key).reason == "ServiceUnavailableTemporary"
    server.audit_directory.mkdir()
    while True:
        try:
            client.create_key()
            break
        except Exception:  # pylint: disable=broad-except
            continue
    server.stop()
    (path,) = server.audit_directory.glob("*.jsonl")
    first = json.loads(path.read_bytes().splitlines()[0])
    # What came before is missing, and that shows.
    assert first["seq"] > 1
