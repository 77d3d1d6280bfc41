// What SqliteStore does with files that are not its own or are damaged, and when the disk fails.

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_store.h"
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
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr int kMany = 1000;

// No file of this process grows beyond `bytes` for as long as it lives: to SQLite, a failing disk.
class ScopedFileSizeLimit {
 public:
  explicit ScopedFileSizeLimit(size_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~ScopedFileSizeLimit() {
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_;
};

class SqliteStoreFailureTest : public ::testing::Test {
 protected:
  static KeyId Key(uint8_t number) { return KeyId::FromRandom({number}); }
  static KeyVersionId Version(uint8_t number) { return KeyVersionId::FromRandom({number}); }
  static KeyRecord NewKey(uint8_t number) {
    KeyRecord key;
    key.id = Key(number);
    key.create_time = absl::FromUnixSeconds(1'700'000'000 + number);
    return key;
  }
  static AliasRecord NewAlias(const std::string& name, uint8_t key) {
    return {name, Key(key), absl::UnixEpoch(), absl::UnixEpoch()};
  }

  std::unique_ptr<Store> OpenStore() {
    absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
    EXPECT_THAT(store, IsOk());
    if (!store.ok()) return nullptr;
    return *std::move(store);
  }
  // A store with a key, closed.
  void MakeStore() {
    std::unique_ptr<Store> store = OpenStore();
    ASSERT_NE(store, nullptr);
    ASSERT_THAT(store->BeginKey(NewKey(1), Version(1), ""), IsOk());
    ASSERT_THAT(store->CommitVersion(Version(1), "proof"), IsOk());
    ASSERT_THAT(store->CreateAlias(NewAlias("alias/a", 1)), IsOk());
  }
  // Does to the closed store what the store would not.
  void Tamper(const std::string& sql) { RawConnection(path_).Run(sql); }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("store.db");
};

TEST_F(SqliteStoreFailureTest, FileThatIsNoDatabaseIsRefusedAndKept) {
  for (const std::string content :
       {"store:\n  path: /var/lib\n", "x", "SQLite format 2\0........"}) {
    WriteAll(path_, content);
    ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
    EXPECT_THAT(SqliteStore::Open(path_),
                StatusIs(StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(path_), HasSubstr("is not an SQLite database"))));
    EXPECT_EQ(ReadAll(path_), content);
  }
}

TEST_F(SqliteStoreFailureTest, DatabaseOfAnotherProgramIsRefusedAndKept) {
  const char* const makings[] = {
      "CREATE TABLE theirs (x)",
      "CREATE TABLE store (row, id, token_serial)",
      "PRAGMA application_id = 42",
      "PRAGMA user_version = 1",
  };
  for (const char* making : makings) {
    SCOPED_TRACE(making);
    std::filesystem::remove(path_);
    Tamper(making);
    ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
    const std::string before = ReadAll(path_);
    EXPECT_THAT(SqliteStore::Open(path_),
                StatusIs(StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(path_), HasSubstr("another program"))));
    EXPECT_EQ(ReadAll(path_), before);
    EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  }
}

TEST_F(SqliteStoreFailureTest, StoreOfALaterReleaseIsRefusedAndKept) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  Tamper("PRAGMA user_version = 1000");
  const std::string before = ReadAll(path_);
  EXPECT_THAT(SqliteStore::Open(path_),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(path_), HasSubstr("1000"), HasSubstr("release"))));
  EXPECT_EQ(ReadAll(path_), before);
}

TEST_F(SqliteStoreFailureTest, DamagedPageIsInternal) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  const std::string good = ReadAll(path_);
  constexpr size_t kPage = 4096;
  ASSERT_GT(good.size(), 2 * kPage);
  // Every page but the first in turn, its header destroyed.
  for (size_t page = kPage; page < good.size(); page += kPage) {
    std::string bad = good;
    bad.replace(page, 16, std::string(16, '\xff'));
    WriteAll(path_, bad);
    EXPECT_THAT(SqliteStore::Open(path_), StatusIs(StatusCode::kInternal)) << "page at " << page;
  }
  WriteAll(path_, good);
  EXPECT_THAT(SqliteStore::Open(path_), IsOk());
}

TEST_F(SqliteStoreFailureTest, TruncatedFileIsInternal) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  const std::string good = ReadAll(path_);
  WriteAll(path_, good.substr(0, good.size() - 4096));
  EXPECT_THAT(SqliteStore::Open(path_), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteStoreFailureTest, RowsThatCannotBeAreInternalAtOpen) {
  const char* const tamperings[] = {
      "PRAGMA ignore_check_constraints = ON; UPDATE keys SET state = 9",
      "PRAGMA ignore_check_constraints = ON; UPDATE key_versions SET number = 0",
      "PRAGMA ignore_check_constraints = ON; UPDATE keys SET origin = 0",
      "PRAGMA ignore_check_constraints = ON; UPDATE key_versions SET uses_reserved = -1",
      "INSERT INTO key_tags VALUES (zeroblob(16), 'a', '1')",             // of no key
      "INSERT INTO imports VALUES (zeroblob(16), randomblob(16), 1, 0)",  // nor this
      "UPDATE aliases SET key_id = zeroblob(16)",                         // of no key
      "UPDATE keys SET primary_version = zeroblob(16)",                   // no such version
      "DELETE FROM key_versions",                                         // nor these
  };
  for (const char* tampering : tamperings) {
    SCOPED_TRACE(tampering);
    std::filesystem::remove(path_);
    ASSERT_NO_FATAL_FAILURE(MakeStore());
    Tamper(tampering);
    EXPECT_THAT(SqliteStore::Open(path_),
                StatusIs(StatusCode::kInternal, AllOf(HasSubstr(path_), HasSubstr("damaged"))));
  }
}

TEST_F(SqliteStoreFailureTest, StoreWithoutItsIdIsInternal) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  Tamper("DELETE FROM store");
  EXPECT_THAT(SqliteStore::Open(path_), StatusIs(StatusCode::kInternal, HasSubstr("lost its id")));
}

TEST_F(SqliteStoreFailureTest, RowsThatCannotBeAreInternalWhenRead) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  std::unique_ptr<Store> store = OpenStore();
  ASSERT_NE(store, nullptr);
  Tamper("PRAGMA ignore_check_constraints = ON; UPDATE keys SET state = 9");
  EXPECT_THAT(store->GetKey(Key(1)), StatusIs(StatusCode::kInternal, HasSubstr("state 9")));
  EXPECT_THAT(store->ListKeys(std::nullopt, kMany), StatusIs(StatusCode::kInternal));
  Tamper("PRAGMA ignore_check_constraints = ON; UPDATE keys SET state = 1, origin = 9");
  EXPECT_THAT(store->GetKey(Key(1)), StatusIs(StatusCode::kInternal, HasSubstr("origin 9")));
  Tamper("UPDATE keys SET origin = 1, primary_version = x'0102'");
  EXPECT_THAT(store->GetKey(Key(1)), StatusIs(StatusCode::kInternal, HasSubstr("primary_version")));
  Tamper("PRAGMA ignore_check_constraints = ON; UPDATE keys SET primary_version = NULL");
  EXPECT_THAT(store->GetKey(Key(1)), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteStoreFailureTest, TriggersInTheFileAreNotRun) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  Tamper("CREATE TRIGGER planted AFTER INSERT ON aliases BEGIN UPDATE keys SET state = 2; END");
  std::unique_ptr<Store> store = OpenStore();
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(store->CreateAlias(NewAlias("alias/b", 1)), IsOk());
  EXPECT_EQ(store->GetKey(Key(1)).value().state, KeyState::kEnabled);
}

TEST_F(SqliteStoreFailureTest, UnknownStateIsInternalAndNotWritten) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  std::unique_ptr<Store> store = OpenStore();
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(store->SetKeyState(Key(1), static_cast<KeyState>(6)),
              StatusIs(StatusCode::kInternal));
  EXPECT_EQ(store->GetKey(Key(1)).value().state, KeyState::kEnabled);
}

TEST_F(SqliteStoreFailureTest, WriterElsewhereMakesChangesUnavailable) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  std::unique_ptr<Store> store = OpenStore();
  ASSERT_NE(store, nullptr);
  {
    RawConnection visitor(path_);
    visitor.Run("BEGIN IMMEDIATE");
    EXPECT_THAT(store->BeginKey(NewKey(2), Version(2), ""), StatusIs(StatusCode::kUnavailable));
    EXPECT_THAT(store->GetKey(Key(1)), IsOk());  // a writer does not stop readers
    visitor.Run("ROLLBACK");
  }
  EXPECT_THAT(store->ListPendingVersions(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store->BeginKey(NewKey(2), Version(2), ""), IsOk());
}

TEST_F(SqliteStoreFailureTest, FailingDiskMakesChangesUnavailableAndLosesNothing) {
  ASSERT_NO_FATAL_FAILURE(MakeStore());
  std::unique_ptr<Store> store = OpenStore();
  ASSERT_NE(store, nullptr);
  ASSERT_THAT(store->BeginVersion(Key(1), Version(2), absl::UnixEpoch()), IsOk());
  KeyRecord waiting = NewKey(5);
  waiting.state = KeyState::kPendingImport;
  ASSERT_THAT(store->BeginKey(waiting, Version(5), ""), IsOk());
  ASSERT_THAT(store->CommitVersion(Version(5), ""), IsOk());
  ASSERT_THAT(store->BeginKey(NewKey(6), Version(6), ""), IsOk());
  ASSERT_THAT(store->CommitVersion(Version(6), ""), IsOk());
  ASSERT_THAT(store->SetKeyTags(Key(6), {{"a", "1"}}), IsOk());
  ASSERT_THAT(store->SetKeyState(Key(6), KeyState::kDestroying), IsOk());
  const ImportRecord import = {
      .key_id = Key(5), .id = ImportId::FromRandom({5}), .algorithm = 1, .expire_time = {}};
  ASSERT_THAT(store->PutImport(import), IsOk());
  const KeyRecord before = store->GetKey(Key(1)).value();
  waiting = store->GetKey(Key(5)).value();
  const KeyRecord doomed = store->GetKey(Key(6)).value();
  const PendingVersion pending = {Version(2), Key(1), false};
  {
    const ScopedFileSizeLimit no_growth(std::filesystem::file_size(path_ + "-wal"));
    for (int attempt = 0; attempt < 2; ++attempt) {
      EXPECT_THAT(store->BeginKey(NewKey(3), Version(3), ""), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->BeginVersion(Key(1), Version(4), absl::UnixEpoch()),
                  StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->CommitVersion(Version(2), "proof"), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->DropPendingVersion(Version(2)), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->SetKeyState(Key(1), KeyState::kDisabled),
                  StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->CreateAlias(NewAlias("alias/b", 1)), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->UpdateAlias("alias/a", Key(1), absl::Now()),
                  StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->DeleteAlias("alias/a"), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->BindToken("token"), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->SetKeyDescription(Key(1), "new"), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->SetKeyTags(Key(1), {{"b", "2"}}), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->SetKeyTags(Key(6), {}), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->SetKeyRotation(Key(1), 1), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->DeleteKey(Key(6)), StatusIs(StatusCode::kUnavailable));
      // Neither a whole block nor what is left of one.
      EXPECT_THAT(store->ReserveUses(Version(1), 10, 100), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->ReserveUses(Version(1), 10, 5), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->PutImport(import), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->DropImport(import.id), StatusIs(StatusCode::kUnavailable));
      EXPECT_THAT(store->CommitImport(Version(5), "proof"), StatusIs(StatusCode::kUnavailable));
      // Readers are served what was there.
      EXPECT_THAT(store->GetKey(Key(1)), IsOkAndHolds(before));
      EXPECT_THAT(store->ListKeys(std::nullopt, kMany),
                  IsOkAndHolds(ElementsAre(before, waiting, doomed)));
      EXPECT_EQ(store->GetKeyVersion(Version(1)).value().uses_reserved, 1);
      EXPECT_EQ(store->GetKeyVersion(Version(5)).value().proof, "");
      EXPECT_THAT(store->GetImport(Key(5)), IsOkAndHolds(Optional(import)));
      EXPECT_THAT(store->ListAliases(std::nullopt, "", kMany),
                  IsOkAndHolds(ElementsAre(NewAlias("alias/a", 1))));
      EXPECT_THAT(store->ListPendingVersions(), IsOkAndHolds(ElementsAre(pending)));
      EXPECT_THAT(store->GetTokenSerial(), IsOkAndHolds(::testing::Eq(std::nullopt)));
    }
  }
  // The same changes can be made once the disk is well.
  EXPECT_THAT(store->BeginKey(NewKey(3), Version(3), ""), IsOk());
  EXPECT_EQ(store->CommitVersion(Version(2), "proof").value().number, 2);
  EXPECT_THAT(store->CreateAlias(NewAlias("alias/b", 1)), IsOk());
  EXPECT_THAT(store->ReserveUses(Version(1), 10, 100), IsOkAndHolds(UseBlock{10, 11}));
  EXPECT_THAT(store->CommitImport(Version(5), "proof"), IsOk());
  EXPECT_THAT(store->DeleteKey(Key(6)), IsOk());

  store.reset();
  store = OpenStore();
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->GetKey(Key(1)).value().primary_version, Version(2));
  EXPECT_EQ(store->GetKeyVersion(Version(1)).value().uses_reserved, 11);
  EXPECT_EQ(store->GetKey(Key(5)).value().state, KeyState::kEnabled);
  EXPECT_THAT(store->GetKey(Key(6)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store->ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{Version(3), Key(3), true})));
}

TEST_F(SqliteStoreFailureTest, DiskThatFailsWhileAStoreIsMadeLeavesNothingInTheWay) {
  // From too little for the first page to enough for all.
  for (const size_t bytes : {512, 4096, 12288, 40960}) {
    {
      const ScopedFileSizeLimit limit(bytes);
      absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
      EXPECT_THAT(store, StatusIs(StatusCode::kUnavailable)) << bytes;
    }
  }
  EXPECT_NE(OpenStore(), nullptr);
}

}  // namespace
}  // namespace strongroom::store
