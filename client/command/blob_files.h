#ifndef STRONGROOM_CLIENT_COMMAND_BLOB_FILES_H_
#define STRONGROOM_CLIENT_COMMAND_BLOB_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strongroom::command {

// A file with a blob.
struct BlobFile {
  // As it was named, for people.
  std::string name = {};
  // Where it is, without symbolic links; that of a link's target, so that replacing it leaves the
  // link.
  std::string path = {};
  // Where it would be in another folder: the name, or below a folder that is searched, the path
  // from there.
  std::string relative = {};
};

struct BlobFiles {
  // Each file once.
  std::vector<BlobFile> files = {};
  // What could not be looked at, and why.
  std::vector<std::pair<std::string, absl::Status>> failures = {};
};

// The files that are named, and the regular files below `folders`, in which symbolic links are not
// followed.
BlobFiles FindBlobFiles(const std::vector<std::string>& files,
                        const std::vector<std::string>& folders);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_BLOB_FILES_H_
