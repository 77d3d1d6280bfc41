"""How calls fail: the whole contract of an error, checked on every one that a test sees."""

import dataclasses
import typing
import uuid

import grpc
import pytest

import error_details_pb2
import status_pb2

# Reason -> gRPC code, HTTP status.
REASONS = {
    "InvalidParameter": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "MissingParameter": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "ValidationError": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "UnsupportedOperation": (grpc.StatusCode.UNIMPLEMENTED, 400),
    "InvalidCiphertext": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "IncorrectKey": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "Forbidden.NoPermission": (grpc.StatusCode.PERMISSION_DENIED, 403),
    "AccessDeniedError": (grpc.StatusCode.PERMISSION_DENIED, 403),
    "InvalidGrantToken": (grpc.StatusCode.PERMISSION_DENIED, 403),
    "Forbidden.KeyNotFound": (grpc.StatusCode.NOT_FOUND, 404),
    "Forbidden.AliasNotFound": (grpc.StatusCode.NOT_FOUND, 404),
    "Rejected.Disabled": (grpc.StatusCode.FAILED_PRECONDITION, 409),
    "Rejected.PendingDeletion": (grpc.StatusCode.FAILED_PRECONDITION, 409),
    "DryRunOperationError": (grpc.StatusCode.FAILED_PRECONDITION, 409),
    "Rejected.LimitExceeded": (grpc.StatusCode.RESOURCE_EXHAUSTED, 400),
    "Rejected.Throttling": (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    "Rejected.Unavailable": (grpc.StatusCode.UNAVAILABLE, 503),
    "ServiceUnavailableTemporary": (grpc.StatusCode.UNAVAILABLE, 503),
    "DependencyTimeout": (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    "InternalFailure": (grpc.StatusCode.INTERNAL, 500),
}


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why the service refused a call."""

    reason: str
    message: str
    request_id: str
    # Seconds; None if the error has no RetryInfo.
    retry_delay: typing.Optional[float]
    # Of a dry run: which check failed, and what the token could have done.
    failed_check: typing.Optional[str] = None
    token: typing.Optional[str] = None


def decode(error):
    """The refusal in a grpc.RpcError, which has to carry all that the contract says."""
    trailers = dict(error.trailing_metadata() or ())
    assert "grpc-status-details-bin" in trailers, f"an error without details: {error}"
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()

    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_delay = None
    assert status.details[0].Unpack(info)
    for detail in status.details[1:]:
        assert detail.Unpack(retry)
        retry_delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9

    assert info.domain == "strongroom"
    of_dry_run = {"failed_check", "token"} & set(info.metadata)
    assert set(info.metadata) - of_dry_run == {"http_status", "request_id"}
    assert len(of_dry_run) in (0, 2)
    assert (error.code(), int(info.metadata["http_status"])) == REASONS[info.reason]
    request_id = info.metadata["request_id"]
    assert str(uuid.UUID(request_id)) == request_id
    assert dict(error.initial_metadata()).get("x-request-id") == request_id
    extras = {name: info.metadata[name] for name in of_dry_run}
    return Refusal(info.reason, status.message, request_id, retry_delay, **extras)


def refusal(function, *args, **kwargs):
    """Calls what has to be refused, and returns how."""
    try:
        function(*args, **kwargs)
    except grpc.RpcError as error:
        return decode(error)
    return pytest.fail("the call was not refused")
