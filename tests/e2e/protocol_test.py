"""What any gRPC client meets: ids, errors, sizes, wrong bytes, deadlines, health, reflection."""

import threading

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import MessageFactory

from harness.client import SERVICES
from harness.operations import KMS_DECRYPT, SEALING, operation
from harness.refusals import decode, refusal
from strongroom.v1 import audit_service_pb2 as audit_pb
from strongroom.v1 import key_management_service_pb2 as key_pb
from strongroom.v1 import kms_instance_service_pb2 as instance_service_pb
from strongroom.v1 import kms_service_pb2 as kms_pb

METHODS = [
    method
    for module in (kms_pb, instance_service_pb, key_pb, audit_pb)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
METHOD_NAMES = [f"{method.containing_service.name}.{method.name}" for method in METHODS]
MAX_MESSAGE = 64 * 1024
# A field that no message has: number 1000, a varint.
UNKNOWN_FIELD = b"\xc0\x3e\x01"


def call_raw(client, method, request, timeout=60):
    """Calls a method with bytes; gives the answer's bytes."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    return client.channel.unary_unary(path)(request, timeout=timeout)


def method_named(name):
    return METHODS[METHOD_NAMES.index(name)]


DESCRIBE_KEY = method_named("KeyManagementService.DescribeKey")


def test_every_method_is_looked_at():
    assert len(METHODS) == 50


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_both_listeners_serve_the_same_keys(shared_server, client, key, sealer):
    tcp = shared_server.tcp_client()
    for one, other in ((client, tcp), (tcp, client)):
        sealed = sealer.seal(one, key)
        content = KMS_DECRYPT.open(other, sealed).plaintext
        assert content == KMS_DECRYPT.open(one, sealed).plaintext
        assert sealed.plaintext is None or content == sealed.plaintext


# --- Request ids and errors -----------------------------------------------------------------------


def test_request_ids_differ_and_are_in_the_log(server):
    client = server.start().client()
    key = client.create_key()
    answers = [operation("kms-GenerateDataKey").seal(client, key).answer for _ in range(10)]
    refused = [refusal(client.describe, "alias/none") for _ in range(10)]
    server.stop()
    calls = server.calls()
    ids = [answer.request_id for answer in answers]
    assert len(set(ids)) == 10
    for request_id in ids:
        call = calls[request_id]
        assert (call["operation"], call["outcome"]) == ("KmsService.GenerateDataKey", "OK")
        assert (call["principal"], call["key_id"]) == ("e2e", key)
        assert call["key_version_id"] == answers[0].key_version_id
        assert call["duration_us"] > 0
    for one in refused:
        call = calls[one.request_id]
        assert call["operation"] == "KeyManagementService.DescribeKey"
        assert call["outcome"] == "Forbidden.AliasNotFound"


@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_empty_request_is_answered_in_form(client, method):
    # CreateKey and the lists take one; all others miss something, and say what.
    try:
        call_raw(client, method, b"")
    except grpc.RpcError as error:
        refused = decode(error)
        assert refused.reason in ("MissingParameter", "InvalidParameter")
        field = refused.message.split(":")[0]
        assert field in method.input_type.fields_by_name
    else:
        assert method.name in ("CreateKey", "ListKeys", "ListAliases", "VerifyAuditSeals")


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param(b"\xff\xff\xff", id="no tag"),
        pytest.param(b"\x0a\x7fshort", id="shorter than it says"),
        pytest.param(b"\x0b", id="group without an end"),
        pytest.param(b"\x0a\x02\xc3\x28", id="text that is not UTF-8"),
        pytest.param(b"\x07", id="wire type 7"),
    ],
)
@pytest.mark.parametrize("method", METHODS, ids=METHOD_NAMES)
def test_malformed_request_is_refused(client, method, malformed):
    first = method.input_type.fields_by_number.get(1)
    if malformed == b"\x0a\x02\xc3\x28" and (first is None or first.type != first.TYPE_STRING):
        # In a bytes field or an unknown one, anything is right.
        malformed = b"\x0a"
    with pytest.raises(grpc.RpcError) as error:
        call_raw(client, method, malformed)
    assert decode(error.value).reason == "InvalidParameter"


@pytest.mark.parametrize("sealer", SEALING, ids=str)
def test_unknown_fields_are_ignored(client, key, sealer):
    service = "KmsService" if sealer.service == "kms" else "KmsInstanceService"
    request = sealer.sealing_request(key).SerializeToString()
    answer = call_raw(
        client, method_named(f"{service}.{sealer.name}"), UNKNOWN_FIELD + request + UNKNOWN_FIELD
    )
    assert answer


def test_unknown_method_is_unimplemented(client):
    for path in ("/strongroom.v1.KmsService/ReadMinds", "/strongroom.v2.KmsService/Encrypt"):
        with pytest.raises(grpc.RpcError) as error:
            client.channel.unary_unary(path)(b"", timeout=60)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- Sizes ----------------------------------------------------------------------------------------


def request_of_size(size):
    """A DescribeKey request of so many bytes."""
    request = key_pb.DescribeKeyRequest(key_id="a" * (size - 4)).SerializeToString()
    assert len(request) == size
    return request


def test_message_of_64_kib_is_read(client):
    with pytest.raises(grpc.RpcError) as error:
        call_raw(client, DESCRIBE_KEY, request_of_size(MAX_MESSAGE))
    assert decode(error.value).reason == "InvalidParameter"


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, 1024 * 1024])
def test_larger_message_is_refused(client, size):
    with pytest.raises(grpc.RpcError) as error:
        call_raw(client, DESCRIBE_KEY, request_of_size(size))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # And the connection goes on.
    assert client.health_of() == "SERVING"


def test_line_in_the_log_stays_short_whatever_a_caller_sends(server):
    client = server.start().client()
    long_name = "a" * 60000
    refusal(client.describe, long_name)
    refusal(operation("kms-Encrypt").seal, client, long_name)
    refusal(operation("instance-Encrypt").seal, client, long_name)
    server.stop()
    assert len(server.calls()) == 3
    assert max(len(line) for line in server.log().splitlines()) < 4096


def test_every_line_of_the_log_is_json_whatever_a_caller_sends(server):
    client = server.start().client()
    # The libraries underneath would have a word of their own on each.
    for request in (b"\x0a\x02\xc3\x28", request_of_size(MAX_MESSAGE + 1)):
        with pytest.raises(grpc.RpcError):
            call_raw(client, DESCRIBE_KEY, request)
    server.stop()
    assert [event["event"] for event in server.events()].count("call") == 1


# --- Deadlines ------------------------------------------------------------------------------------


def test_call_whose_deadline_passed_while_it_waited_does_nothing(server):
    faults = server.use_faults()
    server.config["token"]["lanes"] = 2
    # Otherwise a quick call would not take a worker's place.
    server.config["audit"]["sync"] = "always"
    server.start().stop()
    at_start = faults.calls("C_GenerateRandom")
    # The second time, both lanes wait in the token, and nothing else can begin.
    points = [faults.hold("C_GenerateRandom", f"call={at_start + i}") for i in (1, 2)]
    client = server.start().client()
    random = kms_pb.GenerateRandomRequest(number_of_bytes=8)
    threads = []
    for point in points:
        threads.append(threading.Thread(target=client.kms.GenerateRandom, args=(random,)))
        threads[-1].start()
        point.wait_until_held()
    # The server counts from when it gets a call; the last is there to let that time pass, too.
    for call, request, timeout in (
        (client.keys.ListKeys, key_pb.ListKeysRequest(), 0.001),
        (client.keys.CreateKey, key_pb.CreateKeyRequest(), 0.5),
        (client.kms.GenerateRandom, random, 1),
    ):
        with pytest.raises(grpc.RpcError) as error:
            call(request, timeout=timeout)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    for point in points:
        point.release()
    for thread in threads:
        thread.join()
    line = server.wait_for_event(
        lambda event: event.get("operation") == "KeyManagementService.CreateKey"
    )
    assert line["outcome"] == "DependencyTimeout"
    assert not client.keys.ListKeys(key_pb.ListKeysRequest()).keys


# --- Health ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_is_serving(client, service):
    assert client.health_of(service) == "SERVING"


def test_health_of_an_unknown_service_is_not_found(client):
    with pytest.raises(grpc.RpcError) as error:
        client.health_of("strongroom.v1.NoService")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


# --- Reflection -----------------------------------------------------------------------------------


def reflected_pool(client, symbol):
    """What reflection tells of a symbol and all it needs, in a pool that knows nothing else."""
    files = {}
    wanted = [{"file_containing_symbol": symbol}]
    while wanted:
        answer = client.reflect(**wanted.pop())
        assert answer.WhichOneof("message_response") == "file_descriptor_response", answer
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            files[file.name] = file
        missing = {name for file in files.values() for name in file.dependency} - set(files)
        wanted = [{"file_by_filename": name} for name in missing]
    pool = DescriptorPool()

    def add(name):
        file = files.pop(name, None)
        if file is not None:
            for dependency in file.dependency:
                add(dependency)
            pool.AddSerializedFile(file.SerializeToString())

    for name in list(files):
        add(name)
    return pool


def call_reflected(client, service, method, fields):
    """Calls a method as a client does that has no stubs."""
    pool = reflected_pool(client, service)
    described = pool.FindServiceByName(service).FindMethodByName(method)
    factory = MessageFactory(pool)
    stub = client.channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=factory.GetPrototype(described.input_type).SerializeToString,
        response_deserializer=factory.GetPrototype(described.output_type).FromString,
    )
    return stub(factory.GetPrototype(described.input_type)(**fields), timeout=60)


def test_reflection_lists_the_services(client):
    services = client.reflect(list_services="").list_services_response.service
    assert {service.name for service in services} == {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("service", SERVICES)
def test_reflection_describes_a_service(client, service):
    described = reflected_pool(client, service).FindServiceByName(service)
    compiled = [method for method in METHODS if method.containing_service.full_name == service]
    assert [method.name for method in described.methods] == [method.name for method in compiled]
    for ours, theirs in zip(compiled, described.methods):
        for message in ("input_type", "output_type"):
            fields = [
                [(field.name, field.number, field.type) for field in getattr(m, message).fields]
                for m in (ours, theirs)
            ]
            assert fields[0] == fields[1]


def test_health_is_callable_by_reflection_alone(client):
    answer = call_reflected(client, "grpc.health.v1.Health", "Check", {"service": SERVICES[0]})
    assert answer.status == 1


def test_service_is_callable_by_reflection_alone(client, key):
    fields = {"key_id": key, "number_of_bytes": 5}
    answer = call_reflected(client, SERVICES[0], "GenerateDataKey", fields)
    assert KMS_DECRYPT.open(client, answer.ciphertext_blob).plaintext == answer.plaintext
    assert len(answer.plaintext) == 5


def test_reflection_can_be_turned_off(server):
    server.config["reflection"] = False
    client = server.start().client()
    with pytest.raises(grpc.RpcError) as error:
        client.reflect(list_services="")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert client.health_of() == "SERVING"
