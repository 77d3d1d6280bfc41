#include "client/command/blob_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/replace_file.h"

namespace strongroom::command {
namespace {

namespace fs = std::filesystem;

absl::Status CannotRead(const std::string& name, const std::error_code& error) {
  return LocalError(absl::StrCat("cannot read ", name, ": ", error.message()));
}

class Finder {
 public:
  void AddFile(const std::string& name, const std::string& relative) {
    std::error_code error;
    const fs::path path = fs::canonical(name, error);
    if (error) {
      found_.failures.emplace_back(name, CannotRead(name, error));
    } else if (seen_.insert(path).second) {
      found_.files.push_back({.name = name, .path = path, .relative = relative});
    }
  }

  void AddFolder(const fs::path& folder, const std::string& relative) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      entries.push_back(*it);
    }
    if (error) found_.failures.emplace_back(folder, CannotRead(folder, error));
    // In an order that is the same each time.
    std::sort(entries.begin(), entries.end());
    for (const fs::directory_entry& entry : entries) {
      const std::string name = entry.path().filename();
      const std::string below = relative.empty() ? name : absl::StrCat(relative, "/", name);
      const fs::file_status status = entry.symlink_status(error);
      if (fs::is_directory(status)) {
        AddFolder(entry.path(), below);
      } else if (fs::is_regular_file(status) && !IsLeftover(name)) {
        AddFile(entry.path(), below);
      }
    }
  }

  BlobFiles Take() { return std::move(found_); }

 private:
  BlobFiles found_;
  std::set<std::string> seen_;
};

}  // namespace

BlobFiles FindBlobFiles(const std::vector<std::string>& files,
                        const std::vector<std::string>& folders) {
  Finder finder;
  for (const std::string& file : files) finder.AddFile(file, fs::path(file).filename());
  for (const std::string& folder : folders) finder.AddFolder(folder, "");
  return finder.Take();
}

}  // namespace strongroom::command
