#include "client/command/exit_code.h"

#include "absl/strings/cord.h"

namespace strongroom::command {
namespace {

constexpr absl::string_view kUsageMark = "strongroom.dev/usage-error";
constexpr absl::string_view kLocalMark = "strongroom.dev/local-error";

absl::Status Marked(absl::Status status, absl::string_view mark) {
  status.SetPayload(mark, absl::Cord());
  return status;
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  return Marked(absl::InvalidArgumentError(message), kUsageMark);
}

absl::Status LocalError(absl::string_view message) {
  return LocalError(absl::UnavailableError(message));
}

absl::Status LocalError(const absl::Status& cause) { return Marked(cause, kLocalMark); }

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.GetPayload(kUsageMark).has_value()) return ExitCode::kUsage;
  if (status.GetPayload(kLocalMark).has_value()) return ExitCode::kLocal;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return ExitCode::kInvalidRequest;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitCode::kPermission;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return ExitCode::kPrecondition;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kLimit;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return ExitCode::kUnavailable;
    default:
      return ExitCode::kInternal;
  }
}

}  // namespace strongroom::command
