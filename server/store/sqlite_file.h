#ifndef STRONGROOM_SERVER_STORE_SQLITE_FILE_H_
#define STRONGROOM_SERVER_STORE_SQLITE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "platform/files.h"

namespace strongroom::store {

// A database file that exists and that no other server uses.
struct SqliteFile {
  std::string path;  // absolute, without symbolic links
  FileLock lock;
};

// Locks `path` for this process (by `path`.lock beside it) and creates it, empty and 0600, if it is
// not there. SQLite gives the files that it adds (-wal, -shm) the mode of this one.
//
// FAILED_PRECONDITION if another process holds it, if others than the owner may write it, or if it
// is something else than an SQLite database or an empty file; NOT_FOUND if its directory is not
// there. Messages say what to do.
absl::StatusOr<SqliteFile> HoldSqliteFile(const std::string& path);

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_SQLITE_FILE_H_
