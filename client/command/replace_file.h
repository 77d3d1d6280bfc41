#ifndef STRONGROOM_CLIENT_COMMAND_REPLACE_FILE_H_
#define STRONGROOM_CLIENT_COMMAND_REPLACE_FILE_H_

#include <sys/stat.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace strongroom::command {

// A file as it was when it was read.
struct FileRead {
  std::string content = {};
  struct stat info = {};
};

// Reads a regular file that is not secret and not larger than a request. Local errors name it.
absl::StatusOr<FileRead> ReadForReplacing(const std::string& path);

// Puts `content` in the place of the file that `read` came from, with its mode and its owner. At
// any moment, also after a power cut, there is either the old file or the new one: a file beside
// it, fsync, rename, fsync of the folder.
//
// A local error leaves the old one: if the folder cannot be written, if the owner cannot be given,
// or if the file has changed since it was read. Extended attributes and hard links are not kept.
absl::Status ReplaceFile(const std::string& path, const FileRead& read, absl::string_view content);

// Makes a new file in the same way, with the mode that `read` had. One that is there is replaced
// only if `force`.
absl::Status WriteNewFile(const std::string& path, const FileRead& read, absl::string_view content,
                          bool force);

// Whether `name` (without its folder) is that of a file beside another which was left because the
// program was killed.
bool IsLeftover(absl::string_view name);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_REPLACE_FILE_H_
