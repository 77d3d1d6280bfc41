#include "client/command/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "platform/files.h"

namespace strongroom::command {
namespace {

absl::Status TooLarge(absl::string_view name) {
  return LocalError(absl::StrCat(
      name, " has more than ", kLargestInput,
      " bytes, which fits no request (encrypt takes 4,096); encrypt large data yourself, with a "
      "key from `strongroom data-key generate`"));
}

absl::StatusOr<SecretBytes> ReadStream(std::istream& in) {
  SecretBytes content(kLargestInput + 1);
  in.read(reinterpret_cast<char*>(content.MutableSecret().data()),
          static_cast<std::streamsize>(content.size()));
  if (in.bad()) return LocalError("cannot read standard input");
  const auto size = static_cast<size_t>(in.gcount());
  if (size > kLargestInput) return TooLarge("standard input");
  content.Truncate(size);
  return content;
}

// The folder of `path`, resolved; empty, with errno, if there is none.
std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  char resolved[PATH_MAX];
  return realpath(folder.c_str(), resolved) == nullptr ? std::string() : std::string(resolved);
}

absl::Status CannotWrite(absl::string_view path) {
  return LocalError(absl::StrCat("cannot write ", path, ": ", strerror(errno)));
}

absl::Status Exists(absl::string_view path) {
  return LocalError(absl::AlreadyExistsError(
      absl::StrCat(path, " exists; name another file, or replace it with --force")));
}

}  // namespace

absl::StatusOr<SecretBytes> ReadInput(const std::string& path, std::istream& in) {
  if (path == "-") return ReadStream(in);
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return LocalError(text.status());
  SecretBytes content = SecretBytes::CopyOf(*text);
  Wipe(&*text);
  if (content.size() > kLargestInput) return TooLarge(path);
  return content;
}

OutputFiles::~OutputFiles() {
  for (const std::string& path : written_) unlink(path.c_str());
}

absl::Status OutputFiles::Announce(absl::string_view flag, const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const std::string folder = FolderOf(path);
  if (folder.empty() || access(folder.c_str(), W_OK | X_OK) != 0) return CannotWrite(path);

  const std::string resolved = absl::StrCat(folder, "/", path.substr(path.rfind('/') + 1));
  if (std::find(announced_.begin(), announced_.end(), resolved) != announced_.end()) {
    return UsageError(absl::StrCat(flag, " names ", path, ", which another option names already"));
  }
  announced_.push_back(resolved);

  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : CannotWrite(path);
  }
  // Replacing /dev/null or a named pipe by a file is never what was meant.
  if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) {
    return LocalError(absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file")));
  }
  return force_ ? absl::OkStatus() : Exists(path);
}

absl::Status OutputFiles::Write(const std::string& path, absl::Span<const uint8_t> content) {
  if (path.empty()) return absl::OkStatus();
  if (!force_) {
    // Takes the name, so that a file which came up since Announce() is not replaced.
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno == EEXIST ? Exists(path) : CannotWrite(path);
    close(fd);
    written_.push_back(path);
  }
  absl::Status status = WriteSecretFile(path, content);
  if (!status.ok()) return LocalError(status);
  if (force_) written_.push_back(path);
  return absl::OkStatus();
}

absl::Status OutputFiles::Write(const std::string& path, absl::string_view content) {
  return Write(
      path, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(content.data()), content.size()));
}

}  // namespace strongroom::command
