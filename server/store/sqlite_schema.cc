#include "server/store/sqlite_schema.h"

#include <openssl/rand.h>

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/store/ids.h"

namespace strongroom::store {
namespace {

constexpr char kGetVersion[] = "PRAGMA user_version";

absl::Status SetNumber(SqliteDatabase& database, absl::string_view pragma, int64_t number) {
  return database.RunScript(absl::StrCat("PRAGMA ", pragma, " = ", number).c_str());
}

absl::Status MarkAsStore(SqliteDatabase& database) {
  std::array<uint8_t, 16> random;
  if (RAND_bytes(random.data(), random.size()) != 1) {
    return absl::InternalError("OpenSSL has no random bytes for a store's id");
  }
  absl::Status status =
      database.Change("INSERT INTO store (row, id) VALUES (1, ?)", StoreId::FromRandom(random))
          .status();
  if (!status.ok()) return status;
  return SetNumber(database, "application_id", kSqliteApplicationId);
}

absl::Status ApplyMigration(SqliteDatabase& database, const char* script, int64_t version) {
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(database);
  if (!transaction.ok()) return transaction.status();
  absl::Status status = database.RunScript(script);
  if (!status.ok()) return status;
  if (version == 1) {
    status = MarkAsStore(database);
    if (!status.ok()) return status;
  }
  status = SetNumber(database, "user_version", version);
  if (!status.ok()) return status;
  return transaction->Commit();
}

}  // namespace

absl::Status CheckSqliteSchema(SqliteDatabase& database, absl::Span<const char* const> migrations) {
  absl::StatusOr<int64_t> application = database.QueryNumber("PRAGMA application_id");
  if (!application.ok()) return application.status();
  absl::StatusOr<int64_t> version = database.QueryNumber(kGetVersion);
  if (!version.ok()) return version.status();
  absl::StatusOr<int64_t> objects = database.QueryNumber("SELECT count(*) FROM sqlite_schema");
  if (!objects.ok()) return objects.status();

  if (*application == 0 && *version == 0 && *objects == 0) return absl::OkStatus();
  if (*application != kSqliteApplicationId) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is an SQLite database of another program (its application_id is %#x, a store's is "
        "%#x); give the store a path of its own",
        database.path(), static_cast<uint32_t>(*application), kSqliteApplicationId));
  }
  const auto newest = static_cast<int64_t>(migrations.size());
  if (*version > newest) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the store %s has schema version %d, and this program knows versions up to %d; run the "
        "release that wrote it, or a later one",
        database.path(), *version, newest));
  }
  if (*version < 1) {
    return absl::InternalError(absl::StrFormat(
        "the store %s has schema version %d, which there never was: restore it from a backup",
        database.path(), *version));
  }
  return absl::OkStatus();
}

absl::Status MigrateSqliteSchema(SqliteDatabase& database,
                                 absl::Span<const char* const> migrations) {
  absl::StatusOr<int64_t> version = database.QueryNumber(kGetVersion);
  if (!version.ok()) return version.status();
  for (int64_t next = *version + 1; next <= static_cast<int64_t>(migrations.size()); ++next) {
    absl::Status status = ApplyMigration(database, migrations[next - 1], next);
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("cannot bring the schema to version ", next,
                                                      ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace strongroom::store
