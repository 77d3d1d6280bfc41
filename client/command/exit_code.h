#ifndef STRONGROOM_CLIENT_COMMAND_EXIT_CODE_H_
#define STRONGROOM_CLIENT_COMMAND_EXIT_CODE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace strongroom::command {

// How the `strongroom` command ends. Scripts depend on the numbers: `strongroom --help` and
// client/README.md have the same table.
enum class ExitCode {
  kOk = 0,
  // `audit verify` looked, and the trail is damaged: as of grep, cmp and diff.
  kDamaged = 1,
  // The command line is wrong; nothing was sent.
  kUsage = 2,
  // INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED: InvalidCiphertext is one of these.
  kInvalidRequest = 3,
  // NOT_FOUND
  kNotFound = 4,
  // PERMISSION_DENIED, UNAUTHENTICATED
  kPermission = 5,
  // FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED: a key that is disabled or to be
  // destroyed, for example.
  kPrecondition = 6,
  // RESOURCE_EXHAUSTED: throttled, no uses of a key left, too many tags or grants.
  kLimit = 7,
  // UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED; or the service is not serving.
  kUnavailable = 8,
  // INTERNAL and whatever has no other place.
  kInternal = 9,
  // A file or a standard stream of this machine could not be read or written.
  kLocal = 10,
  // Done in part: `reencrypt` left files as they were, or not all keys of `data-key batch` were
  // made. Each is in the report, or it was interrupted.
  kPartly = 11,
};

// Errors that the command finds by itself are statuses like the service's, marked.
absl::Status UsageError(absl::string_view message);
absl::Status LocalError(absl::string_view message);
absl::Status LocalError(const absl::Status& cause);

ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_EXIT_CODE_H_
