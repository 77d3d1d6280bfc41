#include "server/store/sqlite_schema.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/sqlite_store.h"
#include "tests/server/store/sqlite_testing.h"
#include "tests/testing/all_key_versions.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using strongroom::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SqliteSchemaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteAll(path_, "");
    absl::StatusOr<std::unique_ptr<SqliteDatabase>> database = SqliteDatabase::Open(path_);
    ASSERT_THAT(database, IsOk());
    database_ = *std::move(database);
    ASSERT_THAT(database_->Configure(), IsOk());
  }

  absl::StatusOr<int64_t> Version() { return database_->QueryNumber("PRAGMA user_version"); }
  std::string StoreIdInHex() { return RawConnection(path_).Ask("SELECT hex(id) FROM store"); }
  // The migrations of this release and then of one that is to come.
  std::vector<const char*> WithLater(std::vector<const char*> later) {
    std::vector<const char*> all(std::begin(kSqliteMigrations), std::end(kSqliteMigrations));
    all.insert(all.end(), later.begin(), later.end());
    return all;
  }

  static constexpr int64_t kNow = std::size(kSqliteMigrations);
  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("test.db");
  std::unique_ptr<SqliteDatabase> database_;
};

TEST_F(SqliteSchemaTest, EmptyDatabaseBecomesAStoreOfTheLastVersion) {
  EXPECT_THAT(CheckSqliteSchema(*database_), IsOk());
  EXPECT_THAT(MigrateSqliteSchema(*database_), IsOk());
  EXPECT_THAT(Version(), IsOkAndHolds(kNow));
  EXPECT_THAT(database_->QueryNumber("PRAGMA application_id"), IsOkAndHolds(kSqliteApplicationId));
  EXPECT_EQ(StoreIdInHex().size(), 32u);
  EXPECT_THAT(CheckSqliteSchema(*database_), IsOk());
}

TEST_F(SqliteSchemaTest, MigratingAgainChangesNothing) {
  ASSERT_THAT(MigrateSqliteSchema(*database_), IsOk());
  const std::string id = StoreIdInHex();
  EXPECT_THAT(MigrateSqliteSchema(*database_), IsOk());
  EXPECT_THAT(Version(), IsOkAndHolds(kNow));
  EXPECT_EQ(StoreIdInHex(), id);
}

TEST_F(SqliteSchemaTest, LaterMigrationsAreAppliedInOrderAndKeepWhatIsThere) {
  ASSERT_THAT(MigrateSqliteSchema(*database_), IsOk());
  const std::string id = StoreIdInHex();
  const std::vector<const char*> later =
      WithLater({"CREATE TABLE extra (x INTEGER) STRICT; INSERT INTO extra VALUES (1)",
                 "UPDATE extra SET x = x + 10"});
  EXPECT_THAT(CheckSqliteSchema(*database_, later), IsOk());
  EXPECT_THAT(MigrateSqliteSchema(*database_, later), IsOk());
  EXPECT_THAT(Version(), IsOkAndHolds(kNow + 2));
  EXPECT_THAT(database_->QueryNumber("SELECT x FROM extra"), IsOkAndHolds(11));
  EXPECT_EQ(StoreIdInHex(), id);
}

TEST_F(SqliteSchemaTest, FailingMigrationLeavesTheVersionBeforeIt) {
  const std::vector<const char*> broken =
      WithLater({"CREATE TABLE good (x INTEGER) STRICT",
                 "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO no_such_table VALUES (1)"});
  EXPECT_THAT(
      MigrateSqliteSchema(*database_, broken),
      StatusIs(StatusCode::kInternal, AllOf(HasSubstr("version " + std::to_string(kNow + 2)),
                                            HasSubstr("no_such_table"))));
  EXPECT_THAT(Version(), IsOkAndHolds(kNow + 1));
  EXPECT_THAT(database_->QueryNumber("SELECT count(*) FROM good"), IsOkAndHolds(0));
  EXPECT_THAT(database_->QueryNumber("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"),
              IsOkAndHolds(0));
}

TEST_F(SqliteSchemaTest, FailingFirstMigrationLeavesTheDatabaseEmpty) {
  const char* const broken[] = {"CREATE TABLE half (x INTEGER) STRICT"};  // and no table "store"
  EXPECT_THAT(MigrateSqliteSchema(*database_, broken), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(Version(), IsOkAndHolds(0));
  EXPECT_THAT(CheckSqliteSchema(*database_), IsOk());
  EXPECT_THAT(MigrateSqliteSchema(*database_), IsOk());
}

TEST_F(SqliteSchemaTest, LaterVersionIsRefused) {
  const std::vector<const char*> later = WithLater({"CREATE TABLE extra (x INTEGER) STRICT"});
  ASSERT_THAT(MigrateSqliteSchema(*database_, later), IsOk());
  EXPECT_THAT(CheckSqliteSchema(*database_),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("schema version " + std::to_string(kNow + 1)),
                             HasSubstr("up to " + std::to_string(kNow)))));
}

TEST_F(SqliteSchemaTest, VersionThatNeverWasIsInternal) {
  ASSERT_THAT(MigrateSqliteSchema(*database_), IsOk());
  for (const char* pragma : {"PRAGMA user_version = 0", "PRAGMA user_version = -1"}) {
    ASSERT_THAT(database_->RunScript(pragma), IsOk());
    EXPECT_THAT(CheckSqliteSchema(*database_), StatusIs(StatusCode::kInternal));
  }
}

// What the first release left behind.
TEST_F(SqliteSchemaTest, StoreOfVersionOneIsBroughtToTheLastWithItsKeys) {
  ASSERT_THAT(MigrateSqliteSchema(*database_, absl::MakeSpan(kSqliteMigrations, 1)), IsOk());
  ASSERT_THAT(Version(), IsOkAndHolds(1));
  const std::string id = StoreIdInHex();
  ASSERT_THAT(
      database_->RunScript(
          "UPDATE store SET token_serial = 'a1b2';"
          "INSERT INTO keys VALUES (x'01010101010101010101010101010101', 2, 'old', 5, NULL, "
          "NULL);"
          "INSERT INTO key_versions VALUES (x'03030303030303030303030303030303', "
          "x'01010101010101010101010101010101', 1, 5);"
          "UPDATE keys SET initial_version = x'03030303030303030303030303030303', "
          "primary_version = x'03030303030303030303030303030303';"
          "INSERT INTO aliases VALUES ('alias/old', x'01010101010101010101010101010101', "
          "6, 7);"),
      IsOk());
  database_ = nullptr;

  absl::StatusOr<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(path_);
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ(RawConnection(path_).Ask("PRAGMA user_version"), std::to_string(kNow));
  EXPECT_EQ(StoreIdInHex(), id);
  EXPECT_THAT((*store)->GetTokenSerial(), IsOkAndHolds("a1b2"));
  const KeyId key_id = KeyId::Parse("01010101-0101-0101-0101-010101010101").value();
  const absl::StatusOr<KeyRecord> key = (*store)->GetKey(key_id);
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->state, KeyState::kDisabled);
  EXPECT_EQ(key->description, "old");
  EXPECT_EQ(key->primary_version.ToString(), "03030303-0303-0303-0303-030303030303");
  EXPECT_EQ((*store)->GetAlias("alias/old").value().key_id, key_id);
  // And it takes what version 2 is for.
  EXPECT_THAT((*store)->GetKeyPolicy(key_id), IsOkAndHolds(""));
  EXPECT_THAT((*store)->PutKeyPolicy(key_id, "policy"), IsOk());
  EXPECT_FALSE((*store)->GetAuditHead().value().has_value());
}

// What the second release left behind: a row in every table.
TEST_F(SqliteSchemaTest, StoreOfVersionTwoIsBroughtToTheLastWithAllItHas) {
  ASSERT_THAT(MigrateSqliteSchema(*database_, absl::MakeSpan(kSqliteMigrations, 2)), IsOk());
  ASSERT_THAT(Version(), IsOkAndHolds(2));
  const std::string id = StoreIdInHex();
  // A disabled key of two versions with a third one pending, an enabled one of one version, and one
  // that was being created.
  ASSERT_THAT(
      database_->RunScript(
          "UPDATE store SET token_serial = 'a1b2';"
          "INSERT INTO keys VALUES"
          " (x'01010101010101010101010101010101', 2, 'off', 5, NULL, NULL),"
          " (x'02020202020202020202020202020202', 1, 'on', 6, NULL, NULL),"
          " (x'03030303030303030303030303030303', 1, 'new', 7, NULL, NULL);"
          "INSERT INTO key_versions VALUES"
          " (x'11111111111111111111111111111111', x'01010101010101010101010101010101', 1, 5),"
          " (x'12121212121212121212121212121212', x'01010101010101010101010101010101', 2, 8),"
          " (x'13131313131313131313131313131313', x'01010101010101010101010101010101', NULL, 9),"
          " (x'21212121212121212121212121212121', x'02020202020202020202020202020202', 1, 6),"
          " (x'31313131313131313131313131313131', x'03030303030303030303030303030303', NULL, 7);"
          "UPDATE keys SET initial_version = x'11111111111111111111111111111111',"
          " primary_version = x'12121212121212121212121212121212' WHERE description = 'off';"
          "UPDATE keys SET initial_version = x'21212121212121212121212121212121',"
          " primary_version = x'21212121212121212121212121212121' WHERE description = 'on';"
          "INSERT INTO aliases VALUES ('alias/old', x'01010101010101010101010101010101', 6, 7);"
          "INSERT INTO key_policies VALUES (x'01010101010101010101010101010101', x'aabb');"
          "INSERT INTO grants VALUES (x'41414141414141414141414141414141',"
          " x'01010101010101010101010101010101', 'alice', '', 1, NULL, x'00', 0);"
          "INSERT INTO audit_head VALUES (1, 12, zeroblob(32));"),
      IsOk());
  database_ = nullptr;

  absl::StatusOr<std::unique_ptr<SqliteStore>> opened = SqliteStore::Open(path_);
  ASSERT_THAT(opened, IsOk());
  Store& store = **opened;
  EXPECT_EQ(RawConnection(path_).Ask("PRAGMA user_version"), std::to_string(kNow));
  EXPECT_EQ(RawConnection(path_).Ask("PRAGMA foreign_key_check"), "(none)");
  EXPECT_EQ(RawConnection(path_).Ask("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(StoreIdInHex(), id);
  EXPECT_THAT(store.GetTokenSerial(), IsOkAndHolds("a1b2"));

  const absl::StatusOr<std::vector<KeyRecord>> keys = store.ListKeys(std::nullopt, 10);
  ASSERT_THAT(keys, IsOk());
  ASSERT_EQ(keys->size(), 3u);
  for (const KeyRecord& key : *keys) {
    EXPECT_EQ(key.origin, KeyOrigin::kToken);
    EXPECT_TRUE(key.tags.empty());
    EXPECT_EQ(key.rotation_days, 0);
    EXPECT_EQ(key.next_rotation, absl::InfiniteFuture());
    EXPECT_EQ(key.deletion_time, absl::InfiniteFuture());
    EXPECT_EQ(key.creating, key.description == "new");
  }
  const KeyRecord& off = (*keys)[0];
  EXPECT_EQ(off.state, KeyState::kDisabled);
  EXPECT_EQ(off.description, "off");
  EXPECT_EQ(off.initial_version.ToString(), "11111111-1111-1111-1111-111111111111");
  EXPECT_EQ(off.primary_version.ToString(), "12121212-1212-1212-1212-121212121212");
  EXPECT_EQ((*keys)[1].state, KeyState::kEnabled);

  // Nobody has counted their uses.
  const absl::StatusOr<std::vector<KeyVersionRecord>> versions = testing::AllKeyVersions(store);
  ASSERT_THAT(versions, IsOk());
  EXPECT_EQ(versions->size(), 3u);
  for (const KeyVersionRecord& version : *versions) {
    EXPECT_EQ(version.proof, "");
    EXPECT_EQ(version.uses_reserved, int64_t{1} << 31);
  }
  EXPECT_EQ(store.GetAlias("alias/old").value().key_id, off.id);
  EXPECT_THAT(store.GetKeyPolicy(off.id), IsOkAndHolds("\xaa\xbb"));
  EXPECT_EQ(store.ListGrants(off.id, std::nullopt, std::nullopt, 10).value().size(), 1u);
  EXPECT_EQ(store.GetAuditHead().value()->sequence, 12);

  // And it takes what version 3 is for. A pending version is new, and its uses are counted.
  EXPECT_EQ(store.ListPendingVersions().value().size(), 2u);
  const KeyVersionId pending = KeyVersionId::Parse("13131313-1313-1313-1313-131313131313").value();
  EXPECT_EQ(store.CommitVersion(pending, "proof").value().uses_reserved, 1);
  EXPECT_THAT(store.SetKeyRotation(off.id, 1), IsOk());
  EXPECT_THAT(store.SetKeyTags(off.id, {{"a", "1"}}), IsOk());
  EXPECT_THAT(store.SetKeyState(off.id, KeyState::kDestroying), IsOk());
  EXPECT_THAT(store.DeleteKey(off.id), IsOk());
  EXPECT_EQ(RawConnection(path_).Ask("PRAGMA foreign_key_check"), "(none)");
}

TEST_F(SqliteSchemaTest, ForeignKeysAreKeptInAMigratedStore) {
  ASSERT_THAT(MigrateSqliteSchema(*database_), IsOk());
  for (const char* orphan : {"INSERT INTO key_tags VALUES (zeroblob(16), 'a', '1')",
                             "INSERT INTO imports VALUES (zeroblob(16), zeroblob(16), 1, 0)",
                             "INSERT INTO aliases VALUES ('alias/a', zeroblob(16), 0, 0)",
                             "INSERT INTO key_versions (id, key_id, create_time) VALUES "
                             "(zeroblob(16), zeroblob(16), 0)"}) {
    EXPECT_THAT(database_->RunScript(orphan), StatusIs(StatusCode::kInternal)) << orphan;
  }
}

TEST_F(SqliteSchemaTest, ForeignDatabaseIsRefused) {
  ASSERT_THAT(database_->RunScript("PRAGMA application_id = 42"), IsOk());
  EXPECT_THAT(CheckSqliteSchema(*database_),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("another program")));
}

TEST_F(SqliteSchemaTest, AVersionOfAnotherKeyCannotBePrimary) {
  ASSERT_THAT(MigrateSqliteSchema(*database_), IsOk());
  ASSERT_THAT(
      database_->RunScript("INSERT INTO keys (id, description, create_time) VALUES "
                           "(x'01010101010101010101010101010101', '', 0), "
                           "(x'02020202020202020202020202020202', '', 0);"
                           "INSERT INTO key_versions (id, key_id, number, create_time) VALUES "
                           "(x'03030303030303030303030303030303', "
                           "x'01010101010101010101010101010101', 1, 0);"),
      IsOk());
  constexpr char kSetVersions[] =
      "UPDATE keys SET initial_version = x'03030303030303030303030303030303', primary_version = "
      "x'03030303030303030303030303030303' WHERE substr(id, 1, 1) = ";
  EXPECT_THAT(database_->RunScript((std::string(kSetVersions) + "x'02'").c_str()),
              StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->RunScript((std::string(kSetVersions) + "x'01'").c_str()), IsOk());
}

}  // namespace
}  // namespace strongroom::store
