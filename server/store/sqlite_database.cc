#include "server/store/sqlite_database.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace strongroom::store {
namespace {

// Only a visitor (a backup, an operator's shell) can make the database busy: a server holds it by
// itself, and a connection is used by one thread at a time.
constexpr int kBusyTimeoutMillis = 1000;

// The low byte of a result code is its class (https://www.sqlite.org/rescode.html).
constexpr int PrimaryCode(int result) { return result & 0xff; }

}  // namespace

SqliteStatement::SqliteStatement(SqliteDatabase* database, sqlite3_stmt* statement,
                                 absl::Status status)
    : database_(database), statement_(statement), status_(std::move(status)) {}

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      status_(std::move(other.status_)),
      done_(other.done_) {}

SqliteStatement::~SqliteStatement() {
  if (statement_ != nullptr) database_->TakeBack(statement_);
}

bool SqliteStatement::Step() {
  if (!status_.ok() || done_) return false;
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  done_ = true;
  if (result != SQLITE_DONE) status_ = database_->ErrorStatus(result);
  return false;
}

absl::Status SqliteStatement::Run() {
  while (Step()) {
  }
  return status_;
}

bool SqliteStatement::IsNull(int column) {
  return status_.ok() && sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

int64_t SqliteStatement::Int64(int column) {
  if (!HasType(column, SQLITE_INTEGER)) return 0;
  return sqlite3_column_int64(statement_, column);
}

std::string SqliteStatement::Text(int column) {
  if (!HasType(column, SQLITE_TEXT)) return std::string();
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) {
    status_ = database_->ErrorStatus(SQLITE_NOMEM);
    return std::string();
  }
  return std::string(reinterpret_cast<const char*>(text),
                     static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

std::string SqliteStatement::Blob(int column) {
  if (!HasType(column, SQLITE_BLOB)) return std::string();
  const void* blob = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  // An empty blob has no address.
  if (size == 0) return std::string();
  if (blob == nullptr) {
    status_ = database_->ErrorStatus(SQLITE_NOMEM);
    return std::string();
  }
  return std::string(static_cast<const char*>(blob), size);
}

std::array<uint8_t, 16> SqliteStatement::Blob16(int column) {
  std::array<uint8_t, 16> bytes = {};
  if (!HasType(column, SQLITE_BLOB)) return bytes;
  const void* blob = sqlite3_column_blob(statement_, column);
  if (blob == nullptr || sqlite3_column_bytes(statement_, column) != int{sizeof(bytes)}) {
    FailAsCorrupt(absl::StrCat("an id (", sqlite3_column_name(statement_, column),
                               ") that is not 16 bytes long"));
    return bytes;
  }
  std::memcpy(bytes.data(), blob, sizeof(bytes));
  return bytes;
}

bool SqliteStatement::HasType(int column, int type) {
  if (!status_.ok()) return false;
  const int found = sqlite3_column_type(statement_, column);
  if (found == type) return true;
  FailAsCorrupt(absl::StrCat("a value (", sqlite3_column_name(statement_, column), ") of type ",
                             found, " where ", type, " belongs"));
  return false;
}

void SqliteStatement::FailAsCorrupt(absl::string_view what) {
  if (!status_.ok()) return;
  status_ = absl::InternalError(absl::StrCat("the store ", database_->path(), " holds ", what));
}

void SqliteStatement::Bind(int index, int64_t value) {
  if (status_.ok()) NoteBinding(sqlite3_bind_int64(statement_, index, value));
}

void SqliteStatement::Bind(int index, absl::string_view text) {
  if (!status_.ok()) return;
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  NoteBinding(
      sqlite3_bind_text64(statement_, index, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void SqliteStatement::Bind(int index, SqliteBlob blob) {
  if (!status_.ok()) return;
  // A null pointer would bind NULL.
  const char* data = blob.bytes.data() == nullptr ? "" : blob.bytes.data();
  NoteBinding(sqlite3_bind_blob64(statement_, index, data, blob.bytes.size(), SQLITE_TRANSIENT));
}

void SqliteStatement::Bind(int index, std::optional<int64_t> value) {
  // A parameter that is not bound is NULL.
  if (value.has_value()) Bind(index, *value);
}

void SqliteStatement::BindBlob16(int index, const std::array<uint8_t, 16>& bytes) {
  if (!status_.ok()) return;
  NoteBinding(sqlite3_bind_blob64(statement_, index, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
}

void SqliteStatement::BindTexts(int index, absl::Span<const absl::string_view> texts) {
  for (const absl::string_view text : texts) Bind(index++, text);
}

void SqliteStatement::NoteBinding(int result) {
  if (result != SQLITE_OK) status_ = database_->ErrorStatus(result);
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
  // Not make_unique: the constructor is private.
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path));
  int result = sqlite3_open_v2(
      path.c_str(), &database->connection_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
      nullptr);
  if (result != SQLITE_OK) return database->ErrorStatus(result);

  constexpr std::tuple<int, int> kHardening[] = {
      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
      {SQLITE_DBCONFIG_ENABLE_VIEW, 0},    {SQLITE_DBCONFIG_DEFENSIVE, 1},
      {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_DQS_DML, 0},
  };
  for (const auto& [setting, value] : kHardening) {
    result = sqlite3_db_config(database->connection_, setting, value, nullptr);
    if (result != SQLITE_OK) return database->ErrorStatus(result);
  }
  sqlite3_busy_timeout(database->connection_, kBusyTimeoutMillis);
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::Status SqliteDatabase::Configure() {
  absl::StatusOr<std::optional<std::string>> mode =
      Prepare("PRAGMA journal_mode = WAL").One([](SqliteStatement& row) { return row.Text(0); });
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    return absl::FailedPreconditionError(absl::StrCat(
        "the store ", path_, " cannot keep a write-ahead log (journal_mode is ",
        mode->value_or("unset"), "): put it on a local file system that can share memory"));
  }
  absl::Status status = RunScript(
      "PRAGMA synchronous = FULL;"
      "PRAGMA foreign_keys = ON;"
      "PRAGMA cell_size_check = ON;"
      "PRAGMA temp_store = MEMORY;");
  if (!status.ok()) return status;

  // SQLite passes over pragmas that it cannot honour.
  absl::StatusOr<int64_t> foreign_keys = QueryNumber("PRAGMA foreign_keys");
  if (!foreign_keys.ok()) return foreign_keys.status();
  absl::StatusOr<int64_t> synchronous = QueryNumber("PRAGMA synchronous");
  if (!synchronous.ok()) return synchronous.status();
  constexpr int64_t kFull = 2;
  if (*foreign_keys != 1 || *synchronous != kFull) {
    return absl::InternalError(absl::StrCat("this SQLite (", sqlite3_libversion(),
                                            ") does not sync fully or keep foreign keys"));
  }
  return absl::OkStatus();
}

absl::Status SqliteDatabase::CheckIntegrity() {
  absl::StatusOr<std::optional<std::string>> verdict =
      Prepare("PRAGMA quick_check(1)").One([](SqliteStatement& row) { return row.Text(0); });
  if (!verdict.ok()) return verdict.status();
  absl::StatusOr<std::optional<std::string>> orphan =
      Prepare("PRAGMA foreign_key_check").One([](SqliteStatement& row) { return row.Text(0); });
  if (!orphan.ok()) return orphan.status();

  std::string problem;
  if (*verdict != "ok") {
    problem = verdict->value_or("no verdict");
  } else if (orphan->has_value()) {
    problem = absl::StrCat("a row of ", **orphan, " refers to one that is not there");
  } else {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("the store ", path_, " is damaged (", problem, "): restore it from a backup"));
}

absl::Status SqliteDatabase::RunScript(const char* sql) {
  const int result = sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? absl::OkStatus() : ErrorStatus(result);
}

absl::StatusOr<int64_t> SqliteDatabase::QueryNumber(const char* sql) {
  absl::StatusOr<std::optional<int64_t>> number =
      Prepare(sql).One([](SqliteStatement& row) { return row.Int64(0); });
  if (!number.ok()) return number.status();
  if (!number->has_value()) return absl::InternalError(absl::StrCat(sql, " answers nothing"));
  return **number;
}

absl::Status SqliteDatabase::ErrorStatus(int result) const {
  const int primary = PrimaryCode(result);
  // Of the connection's last failure, which is the one at hand. Names tables, never values.
  std::string message =
      absl::StrCat("the store ", path_, ": ",
                   connection_ == nullptr ? sqlite3_errstr(result) : sqlite3_errmsg(connection_),
                   " (SQLite result ", result, ")");
  const int system_error = connection_ == nullptr ? 0 : sqlite3_system_errno(connection_);
  if (system_error != 0 && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN)) {
    absl::StrAppend(&message, ": ", strerror(system_error));
  }
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
      return absl::UnavailableError(message);
    case SQLITE_CONSTRAINT:
      return result == SQLITE_CONSTRAINT_PRIMARYKEY || result == SQLITE_CONSTRAINT_UNIQUE
                 ? absl::AlreadyExistsError(message)
                 : absl::InternalError(message);
    default:
      return absl::InternalError(message);
  }
}

SqliteStatement SqliteDatabase::PrepareUnbound(const char* sql) {
  sqlite3_stmt*& idle = statements_[sql];
  sqlite3_stmt* statement = std::exchange(idle, nullptr);
  if (statement != nullptr) return SqliteStatement(this, statement, absl::OkStatus());
  const int result =
      sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  return SqliteStatement(this, statement,
                         result == SQLITE_OK ? absl::OkStatus() : ErrorStatus(result));
}

void SqliteDatabase::TakeBack(sqlite3_stmt* statement) {
  // Returns the failure of the last step again; the statement has kept it.
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  sqlite3_stmt*& idle = statements_[sqlite3_sql(statement)];
  if (idle == nullptr) {
    idle = statement;
  } else {
    sqlite3_finalize(statement);  // a second one of the same text, in use at the same time
  }
}

absl::StatusOr<SqliteTransaction> SqliteTransaction::Begin(SqliteDatabase& database) {
  // IMMEDIATE: a transaction that reads first could find later that it may not write.
  absl::Status status = database.Prepare("BEGIN IMMEDIATE").Run();
  if (!status.ok()) return status;
  return SqliteTransaction(&database);
}

absl::Status SqliteTransaction::Commit() { return database_->Prepare("COMMIT").Run(); }

SqliteTransaction::~SqliteTransaction() {
  if (database_ == nullptr) return;
  // SQLite has rolled back by itself after some failures, and after a COMMIT there is nothing to
  // do.
  if (sqlite3_get_autocommit(database_->connection_) != 0) return;
  (void)database_->Prepare("ROLLBACK").Run();
}

}  // namespace strongroom::store
