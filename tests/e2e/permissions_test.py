"""Nobody may do anything but what the configuration or a key's policy allows."""

import uuid

import pytest

from harness.client import statement
from harness.operations import KMS_DECRYPT, SEALING, operation
from harness.refusals import refusal
from strongroom.v1 import audit_service_pb2 as audit_pb
from strongroom.v1 import authority_pb2 as authority_pb
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

ENCRYPT = operation("kms-Encrypt")


@pytest.fixture
def parties(server):
    """A server's owner, who may do everything; and alice and bob, who may do nothing."""
    for principal in ("alice", "bob"):
        server.add_principal(principal)
    server.start()
    return server.client(), server.client_of("alice"), server.client_of("bob")


def everything(client, key):
    """All that a caller could try on a key, or without one."""
    yield from ((sealer.seal, client, key) for sealer in SEALING)
    keys = client.keys
    for call, request in (
        (client.kms.GenerateRandom, kms_pb.GenerateRandomRequest(number_of_bytes=8)),
        (keys.CreateKey, key_pb.CreateKeyRequest()),
        (keys.DescribeKey, key_pb.DescribeKeyRequest(key_id=key)),
        (keys.ListKeys, key_pb.ListKeysRequest()),
        (keys.CreateKeyVersion, key_pb.CreateKeyVersionRequest(key_id=key)),
        (keys.ListKeyVersions, key_pb.ListKeyVersionsRequest(key_id=key)),
        (keys.EnableKey, key_pb.EnableKeyRequest(key_id=key)),
        (keys.DisableKey, key_pb.DisableKeyRequest(key_id=key)),
        (keys.UpdateKeyDescription, key_pb.UpdateKeyDescriptionRequest(key_id=key)),
        (keys.TagKey, key_pb.TagKeyRequest(key_id=key, tags={"a": "b"})),
        (keys.UntagKey, key_pb.UntagKeyRequest(key_id=key, tag_names=["a"])),
        (
            keys.UpdateRotationPolicy,
            key_pb.UpdateRotationPolicyRequest(key_id=key, rotation_period_days=1),
        ),
        (keys.ScheduleKeyDeletion, key_pb.ScheduleKeyDeletionRequest(key_id=key)),
        (keys.CancelKeyDeletion, key_pb.CancelKeyDeletionRequest(key_id=key)),
        (
            keys.GetParametersForImport,
            key_pb.GetParametersForImportRequest(key_id=key, wrapping_algorithm=2),
        ),
        (
            keys.ImportKeyMaterial,
            key_pb.ImportKeyMaterialRequest(
                key_id=key, import_token=b"x", encrypted_key_material=b"x"
            ),
        ),
        (
            keys.DeleteImportedKeyMaterial,
            key_pb.DeleteImportedKeyMaterialRequest(key_id=key),
        ),
        (keys.CreateAlias, key_pb.CreateAliasRequest(alias_name="alias/new", key_id=key)),
        (keys.UpdateAlias, key_pb.UpdateAliasRequest(alias_name="alias/there", key_id=key)),
        (keys.DeleteAlias, key_pb.DeleteAliasRequest(alias_name="alias/there")),
        (keys.ListAliases, key_pb.ListAliasesRequest()),
        (keys.ListAliases, key_pb.ListAliasesRequest(key_id=key)),
        (keys.GetKeyPolicy, key_pb.GetKeyPolicyRequest(key_id=key)),
        (keys.ListGrants, key_pb.ListGrantsRequest(key_id=key)),
        (client.audit.VerifyAuditSeals, audit_pb.VerifyAuditSealsRequest()),
    ):
        yield call, request
    yield client.put_policy, key, statement(["alice"], ["*"])
    yield client.grant, key, "alice", ["Decrypt"]
    for call, request in (
        (keys.RetireGrant, key_pb.RetireGrantRequest(key_id=key, grant_id=str(uuid.uuid4()))),
        (keys.RevokeGrant, key_pb.RevokeGrantRequest(key_id=key, grant_id=str(uuid.uuid4()))),
    ):
        yield call, request


def test_everything_is_denied_that_is_not_allowed(parties):
    owner, alice, _ = parties
    key = owner.create_key()
    owner.create_alias("alias/there", key)
    sealed = ENCRYPT.seal(owner, key)
    for call, *arguments in everything(alice, key):
        assert refusal(call, *arguments).reason == "Forbidden.NoPermission", arguments
    kms = alice.kms
    blob = operation("kms-GenerateDataKeyPair").seal(owner, key).blob
    pair = {"private_key_ciphertext_blob": blob}
    for call, *arguments in (
        (KMS_DECRYPT.open, alice, sealed),
        (alice.re_encrypt, sealed.blob, key),
        (
            kms.SignWithDataKeyPair,
            kms_pb.SignWithDataKeyPairRequest(**pair, message=b"x", signing_algorithm=7),
        ),
        (
            kms.DecryptWithDataKeyPair,
            kms_pb.DecryptWithDataKeyPairRequest(
                **pair, ciphertext=b"x", decryption_algorithm=2
            ),
        ),
        (kms.DeriveSharedSecret, kms_pb.DeriveSharedSecretRequest(**pair, public_key=b"x")),
    ):
        assert refusal(call, *arguments).reason == "Forbidden.NoPermission", arguments


def test_health_and_reflection_need_no_permission(parties):
    _, alice, _ = parties
    assert alice.health_of("strongroom.v1.KmsService") == "SERVING"
    assert alice.reflect(list_services="").list_services_response.service


def test_absent_and_forbidden_are_the_same_to_who_may_not_know(parties):
    owner, alice, _ = parties
    forbidden = owner.create_key()
    owner.create_alias("alias/there", forbidden)
    absent = str(uuid.uuid4())
    for there, missing in ((forbidden, absent), ("alias/there", "alias/missing")):
        for one, other in zip(everything(alice, there), everything(alice, missing)):
            a, b = refusal(*one), refusal(*other)
            assert (a.reason, a.message) == (b.reason, b.message)
    # The owner may know.
    assert refusal(ENCRYPT.seal, owner, absent).reason == "Forbidden.KeyNotFound"
    assert refusal(ENCRYPT.seal, owner, "alias/missing").reason == "Forbidden.AliasNotFound"


def test_policy_allows_what_it_says_and_no_more(parties):
    owner, alice, bob = parties
    key, other = owner.create_key(), owner.create_key()
    owner.put_policy(key, statement(["alice"], ["Encrypt", "KmsService.Decrypt"]))
    sealed = ENCRYPT.seal(alice, key)
    assert KMS_DECRYPT.open(alice, sealed).plaintext
    denied = (
        (ENCRYPT.seal, alice, other),
        (ENCRYPT.seal, bob, key),
        (operation("kms-GenerateDataKey").seal, alice, key),
        (operation("instance-AdvanceDecrypt").open, alice, sealed),
        (KMS_DECRYPT.open, alice, ENCRYPT.seal(owner, other)),
        (KMS_DECRYPT.open, bob, sealed),
        (alice.describe, key),
    )
    for call, *arguments in denied:
        assert refusal(call, *arguments).reason == "Forbidden.NoPermission", arguments


def test_new_policy_is_in_force_at_once(parties):
    owner, alice, bob = parties
    key = owner.create_key()
    for _ in range(5):
        owner.put_policy(key, statement(["alice"], ["group:use"]))
        ENCRYPT.seal(alice, key)
        assert refusal(ENCRYPT.seal, bob, key).reason == "Forbidden.NoPermission"
        owner.put_policy(key, statement(["bob"], ["group:use"]))
        ENCRYPT.seal(bob, key)
        assert refusal(ENCRYPT.seal, alice, key).reason == "Forbidden.NoPermission"


def test_policy_is_returned_as_it_was_put_and_survives_a_restart(server):
    server.add_principal("alice")
    server.start()
    key = server.client().create_key()
    put = [
        statement(["alice", "spiffe://example.org/a/*"], ["group:use"], equals={"a": "1"}),
        statement(["bob"], ["PutKeyPolicy", "Decrypt"], subset={"b": "2", "c": ""}),
    ]
    server.client().put_policy(key, *put)
    server.stop()
    server.start()
    answer = server.client().keys.GetKeyPolicy(key_pb.GetKeyPolicyRequest(key_id=key))
    assert list(answer.policy.statements) == put
    alice = server.client_of("alice")
    request = kms_pb.EncryptRequest(key_id=key, plaintext=b"x", encryption_context={"a": "1"})
    assert alice.kms.Encrypt(request).ciphertext_blob


@pytest.mark.parametrize(
    "wanted, right, wrong",
    [
        ({"equals": {"t": "1"}}, [{"t": "1"}], [{}, {"t": "2"}, {"t": "1", "u": "2"}, {"T": "1"}]),
        ({"subset": {"t": "1"}}, [{"t": "1"}, {"t": "1", "u": "2"}], [{}, {"t": "2"}, {"u": "1"}]),
    ],
)
def test_conditions_hold_for_the_encryption_context(parties, wanted, right, wrong):
    owner, alice, _ = parties
    key = owner.create_key()
    owner.put_policy(key, statement(["alice"], ["group:use", "DescribeKey"], **wanted))

    def encrypt(client, context):
        request = kms_pb.EncryptRequest(key_id=key, plaintext=b"x", encryption_context=context)
        return client.kms.Encrypt(request).ciphertext_blob

    def decrypt(context, blob):
        request = kms_pb.DecryptRequest(ciphertext_blob=blob, encryption_context=context)
        return alice.kms.Decrypt(request).plaintext

    for context in right:
        assert decrypt(context, encrypt(alice, context)) == b"x"
    for context in wrong:
        assert refusal(encrypt, alice, context).reason == "Forbidden.NoPermission"
        blob = encrypt(owner, context)
        assert refusal(decrypt, context, blob).reason == "Forbidden.NoPermission"
    # An Aad is not a context, and what takes no context meets no condition.
    aad = operation("instance-AdvanceEncrypt")
    assert refusal(aad.seal, alice, key).reason == "Forbidden.NoPermission"
    assert refusal(alice.describe, key).reason == "Forbidden.NoPermission"


def test_moving_an_alias_needs_leave_for_both_keys(parties):
    owner, alice, _ = parties
    mine, others = owner.create_key(), owner.create_key()
    owner.put_policy(mine, statement(["alice"], ["group:administer"]))
    owner.create_alias("alias/others", others)
    owner.create_alias("alias/mine", mine)
    assert refusal(alice.move_alias, "alias/others", mine).reason == "Forbidden.NoPermission"
    assert refusal(alice.move_alias, "alias/mine", others).reason == "Forbidden.NoPermission"
    delete = key_pb.DeleteAliasRequest(alias_name="alias/others")
    assert refusal(alice.keys.DeleteAlias, delete).reason == "Forbidden.NoPermission"
    assert alice.move_alias("alias/mine", mine).key_id == mine


def test_expected_key_needs_leave_too(parties):
    owner, alice, _ = parties
    mine, others = owner.create_key(), owner.create_key()
    owner.put_policy(mine, statement(["alice"], ["group:use"]))
    sealed = ENCRYPT.seal(alice, mine)
    for expected in (others, str(uuid.uuid4()), "alias/missing"):
        request = kms_pb.DecryptRequest(
            ciphertext_blob=sealed.answer.ciphertext_blob, key_id=expected
        )
        assert refusal(alice.kms.Decrypt, request).reason == "Forbidden.NoPermission"


@pytest.mark.parametrize(
    "statements, told",
    [
        ([], "statements"),
        ([authority_pb.PolicyStatement(operations=["*"])], "statements[0].principals"),
        ([authority_pb.PolicyStatement(principals=["a"])], "statements[0].operations"),
        ([statement(["two words"], ["*"])], "statements[0].principals[0]"),
        ([statement(["*"], ["*"])], "statements[0].principals[0]"),
        ([statement(["a"], ["Decrpyt"])], "Decrpyt"),
        ([statement(["a"], ["group:everything"])], "group:everything"),
    ],
)
def test_wrong_policy_is_refused_with_what_is_wrong(parties, statements, told):
    owner, _, _ = parties
    key = owner.create_key()
    refused = refusal(owner.put_policy, key, *statements)
    assert refused.reason in ("InvalidParameter", "MissingParameter")
    assert told in refused.message
    answer = owner.keys.GetKeyPolicy(key_pb.GetKeyPolicyRequest(key_id=key))
    assert not answer.HasField("policy")


def test_policy_that_locks_its_caller_out_is_refused(parties):
    owner, alice, _ = parties
    key = owner.create_key()
    owner.put_policy(key, statement(["alice"], ["group:administer"]))
    refused = refusal(alice.put_policy, key, statement(["alice"], ["group:use"]))
    assert refused.reason == "InvalidParameter"
    assert "PutKeyPolicy" in refused.message
    alice.put_policy(key, statement(["alice"], ["PutKeyPolicy", "group:use"]))


def test_policy_that_locks_everybody_out_is_refused(server):
    server.config["policy"] = [
        {"principals": ["e2e"], "operations": ["CreateKey", "ListKeys"]},
    ]
    server.start()
    client = server.client()
    nobody = authority_pb.KeyPolicy(statements=[statement(["e2e"], ["group:use"])])
    sometimes = statement(["e2e"], ["*"], equals={"a": "b"})
    only_sometimes = authority_pb.KeyPolicy(statements=[sometimes])
    for request in (
        key_pb.CreateKeyRequest(),
        key_pb.CreateKeyRequest(policy=nobody),
        key_pb.CreateKeyRequest(policy=only_sometimes),
    ):
        refused = refusal(client.keys.CreateKey, request)
        reason = "InvalidParameter" if request.HasField("policy") else "MissingParameter"
        assert refused.reason == reason
        assert "PutKeyPolicy" in refused.message
    assert not client.keys.ListKeys(key_pb.ListKeysRequest()).keys

    policy = authority_pb.KeyPolicy(statements=[statement(["e2e"], ["*"])])
    key = client.keys.CreateKey(key_pb.CreateKeyRequest(policy=policy)).key.key_id
    assert refusal(client.put_policy, key, *nobody.statements).reason == "InvalidParameter"
    ENCRYPT.seal(client, key)
