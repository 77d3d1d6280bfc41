#ifndef STRONGROOM_SERVER_GATE_AUDIT_FILE_H_
#define STRONGROOM_SERVER_GATE_AUDIT_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace strongroom::audit {

// The error of the last system call, naming the path.
absl::Status SystemError(absl::string_view what, const std::string& path);

// "audit-00000000000000000001.jsonl" for 1.
std::string FileName(int64_t first_sequence);

// The first sequences of the trail's files in a directory, ascending.
absl::StatusOr<std::vector<int64_t>> ListFiles(const std::string& directory);

// Makes the directory (0750) if it is not there and its parent is.
absl::Status MakeDirectory(const std::string& directory);

// A file of the trail, open for appending. Append and Repair are for one thread at a time; Sync may
// run beside them.
class File {
 public:
  // fdatasync(2), or what stands for it in tests.
  using SyncFunction = std::function<int(int fd)>;

  // Makes a file (0640), or takes one that is there and empty, and syncs the directory.
  static absl::StatusOr<std::shared_ptr<File>> Make(const std::string& directory,
                                                    int64_t first_sequence, SyncFunction sync);
  // Opens a file that is there.
  static absl::StatusOr<std::shared_ptr<File>> Open(const std::string& directory,
                                                    int64_t first_sequence, SyncFunction sync);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Writes all of `bytes`, or nothing: `size` is the file's size before and, on an error, after.
  // With `sync`, they are on the disk as well. An error also if the file is no longer the one at
  // its path, or somebody else changed its size.
  absl::Status Append(absl::string_view bytes, int64_t size, bool sync);

  // Cuts off what a failed Append could not. OK if the file is then as Append wants it.
  absl::Status Repair(int64_t size);

  absl::Status Sync();

 private:
  File(std::string path, int fd, SyncFunction sync)
      : path_(std::move(path)), fd_(fd), sync_(std::move(sync)) {}

  // Remembers which file it is.
  absl::Status Identify(bool empty);
  absl::Status CheckUnchanged(int64_t size) const;
  // Writes and syncs, and leaves what it wrote if it fails.
  absl::Status Write(absl::string_view bytes, bool sync);

  const std::string path_;
  const int fd_;
  const SyncFunction sync_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  // Whether something of a failed Append is still at the end.
  bool torn_ = false;
};

}  // namespace strongroom::audit

#endif  // STRONGROOM_SERVER_GATE_AUDIT_FILE_H_
