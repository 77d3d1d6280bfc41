#include "tests/testing/many_keys.h"

#include <openssl/rand.h>
#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/store/ids.h"

namespace strongroom::testing {
namespace {

// As long as those of real versions.
constexpr int kProofBytes = 55;
constexpr int kRotationDays = 90;

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

absl::Status StatusOf(int result, sqlite3* database) {
  if (result == SQLITE_OK || result == SQLITE_DONE) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("adding keys: ", sqlite3_errmsg(database)));
}

absl::Status Run(sqlite3* database, const char* sql) {
  return StatusOf(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), database);
}

template <typename IdType>
IdType NewId() {
  std::array<uint8_t, 16> random;
  RAND_bytes(random.data(), random.size());
  return IdType::FromRandom(random);
}

}  // namespace

absl::Status AddSyntheticKeys(const std::string& database_path, int keys) {
  sqlite3* opened = nullptr;
  int result = sqlite3_open_v2(database_path.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  const Database owned(opened);
  sqlite3* const database = owned.get();
  if (result != SQLITE_OK) return StatusOf(result, database);

  // A key and its version refer to each other; both are whole when this is committed.
  absl::Status status = Run(database, "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  const auto prepare = [&](const char* sql) {
    sqlite3_stmt* statement = nullptr;
    status.Update(StatusOf(sqlite3_prepare_v2(database, sql, -1, &statement, nullptr), database));
    return Statement(statement);
  };
  const Statement add_key = prepare(
      "INSERT INTO keys (id, state, origin, description, create_time, initial_version, "
      "primary_version, rotation_days, next_rotation) "
      "VALUES (?1, 1, 1, 'synthetic', ?3, ?2, ?2, ?4, ?3 + ?4 * 86400000000)");
  const Statement add_version = prepare(
      "INSERT INTO key_versions (id, key_id, number, create_time, proof, uses_reserved) "
      "VALUES (?2, ?1, 1, ?3, randomblob(?4), 1)");
  if (!status.ok()) return status;
  const auto add = [&](sqlite3_stmt* row, const KeyId& key, const KeyVersionId& version,
                       int64_t create_time, int number) {
    sqlite3_reset(row);
    sqlite3_bind_blob(row, 1, key.bytes().data(), 16, SQLITE_TRANSIENT);
    sqlite3_bind_blob(row, 2, version.bytes().data(), 16, SQLITE_TRANSIENT);
    sqlite3_bind_int64(row, 3, create_time);
    sqlite3_bind_int(row, 4, number);
    status.Update(StatusOf(sqlite3_step(row), database));
  };
  const int64_t now = absl::ToUnixMicros(absl::Now());
  for (int i = 0; i < keys && status.ok(); ++i) {
    const auto key = NewId<KeyId>();
    const auto version = NewId<KeyVersionId>();
    add(add_key.get(), key, version, now + i, kRotationDays);
    add(add_version.get(), key, version, now + i, kProofBytes);
  }
  if (!status.ok()) return status;
  return Run(database, "COMMIT");
}

}  // namespace strongroom::testing
