#include "server/store/sqlite_store.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/store/sqlite_file.h"
#include "server/store/sqlite_schema.h"

namespace strongroom::store {
namespace {

// The columns that ReadKey, ReadVersion, ReadAlias and ReadGrant take, in their order.
#define KEY_COLUMNS "id, state, description, create_time, initial_version, primary_version"
#define VERSION_COLUMNS "id, key_id, number, create_time"
#define ALIAS_COLUMNS "name, key_id, create_time, update_time"
#define GRANT_COLUMNS \
  "id, key_id, grantee, retiring_principal, create_time, expire_time, document, ended"

absl::Time ReadTime(SqliteStatement& row, int column) {
  return absl::FromUnixMicros(row.Int64(column));
}

KeyState ReadKeyState(SqliteStatement& row, int column) {
  const int64_t number = row.Int64(column);
  switch (number) {
    case static_cast<int64_t>(KeyState::kEnabled):
      return KeyState::kEnabled;
    case static_cast<int64_t>(KeyState::kDisabled):
      return KeyState::kDisabled;
    default:
      row.FailAsCorrupt(absl::StrCat("a key in state ", number, ", which there is not"));
      return KeyState::kDisabled;
  }
}

KeyRecord ReadKey(SqliteStatement& row) {
  KeyRecord key;
  key.id = row.Id<KeyId>(0);
  key.state = ReadKeyState(row, 1);
  key.description = row.Text(2);
  key.create_time = ReadTime(row, 3);
  key.initial_version = row.Id<KeyVersionId>(4);
  key.primary_version = row.Id<KeyVersionId>(5);
  return key;
}

KeyVersionRecord ReadVersion(SqliteStatement& row) {
  KeyVersionRecord version;
  version.id = row.Id<KeyVersionId>(0);
  version.key_id = row.Id<KeyId>(1);
  version.number = static_cast<int32_t>(row.Int64(2));
  version.create_time = ReadTime(row, 3);
  return version;
}

AliasRecord ReadAlias(SqliteStatement& row) {
  AliasRecord alias;
  alias.name = row.Text(0);
  alias.key_id = row.Id<KeyId>(1);
  alias.create_time = ReadTime(row, 2);
  alias.update_time = ReadTime(row, 3);
  return alias;
}

GrantRecord ReadGrant(SqliteStatement& row) {
  GrantRecord grant;
  grant.id = row.Id<GrantId>(0);
  grant.key_id = row.Id<KeyId>(1);
  grant.grantee = row.Text(2);
  grant.retiring_principal = row.Text(3);
  grant.create_time = ReadTime(row, 4);
  grant.expire_time = row.IsNull(5) ? absl::InfiniteFuture() : ReadTime(row, 5);
  grant.document = row.Blob(6);
  grant.ended = row.Int64(7) != 0;
  return grant;
}

AuditHead ReadAuditHead(SqliteStatement& row) {
  AuditHead head;
  head.sequence = row.Int64(0);
  const std::string hash = row.Blob(1);
  if (hash.size() == head.hash.size()) {
    std::copy(hash.begin(), hash.end(), head.hash.begin());
  } else {
    row.FailAsCorrupt("an audit head whose hash is not 32 bytes long");
  }
  return head;
}

StoreId ReadStoreId(SqliteStatement& row) { return row.Id<StoreId>(0); }

std::optional<std::string> ReadOptionalText(SqliteStatement& row) {
  if (row.IsNull(0)) return std::nullopt;
  return row.Text(0);
}

absl::Status LostItsRow(const SqliteDatabase& database) {
  return absl::InternalError(
      absl::StrCat("the store ", database.path(), " has lost its id: restore it from a backup"));
}

absl::Status NoSuchKey(const KeyId& id) {
  return absl::NotFoundError(absl::StrCat("there is no key ", id.ToString()));
}

absl::Status NoSuchVersion(const KeyVersionId& id) {
  return absl::NotFoundError(absl::StrCat("there is no key version ", id.ToString()));
}

absl::Status NoSuchPendingVersion(const KeyVersionId& id) {
  return absl::NotFoundError(absl::StrCat("there is no pending key version ", id.ToString()));
}

absl::Status NoSuchAlias(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("there is no alias ", name));
}

absl::Status NoSuchGrant(const GrantId& id) {
  return absl::NotFoundError(absl::StrCat("there is no grant ", id.ToString()));
}

// Of what one statement inserts, only `what` can be taken.
absl::Status NameWhatIsTaken(const absl::Status& status, absl::string_view what) {
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::AlreadyExistsError(absl::StrCat(what, " exists already"));
}

absl::Status CheckLimit(int limit) {
  if (limit >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("limit must be at least 1, not ", limit));
}

// What a statement was to find, or the status for when it did not.
template <typename T>
absl::StatusOr<T> Found(absl::StatusOr<std::optional<T>> row, const absl::Status& if_none) {
  if (!row.ok()) return row.status();
  if (!row->has_value()) return if_none;
  return **std::move(row);
}

absl::Status ChangedOne(const absl::StatusOr<int64_t>& changed, const absl::Status& if_none) {
  if (!changed.ok()) return changed.status();
  return *changed == 0 ? if_none : absl::OkStatus();
}

}  // namespace

SqliteStore::SqliteStore(FileLock lock, const StoreId& id, std::unique_ptr<SqliteDatabase> database)
    : lock_(std::move(lock)), id_(id), database_(std::move(database)) {}

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path) {
  absl::StatusOr<SqliteFile> file = HoldSqliteFile(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::unique_ptr<SqliteDatabase>> database = SqliteDatabase::Open(file->path);
  if (!database.ok()) return database.status();
  absl::Status status = CheckSqliteSchema(**database);
  if (!status.ok()) return status;
  status = (*database)->CheckIntegrity();
  if (!status.ok()) return status;
  status = (*database)->Configure();
  if (!status.ok()) return status;
  status = MigrateSqliteSchema(**database);
  if (!status.ok()) return status;

  absl::StatusOr<StoreId> id =
      Found((*database)->Prepare("SELECT id FROM store").One(ReadStoreId), LostItsRow(**database));
  if (!id.ok()) return id.status();
  // Not make_unique: the constructor is private.
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(file->lock), *id, *std::move(database)));
}

absl::StatusOr<std::optional<std::string>> SqliteStore::FindTokenSerial() {
  return Found(database_->Prepare("SELECT token_serial FROM store").One(ReadOptionalText),
               LostItsRow(*database_));
}

absl::StatusOr<std::optional<std::string>> SqliteStore::GetTokenSerial() {
  MutexLock lock(mutex_);
  return FindTokenSerial();
}

absl::Status SqliteStore::BindToken(absl::string_view serial) {
  MutexLock lock(mutex_);
  absl::StatusOr<int64_t> bound = database_->Change(
      "UPDATE store SET token_serial = ?1 WHERE token_serial IS NULL OR token_serial = ?1", serial);
  if (!bound.ok()) return bound.status();
  if (*bound != 0) return absl::OkStatus();
  absl::StatusOr<std::optional<std::string>> other = FindTokenSerial();
  if (!other.ok()) return other.status();
  return absl::FailedPreconditionError(absl::StrCat(
      "the store ", database_->path(), " holds the keys of the token with serial number ",
      other->value_or("(none)"), ", not of ", serial,
      ": give the server that token, or give this token a store of its own"));
}

absl::Status SqliteStore::BeginKey(const KeyRecord& key, const KeyVersionId& first_version,
                                   absl::string_view policy) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  const int64_t create_time = absl::ToUnixMicros(key.create_time);
  absl::StatusOr<int64_t> inserted = database_->Change(
      "INSERT INTO keys (id, state, description, create_time) VALUES (?, ?, ?, ?)", key.id,
      static_cast<int>(key.state), key.description, create_time);
  if (!inserted.ok()) {
    return NameWhatIsTaken(inserted.status(), absl::StrCat("key ", key.id.ToString()));
  }
  inserted =
      database_->Change("INSERT INTO key_versions (id, key_id, create_time) VALUES (?, ?, ?)",
                        first_version, key.id, create_time);
  if (!inserted.ok()) {
    return NameWhatIsTaken(inserted.status(),
                           absl::StrCat("key version ", first_version.ToString()));
  }
  absl::Status status = InsertPolicy(key.id, policy);
  if (!status.ok()) return status;
  return transaction->Commit();
}

absl::Status SqliteStore::BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                                       absl::Time create_time) {
  MutexLock lock(mutex_);
  absl::StatusOr<int64_t> inserted = database_->Change(
      "INSERT INTO key_versions (id, key_id, create_time) "
      "SELECT ?, id, ? FROM keys WHERE id = ? AND initial_version IS NOT NULL",
      version, absl::ToUnixMicros(create_time), key_id);
  if (!inserted.ok()) {
    return NameWhatIsTaken(inserted.status(), absl::StrCat("key version ", version.ToString()));
  }
  return ChangedOne(inserted, NoSuchKey(key_id));
}

absl::StatusOr<KeyVersionRecord> SqliteStore::CommitVersion(const KeyVersionId& version,
                                                            absl::string_view) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyVersionRecord> committed = Found(
      database_
          ->Prepare("UPDATE key_versions SET number = 1 + ifnull((SELECT max(other.number) "
                    "FROM key_versions AS other WHERE other.key_id = key_versions.key_id), 0) "
                    "WHERE id = ? AND number IS NULL RETURNING " VERSION_COLUMNS,
                    version)
          .One(ReadVersion),
      NoSuchPendingVersion(version));
  if (!committed.ok()) return committed;
  absl::Status status = ChangedOne(
      database_->Change("UPDATE keys SET primary_version = ?1, "
                        "initial_version = ifnull(initial_version, ?1) WHERE id = ?2",
                        version, committed->key_id),
      absl::InternalError(absl::StrCat("key version ", version.ToString(), " is of no key")));
  if (!status.ok()) return status;
  status = transaction->Commit();
  if (!status.ok()) return status;
  return committed;
}

absl::Status SqliteStore::DropPendingVersion(const KeyVersionId& version) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyId> key_id = Found(
      database_
          ->Prepare("DELETE FROM key_versions WHERE id = ? AND number IS NULL RETURNING key_id",
                    version)
          .One([](SqliteStatement& row) { return row.Id<KeyId>(0); }),
      NoSuchPendingVersion(version));
  if (!key_id.ok()) return key_id.status();
  // A key without a committed version has had no other: BeginVersion does not see it.
  absl::StatusOr<int64_t> dropped = database_->Change(
      "DELETE FROM key_policies WHERE key_id IN "
      "(SELECT id FROM keys WHERE id = ? AND initial_version IS NULL)",
      *key_id);
  if (!dropped.ok()) return dropped.status();
  dropped = database_->Change("DELETE FROM keys WHERE id = ? AND initial_version IS NULL", *key_id);
  if (!dropped.ok()) return dropped.status();
  return transaction->Commit();
}

absl::StatusOr<std::vector<PendingVersion>> SqliteStore::ListPendingVersions() {
  MutexLock lock(mutex_);
  return database_
      ->Prepare(
          "SELECT version.id, version.key_id, key.initial_version IS NULL "
          "FROM key_versions AS version JOIN keys AS key ON key.id = version.key_id "
          "WHERE version.number IS NULL")
      .All([](SqliteStatement& row) {
        return PendingVersion{row.Id<KeyVersionId>(0), row.Id<KeyId>(1), row.Int64(2) != 0};
      });
}

absl::StatusOr<KeyRecord> SqliteStore::FindKey(const KeyId& id) {
  return Found(
      database_
          ->Prepare("SELECT " KEY_COLUMNS " FROM keys WHERE id = ? AND initial_version IS NOT NULL",
                    id)
          .One(ReadKey),
      NoSuchKey(id));
}

absl::StatusOr<KeyRecord> SqliteStore::GetKey(const KeyId& id) {
  MutexLock lock(mutex_);
  return FindKey(id);
}

absl::Status SqliteStore::SetKeyState(const KeyId&, KeyState, absl::Time) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::SetKeyDescription(const KeyId&, absl::string_view) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::SetKeyTags(const KeyId&, const std::map<std::string, std::string>&) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::SetKeyRotation(const KeyId&, int32_t) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::vector<KeyId>> SqliteStore::ListKeysToRotate(absl::Time, int) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::vector<KeyId>> SqliteStore::ListKeysToDestroy(absl::Time, int) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::DeleteKey(const KeyId&) { return absl::UnimplementedError("not yet"); }

absl::StatusOr<UseBlock> SqliteStore::ReserveUses(const KeyVersionId&, int64_t, int64_t) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::PutImport(const ImportRecord&) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::optional<ImportRecord>> SqliteStore::GetImport(const KeyId&) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::DropImport(const ImportId&) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::vector<ImportRecord>> SqliteStore::ListExpiredImports(absl::Time) {
  return absl::UnimplementedError("not yet");
}

absl::Status SqliteStore::CommitImport(const KeyVersionId&, absl::string_view) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::vector<KeyRecord>> SqliteStore::ListKeys(
    const std::optional<KeyId>& after, int limit, const std::map<std::string, std::string>&) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  // With the nil id, before every key.
  int64_t after_time = std::numeric_limits<int64_t>::min();
  if (after.has_value()) {
    absl::StatusOr<KeyRecord> key = FindKey(*after);
    if (!key.ok()) return key.status();
    after_time = absl::ToUnixMicros(key->create_time);
  }
  return database_
      ->Prepare("SELECT " KEY_COLUMNS
                " FROM keys WHERE initial_version IS NOT NULL AND (create_time, id) > (?, ?) "
                "ORDER BY create_time, id LIMIT ?",
                after_time, after.value_or(KeyId()), limit)
      .All(ReadKey);
}

absl::StatusOr<KeyVersionRecord> SqliteStore::GetKeyVersion(const KeyVersionId& id) {
  MutexLock lock(mutex_);
  return Found(database_
                   ->Prepare("SELECT " VERSION_COLUMNS
                             " FROM key_versions WHERE id = ? AND number IS NOT NULL",
                             id)
                   .One(ReadVersion),
               NoSuchVersion(id));
}

absl::StatusOr<std::vector<KeyVersionRecord>> SqliteStore::ListKeyVersions(const KeyId& key_id,
                                                                           int32_t after_number,
                                                                           int limit) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  absl::StatusOr<KeyRecord> key = FindKey(key_id);
  if (!key.ok()) return key.status();
  // Pending versions have no number, and NULL is above nothing.
  return database_
      ->Prepare("SELECT " VERSION_COLUMNS
                " FROM key_versions WHERE key_id = ? AND number > ? ORDER BY number LIMIT ?",
                key_id, after_number, limit)
      .All(ReadVersion);
}

absl::StatusOr<std::vector<KeyVersionRecord>> SqliteStore::ListAllKeyVersions() {
  MutexLock lock(mutex_);
  return database_->Prepare("SELECT " VERSION_COLUMNS " FROM key_versions WHERE number IS NOT NULL")
      .All(ReadVersion);
}

absl::Status SqliteStore::CreateAlias(const AliasRecord& alias) {
  MutexLock lock(mutex_);
  absl::StatusOr<int64_t> inserted = database_->Change(
      "INSERT INTO aliases (" ALIAS_COLUMNS
      ") SELECT ?, id, ?, ? FROM keys WHERE id = ? AND initial_version IS NOT NULL",
      alias.name, absl::ToUnixMicros(alias.create_time), absl::ToUnixMicros(alias.update_time),
      alias.key_id);
  if (!inserted.ok()) {
    return NameWhatIsTaken(inserted.status(), absl::StrCat("alias ", alias.name));
  }
  return ChangedOne(inserted, NoSuchKey(alias.key_id));
}

absl::StatusOr<AliasRecord> SqliteStore::UpdateAlias(absl::string_view name, const KeyId& key_id,
                                                     absl::Time update_time) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyRecord> key = FindKey(key_id);
  if (!key.ok()) return key.status();
  absl::StatusOr<AliasRecord> alias =
      Found(database_
                ->Prepare("UPDATE aliases SET key_id = ?, update_time = ? WHERE name = ? "
                          "RETURNING " ALIAS_COLUMNS,
                          key_id, absl::ToUnixMicros(update_time), name)
                .One(ReadAlias),
            NoSuchAlias(name));
  if (!alias.ok()) return alias;
  absl::Status status = transaction->Commit();
  if (!status.ok()) return status;
  return alias;
}

absl::Status SqliteStore::DeleteAlias(absl::string_view name) {
  MutexLock lock(mutex_);
  return ChangedOne(database_->Change("DELETE FROM aliases WHERE name = ?", name),
                    NoSuchAlias(name));
}

absl::StatusOr<AliasRecord> SqliteStore::GetAlias(absl::string_view name) {
  MutexLock lock(mutex_);
  return Found(database_->Prepare("SELECT " ALIAS_COLUMNS " FROM aliases WHERE name = ?", name)
                   .One(ReadAlias),
               NoSuchAlias(name));
}

absl::StatusOr<std::vector<AliasRecord>> SqliteStore::ListAliases(
    const std::optional<KeyId>& key_id, absl::string_view after_name, int limit) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  if (key_id.has_value()) {
    return database_
        ->Prepare("SELECT " ALIAS_COLUMNS
                  " FROM aliases WHERE key_id = ? AND name > ? ORDER BY name LIMIT ?",
                  *key_id, after_name, limit)
        .All(ReadAlias);
  }
  return database_
      ->Prepare("SELECT " ALIAS_COLUMNS " FROM aliases WHERE name > ? ORDER BY name LIMIT ?",
                after_name, limit)
      .All(ReadAlias);
}

absl::Status SqliteStore::InsertPolicy(const KeyId& key_id, absl::string_view policy) {
  if (policy.empty()) return absl::OkStatus();
  return database_
      ->Change("INSERT INTO key_policies (key_id, document) VALUES (?, ?)", key_id,
               SqliteBlob{policy})
      .status();
}

absl::StatusOr<std::string> SqliteStore::GetKeyPolicy(const KeyId& key_id) {
  MutexLock lock(mutex_);
  return Found(database_
                   ->Prepare("SELECT ifnull(policy.document, x'') FROM keys AS key "
                             "LEFT JOIN key_policies AS policy ON policy.key_id = key.id "
                             "WHERE key.id = ? AND key.initial_version IS NOT NULL",
                             key_id)
                   .One([](SqliteStatement& row) { return row.Blob(0); }),
               NoSuchKey(key_id));
}

absl::Status SqliteStore::PutKeyPolicy(const KeyId& key_id, absl::string_view policy) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyRecord> key = FindKey(key_id);
  if (!key.ok()) return key.status();
  absl::Status status =
      database_->Change("DELETE FROM key_policies WHERE key_id = ?", key_id).status();
  if (!status.ok()) return status;
  status = InsertPolicy(key_id, policy);
  if (!status.ok()) return status;
  return transaction->Commit();
}

absl::Status SqliteStore::InsertGrant(const GrantRecord& grant, bool ended) {
  std::optional<int64_t> expire_time;
  if (grant.expire_time != absl::InfiniteFuture()) {
    expire_time = absl::ToUnixMicros(grant.expire_time);
  }
  return NameWhatIsTaken(
      database_
          ->Change("INSERT INTO grants (" GRANT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   grant.id, grant.key_id, grant.grantee, grant.retiring_principal,
                   absl::ToUnixMicros(grant.create_time), expire_time, SqliteBlob{grant.document},
                   ended ? 1 : 0)
          .status(),
      absl::StrCat("grant ", grant.id.ToString()));
}

absl::Status SqliteStore::CreateGrant(const GrantRecord& grant, int most) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyRecord> key = FindKey(grant.key_id);
  if (!key.ok()) return key.status();
  absl::Status status = InsertGrant(grant, false);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<int64_t>> grants =
      database_->Prepare("SELECT count(*) FROM grants WHERE key_id = ? AND ended = 0", grant.key_id)
          .One([](SqliteStatement& row) { return row.Int64(0); });
  if (!grants.ok()) return grants.status();
  if (*grants > most) {
    return absl::ResourceExhaustedError(
        absl::StrCat("key ", grant.key_id.ToString(), " has ", most, " grants already"));
  }
  return transaction->Commit();
}

absl::StatusOr<GrantRecord> SqliteStore::FindGrant(const GrantId& id) {
  return Found(
      database_->Prepare("SELECT " GRANT_COLUMNS " FROM grants WHERE id = ?", id).One(ReadGrant),
      NoSuchGrant(id));
}

absl::StatusOr<GrantRecord> SqliteStore::GetGrant(const GrantId& id) {
  MutexLock lock(mutex_);
  return FindGrant(id);
}

absl::StatusOr<std::vector<GrantRecord>> SqliteStore::ListGrants(
    const KeyId& key_id, const std::optional<std::string>& grantee,
    const std::optional<GrantId>& after, int limit) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  absl::StatusOr<KeyRecord> key = FindKey(key_id);
  if (!key.ok()) return key.status();
  // With the nil id, before every grant.
  int64_t after_time = std::numeric_limits<int64_t>::min();
  if (after.has_value()) {
    absl::StatusOr<GrantRecord> grant = FindGrant(*after);
    if (!grant.ok()) return grant.status();
    if (grant->key_id != key_id) return NoSuchGrant(*after);
    after_time = absl::ToUnixMicros(grant->create_time);
  }
  if (grantee.has_value()) {
    return database_
        ->Prepare("SELECT " GRANT_COLUMNS
                  " FROM grants WHERE key_id = ? AND ended = 0 AND grantee = ? "
                  "AND (create_time, id) > (?, ?) ORDER BY create_time, id LIMIT ?",
                  key_id, *grantee, after_time, after.value_or(GrantId()), limit)
        .All(ReadGrant);
  }
  return database_
      ->Prepare("SELECT " GRANT_COLUMNS
                " FROM grants WHERE key_id = ? AND ended = 0 "
                "AND (create_time, id) > (?, ?) ORDER BY create_time, id LIMIT ?",
                key_id, after_time, after.value_or(GrantId()), limit)
      .All(ReadGrant);
}

absl::Status SqliteStore::EndGrant(const GrantRecord& grant) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyRecord> key = FindKey(grant.key_id);
  if (!key.ok()) return key.status();
  absl::StatusOr<int64_t> ended = database_->Change(
      "UPDATE grants SET ended = 1 WHERE id = ? AND key_id = ?", grant.id, grant.key_id);
  if (!ended.ok()) return ended.status();
  if (*ended == 0) {
    absl::Status status = InsertGrant(grant, true);
    if (!status.ok()) return status;
  }
  return transaction->Commit();
}

absl::StatusOr<std::vector<GrantId>> SqliteStore::ListEndedGrants(const KeyId& key_id) {
  MutexLock lock(mutex_);
  absl::StatusOr<KeyRecord> key = FindKey(key_id);
  if (!key.ok()) return key.status();
  return database_->Prepare("SELECT id FROM grants WHERE key_id = ? AND ended = 1", key_id)
      .All([](SqliteStatement& row) { return row.Id<GrantId>(0); });
}

absl::StatusOr<int64_t> SqliteStore::DropExpiredGrants(absl::Time now) {
  MutexLock lock(mutex_);
  return database_->Change("DELETE FROM grants WHERE expire_time < ?", absl::ToUnixMicros(now));
}

absl::StatusOr<std::optional<AuditHead>> SqliteStore::GetAuditHead() {
  MutexLock lock(mutex_);
  return database_->Prepare("SELECT sequence, hash FROM audit_head").One(ReadAuditHead);
}

absl::Status SqliteStore::SetAuditHead(const AuditHead& head) {
  MutexLock lock(mutex_);
  return database_
      ->Change(
          "INSERT INTO audit_head (row, sequence, hash) VALUES (1, ?, ?) "
          "ON CONFLICT (row) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
          head.sequence,
          SqliteBlob{{reinterpret_cast<const char*>(head.hash.data()), head.hash.size()}})
      .status();
}

}  // namespace strongroom::store
