#ifndef STRONGROOM_CLIENT_COMMAND_FILES_H_
#define STRONGROOM_CLIENT_COMMAND_FILES_H_

#include <istream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "platform/secret_bytes.h"

namespace strongroom::command {

// More than this fits no request (64 KiB with all its fields).
inline constexpr size_t kLargestInput = size_t{64} << 10;

// Reads all of a file, or of `in` if `path` is "-", as it is. At most kLargestInput bytes.
absl::StatusOr<SecretBytes> ReadInput(const std::string& path, std::istream& in);

// The files that one command writes: all of them or none, each for its owner only (0600).
//
// Announce() them before calling the service, so that what cannot be written is known before
// anything is generated; Write() them; Keep() them once all is well. What was written and not
// kept is removed. Thread-compatible.
class OutputFiles {
 public:
  // With `force` a regular file that is there is replaced; else it is an error.
  explicit OutputFiles(bool force) : force_(force) {}
  ~OutputFiles();
  OutputFiles(const OutputFiles&) = delete;
  OutputFiles& operator=(const OutputFiles&) = delete;

  // `flag` is the command-line option that named `path`. Does nothing if `path` is empty.
  absl::Status Announce(absl::string_view flag, const std::string& path);

  // Does nothing if `path` is empty.
  absl::Status Write(const std::string& path, absl::Span<const uint8_t> content);
  absl::Status Write(const std::string& path, absl::string_view content);

  void Keep() { written_.clear(); }

 private:
  const bool force_;
  std::vector<std::string> announced_;
  std::vector<std::string> written_;
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_FILES_H_
