#ifndef STRONGROOM_PLATFORM_FILES_H_
#define STRONGROOM_PLATFORM_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/secret_bytes.h"

namespace strongroom {

// Reads a small file (at most 1 MiB) that is not secret. Errors name the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Reads a file that holds a secret, without its last newline.
//
// FAILED_PRECONDITION if others than the owner and the group may read it, or the group may write.
// Errors name the path and what would be right, never the content.
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path);

// Writes a file that only its owner may read (0600), whole or not at all: a temporary file beside
// it, fsync, rename.
absl::Status WriteSecretFile(const std::string& path, absl::Span<const uint8_t> content);

// Holds a file for this process alone, until destroyed or the process ends in whatever way.
// The file stays; it says which process holds it. Movable, not copyable.
class FileLock {
 public:
  // FAILED_PRECONDITION, naming the holder, if another process holds `path`.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace strongroom

#endif  // STRONGROOM_PLATFORM_FILES_H_
