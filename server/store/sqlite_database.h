#ifndef STRONGROOM_SERVER_STORE_SQLITE_DATABASE_H_
#define STRONGROOM_SERVER_STORE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/ids.h"

namespace strongroom::store {

class SqliteDatabase;

// Bytes to bind as a blob; a text is bound as a text.
struct SqliteBlob {
  absl::string_view bytes;
};

// A prepared statement while it is in use. When it goes, the statement is reset, its parameters are
// cleared, and it returns to its database to be used again.
//
// Errors stay: after a failure to prepare, bind, step or read a column, every further call fails
// the same way, so that it is enough to look at what the last call returns.
class SqliteStatement {
 public:
  SqliteStatement(SqliteStatement&& other) noexcept;
  SqliteStatement& operator=(SqliteStatement&&) = delete;
  ~SqliteStatement();

  // Binds texts to the parameters from `index` on (the first is 1), for a statement that has as
  // many as its caller says. Before the first row.
  void BindTexts(int index, absl::Span<const absl::string_view> texts);

  // Runs to the end, whatever rows there are.
  absl::Status Run();

  // The first row, as `read(SqliteStatement&)` makes it, or nothing if there is none. Runs to the
  // end.
  template <typename Read>
  auto One(Read read)
      -> absl::StatusOr<std::optional<std::invoke_result_t<Read, SqliteStatement&>>>;

  // All rows, as `read(SqliteStatement&)` makes them.
  template <typename Read>
  auto All(Read read) -> absl::StatusOr<std::vector<std::invoke_result_t<Read, SqliteStatement&>>>;

  // Gives all rows to `read(SqliteStatement&)`, one after the other.
  template <typename Read>
  absl::Status Each(Read read);

  // Whether nothing has failed so far.
  bool ok() const { return status_.ok(); }

  // The columns of the row at hand, from 0. If a column is not of the type asked for, the statement
  // fails with INTERNAL, and One(), All() and Each() with it.
  bool IsNull(int column);
  int64_t Int64(int column);
  std::string Text(int column);
  std::string Blob(int column);
  template <typename IdType>
  IdType Id(int column) {
    return IdType(Blob16(column));
  }

  // Makes the statement fail with INTERNAL, for a row that cannot be right. `what` names it.
  void FailAsCorrupt(absl::string_view what);

 private:
  friend class SqliteDatabase;
  SqliteStatement(SqliteDatabase* database, sqlite3_stmt* statement, absl::Status status);

  // Goes to the next row. False at the end and after a failure.
  bool Step();
  bool HasType(int column, int type);
  std::array<uint8_t, 16> Blob16(int column);

  void Bind(int index, int64_t value);
  void Bind(int index, int value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, absl::string_view text);
  void Bind(int index, SqliteBlob blob);
  void Bind(int index, std::optional<int64_t> value);
  void BindBlob16(int index, const std::array<uint8_t, 16>& bytes);
  template <typename Tag>
  void Bind(int index, const strongroom::Id<Tag>& id) {
    BindBlob16(index, id.bytes());
  }
  void NoteBinding(int result);

  SqliteDatabase* database_;
  sqlite3_stmt* statement_;
  absl::Status status_;
  // SQLite would begin again.
  bool done_ = false;
};

// A connection to an SQLite database, which it keeps safe to trust and to lose power under: every
// commit is synced, foreign keys are enforced, and nothing in the file's schema is run (no
// triggers, no views, no functions but SQLite's harmless ones).
//
// Thread-compatible: one call at a time, statements and transactions included.
class SqliteDatabase {
 public:
  // Opens a file that exists and is not opened otherwise in this process. The file is neither read
  // nor written yet.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  // Sets what can only be set once the file is known to be ours, for it may write: the write-ahead
  // log, syncing, foreign keys.
  absl::Status Configure();

  // A statement with its parameters bound in order: integers, texts, blobs, ids; NULL for an empty
  // optional. Prepared once for each text of `sql`, then reused.
  template <typename... Values>
  SqliteStatement Prepare(const char* sql, const Values&... values) {
    SqliteStatement statement = PrepareUnbound(sql);
    int index = 0;
    (statement.Bind(++index, values), ...);
    return statement;
  }

  // Runs an INSERT, UPDATE or DELETE and returns how many rows it changed.
  //
  // ALREADY_EXISTS if a primary key or a unique value is taken. Any other constraint is the last
  // line against a mistake of ours: INTERNAL.
  template <typename... Values>
  absl::StatusOr<int64_t> Change(const char* sql, const Values&... values) {
    absl::Status status = Prepare(sql, values...).Run();
    if (!status.ok()) return status;
    return sqlite3_changes64(connection_);
  }

  // INTERNAL if SQLite finds the file damaged, a row breaks a constraint, or a row refers to one
  // that is not there. Reads the whole file.
  absl::Status CheckIntegrity();

  // Runs statements without parameters, one after the other until one fails.
  absl::Status RunScript(const char* sql);

  // The number that a pragma such as "PRAGMA user_version" answers.
  absl::StatusOr<int64_t> QueryNumber(const char* sql);

  // The status for one of SQLite's result codes: UNAVAILABLE for what may pass (busy, full, failing
  // disk), ALREADY_EXISTS as said above, INTERNAL for the rest. Names the file and the code.
  absl::Status ErrorStatus(int result) const;

  const std::string& path() const { return path_; }

 private:
  friend class SqliteStatement;
  friend class SqliteTransaction;
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}

  SqliteStatement PrepareUnbound(const char* sql);
  void TakeBack(sqlite3_stmt* statement);

  const std::string path_;
  sqlite3* connection_ = nullptr;
  // By their texts; null while in use.
  absl::flat_hash_map<std::string, sqlite3_stmt*> statements_;
};

// A transaction that may write. Rolled back when it goes, unless it was committed.
class SqliteTransaction {
 public:
  static absl::StatusOr<SqliteTransaction> Begin(SqliteDatabase& database);
  SqliteTransaction(SqliteTransaction&& other) noexcept
      : database_(std::exchange(other.database_, nullptr)) {}
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();

  // All statements of the transaction must be gone by now. After a failure nothing has changed.
  absl::Status Commit();

 private:
  explicit SqliteTransaction(SqliteDatabase* database) : database_(database) {}
  SqliteDatabase* database_;
};

template <typename Read>
auto SqliteStatement::One(Read read)
    -> absl::StatusOr<std::optional<std::invoke_result_t<Read, SqliteStatement&>>> {
  std::optional<std::invoke_result_t<Read, SqliteStatement&>> row;
  if (Step()) row = read(*this);
  absl::Status status = Run();
  if (!status.ok()) return status;
  return row;
}

template <typename Read>
auto SqliteStatement::All(Read read)
    -> absl::StatusOr<std::vector<std::invoke_result_t<Read, SqliteStatement&>>> {
  std::vector<std::invoke_result_t<Read, SqliteStatement&>> rows;
  while (Step()) rows.push_back(read(*this));
  if (!status_.ok()) return status_;
  return rows;
}

template <typename Read>
absl::Status SqliteStatement::Each(Read read) {
  while (Step()) read(*this);
  return status_;
}

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_SQLITE_DATABASE_H_
