#include "server/core/error.h"

#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace strongroom::core {
namespace {

constexpr char kReasonPayload[] = "strongroom.dev/reason";
constexpr char kRetryPayload[] = "strongroom.dev/retry_ms";
constexpr char kDetailPayload[] = "strongroom.dev/detail";
// Before the name of an entry.
constexpr char kMetadataPayload[] = "strongroom.dev/metadata/";

constexpr absl::Duration kTokenRetry = absl::Seconds(1);

constexpr char kInternalFailureMessage[] =
    "internal failure; the server's log has more under this request's id";

// In the order of the enumerators.
constexpr ReasonInfo kReasons[] = {
    {Reason::kInvalidParameter, "InvalidParameter", absl::StatusCode::kInvalidArgument, 400},
    {Reason::kMissingParameter, "MissingParameter", absl::StatusCode::kInvalidArgument, 400},
    {Reason::kValidationError, "ValidationError", absl::StatusCode::kInvalidArgument, 400},
    {Reason::kUnsupportedOperation, "UnsupportedOperation", absl::StatusCode::kUnimplemented, 400},
    {Reason::kInvalidCiphertext, "InvalidCiphertext", absl::StatusCode::kInvalidArgument, 400},
    {Reason::kIncorrectKey, "IncorrectKey", absl::StatusCode::kInvalidArgument, 400},
    {Reason::kNoPermission, "Forbidden.NoPermission", absl::StatusCode::kPermissionDenied, 403},
    {Reason::kAccessDenied, "AccessDeniedError", absl::StatusCode::kPermissionDenied, 403},
    {Reason::kInvalidGrantToken, "InvalidGrantToken", absl::StatusCode::kPermissionDenied, 403},
    {Reason::kKeyNotFound, "Forbidden.KeyNotFound", absl::StatusCode::kNotFound, 404},
    {Reason::kAliasNotFound, "Forbidden.AliasNotFound", absl::StatusCode::kNotFound, 404},
    {Reason::kDisabled, "Rejected.Disabled", absl::StatusCode::kFailedPrecondition, 409},
    {Reason::kPendingDeletion, "Rejected.PendingDeletion", absl::StatusCode::kFailedPrecondition,
     409},
    {Reason::kDryRunOperation, "DryRunOperationError", absl::StatusCode::kFailedPrecondition, 409},
    {Reason::kLimitExceeded, "Rejected.LimitExceeded", absl::StatusCode::kResourceExhausted, 400},
    {Reason::kThrottling, "Rejected.Throttling", absl::StatusCode::kResourceExhausted, 429},
    {Reason::kUnavailable, "Rejected.Unavailable", absl::StatusCode::kUnavailable, 503},
    {Reason::kServiceUnavailableTemporary, "ServiceUnavailableTemporary",
     absl::StatusCode::kUnavailable, 503},
    {Reason::kDependencyTimeout, "DependencyTimeout", absl::StatusCode::kDeadlineExceeded, 504},
    {Reason::kInternalFailure, "InternalFailure", absl::StatusCode::kInternal, 500},
};

std::optional<std::string> Payload(const absl::Status& error, absl::string_view type) {
  const absl::optional<absl::Cord> payload = error.GetPayload(type);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

const ReasonInfo& InfoOf(Reason reason) { return kReasons[static_cast<size_t>(reason)]; }

absl::Status MakeError(Reason reason, absl::string_view message) {
  const ReasonInfo& info = InfoOf(reason);
  absl::Status error(info.code, message);
  error.SetPayload(kReasonPayload, absl::Cord(info.name));
  return error;
}

absl::Status MakeRetryableError(Reason reason, absl::string_view message, absl::Duration wait) {
  absl::Status error = MakeError(reason, message);
  error.SetPayload(kRetryPayload, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(wait))));
  return error;
}

absl::Status WithMetadata(absl::Status error, absl::string_view name, absl::string_view value) {
  error.SetPayload(absl::StrCat(kMetadataPayload, name), absl::Cord(value));
  return error;
}

absl::Status WithDetail(absl::Status error, absl::string_view detail) {
  error.SetPayload(kDetailPayload, absl::Cord(detail));
  return error;
}

absl::Status MakeInternalFailure(absl::string_view detail) {
  return WithDetail(MakeError(Reason::kInternalFailure, kInternalFailureMessage), detail);
}

absl::Status InvalidCiphertext() {
  return MakeError(Reason::kInvalidCiphertext,
                   "the ciphertext does not open: it was changed, is not from here, or is bound to "
                   "another Aad or encryption context");
}

absl::Status FromToken(const absl::Status& failure) {
  switch (failure.code()) {
    case absl::StatusCode::kOk:
      return failure;
    case absl::StatusCode::kUnavailable:
      return WithDetail(MakeRetryableError(Reason::kUnavailable,
                                           "the token is not available; try again", kTokenRetry),
                        failure.message());
    case absl::StatusCode::kDeadlineExceeded:
      return WithDetail(MakeError(Reason::kDependencyTimeout,
                                  "the token was busy until the call's deadline; allow more time"),
                        failure.message());
    case absl::StatusCode::kResourceExhausted:
      return WithDetail(
          MakeRetryableError(Reason::kThrottling, "the token is at its limits; try again later",
                             kTokenRetry),
          failure.message());
    case absl::StatusCode::kNotFound:
      // The token is only asked for keys that the store knows.
      return WithDetail(
          MakeError(Reason::kUnavailable,
                    "the key version's keys are missing in the token; its operator has to look"),
          failure.message());
    case absl::StatusCode::kUnimplemented:
      return WithDetail(MakeError(Reason::kUnsupportedOperation, "the token cannot do this"),
                        failure.message());
    default:
      return MakeInternalFailure(failure.message());
  }
}

absl::Status FromStore(const absl::Status& failure) {
  if (failure.ok()) return failure;
  if (absl::IsUnavailable(failure)) {
    return WithDetail(
        MakeRetryableError(Reason::kServiceUnavailableTemporary,
                           "the key database is not available; try again", kTokenRetry),
        failure.message());
  }
  return MakeInternalFailure(failure.message());
}

Reason ReasonOf(const absl::Status& error) {
  const std::optional<std::string> name = Payload(error, kReasonPayload);
  for (const ReasonInfo& info : kReasons) {
    if (name == info.name) return info.reason;
  }
  return Reason::kInternalFailure;
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& error) {
  const std::optional<std::string> text = Payload(error, kRetryPayload);
  int64_t milliseconds = 0;
  if (!text.has_value() || !absl::SimpleAtoi(*text, &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

std::map<std::string, std::string> MetadataOf(const absl::Status& error) {
  std::map<std::string, std::string> metadata;
  error.ForEachPayload([&](absl::string_view type, const absl::Cord& value) {
    if (absl::ConsumePrefix(&type, kMetadataPayload)) {
      metadata[std::string(type)] = std::string(value);
    }
  });
  return metadata;
}

std::string DetailOf(const absl::Status& error) {
  if (!error.ok() && !Payload(error, kReasonPayload).has_value()) {
    return std::string(error.message());
  }
  return Payload(error, kDetailPayload).value_or(std::string());
}

std::string MessageOf(const absl::Status& error) {
  return std::string(Payload(error, kReasonPayload).has_value()
                         ? error.message()
                         : absl::string_view(kInternalFailureMessage));
}

}  // namespace strongroom::core
