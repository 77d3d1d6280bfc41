#include "platform/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace strongroom {
namespace {

constexpr size_t kLargestFile = size_t{1} << 20;

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string text = absl::StrCat(what, " ", path, ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Reads up to `size` bytes; fewer only at the end of the file.
absl::StatusOr<size_t> ReadUpTo(int fd, uint8_t* out, size_t size, const std::string& path) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd, out + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("cannot read", path);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

absl::StatusOr<SecretBytes> ReadWhole(const Descriptor& file, const std::string& path,
                                      struct stat* info) {
  if (file.get() < 0) return SystemError("cannot open", path);
  if (fstat(file.get(), info) != 0) return SystemError("cannot stat", path);
  if (S_ISDIR(info->st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a directory, not a file"));
  }
  // One byte more than there is, to see whether there is more by now. What is no regular file (a
  // pipe, /proc) has no size.
  const size_t expected = S_ISREG(info->st_mode) && info->st_size > 0
                              ? std::min(static_cast<size_t>(info->st_size), kLargestFile)
                              : kLargestFile;
  SecretBytes content(expected + 1);
  absl::StatusOr<size_t> size =
      ReadUpTo(file.get(), content.MutableSecret().data(), content.size(), path);
  if (!size.ok()) return size.status();
  if (*size > kLargestFile) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is larger than 1 MiB"));
  }
  if (*size > expected) {
    return absl::UnavailableError(absl::StrCat(path, " grew while it was read; try again"));
  }
  content.Truncate(*size);
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info;
  absl::StatusOr<SecretBytes> content = ReadWhole(file, path, &info);
  if (!content.ok()) return content.status();
  return std::string(content->ExposeSecretAsText());
}

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info;
  absl::StatusOr<SecretBytes> content = ReadWhole(file, path, &info);
  if (!content.ok()) return content.status();
  if ((info.st_mode & (S_IWGRP | S_IROTH | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s holds a secret but has mode %04o; make it readable by its owner only: chmod 0600", path,
        info.st_mode & 07777));
  }
  absl::Span<const uint8_t> bytes = content->ExposeSecret();
  size_t size = bytes.size();
  if (size > 0 && bytes[size - 1] == '\n') {
    --size;
    if (size > 0 && bytes[size - 1] == '\r') --size;
  }
  // A secret of its own length, rather than the head of a mebibyte.
  return SecretBytes::CopyOf(bytes.first(size));
}

absl::Status WriteSecretFile(const std::string& path, absl::Span<const uint8_t> content) {
  // A new name each time, so that what a crash left is not in the way. It is created 0600.
  std::string temporary = absl::StrCat(path, ".XXXXXX");
  {
    Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
    if (file.get() < 0) return SystemError("cannot create", temporary);
    size_t done = 0;
    while (done < content.size()) {
      const ssize_t n = write(file.get(), content.data() + done, content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        absl::Status failed = SystemError("cannot write", temporary);
        unlink(temporary.c_str());
        return failed;
      }
      done += static_cast<size_t>(n);
    }
    if (fsync(file.get()) != 0) {
      absl::Status failed = SystemError("cannot sync", temporary);
      unlink(temporary.c_str());
      return failed;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    absl::Status failed = SystemError("cannot rename to", path);
    unlink(temporary.c_str());
    return failed;
  }
  return absl::OkStatus();
}

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  FileLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return SystemError("cannot open", path);
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError("cannot lock", path);
    char holder[32] = {};
    const ssize_t n = pread(lock.fd_, holder, sizeof(holder) - 1, 0);
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is held by another process",
                     n > 0 ? absl::StrCat(" (", holder, ")") : std::string()));
  }
  const std::string holder = absl::StrCat("pid ", getpid());
  if (ftruncate(lock.fd_, 0) != 0 ||
      pwrite(lock.fd_, holder.data(), holder.size(), 0) != static_cast<ssize_t>(holder.size())) {
    return SystemError("cannot write", path);
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace strongroom
