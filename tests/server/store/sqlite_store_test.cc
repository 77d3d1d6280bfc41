#include "server/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/store/sqlite_testing.h"
#include "tests/server/store/store_contract.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using strongroom::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SqliteBackend : public StoreBackend {
 public:
  absl::StatusOr<std::unique_ptr<Store>> Open() override {
    return SqliteStore::Open(directory_.File("store.db"));
  }

 private:
  TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContractTest,
                         ::testing::Values(StoreKind{
                             "Sqlite", [] { return std::make_unique<SqliteBackend>(); }}));

class SqliteStoreTest : public ::testing::Test {
 protected:
  static KeyRecord SomeKey() {
    KeyRecord key;
    key.id = KeyId::FromRandom({1});
    key.description = "some key";
    key.create_time = absl::FromUnixSeconds(1'700'000'000);
    return key;
  }
  static KeyVersionId SomeVersion(uint8_t number = 1) { return KeyVersionId::FromRandom({number}); }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("store.db");
};

// A umask for as long as it lives.
class ScopedUmask {
 public:
  explicit ScopedUmask(mode_t mask) : before_(umask(mask)) {}
  ~ScopedUmask() { umask(before_); }

 private:
  const mode_t before_;
};

TEST_F(SqliteStoreTest, FilesArePrivateWhateverTheUmask) {
  const ScopedUmask none(0);
  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->BeginKey(SomeKey(), SomeVersion(), ""), IsOk());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(ModeOf(path_ + suffix), mode_t{0600}) << suffix;
  }
}

TEST_F(SqliteStoreTest, ModeOfAnExistingFileIsNotWidened) {
  const ScopedUmask none(0);
  WriteAll(path_, "");
  for (const mode_t mode : {mode_t{0400}, mode_t{0600}, mode_t{0640}}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    if (mode == 0400 && geteuid() != 0) continue;  // only root writes what is read-only
    absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
    ASSERT_THAT(store, IsOk());
    for (const char* suffix : {"", "-wal", "-shm"}) {
      EXPECT_EQ(ModeOf(path_ + suffix), mode) << suffix;
    }
  }
}

TEST_F(SqliteStoreTest, FileThatOthersMayWriteIsRefused) {
  ASSERT_THAT(SqliteStore::Open(path_), IsOk());
  for (const mode_t mode : {mode_t{0620}, mode_t{0602}, mode_t{0666}}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(SqliteStore::Open(path_),
                StatusIs(StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(path_), HasSubstr("chmod 0600"))));
    EXPECT_EQ(ModeOf(path_), mode);
  }
}

TEST_F(SqliteStoreTest, EmptyFileBecomesAStore) {
  WriteAll(path_, "");
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->BeginKey(SomeKey(), SomeVersion(), ""), IsOk());
}

TEST_F(SqliteStoreTest, SecondOpenIsRefusedAndNamesTheHolder) {
  absl::StatusOr<std::unique_ptr<SqliteStore>> first = SqliteStore::Open(path_);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(SqliteStore::Open(path_),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("the store " + path_ + " is in use"),
                             HasSubstr("pid " + std::to_string(getpid())),
                             HasSubstr("Stop that server first"))));
  // The one that was first is none the worse for it.
  EXPECT_THAT((*first)->BeginKey(SomeKey(), SomeVersion(), ""), IsOk());
  first->reset();
  EXPECT_THAT(SqliteStore::Open(path_), IsOk());
}

TEST_F(SqliteStoreTest, SecondOpenByAnotherNameIsRefused) {
  const std::string link = directory_.File("link.db");
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  absl::StatusOr<std::unique_ptr<SqliteStore>> first = SqliteStore::Open(path_);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(SqliteStore::Open(link), StatusIs(StatusCode::kFailedPrecondition,
                                                HasSubstr("the store " + path_ + " is in use")));
  const std::string roundabout =
      directory_.File("../") +
      std::filesystem::path(directory_.File("")).parent_path().filename().string() + "/./store.db";
  EXPECT_THAT(SqliteStore::Open(roundabout), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(SqliteStoreTest, PathIsTakenAsItIs) {
  // Each would be something else to SQLite: a URI, a database in memory, a temporary one.
  const std::string before = std::filesystem::current_path().string();
  ASSERT_EQ(chdir(directory_.File("").c_str()), 0);
  for (const std::string name : {"file:uri.db?mode=memory", ":memory:", "it's 100%41#.db"}) {
    EXPECT_THAT(SqliteStore::Open(name), IsOk());
    EXPECT_TRUE(std::filesystem::exists(directory_.File(name))) << name;
  }
  EXPECT_THAT(SqliteStore::Open(""), StatusIs(StatusCode::kInvalidArgument));
  ASSERT_EQ(chdir(before.c_str()), 0);
}

TEST_F(SqliteStoreTest, MissingDirectoryIsNotFoundAndSaysWhatToDo) {
  EXPECT_THAT(SqliteStore::Open(directory_.File("missing/store.db")),
              StatusIs(StatusCode::kNotFound,
                       AllOf(HasSubstr("/missing does not exist"), HasSubstr("create it"))));
}

TEST_F(SqliteStoreTest, DirectoryOrDeviceIsNoStore) {
  EXPECT_THAT(SqliteStore::Open(directory_.File("")),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("is a directory")));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(SqliteStore::Open(path_),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("not a plain file")));
}

TEST_F(SqliteStoreTest, KilledProcessLosesNothingAndHoldsNothing) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
    const bool ok = store.ok() && (*store)->BindToken("token").ok() &&
                    (*store)->BeginKey(SomeKey(), SomeVersion(1), "").ok() &&
                    (*store)->CommitVersion(SomeVersion(1), "proof").ok() &&
                    (*store)->BeginVersion(SomeKey().id, SomeVersion(2), absl::Now()).ok();
    if (ok) raise(SIGKILL);
    _exit(1);
  }
  int how = 0;
  ASSERT_EQ(waitpid(child, &how, 0), child);
  ASSERT_TRUE(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL) << how;
  // The log is all there is: nobody closed the database.
  ASSERT_GT(std::filesystem::file_size(path_ + "-wal"), 0u);

  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ((*store)->GetTokenSerial().value(), "token");
  EXPECT_EQ((*store)->GetKey(SomeKey().id).value().primary_version, SomeVersion(1));
  EXPECT_THAT((*store)->ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{SomeVersion(2), SomeKey().id, false})));
}

TEST_F(SqliteStoreTest, OpenStoreCanBeBackedUp) {
  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->BeginKey(SomeKey(), SomeVersion(), ""), IsOk());
  ASSERT_THAT((*store)->CommitVersion(SomeVersion(), "proof"), IsOk());
  const std::string backup = directory_.File("backup.db");
  {
    RawConnection visitor(path_);
    visitor.Run("VACUUM INTO '" + backup + "'");
  }
  ASSERT_EQ(chmod(backup.c_str(), 0600), 0);
  absl::StatusOr<std::unique_ptr<SqliteStore>> restored = SqliteStore::Open(backup);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ((*restored)->id(), (*store)->id());
  EXPECT_THAT((*restored)->GetKey(SomeKey().id), IsOk());
}

}  // namespace
}  // namespace strongroom::store
