#include "server/gate/audit/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace strongroom::audit {
namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr mode_t kFileMode = 0640;
constexpr size_t kSequenceDigits = 20;

absl::Status SyncDirectory(const std::string& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError("cannot open", directory);
  const absl::Status status =
      fsync(fd) == 0 ? absl::OkStatus() : SystemError("cannot sync", directory);
  close(fd);
  return status;
}

}  // namespace

absl::Status SystemError(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", strerror(errno)));
}

std::string FileName(int64_t first_sequence) {
  return absl::StrFormat("audit-%020d.jsonl", first_sequence);
}

absl::StatusOr<std::vector<int64_t>> ListFiles(const std::string& directory) {
  DIR* const folder = opendir(directory.c_str());
  if (folder == nullptr) return SystemError("cannot list", directory);
  std::vector<int64_t> files;
  while (const dirent* const entry = readdir(folder)) {
    absl::string_view name = entry->d_name;
    int64_t first = 0;
    if (absl::ConsumePrefix(&name, "audit-") && absl::ConsumeSuffix(&name, ".jsonl") &&
        name.size() == kSequenceDigits && absl::SimpleAtoi(name, &first) && first > 0) {
      files.push_back(first);
    }
  }
  closedir(folder);
  std::sort(files.begin(), files.end());
  return files;
}

absl::Status MakeDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), kDirectoryMode) == 0) {
    // Whatever the umask is.
    if (chmod(directory.c_str(), kDirectoryMode) != 0) {
      return SystemError("cannot set the mode of", directory);
    }
    return SyncDirectory(absl::StrCat(directory, "/.."));
  }
  if (errno != EEXIST) return SystemError("cannot make", directory);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<File>> File::Make(const std::string& directory,
                                                 int64_t first_sequence, SyncFunction sync) {
  std::string path = absl::StrCat(directory, "/", FileName(first_sequence));
  const int fd =
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kFileMode);
  if (fd < 0) return SystemError("cannot make", path);
  std::shared_ptr<File> file(new File(std::move(path), fd, std::move(sync)));
  if (absl::Status status = file->Identify(/*empty=*/true); !status.ok()) return status;
  // The readers' group needs it, and the process's umask leaves it out.
  if (fchmod(fd, kFileMode) != 0) return SystemError("cannot set the mode of", file->path_);
  if (absl::Status status = SyncDirectory(directory); !status.ok()) return status;
  return file;
}

absl::StatusOr<std::shared_ptr<File>> File::Open(const std::string& directory,
                                                 int64_t first_sequence, SyncFunction sync) {
  std::string path = absl::StrCat(directory, "/", FileName(first_sequence));
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return SystemError("cannot open", path);
  std::shared_ptr<File> file(new File(std::move(path), fd, std::move(sync)));
  if (absl::Status status = file->Identify(/*empty=*/false); !status.ok()) return status;
  return file;
}

File::~File() { close(fd_); }

absl::Status File::Identify(bool empty) {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemError("cannot stat", path_);
  if (!S_ISREG(info.st_mode) || (empty && info.st_size != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " is in the way: it is not an empty file"));
  }
  device_ = info.st_dev;
  inode_ = info.st_ino;
  return absl::OkStatus();
}

absl::Status File::CheckUnchanged(int64_t size) const {
  struct stat at_path;
  if (stat(path_.c_str(), &at_path) != 0) return SystemError("cannot stat", path_);
  if (at_path.st_dev != device_ || at_path.st_ino != inode_) {
    return absl::UnavailableError(absl::StrCat(path_, " is no longer the file that was opened"));
  }
  if (at_path.st_size != size) {
    return absl::UnavailableError(absl::StrCat(path_, " was changed by somebody else: it has ",
                                               at_path.st_size, " bytes rather than ", size));
  }
  return absl::OkStatus();
}

absl::Status File::Append(absl::string_view bytes, int64_t size, bool sync) {
  if (absl::Status status = CheckUnchanged(size); !status.ok()) return status;
  const absl::Status status = Write(bytes, sync);
  if (!status.ok()) {
    torn_ = true;
    // If this fails as well, the next Repair has to do it before anything else is written.
    (void)Repair(size);
  }
  return status;
}

absl::Status File::Write(absl::string_view bytes, bool sync) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return SystemError("cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return sync ? Sync() : absl::OkStatus();
}

absl::Status File::Repair(int64_t size) {
  if (torn_) {
    if (ftruncate(fd_, size) != 0) return SystemError("cannot truncate", path_);
    torn_ = false;
  }
  return CheckUnchanged(size);
}

absl::Status File::Sync() {
  return sync_(fd_) == 0 ? absl::OkStatus() : SystemError("cannot sync", path_);
}

}  // namespace strongroom::audit
