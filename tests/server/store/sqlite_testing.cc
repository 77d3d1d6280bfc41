#include "tests/server/store/sqlite_testing.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tests/testing/test_directory.h"

namespace strongroom::store {

TemporaryDirectory::TemporaryDirectory() {
  absl::StatusOr<std::string> made = strongroom::testing::MakeTestDirectory();
  EXPECT_TRUE(made.ok()) << made.status();
  path_ = made.value_or("/nowhere");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

RawConnection::RawConnection(const std::string& path) {
  EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK) << path;
}

RawConnection::~RawConnection() { EXPECT_EQ(sqlite3_close(connection_), SQLITE_OK); }

void RawConnection::Run(const std::string& sql) {
  EXPECT_EQ(sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sql << ": " << sqlite3_errmsg(connection_);
}

std::string RawConnection::Ask(const std::string& sql) {
  std::string answer = "(none)";
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK)
      << sql << ": " << sqlite3_errmsg(connection_);
  if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0) != nullptr) {
    answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  return answer;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

}  // namespace strongroom::store
