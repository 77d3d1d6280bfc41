#include "server/store/pair_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/store/sqlite_file.h"

namespace strongroom::store {
namespace {

// "StrR"; a store's is another, so that neither is taken for the other.
constexpr int64_t kApplicationId = 0x53747252;
constexpr int64_t kSchemaVersion = 1;

constexpr char kSchema[] = R"sql(
CREATE TABLE reserve (
  row INTEGER PRIMARY KEY CHECK (row = 1),
  store_id BLOB NOT NULL CHECK (length(store_id) = 16),
  -- NULL until there is one.
  epoch BLOB CHECK (length(epoch) = 16)
) STRICT;

CREATE TABLE pairs (
  id INTEGER PRIMARY KEY,
  spec INTEGER NOT NULL,
  sealed BLOB NOT NULL
) STRICT;

PRAGMA application_id = 0x53747252;
PRAGMA user_version = 1;
)sql";

absl::Status Insert(SqliteDatabase& database, absl::Span<const ReservedPair> pairs) {
  for (const ReservedPair& pair : pairs) {
    absl::Status status = database
                              .Change("INSERT INTO pairs (id, spec, sealed) VALUES (?, ?, ?)",
                                      pair.id, pair.spec, SqliteBlob{pair.sealed})
                              .status();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

class SqlitePairReserve final : public PairReserve {
 public:
  SqlitePairReserve(FileLock lock, std::unique_ptr<SqliteDatabase> database, std::string notice)
      : lock_(std::move(lock)), database_(std::move(database)), notice_(std::move(notice)) {}

  const std::string& notice() const override { return notice_; }

  absl::StatusOr<std::optional<ReserveEpochId>> GetEpoch() override {
    MutexLock lock(mutex_);
    auto row = database_->Prepare("SELECT epoch FROM reserve")
                   .One([](SqliteStatement& found) -> std::optional<ReserveEpochId> {
                     if (found.IsNull(0)) return std::nullopt;
                     return found.Id<ReserveEpochId>(0);
                   });
    if (!row.ok()) return row.status();
    return row->value_or(std::nullopt);
  }

  absl::StatusOr<std::vector<ReservedPair>> List() override {
    MutexLock lock(mutex_);
    return database_->Prepare("SELECT id, spec, sealed FROM pairs ORDER BY id")
        .All([](SqliteStatement& row) {
          ReservedPair pair;
          pair.id = row.Int64(0);
          pair.spec = static_cast<int32_t>(row.Int64(1));
          pair.sealed = row.Blob(2);
          return pair;
        });
  }

  absl::Status BeginEpoch(const ReserveEpochId& epoch,
                          absl::Span<const ReservedPair> pairs) override {
    MutexLock lock(mutex_);
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    if (!transaction.ok()) return transaction.status();
    absl::Status status = database_->Change("DELETE FROM pairs").status();
    if (!status.ok()) return status;
    status = database_->Change("UPDATE reserve SET epoch = ?", epoch).status();
    if (!status.ok()) return status;
    status = Insert(*database_, pairs);
    if (!status.ok()) return status;
    return transaction->Commit();
  }

  absl::Status Add(absl::Span<const ReservedPair> pairs) override {
    MutexLock lock(mutex_);
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    if (!transaction.ok()) return transaction.status();
    absl::Status status = Insert(*database_, pairs);
    if (!status.ok()) return status;
    return transaction->Commit();
  }

  absl::StatusOr<std::vector<int64_t>> Remove(absl::Span<const int64_t> ids) override {
    MutexLock lock(mutex_);
    absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
    if (!transaction.ok()) return transaction.status();
    std::vector<int64_t> removed;
    for (const int64_t id : ids) {
      absl::StatusOr<int64_t> rows = database_->Change("DELETE FROM pairs WHERE id = ?", id);
      if (!rows.ok()) return rows.status();
      if (*rows == 1) removed.push_back(id);
    }
    absl::Status status = transaction->Commit();
    if (!status.ok()) return status;
    return removed;
  }

 private:
  const FileLock lock_;  // outlives the connection
  Mutex mutex_;
  const std::unique_ptr<SqliteDatabase> database_ ABSL_PT_GUARDED_BY(mutex_);
  const std::string notice_;
};

// Whether the file is a reserve, or nothing yet. FAILED_PRECONDITION if it is something else, which
// is not to be touched.
absl::StatusOr<bool> IsReserve(SqliteDatabase& database) {
  absl::StatusOr<int64_t> application = database.QueryNumber("PRAGMA application_id");
  if (!application.ok()) return application.status();
  absl::StatusOr<int64_t> version = database.QueryNumber("PRAGMA user_version");
  if (!version.ok()) return version.status();
  absl::StatusOr<int64_t> objects = database.QueryNumber("SELECT count(*) FROM sqlite_schema");
  if (!objects.ok()) return objects.status();
  if (*application == 0 && *version == 0 && *objects == 0) return false;
  if (*application == kApplicationId && *version == kSchemaVersion) return true;
  return absl::FailedPreconditionError(
      absl::StrCat(database.path(),
                   " is not a reserve of key pairs that this release knows; give reservoir.path "
                   "one of its own"));
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> OpenDatabase(const std::string& path,
                                                             const StoreId& store,
                                                             std::string& notice) {
  absl::StatusOr<std::unique_ptr<SqliteDatabase>> database = SqliteDatabase::Open(path);
  if (!database.ok()) return database.status();
  absl::StatusOr<bool> is_reserve = IsReserve(**database);
  if (!is_reserve.ok()) return is_reserve.status();
  absl::Status status = (*database)->CheckIntegrity();
  if (!status.ok()) return status;
  status = (*database)->Configure();
  if (!status.ok()) return status;
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(**database);
  if (!transaction.ok()) return transaction.status();
  if (!*is_reserve) {
    status = (*database)->RunScript(kSchema);
    if (!status.ok()) return status;
  }
  auto owner = (*database)->Prepare("SELECT store_id FROM reserve").One([](SqliteStatement& row) {
    return row.Id<StoreId>(0);
  });
  if (!owner.ok()) return owner.status();
  if (*owner != store) {
    if (owner->has_value()) {
      notice = absl::StrCat("the pairs in ", path, " were another store's and are dropped");
    }
    for (const char* sql : {"DELETE FROM pairs", "DELETE FROM reserve"}) {
      status = (*database)->RunScript(sql);
      if (!status.ok()) return status;
    }
    status =
        (*database)->Change("INSERT INTO reserve (row, store_id) VALUES (1, ?)", store).status();
    if (!status.ok()) return status;
  }
  status = transaction->Commit();
  if (!status.ok()) return status;
  return database;
}

// Puts a new file in its place. The old log must not become the new file's.
absl::Status PutAside(const std::string& path) {
  for (const char* suffix : {"-wal", "-shm"}) {
    const std::string beside = absl::StrCat(path, suffix);
    if (remove(beside.c_str()) != 0 && errno != ENOENT) {
      return absl::UnavailableError(absl::StrCat("cannot remove ", beside, ": ", strerror(errno)));
    }
  }
  const std::string aside = absl::StrCat(path, ".damaged");
  if (rename(path.c_str(), aside.c_str()) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot rename ", path, " to ", aside, ": ", strerror(errno)));
  }
  const int fd =
      open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  if (fd < 0)
    return absl::UnavailableError(absl::StrCat("cannot make ", path, ": ", strerror(errno)));
  close(fd);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PairReserve>> PairReserve::Open(const std::string& path,
                                                               const StoreId& store) {
  absl::StatusOr<SqliteFile> file = HoldSqliteFile(path);
  if (!file.ok()) return file.status();
  std::string notice;
  auto database = OpenDatabase(file->path, store, notice);
  if (absl::IsInternal(database.status())) {
    notice = absl::StrCat(database.status().message(), "; it is put aside, with ", file->path,
                          ".damaged for a name, and the reserve begins empty");
    absl::Status aside = PutAside(file->path);
    if (!aside.ok()) return aside;
    std::string nothing;
    database = OpenDatabase(file->path, store, nothing);
  }
  if (!database.ok()) return database.status();
  return std::unique_ptr<PairReserve>(std::make_unique<SqlitePairReserve>(
      std::move(file->lock), *std::move(database), std::move(notice)));
}

}  // namespace strongroom::store
