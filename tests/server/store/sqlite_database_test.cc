#include "server/store/sqlite_database.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/store/sqlite_testing.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using strongroom::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

int64_t ReadNumber(SqliteStatement& row) { return row.Int64(0); }
std::string ReadText(SqliteStatement& row) { return row.Text(0); }
std::string ReadBlob(SqliteStatement& row) { return row.Blob(0); }
KeyId ReadKeyId(SqliteStatement& row) { return row.Id<KeyId>(0); }

class SqliteDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteAll(path_, "");
    absl::StatusOr<std::unique_ptr<SqliteDatabase>> database = SqliteDatabase::Open(path_);
    ASSERT_THAT(database, IsOk());
    database_ = *std::move(database);
    ASSERT_THAT(database_->Configure(), IsOk());
    ASSERT_THAT(database_->RunScript("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c INTEGER "
                                     "UNIQUE CHECK (c > 0), d INTEGER REFERENCES t (a)) STRICT"),
                IsOk());
  }

  absl::StatusOr<int64_t> Count() { return database_->QueryNumber("SELECT count(*) FROM t"); }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("test.db");
  std::unique_ptr<SqliteDatabase> database_;
};

TEST_F(SqliteDatabaseTest, ConfiguredConnectionSyncsAndKeepsForeignKeys) {
  EXPECT_THAT(database_->QueryNumber("PRAGMA synchronous"), IsOkAndHolds(2));
  EXPECT_THAT(database_->QueryNumber("PRAGMA foreign_keys"), IsOkAndHolds(1));
  EXPECT_THAT(database_->QueryNumber("PRAGMA trusted_schema"), IsOkAndHolds(0));
  EXPECT_THAT(database_->Prepare("PRAGMA journal_mode").One(ReadText),
              IsOkAndHolds(Optional(std::string("wal"))));
}

TEST_F(SqliteDatabaseTest, ViewsAreNotRead) {
  // One could stand where a table was.
  EXPECT_THAT(database_->RunScript("CREATE VIEW v AS SELECT 1"), IsOk());
  EXPECT_THAT(database_->QueryNumber("SELECT * FROM v"), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteDatabaseTest, SchemaCannotBeRewritten) {
  EXPECT_THAT(database_->RunScript("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema"),
              StatusIs(StatusCode::kInternal));
  EXPECT_THAT(Count(), IsOk());
}

TEST_F(SqliteDatabaseTest, DoubleQuotesAreNoTexts) {
  // A misspelt column is an error, not a text of its own name.
  EXPECT_THAT(database_->Prepare("SELECT \"no_such_column\" FROM t").Run(),
              StatusIs(StatusCode::kInternal, HasSubstr("no_such_column")));
}

TEST_F(SqliteDatabaseTest, OpenOfAMissingFileIsUnavailableAndMakesNone) {
  const std::string missing = directory_.File("missing.db");
  EXPECT_THAT(SqliteDatabase::Open(missing),
              StatusIs(StatusCode::kUnavailable, HasSubstr(missing)));
  EXPECT_THAT(SqliteDatabase::Open(missing), StatusIs(StatusCode::kUnavailable));
}

TEST_F(SqliteDatabaseTest, ValuesComeBackAsTheyWereBound) {
  const std::string text("a\0'b", 4);
  EXPECT_THAT(database_->Prepare("SELECT ?", text).One(ReadText), IsOkAndHolds(Optional(text)));
  EXPECT_THAT(database_->Prepare("SELECT ?", absl::string_view()).One(ReadText),
              IsOkAndHolds(Optional(std::string())));
  const int64_t least = std::numeric_limits<int64_t>::min();
  EXPECT_THAT(database_->Prepare("SELECT ?", least).One(ReadNumber), IsOkAndHolds(Optional(least)));
  const KeyId id = KeyId::FromRandom({1, 2, 3});
  EXPECT_THAT(database_->Prepare("SELECT ?", id).One(ReadKeyId), IsOkAndHolds(Optional(id)));
}

TEST_F(SqliteDatabaseTest, BlobsComeBackAsTheyWereBoundAndAreNoTexts) {
  const std::string bytes("\0\xff'\0", 4);
  EXPECT_THAT(database_->Prepare("SELECT ?", SqliteBlob{bytes}).One(ReadBlob),
              IsOkAndHolds(Optional(bytes)));
  for (const absl::string_view none : {absl::string_view(), absl::string_view("")}) {
    EXPECT_THAT(database_->Prepare("SELECT ?", SqliteBlob{none}).One(ReadBlob),
                IsOkAndHolds(Optional(std::string())));
  }
  EXPECT_THAT(database_->Prepare("SELECT ?", "text").One(ReadBlob),
              StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->Prepare("SELECT ?", SqliteBlob{bytes}).One(ReadText),
              StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->Prepare("SELECT NULL").One(ReadBlob), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteDatabaseTest, EmptyOptionalIsNull) {
  const std::optional<int64_t> none;
  EXPECT_THAT(database_->Prepare("SELECT ? IS NULL", none).One(ReadNumber),
              IsOkAndHolds(Optional(int64_t{1})));
  EXPECT_THAT(database_->Prepare("SELECT ?", std::optional<int64_t>(7)).One(ReadNumber),
              IsOkAndHolds(Optional(int64_t{7})));
}

TEST_F(SqliteDatabaseTest, TextsAreBoundFromTheParameterThatIsSaid) {
  SqliteStatement statement = database_->Prepare("SELECT ?1 || ?2 || ?3", "a");
  statement.BindTexts(2, {"b", "c"});
  EXPECT_THAT(statement.One(ReadText), IsOkAndHolds(Optional(std::string("abc"))));
  SqliteStatement too_few = database_->Prepare("SELECT ?1");
  too_few.BindTexts(1, {"a", "b"});
  EXPECT_THAT(too_few.Run(), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteDatabaseTest, AllGivesEveryRowAndOneTheFirst) {
  EXPECT_THAT(database_->Prepare("VALUES (1), (2), (3)").All(ReadNumber),
              IsOkAndHolds(ElementsAre(1, 2, 3)));
  EXPECT_THAT(database_->Prepare("VALUES (1), (2), (3)").One(ReadNumber),
              IsOkAndHolds(Optional(int64_t{1})));
  EXPECT_THAT(database_->Prepare("SELECT a FROM t").All(ReadNumber), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(database_->Prepare("SELECT a FROM t").One(ReadNumber),
              IsOkAndHolds(Eq(std::nullopt)));
}

TEST_F(SqliteDatabaseTest, StatementThatIsDoneDoesNotBeginAgain) {
  SqliteStatement insert = database_->Prepare("INSERT INTO t (b) VALUES ('x') RETURNING a");
  EXPECT_THAT(insert.One(ReadNumber), IsOkAndHolds(Optional(int64_t{1})));
  EXPECT_THAT(insert.Run(), IsOk());
  EXPECT_THAT(insert.One(ReadNumber), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(Count(), IsOkAndHolds(1));
}

TEST_F(SqliteDatabaseTest, ReusedStatementForgetsItsParametersAndItsFailure) {
  constexpr char kSql[] = "INSERT INTO t (b, c) VALUES (?, ?)";
  EXPECT_THAT(database_->Change(kSql, "first", 1), IsOkAndHolds(1));
  EXPECT_THAT(database_->Change(kSql, "second", 1), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(database_->Change(kSql), IsOkAndHolds(1));
  EXPECT_THAT(database_->Prepare("SELECT b FROM t ORDER BY a").One(ReadText),
              IsOkAndHolds(Optional(std::string("first"))));
  EXPECT_THAT(database_->QueryNumber("SELECT count(*) FROM t WHERE b IS NULL AND c IS NULL"),
              IsOkAndHolds(1));
}

TEST_F(SqliteDatabaseTest, StatementCanBeInUseTwice) {
  static constexpr char kSql[] = "SELECT ? UNION ALL SELECT 10";
  SqliteStatement outer = database_->Prepare(kSql, 1);
  EXPECT_THAT(outer.All([this](SqliteStatement& row) {
    EXPECT_THAT(database_->Prepare(kSql, 2).All(ReadNumber), IsOkAndHolds(ElementsAre(2, 10)));
    return row.Int64(0);
  }),
              IsOkAndHolds(ElementsAre(1, 10)));
}

TEST_F(SqliteDatabaseTest, ChangeCountsRows) {
  EXPECT_THAT(database_->Change("INSERT INTO t (c) VALUES (1), (2)"), IsOkAndHolds(2));
  EXPECT_THAT(database_->Change("UPDATE t SET b = ? WHERE c = ?", "x", 2), IsOkAndHolds(1));
  EXPECT_THAT(database_->Change("UPDATE t SET b = ? WHERE c = ?", "x", 3), IsOkAndHolds(0));
  EXPECT_THAT(database_->Change("DELETE FROM t"), IsOkAndHolds(2));
}

TEST_F(SqliteDatabaseTest, ValueOfAnotherTypeFailsTheStatement) {
  const char* const not_numbers[] = {"SELECT 'x' AS it", "SELECT NULL AS it", "SELECT 1.5 AS it"};
  for (const char* sql : not_numbers) {
    EXPECT_THAT(database_->Prepare(sql).One(ReadNumber),
                StatusIs(StatusCode::kInternal, HasSubstr("(it)")));
    EXPECT_THAT(database_->Prepare(sql).All(ReadNumber), StatusIs(StatusCode::kInternal));
  }
  EXPECT_THAT(database_->Prepare("SELECT 1").One(ReadText), StatusIs(StatusCode::kInternal));
  const char* const not_ids[] = {"SELECT x'0102'", "SELECT zeroblob(17)", "SELECT x''",
                                 "SELECT '0123456789abcdef'", "SELECT NULL"};
  for (const char* sql : not_ids) {
    EXPECT_THAT(database_->Prepare(sql).One(ReadKeyId), StatusIs(StatusCode::kInternal)) << sql;
  }
}

TEST_F(SqliteDatabaseTest, BadSqlAndTooManyParametersAreInternal) {
  EXPECT_THAT(database_->Prepare("SELEKT 1").Run(), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->Prepare("SELECT ?", 1, 2).Run(), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->RunScript("SELECT 1; SELEKT 2"), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteDatabaseTest, ConstraintsFailByKind) {
  ASSERT_THAT(database_->Change("INSERT INTO t (a, c) VALUES (1, 1)"), IsOk());
  EXPECT_THAT(database_->Change("INSERT INTO t (c) VALUES (1)"),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(database_->Change("INSERT INTO t (a) VALUES (1)"),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(database_->Change("INSERT INTO t (c) VALUES (0)"), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->Change("INSERT INTO t (d) VALUES (7)"), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(database_->Change("INSERT INTO t (c) VALUES ('x')"), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(Count(), IsOkAndHolds(1));
}

TEST_F(SqliteDatabaseTest, FullDatabaseIsUnavailableAndTheTransactionRolledBack) {
  ASSERT_THAT(database_->Change("INSERT INTO t (b) VALUES ('kept')"), IsOk());
  ASSERT_THAT(database_->QueryNumber("PRAGMA max_page_count = 4"), IsOk());
  {
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    ASSERT_THAT(transaction, IsOk());
    EXPECT_THAT(database_->Change("INSERT INTO t (b) VALUES ('small')"), IsOk());
    EXPECT_THAT(database_->Change("INSERT INTO t (b) VALUES (?)", std::string(100'000, 'x')),
                StatusIs(StatusCode::kUnavailable, HasSubstr("full")));
  }
  EXPECT_THAT(Count(), IsOkAndHolds(1));
  ASSERT_THAT(database_->QueryNumber("PRAGMA max_page_count = 1000"), IsOk());
  EXPECT_THAT(database_->Change("INSERT INTO t (b) VALUES (?)", std::string(100'000, 'x')),
              IsOkAndHolds(1));
}

TEST_F(SqliteDatabaseTest, UncommittedTransactionIsRolledBack) {
  {
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    ASSERT_THAT(transaction, IsOk());
    ASSERT_THAT(database_->Change("INSERT INTO t (c) VALUES (1)"), IsOk());
    EXPECT_THAT(Count(), IsOkAndHolds(1));
  }
  EXPECT_THAT(Count(), IsOkAndHolds(0));
}

TEST_F(SqliteDatabaseTest, CommittedTransactionStays) {
  {
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    ASSERT_THAT(transaction, IsOk());
    ASSERT_THAT(database_->Change("INSERT INTO t (c) VALUES (1)"), IsOk());
    EXPECT_THAT(transaction->Commit(), IsOk());
  }
  database_.reset();
  EXPECT_EQ(RawConnection(path_).Ask("SELECT count(*) FROM t"), "1");
}

TEST_F(SqliteDatabaseTest, MovedTransactionRollsBackOnce) {
  {
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    ASSERT_THAT(transaction, IsOk());
    ASSERT_THAT(database_->Change("INSERT INTO t (c) VALUES (1)"), IsOk());
    { const SqliteTransaction moved = *std::move(transaction); }
    EXPECT_THAT(Count(), IsOkAndHolds(0));
    ASSERT_THAT(database_->Change("INSERT INTO t (c) VALUES (2)"), IsOk());
  }
  EXPECT_THAT(Count(), IsOkAndHolds(1));
}

TEST_F(SqliteDatabaseTest, IntegrityOfASoundDatabaseIsOk) {
  ASSERT_THAT(database_->Change("INSERT INTO t (c) VALUES (1)"), IsOk());
  EXPECT_THAT(database_->CheckIntegrity(), IsOk());
}

}  // namespace
}  // namespace strongroom::store
