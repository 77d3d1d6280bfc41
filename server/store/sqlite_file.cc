#include "server/store/sqlite_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace strongroom::store {
namespace {

// The first bytes of every SQLite database, with their NUL
// (https://www.sqlite.org/fileformat.html).
constexpr absl::string_view kMagic("SQLite format 3\0", 16);

// Two names of one file must lead to one lock, so links are followed here and nowhere later.
absl::StatusOr<std::string> Resolve(const std::string& path) {
  namespace fs = std::filesystem;
  if (path.empty()) return absl::InvalidArgumentError("the store's path is empty");
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const fs::path resolved = error ? fs::path() : fs::weakly_canonical(absolute, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve the store's path ", path, ": ", error.message()));
  }
  if (fs::is_directory(resolved, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(resolved.string(), " is a directory; the store's path must name a file"));
  }
  if (!fs::is_directory(resolved.parent_path(), error)) {
    return absl::NotFoundError(
        absl::StrCat("the store's directory ", resolved.parent_path().string(),
                     " does not exist; create it, owned by the server's user and with mode 0700"));
  }
  return resolved.string();
}

absl::Status CheckOpenFile(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot stat ", path, ": ", strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("the store ", path, " is not a plain file"));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the store %s has mode %04o; only its owner may write it: chmod 0600", path,
                        info.st_mode & 07777));
  }
  if (info.st_size == 0) return absl::OkStatus();
  char head[16];
  const ssize_t size = pread(fd, head, sizeof(head), 0);
  if (size < 0) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path, ": ", strerror(errno)));
  }
  if (absl::string_view(head, static_cast<size_t>(size)) != kMagic) {
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " is not an SQLite database; give the store a path of its own, or "
                     "restore it from a backup if it was one"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SqliteFile> HoldSqliteFile(const std::string& path) {
  absl::StatusOr<std::string> resolved = Resolve(path);
  if (!resolved.ok()) return resolved.status();

  absl::StatusOr<FileLock> lock = FileLock::Acquire(absl::StrCat(*resolved, ".lock"));
  if (absl::IsFailedPrecondition(lock.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store ", *resolved, " is in use: ", lock.status().message(),
                     ". Stop that server first, or give this one a store and a token of its own"));
  }
  if (!lock.ok()) return lock.status();

  // Not before the lock is held: closing a file drops the locks that SQLite has on it elsewhere in
  // this process (fcntl(2)).
  const int fd = open(resolved->c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                      S_IRUSR | S_IWUSR);
  if (fd < 0) {
    const std::string message =
        absl::StrCat("cannot open the store ", *resolved, ": ", strerror(errno));
    return errno == EACCES ? absl::PermissionDeniedError(message) : absl::UnavailableError(message);
  }
  absl::Status status = CheckOpenFile(fd, *resolved);
  close(fd);
  if (!status.ok()) return status;
  return SqliteFile{*std::move(resolved), *std::move(lock)};
}

}  // namespace strongroom::store
