#include "client/command/replace_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"

namespace strongroom::command {
namespace {

// The old file's name is not in it, for that may be as long as names can be.
constexpr absl::string_view kMark = ".strongroom-";
constexpr absl::string_view kUnique = "XXXXXX";

absl::Status SystemError(absl::string_view what, absl::string_view path) {
  return LocalError(absl::StrCat(what, " ", path, ": ", strerror(errno)));
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
  const int fd_;
};

// A file that goes away unless it is given its name.
class Beside {
 public:
  explicit Beside(const std::string& path)
      : folder_(path.substr(0, path.rfind('/') + 1)),
        name_(absl::StrCat(folder_, kMark, kUnique)),
        file_(mkostemp(name_.data(), O_CLOEXEC)) {}
  ~Beside() {
    if (file_.get() >= 0 && !kept_) unlink(name_.c_str());
  }

  // All that can fail, before anything is replaced.
  absl::Status Fill(absl::string_view content, const struct stat& like, bool same_owner) {
    if (file_.get() < 0) return SystemError("cannot create", name_);
    // The owner first: giving a file away takes some bits of its mode.
    if (same_owner && (like.st_uid != geteuid() || like.st_gid != getegid()) &&
        fchown(file_.get(), like.st_uid, like.st_gid) != 0) {
      return SystemError("cannot give the owner of the old file to", name_);
    }
    if (fchmod(file_.get(), like.st_mode & 07777) != 0) {
      return SystemError("cannot set the mode of", name_);
    }
    while (!content.empty()) {
      const ssize_t n = write(file_.get(), content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError("cannot write", name_);
      content.remove_prefix(static_cast<size_t>(n));
    }
    return fsync(file_.get()) == 0 ? absl::OkStatus() : SystemError("cannot sync", name_);
  }

  absl::Status Name(const std::string& path, bool replace) {
    if (replace) {
      if (rename(name_.c_str(), path.c_str()) != 0) return SystemError("cannot replace", path);
      kept_ = true;
    } else if (link(name_.c_str(), path.c_str()) != 0) {
      if (errno != EEXIST) return SystemError("cannot create", path);
      return LocalError(absl::AlreadyExistsError(
          absl::StrCat(path, " exists; name another folder, or replace it with --force")));
    }
    const Descriptor folder(
        open(folder_.empty() ? "." : folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0 || fsync(folder.get()) != 0) {
      return SystemError("it is new already, but cannot sync the folder of", path);
    }
    return absl::OkStatus();
  }

 private:
  const std::string folder_;
  std::string name_;
  const Descriptor file_;
  bool kept_ = false;
};

bool Same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

absl::StatusOr<FileRead> ReadForReplacing(const std::string& path) {
  // A named pipe would make this wait for a writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  FileRead read;
  if (file.get() < 0 || fstat(file.get(), &read.info) != 0) return SystemError("cannot open", path);
  if (!S_ISREG(read.info.st_mode)) {
    return LocalError(absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file")));
  }
  // One byte more, to see whether there is more.
  read.content.resize(kLargestInput + 1);
  size_t size = 0;
  while (size < read.content.size()) {
    const ssize_t n = ::read(file.get(), read.content.data() + size, read.content.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("cannot read", path);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kLargestInput) {
    return LocalError(absl::FailedPreconditionError(
        absl::StrCat(path, " is no blob: it has more than ", kLargestInput, " bytes")));
  }
  read.content.resize(size);
  return read;
}

absl::Status ReplaceFile(const std::string& path, const FileRead& read, absl::string_view content) {
  Beside beside(path);
  absl::Status status = beside.Fill(content, read.info, /*same_owner=*/true);
  if (!status.ok()) return status;
  struct stat now;
  if (lstat(path.c_str(), &now) != 0) return SystemError("cannot replace", path);
  if (!Same(now, read.info)) {
    return LocalError(absl::AbortedError(
        absl::StrCat(path, " was changed meanwhile, and is left as it is; try again")));
  }
  return beside.Name(path, /*replace=*/true);
}

absl::Status WriteNewFile(const std::string& path, const FileRead& read, absl::string_view content,
                          bool force) {
  Beside beside(path);
  absl::Status status = beside.Fill(content, read.info, /*same_owner=*/false);
  return status.ok() ? beside.Name(path, force) : status;
}

bool IsLeftover(absl::string_view name) {
  return absl::StartsWith(name, kMark) && name.size() == kMark.size() + kUnique.size();
}

}  // namespace strongroom::command
