#ifndef STRONGROOM_CLIENT_ERROR_H_
#define STRONGROOM_CLIENT_ERROR_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace strongroom {

// Why the service refused, finer than a status code. The comments give the code of the status.
enum class Reason {
  // The service gave no reason, or one that this client does not know.
  kUnknown,

  // INVALID_ARGUMENT
  kInvalidParameter,
  kMissingParameter,
  kValidationError,
  // A wrong context or Aad, or a blob that was changed, cut or is foreign: not told apart.
  kInvalidCiphertext,
  // The blob was sealed under another key than the one given.
  kIncorrectKey,

  // UNIMPLEMENTED
  kUnsupportedOperation,

  // PERMISSION_DENIED
  kNoPermission,
  kAccessDenied,
  kInvalidGrantToken,

  // NOT_FOUND
  kKeyNotFound,
  kAliasNotFound,

  // FAILED_PRECONDITION
  kOnlySymmetricKeySupported,
  kDisabled,
  kPendingDeletion,
  // A dry run would have worked.
  kDryRunOperation,

  // RESOURCE_EXHAUSTED
  kLimitExceeded,
  kThrottling,

  // UNAVAILABLE
  kUnavailable,
  kServiceUnavailableTemporary,

  // DEADLINE_EXCEEDED
  kDependencyTimeout,

  // INTERNAL
  kInternalFailure,
};

// As it is on the wire, e.g. "Rejected.Disabled"; empty for kUnknown.
absl::string_view ReasonName(Reason reason);
// The reverse; kUnknown for a name that this client does not know.
Reason ReasonFromName(absl::string_view name);

// How a dry run ended, in the service's words.
struct DryRunDetail {
  // Which check failed: "request", "permission", "key" or "token"; "none" if it would have worked.
  std::string failed_check = {};
  // Whether the token could have carried it out: "able", "unable", or "away" if that is not known.
  std::string token = {};
};

// What the service tells about an error beyond its code and its message.
struct ErrorDetail {
  Reason reason = Reason::kUnknown;
  // As it is on the wire, also where `reason` is kUnknown; empty if there was none.
  std::string reason_name = {};
  // The same error's status over HTTP, e.g. 404; 0 if the service gave none.
  int http_status = 0;
  // The id of the call, under which the service logged it.
  std::string request_id = {};
  // How long to wait before trying again, if the service said so.
  std::optional<absl::Duration> retry_delay = std::nullopt;
  // Of a dry run only.
  std::optional<DryRunDetail> dry_run = std::nullopt;
};

// The detail of a status that a Client returned; nullopt if it is OK or did not come from the
// service (e.g. the connection failed).
std::optional<ErrorDetail> ErrorDetailOf(const absl::Status& status);

// Whether `status` is a dry run's word that the call would have worked (Reason::kDryRunOperation).
bool WouldHaveWorked(const absl::Status& status);

// Under this name a status from a Client carries the serialized google.rpc.Status it came from,
// for programs that look for details of their own.
inline constexpr char kRpcStatusPayload[] = "type.googleapis.com/google.rpc.Status";

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_ERROR_H_
