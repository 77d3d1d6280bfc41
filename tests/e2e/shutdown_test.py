"""Stopping: calls under way end as they would have, and new ones are not taken."""

import signal
import threading

import grpc
import pytest

import health_pb2
from harness.operations import KMS_DECRYPT, operation
from strongroom.v1 import kms_service_pb2 as kms_pb

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# gRPC says the second of a call that comes just as the server stops listening.
NOT_TAKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
SEALER = operation("kms-GenerateDataKeyPair")


class HeldCall:
    """A pair generation that waits in the token."""

    def __init__(self, server, point):
        self.client = server.client()
        self.key = self.client.create_key()
        self.sealed = None
        self.error = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        point.wait_until_held()

    def _run(self):
        try:
            self.sealed = SEALER.seal(self.client, self.key)
        except grpc.RpcError as error:
            self.error = error

    def join(self):
        """Waits for its answer."""
        self._thread.join()


@pytest.fixture
def held(server):
    """A running server with a call that waits, and the place where it does."""
    point = server.use_faults().hold("C_GenerateKeyPair", "call=1")
    server.start()
    return HeldCall(server, point), point


def watch_health(server):
    """The states that a health watcher is told; the first one is waited for."""
    stream = server.client().health.Watch(health_pb2.HealthCheckRequest(), timeout=120)
    states = (answer.status for answer in stream)
    assert next(states) == SERVING
    return states


def first_error_of_new_calls(client):
    """Calls until it is refused: gRPC stops taking calls a moment after health said so."""
    while True:
        try:
            client.kms.GenerateRandom(kms_pb.GenerateRandomRequest(number_of_bytes=1))
        except grpc.RpcError as error:
            return error.code()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_call_under_way_ends_well(server, held, number):
    call, point = held
    states = watch_health(server)
    server.process.send_signal(number)
    # Health says so while the call still runs.
    assert next(states) == NOT_SERVING
    assert first_error_of_new_calls(server.client()) in NOT_TAKEN
    point.release()
    call.join()
    assert call.error is None
    server.wait_until_stopped()
    stopping = [event for event in server.events() if event["event"] == "stopping"]
    assert [event["signal"] for event in stopping] == [number]

    client = server.start().client()
    assert b"PRIVATE" not in KMS_DECRYPT.open(client, call.sealed).plaintext


def test_call_that_takes_too_long_is_cancelled(server):
    point = server.use_faults().hold("C_GenerateKeyPair", "call=1")
    server.config["shutdown_grace_seconds"] = 0
    server.start()
    call = HeldCall(server, point)
    server.terminate()
    call.join()
    assert call.error.code() in NOT_TAKEN
    point.release()
    server.wait_until_stopped()


def test_sockets_are_gone_after_a_stop(server):
    server.start()
    assert server.socket_path.is_socket()
    server.stop()
    assert not server.socket_path.exists()


def test_watcher_of_health_does_not_prevent_the_stop(server):
    server.config["shutdown_grace_seconds"] = 1
    server.start()
    states = watch_health(server)
    server.terminate()
    assert next(states) == NOT_SERVING
    # Before the watcher goes.
    assert server.process.wait(60) == 0
    server.wait_until_stopped()
