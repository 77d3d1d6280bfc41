"""Grants: leave for one principal, passed on, proved by tokens, and taken back."""

import shutil
import time
import uuid

import pytest

from harness.client import conditions, statement
from harness.operations import KMS_DECRYPT, operation
from harness.refusals import refusal
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

ENCRYPT = operation("kms-Encrypt")
PARTIES = ("alice", "bob", "carol")


@pytest.fixture
def owner(server):
    """Who may do everything; alice, bob and carol, who may do nothing, have sockets."""
    for principal in PARTIES:
        server.add_principal(principal)
    return server.start().client()


def encrypt(client, key, tokens=(), context=None):
    """A blob."""
    return client.kms.Encrypt(
        kms_pb.EncryptRequest(
            key_id=key, plaintext=b"x", grant_tokens=tokens, encryption_context=context
        )
    ).ciphertext_blob


def denied(call, *arguments):
    """Whether a call is denied for want of permission."""
    return refusal(call, *arguments).reason == "Forbidden.NoPermission"


def grants_of(client, key, **fields):
    """A key's grants."""
    return client.keys.ListGrants(key_pb.ListGrantsRequest(key_id=key, **fields)).grants


def revoke(client, key, grant_id):
    """Takes a grant back."""
    client.keys.RevokeGrant(key_pb.RevokeGrantRequest(key_id=key, grant_id=grant_id))


def test_grant_allows_its_grantee_its_operations_with_its_key(server, owner):
    alice, bob = server.client_of("alice"), server.client_of("bob")
    key, other = owner.create_key(), owner.create_key()
    assert denied(encrypt, alice, key)
    grant = owner.grant(key, "alice", ["Encrypt", "DescribeKey"]).grant
    blob = encrypt(alice, key)
    assert alice.describe(key).key_id == key
    assert denied(encrypt, alice, other)
    assert denied(encrypt, bob, key)
    assert denied(KMS_DECRYPT.open, alice, blob)
    (listed,) = grants_of(owner, key)
    assert listed == grant
    assert (listed.grantee_principal, listed.issuing_principal) == ("alice", "e2e")
    revoke(owner, key, grant.grant_id)
    assert denied(encrypt, alice, key)
    assert not grants_of(owner, key)
    assert refusal(revoke, owner, key, grant.grant_id).reason == "InvalidParameter"


def test_constraints_hold(server, owner):
    alice = server.client_of("alice")
    key = owner.create_key()
    owner.grant(key, "alice", ["Encrypt", "DescribeKey"], constraints=conditions(equals={"t": "1"}))
    encrypt(alice, key, context={"t": "1"})
    for context in (None, {"t": "2"}, {"t": "1", "u": "1"}):
        assert denied(encrypt, alice, key, (), context)
    # It takes no context.
    assert alice.describe(key).key_id == key
    owner.grant(key, "alice", ["Encrypt"], constraints=conditions(subset={"t": "2"}))
    encrypt(alice, key, context={"t": "2", "u": "1"})
    assert denied(encrypt, alice, key, (), {"t": "3"})


def test_grants_survive_a_restart_and_so_does_their_end(server, owner):
    key = owner.create_key()
    kept = owner.grant(key, "alice", ["Encrypt"])
    ended = owner.grant(key, "bob", ["Encrypt"])
    revoke(owner, key, ended.grant.grant_id)
    server.stop()
    server.start()
    encrypt(server.client_of("alice"), key)
    encrypt(server.client_of("alice"), key, [kept.grant_token])
    bob = server.client_of("bob")
    assert denied(encrypt, bob, key)
    assert refusal(encrypt, bob, key, [ended.grant_token]).reason == "InvalidGrantToken"


def test_token_proves_a_grant_to_a_server_that_has_not_seen_it(server, owner):
    key = owner.create_key()
    server.stop()
    before = server.directory / "before.db"
    shutil.copy(server.directory / "strongroom.db", before)
    server.start()
    grant = server.client().grant(key, "alice", ["Encrypt"])
    server.stop()

    # The same token and an older database: a replica that lags behind.
    shutil.copy(before, server.directory / "strongroom.db")
    server.start()
    alice, bob, owner = server.client_of("alice"), server.client_of("bob"), server.client()
    assert denied(encrypt, alice, key)
    encrypt(alice, key, [grant.grant_token])
    assert denied(encrypt, bob, key, [grant.grant_token])
    # Once it knows that the grant has ended, the token is worth nothing.
    owner.keys.RetireGrant(key_pb.RetireGrantRequest(grant_token=grant.grant_token))
    assert refusal(encrypt, alice, key, [grant.grant_token]).reason == "InvalidGrantToken"
    assert denied(encrypt, alice, key)


def test_bad_grant_tokens_are_refused(server, owner):
    alice = server.client_of("alice")
    key = owner.create_key()
    token = owner.grant(key, "alice", ["Encrypt"]).grant_token
    assert 1 <= len(token) <= 8192
    encrypt(alice, key, [token])
    encrypt(alice, key, [token] * 10)
    middle = len(token) // 2
    flipped = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    for bad in ("x", flipped, token[:-1], token + "A", token.upper(), str(uuid.uuid4())):
        for tokens in ([bad], [token, bad]):
            assert refusal(encrypt, alice, key, tokens).reason == "InvalidGrantToken", bad
            # Even of somebody who may without one.
            assert refusal(encrypt, owner, key, tokens).reason == "InvalidGrantToken"
    for tokens in ([token] * 11, [""], ["x" * 8193]):
        refused = refusal(encrypt, alice, key, tokens)
        assert refused.reason in ("InvalidParameter", "MissingParameter")
        assert "grant_tokens" in refused.message


def test_token_is_in_no_log_and_no_trail(server, owner):
    alice = server.client_of("alice")
    key = owner.create_key()
    token = owner.grant(key, "alice", ["Encrypt"]).grant_token
    encrypt(alice, key, [token])
    refusal(encrypt, alice, key, [token + "A"])
    server.stop()
    trail = "".join(path.read_text() for path in server.audit_directory.iterdir())
    assert token not in server.log() and token not in trail
    assert token.split(".")[1][:40] not in server.log() + trail


def test_grants_are_passed_on_narrower_only(server, owner):
    alice, bob = server.client_of("alice"), server.client_of("bob")
    key = owner.create_key()
    limit = int(time.time()) + 3600
    parent = owner.grant(
        key,
        "alice",
        ["Encrypt", "Decrypt", "CreateGrant"],
        constraints=conditions(subset={"t": "1"}),
        expire_time={"seconds": limit},
    ).grant
    right = {"constraints": conditions(subset={"t": "1"}), "expire_time": {"seconds": limit}}
    child = alice.grant(key, "bob", ["Encrypt"], **right).grant
    assert child.parent_grant_id == parent.grant_id
    encrypt(bob, key, context={"t": "1"})
    assert denied(encrypt, bob, key, (), {"t": "2"})
    too_wide = (
        (["Encrypt", "GenerateDataKey"], right, "operations"),
        (["Encrypt"], {**right, "constraints": conditions(subset={"t": "2"})}, "constraints"),
        (["Encrypt"], {"expire_time": {"seconds": limit}}, "constraints"),
        (["Encrypt"], {**right, "expire_time": {"seconds": limit + 1}}, "expire_time"),
        (["Encrypt"], {"constraints": right["constraints"]}, "expire_time"),
    )
    for operations, fields, told in too_wide:
        refused = refusal(lambda o=operations, f=fields: alice.grant(key, "bob", o, **f))
        assert refused.reason == "InvalidParameter" and told in refused.message
    # What alice has not, she cannot pass on; and bob has no leave to.
    assert denied(lambda: bob.grant(key, "carol", ["Encrypt"], **right))
    # With the parent, the child ends.
    revoke(owner, key, parent.grant_id)
    assert denied(encrypt, bob, key, (), {"t": "1"})


def test_grant_expires(server, owner):
    alice = server.client_of("alice")
    key = owner.create_key()
    past = {"seconds": int(time.time()) - 10}
    refused = refusal(lambda: owner.grant(key, "alice", ["Encrypt"], expire_time=past))
    assert refused.reason == "InvalidParameter" and "expire_time" in refused.message
    soon = owner.grant(key, "alice", ["Encrypt"], expire_time={"seconds": int(time.time()) + 2})
    # Until it is over; nothing else tells when that is.
    while True:
        try:
            encrypt(alice, key)
        except Exception:  # pylint: disable=broad-except
            break
    assert denied(encrypt, alice, key)
    assert refusal(encrypt, alice, key, [soon.grant_token]).reason == "InvalidGrantToken"


@pytest.mark.parametrize("by", ["id", "token"])
def test_grant_is_retired_by_those_it_concerns(server, owner, by):
    alice, bob, carol = (server.client_of(name) for name in PARTIES)
    key = owner.create_key()

    def make(operations=("Encrypt",), **fields):
        return owner.grant(key, "alice", operations, **fields)

    def retire(client, grant):
        if by == "token":
            request = key_pb.RetireGrantRequest(grant_token=grant.grant_token)
        else:
            request = key_pb.RetireGrantRequest(key_id=key, grant_id=grant.grant.grant_id)
        client.keys.RetireGrant(request)

    plain = make()
    for client in (alice, bob, carol):
        assert denied(retire, client, plain)
    retire(owner, plain)
    retire(alice, make(["Encrypt", "RetireGrant"]))
    with_retirer = make(retiring_principal="bob")
    assert denied(retire, carol, with_retirer)
    retire(bob, with_retirer)
    assert denied(encrypt, alice, key)
    assert not grants_of(owner, key)


def test_grants_are_listed_by_pages_and_by_grantee(server, owner):
    key, other = owner.create_key(), owner.create_key()
    made = [owner.grant(key, PARTIES[i % 2], ["Encrypt"]).grant for i in range(5)]
    owner.grant(other, "alice", ["Encrypt"])
    listed, token = [], ""
    while True:
        request = key_pb.ListGrantsRequest(key_id=key, page_size=2, page_token=token)
        answer = owner.keys.ListGrants(request)
        assert len(answer.grants) <= 2
        listed += answer.grants
        token = answer.next_page_token
        if not token:
            break
    assert listed == made
    assert list(grants_of(owner, key, grantee_principal="bob")) == [made[1], made[3]]
    assert not grants_of(owner, key, grantee_principal="carol")
    assert denied(grants_of, server.client_of("alice"), key)
    assert refusal(lambda: grants_of(owner, key, page_token="x")).reason == "InvalidParameter"


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"grantee": ""}, "grantee_principal"),
        ({"grantee": "two words"}, "grantee_principal"),
        ({"grantee": "spiffe://example.org/*"}, "grantee_principal"),
        ({"operations": []}, "operations"),
        ({"operations": ["CreateKey"]}, "CreateKey"),
        ({"operations": ["*"]}, "operations"),
        ({"operations": ["Decrpyt"]}, "Decrpyt"),
        ({"retiring_principal": "two words"}, "retiring_principal"),
        ({"expire_time": {"seconds": 10**15}}, "expire_time"),
        ({"constraints": conditions(equals={"k": "v" * 9000})}, "constraints"),
    ],
)
def test_wrong_grant_is_refused_with_what_is_wrong(owner, fields, told):
    key = owner.create_key()
    arguments = {"grantee": "alice", "operations": ["Encrypt"], **fields}
    refused = refusal(lambda: owner.grant(key, **arguments))
    assert refused.reason in ("InvalidParameter", "MissingParameter")
    assert told in refused.message
    assert not grants_of(owner, key)


def test_instance_family_takes_grant_tokens_as_metadata(server, owner):
    key = owner.create_key()
    server.stop()
    before = server.directory / "before.db"
    shutil.copy(server.directory / "strongroom.db", before)
    server.start()
    token = server.client().grant(key, "alice", ["AdvanceEncrypt"]).grant_token
    server.stop()
    shutil.copy(before, server.directory / "strongroom.db")
    server.start()
    alice = server.client_of("alice")
    seal = operation("instance-AdvanceEncrypt")
    assert denied(seal.seal, alice, key)
    request = seal.sealing_request(key)
    metadata = (("x-strongroom-grant-token", token),)
    assert alice.instance.AdvanceEncrypt(request, metadata=metadata).CiphertextBlob
    # Also one as long as a token may be.
    for wrong in (token + "A", "x" * 8192):
        bad = metadata + (("x-strongroom-grant-token", wrong),)
        refused = refusal(lambda m=bad: alice.instance.AdvanceEncrypt(request, metadata=m))
        assert refused.reason == "InvalidGrantToken"


def test_policy_and_grants_together(server, owner):
    alice, bob = server.client_of("alice"), server.client_of("bob")
    key = owner.create_key()
    owner.put_policy(key, statement(["alice"], ["CreateGrant", "Encrypt"]))
    # By the policy, so whatever a grant may allow.
    alice.grant(key, "bob", ["Decrypt"])
    blob = encrypt(alice, key)
    assert KMS_DECRYPT.open(bob, blob).plaintext == b"x"
    assert denied(KMS_DECRYPT.open, alice, blob)
