#ifndef STRONGROOM_SERVER_CORE_ERROR_H_
#define STRONGROOM_SERVER_CORE_ERROR_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace strongroom::core {

// Why a call fails, in the words that callers are told. See ReasonInfo for what each comes with.
enum class Reason {
  kInvalidParameter,
  kMissingParameter,
  kValidationError,
  kUnsupportedOperation,
  kInvalidCiphertext,
  kIncorrectKey,
  kNoPermission,
  kAccessDenied,
  kInvalidGrantToken,
  kKeyNotFound,
  kAliasNotFound,
  kDisabled,
  kPendingDeletion,
  kDryRunOperation,
  kLimitExceeded,
  kThrottling,
  kUnavailable,
  kServiceUnavailableTemporary,
  kDependencyTimeout,
  kInternalFailure,
};

struct ReasonInfo {
  Reason reason;
  // As it stands in google.rpc.ErrorInfo, e.g. "Forbidden.KeyNotFound".
  const char* name;
  absl::StatusCode code;
  int http_status;
};

const ReasonInfo& InfoOf(Reason reason);

// An error for the caller. `message` says which field, why, and what would be right; nothing
// internal.
absl::Status MakeError(Reason reason, absl::string_view message);

// The same with how long waiting would help.
absl::Status MakeRetryableError(Reason reason, absl::string_view message, absl::Duration wait);

// `error` with a detail for the log, in place of the one it may have.
absl::Status WithDetail(absl::Status error, absl::string_view detail);

// `error` with one more entry for the caller in its google.rpc.ErrorInfo's metadata.
absl::Status WithMetadata(absl::Status error, absl::string_view name, absl::string_view value);

// The error that the caller gets for a failure of the token or of the store: the reason by what the
// caller can do, a general message, and the failure itself as a detail for the log.
absl::Status FromToken(const absl::Status& failure);
absl::Status FromStore(const absl::Status& failure);

// InternalFailure with a detail for the log.
absl::Status MakeInternalFailure(absl::string_view detail);

// InvalidCiphertext in its one wording: why a blob does not open is not told.
absl::Status InvalidCiphertext();

// What an error that one of the above made carries. kInternalFailure for any other status.
Reason ReasonOf(const absl::Status& error);
std::optional<absl::Duration> RetryDelayOf(const absl::Status& error);
// What WithMetadata added, in the order of the names.
std::map<std::string, std::string> MetadataOf(const absl::Status& error);
// For the log, never for the caller: the detail, or all that a status says that none of the above
// made. Empty if there is none.
std::string DetailOf(const absl::Status& error);
// For the caller: the message, or InternalFailure's for a status that none of the above made.
std::string MessageOf(const absl::Status& error);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_ERROR_H_
