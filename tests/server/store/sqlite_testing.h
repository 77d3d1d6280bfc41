#ifndef STRONGROOM_TESTS_SERVER_STORE_SQLITE_TESTING_H_
#define STRONGROOM_TESTS_SERVER_STORE_SQLITE_TESTING_H_

#include <sqlite3.h>
#include <sys/types.h>

#include <string>

namespace strongroom::store {

// A directory of the test's own; removed with all in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A connection with SQLite's defaults, for doing to a database what the code under test would not.
// Fails the test when SQLite fails.
class RawConnection {
 public:
  // Creates the file if it is not there.
  explicit RawConnection(const std::string& path);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  void Run(const std::string& sql);
  // The first column of the first row, as text; "(none)" without one.
  std::string Ask(const std::string& sql);

 private:
  sqlite3* connection_ = nullptr;
};

std::string ReadAll(const std::string& path);
void WriteAll(const std::string& path, const std::string& content);

// The permission bits of a file.
mode_t ModeOf(const std::string& path);

}  // namespace strongroom::store

#endif  // STRONGROOM_TESTS_SERVER_STORE_SQLITE_TESTING_H_
