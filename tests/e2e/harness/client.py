"""A client of the service as anybody would generate it from the protos."""

import uuid

import grpc

import health_pb2
import health_pb2_grpc
import reflection_pb2
import reflection_pb2_grpc
from strongroom.v1 import audit_service_pb2_grpc as audit_grpc
from strongroom.v1 import authority_pb2 as authority_pb
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import key_management_service_pb2_grpc as key_grpc
from strongroom.v1 import kms_instance_service_pb2_grpc as instance_grpc
from strongroom.v1 import kms_service_pb2 as kms_pb
from strongroom.v1 import kms_service_pb2_grpc as kms_grpc

_TIMEOUT = 60  # seconds, of calls that say nothing of it

_SECRET_FIELDS = ("plaintext", "shared_secret", "Plaintext", "PrivateKeyPlaintext", "Random")

SERVICES = (
    "strongroom.v1.KmsService",
    "strongroom.v1.KmsInstanceService",
    "strongroom.v1.KeyManagementService",
    "strongroom.v1.AuditService",
)


def statement(principals, operations, equals=None, subset=None):
    """One statement of a policy."""
    made = authority_pb.PolicyStatement(principals=principals, operations=operations)
    if equals is not None or subset is not None:
        made.conditions.CopyFrom(conditions(equals, subset))
    return made


def conditions(equals=None, subset=None):
    """What an encryption context has to be."""
    return authority_pb.EncryptionContextConditions(
        encryption_context_equals=equals, encryption_context_subset=subset
    )


class _Calls(grpc.UnaryUnaryClientInterceptor):
    """Gives every call a deadline; checks every answer's request id, and keeps its secrets."""

    def __init__(self, secrets):
        self._secrets = secrets

    def intercept_unary_unary(self, continuation, details, request):
        """See grpc.UnaryUnaryClientInterceptor."""
        if details.timeout is None:
            details = details._replace(timeout=_TIMEOUT)
        call = continuation(details, request)
        if call.code() is grpc.StatusCode.OK and details.method.startswith("/strongroom."):
            answer = call.result()
            fields = answer.DESCRIPTOR.fields_by_name
            request_id = answer.RequestId if "RequestId" in fields else answer.request_id
            assert str(uuid.UUID(request_id)) == request_id
            assert dict(call.initial_metadata()).get("x-request-id") == request_id
            self._secrets.update(getattr(answer, name) for name in _SECRET_FIELDS if name in fields)
            if "outcomes" in fields:
                self._secrets.update(one.data_key.plaintext for one in answer.outcomes)
        return call


class Client:
    """Stubs of all services on one connection of its own."""

    def __init__(self, target, credentials=None, secrets=None):
        # Not gRPC's usual second until it tries a server again, which tests restart; and no
        # connection shared with another client.
        options = [
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options)
        else:
            self.channel = grpc.secure_channel(target, credentials, options)
        calls = grpc.intercept_channel(self.channel, _Calls(set() if secrets is None else secrets))
        self.kms = kms_grpc.KmsServiceStub(calls)
        self.instance = instance_grpc.KmsInstanceServiceStub(calls)
        self.keys = key_grpc.KeyManagementServiceStub(calls)
        self.audit = audit_grpc.AuditServiceStub(calls)
        self.health = health_pb2_grpc.HealthStub(calls)
        self.reflection = reflection_pb2_grpc.ServerReflectionStub(self.channel)

    def close(self):
        """Ends the connection."""
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What many tests do on the way to their point.

    def create_key(self, description="", **fields):
        """A new key's id."""
        request = key_pb.CreateKeyRequest(description=description, **fields)
        return self.keys.CreateKey(request).key.key_id

    def describe(self, key):
        """A key, as DescribeKey has it."""
        return self.keys.DescribeKey(key_pb.DescribeKeyRequest(key_id=key)).key

    def rotate(self, key):
        """The id of a key's new version."""
        answer = self.keys.CreateKeyVersion(key_pb.CreateKeyVersionRequest(key_id=key))
        return answer.key_version.key_version_id

    def enable(self, key):
        """Enables a key."""
        return self.keys.EnableKey(key_pb.EnableKeyRequest(key_id=key)).key

    def disable(self, key):
        """Disables a key."""
        return self.keys.DisableKey(key_pb.DisableKeyRequest(key_id=key)).key

    def versions(self, key):
        """A key's versions, oldest first."""
        request = key_pb.ListKeyVersionsRequest(key_id=key, page_size=1000)
        return list(self.keys.ListKeyVersions(request).key_versions)

    def tag(self, key, tags):
        """Gives a key tags."""
        return self.keys.TagKey(key_pb.TagKeyRequest(key_id=key, tags=tags)).key

    def untag(self, key, *names):
        """Takes tags from a key."""
        return self.keys.UntagKey(key_pb.UntagKeyRequest(key_id=key, tag_names=names)).key

    def set_rotation(self, key, days=None):
        """Says how often a key rotates by time."""
        request = key_pb.UpdateRotationPolicyRequest(key_id=key, rotation_period_days=days)
        return self.keys.UpdateRotationPolicy(request).key

    def schedule_deletion(self, key, days=0):
        """Has a key destroyed some day."""
        request = key_pb.ScheduleKeyDeletionRequest(key_id=key, pending_window_days=days)
        return self.keys.ScheduleKeyDeletion(request).key

    def cancel_deletion(self, key):
        """Keeps a key from being destroyed."""
        request = key_pb.CancelKeyDeletionRequest(key_id=key)
        return self.keys.CancelKeyDeletion(request).key

    def re_encrypt(self, blob, destination, context=None, to_context=None, **fields):
        """The answer of ReEncrypt."""
        return self.kms.ReEncrypt(
            kms_pb.ReEncryptRequest(
                ciphertext_blob=blob,
                source_encryption_context=context,
                destination_key_id=destination,
                destination_encryption_context=to_context,
                **fields,
            )
        )

    def create_alias(self, alias, key):
        """Gives a key a name."""
        request = key_pb.CreateAliasRequest(alias_name=alias, key_id=key)
        return self.keys.CreateAlias(request).alias

    def move_alias(self, alias, key):
        """Gives a name to another key."""
        request = key_pb.UpdateAliasRequest(alias_name=alias, key_id=key)
        return self.keys.UpdateAlias(request).alias

    def put_policy(self, key, *statements):
        """Gives a key a policy of statements that statement() made."""
        policy = authority_pb.KeyPolicy(statements=statements)
        self.keys.PutKeyPolicy(key_pb.PutKeyPolicyRequest(key_id=key, policy=policy))

    def grant(self, key, grantee, operations, **fields):
        """The answer of CreateGrant."""
        return self.keys.CreateGrant(
            key_pb.CreateGrantRequest(
                key_id=key, grantee_principal=grantee, operations=operations, **fields
            )
        )

    def health_of(self, service=""):
        """The name of a service's state, e.g. "SERVING"."""
        answer = self.health.Check(health_pb2.HealthCheckRequest(service=service))
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def reflect(self, **request):
        """Asks the reflection service one thing."""
        requests = iter([reflection_pb2.ServerReflectionRequest(**request)])
        (answer,) = self.reflection.ServerReflectionInfo(requests, timeout=_TIMEOUT)
        return answer
