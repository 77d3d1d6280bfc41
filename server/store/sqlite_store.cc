#include "server/store/sqlite_store.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "server/store/sqlite_file.h"
#include "server/store/sqlite_schema.h"

namespace strongroom::store {
namespace {

// The columns that ReadKey, ReadVersion, ReadImport, ReadAlias and ReadGrant take, in their order.
#define KEY_COLUMNS                                                                 \
  "id, state, origin, description, create_time, initial_version, primary_version, " \
  "rotation_days, next_rotation, deletion_time"
#define VERSION_COLUMNS "id, key_id, number, create_time, proof, uses_reserved"
#define IMPORT_COLUMNS "key_id, id, algorithm, expire_time"
#define ALIAS_COLUMNS "name, key_id, create_time, update_time"
#define GRANT_COLUMNS \
  "id, key_id, grantee, retiring_principal, create_time, expire_time, document, ended"

#define MICROS_PER_DAY "86400000000"

absl::Time ReadTime(SqliteStatement& row, int column) {
  return absl::FromUnixMicros(row.Int64(column));
}

// Of a time that may never come.
absl::Time ReadTimeOrNever(SqliteStatement& row, int column) {
  return row.IsNull(column) ? absl::InfiniteFuture() : ReadTime(row, column);
}

std::optional<int64_t> MicrosUnlessNever(absl::Time time) {
  if (time == absl::InfiniteFuture()) return std::nullopt;
  return absl::ToUnixMicros(time);
}

KeyState ReadKeyState(SqliteStatement& row, int column) {
  const int64_t number = row.Int64(column);
  if (number >= static_cast<int64_t>(KeyState::kEnabled) &&
      number <= static_cast<int64_t>(KeyState::kDestroying)) {
    return static_cast<KeyState>(number);
  }
  row.FailAsCorrupt(absl::StrCat("a key in state ", number, ", which there is not"));
  return KeyState::kDisabled;
}

KeyOrigin ReadKeyOrigin(SqliteStatement& row, int column) {
  const int64_t number = row.Int64(column);
  if (number == static_cast<int64_t>(KeyOrigin::kImported)) return KeyOrigin::kImported;
  if (number != static_cast<int64_t>(KeyOrigin::kToken)) {
    row.FailAsCorrupt(absl::StrCat("a key of origin ", number, ", which there is not"));
  }
  return KeyOrigin::kToken;
}

// All but its tags.
KeyRecord ReadKey(SqliteStatement& row) {
  KeyRecord key;
  key.id = row.Id<KeyId>(0);
  key.state = ReadKeyState(row, 1);
  key.origin = ReadKeyOrigin(row, 2);
  key.description = row.Text(3);
  key.create_time = ReadTime(row, 4);
  // Only both together can be NULL.
  key.creating = row.IsNull(5) && row.IsNull(6);
  if (!key.creating) {
    key.initial_version = row.Id<KeyVersionId>(5);
    key.primary_version = row.Id<KeyVersionId>(6);
  }
  key.rotation_days = static_cast<int32_t>(row.Int64(7));
  key.next_rotation = ReadTimeOrNever(row, 8);
  key.deletion_time = ReadTimeOrNever(row, 9);
  return key;
}

KeyId ReadKeyId(SqliteStatement& row) { return row.Id<KeyId>(0); }

KeyVersionRecord ReadVersion(SqliteStatement& row) {
  KeyVersionRecord version;
  version.id = row.Id<KeyVersionId>(0);
  version.key_id = row.Id<KeyId>(1);
  version.number = static_cast<int32_t>(row.Int64(2));
  version.create_time = ReadTime(row, 3);
  version.proof = row.Blob(4);
  version.uses_reserved = row.Int64(5);
  return version;
}

ImportRecord ReadImport(SqliteStatement& row) {
  ImportRecord import;
  import.key_id = row.Id<KeyId>(0);
  import.id = row.Id<ImportId>(1);
  import.algorithm = static_cast<int32_t>(row.Int64(2));
  import.expire_time = ReadTime(row, 3);
  return import;
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
  grant.expire_time = ReadTimeOrNever(row, 5);
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
      "INSERT INTO keys (id, state, origin, description, create_time, rotation_days) "
      "VALUES (?, ?, ?, ?, ?, ?)",
      key.id, static_cast<int>(key.state), static_cast<int>(key.origin), key.description,
      create_time, key.rotation_days);
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
  absl::Status status = InsertTags(key.id, key.tags);
  if (!status.ok()) return status;
  status = InsertPolicy(key.id, policy);
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
                                                            absl::string_view proof) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<KeyVersionRecord> committed = Found(
      database_
          ->Prepare("UPDATE key_versions SET number = 1 + ifnull((SELECT max(other.number) "
                    "FROM key_versions AS other WHERE other.key_id = key_versions.key_id), 0), "
                    "proof = ?2, uses_reserved = length(?2) > 0 "
                    "WHERE id = ?1 AND number IS NULL RETURNING " VERSION_COLUMNS,
                    version, SqliteBlob{proof})
          .One(ReadVersion),
      NoSuchPendingVersion(version));
  if (!committed.ok()) return committed;
  absl::Status status = ChangedOne(
      database_->Change("UPDATE keys SET primary_version = ?1, "
                        "initial_version = ifnull(initial_version, ?1), "
                        "next_rotation = iif(rotation_days > 0, "
                        "?3 + rotation_days * " MICROS_PER_DAY ", NULL) WHERE id = ?2",
                        version, committed->key_id, absl::ToUnixMicros(committed->create_time)),
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
          .One(ReadKeyId),
      NoSuchPendingVersion(version));
  if (!key_id.ok()) return key_id.status();
  // A key without a committed version has had no other: BeginVersion does not see it.
  for (const char* drop : {"DELETE FROM key_policies WHERE key_id IN "
                           "(SELECT id FROM keys WHERE id = ? AND initial_version IS NULL)",
                           "DELETE FROM key_tags WHERE key_id IN "
                           "(SELECT id FROM keys WHERE id = ? AND initial_version IS NULL)",
                           "DELETE FROM keys WHERE id = ? AND initial_version IS NULL"}) {
    absl::Status status = database_->Change(drop, *key_id).status();
    if (!status.ok()) return status;
  }
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

absl::Status SqliteStore::CheckKey(const KeyId& id) {
  return Found(database_
                   ->Prepare("SELECT id FROM keys WHERE id = ? AND initial_version IS NOT NULL", id)
                   .One(ReadKeyId),
               NoSuchKey(id))
      .status();
}

absl::StatusOr<std::map<std::string, std::string>> SqliteStore::FindTags(const KeyId& key_id) {
  std::map<std::string, std::string> tags;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> rows =
      database_->Prepare("SELECT name, value FROM key_tags WHERE key_id = ?", key_id)
          .All([](SqliteStatement& row) { return std::make_pair(row.Text(0), row.Text(1)); });
  if (!rows.ok()) return rows.status();
  for (auto& [name, value] : *rows) tags.emplace(std::move(name), std::move(value));
  return tags;
}

absl::Status SqliteStore::InsertTags(const KeyId& key_id,
                                     const std::map<std::string, std::string>& tags) {
  for (const auto& [name, value] : tags) {
    absl::Status status =
        database_
            ->Change("INSERT INTO key_tags (key_id, name, value) VALUES (?, ?, ?)", key_id, name,
                     value)
            .status();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<KeyRecord> SqliteStore::GetKey(const KeyId& id) {
  MutexLock lock(mutex_);
  absl::StatusOr<KeyRecord> key =
      Found(database_->Prepare("SELECT " KEY_COLUMNS " FROM keys WHERE id = ?", id).One(ReadKey),
            NoSuchKey(id));
  if (!key.ok()) return key;
  absl::StatusOr<std::map<std::string, std::string>> tags = FindTags(id);
  if (!tags.ok()) return tags.status();
  key->tags = *std::move(tags);
  return key;
}

absl::StatusOr<std::vector<KeyRecord>> SqliteStore::ListKeys(
    const std::optional<KeyId>& after, int limit, const std::map<std::string, std::string>& tags) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  // With the nil id, before every key.
  int64_t after_time = std::numeric_limits<int64_t>::min();
  if (after.has_value()) {
    absl::StatusOr<int64_t> create_time =
        Found(database_->Prepare("SELECT create_time FROM keys WHERE id = ?", *after)
                  .One([](SqliteStatement& row) { return row.Int64(0); }),
              NoSuchKey(*after));
    if (!create_time.ok()) return create_time.status();
    after_time = *create_time;
  }
  std::string sql = "SELECT " KEY_COLUMNS " FROM keys WHERE (create_time, id) > (?1, ?2)";
  constexpr int kFirstText = 4;
  std::vector<absl::string_view> texts;
  for (const auto& [name, value] : tags) {
    const size_t parameter = kFirstText + texts.size();
    absl::StrAppend(&sql, " AND id IN (SELECT key_id FROM key_tags WHERE name = ?", parameter,
                    " AND value = ?", parameter + 1, ")");
    texts.push_back(name);
    texts.push_back(value);
  }
  absl::StrAppend(&sql, " ORDER BY create_time, id LIMIT ?3");
  absl::StatusOr<std::vector<KeyRecord>> keys;
  {
    SqliteStatement statement =
        database_->Prepare(sql.c_str(), after_time, after.value_or(KeyId()), limit);
    statement.BindTexts(kFirstText, texts);
    keys = statement.All(ReadKey);
  }
  if (!keys.ok()) return keys;
  for (KeyRecord& key : *keys) {
    absl::StatusOr<std::map<std::string, std::string>> its_tags = FindTags(key.id);
    if (!its_tags.ok()) return its_tags.status();
    key.tags = *std::move(its_tags);
  }
  return keys;
}

absl::Status SqliteStore::SetKeyState(const KeyId& id, KeyState state, absl::Time deletion_time) {
  MutexLock lock(mutex_);
  return ChangedOne(
      database_->Change("UPDATE keys SET state = ?, deletion_time = ? "
                        "WHERE id = ? AND initial_version IS NOT NULL",
                        static_cast<int>(state), MicrosUnlessNever(deletion_time), id),
      NoSuchKey(id));
}

absl::Status SqliteStore::SetKeyDescription(const KeyId& id, absl::string_view description) {
  MutexLock lock(mutex_);
  return ChangedOne(
      database_->Change(
          "UPDATE keys SET description = ? WHERE id = ? AND initial_version IS NOT NULL",
          description, id),
      NoSuchKey(id));
}

absl::Status SqliteStore::SetKeyTags(const KeyId& id,
                                     const std::map<std::string, std::string>& tags) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::Status status = CheckKey(id);
  if (!status.ok()) return status;
  status = database_->Change("DELETE FROM key_tags WHERE key_id = ?", id).status();
  if (!status.ok()) return status;
  status = InsertTags(id, tags);
  if (!status.ok()) return status;
  return transaction->Commit();
}

absl::Status SqliteStore::SetKeyRotation(const KeyId& id, int32_t days) {
  MutexLock lock(mutex_);
  return ChangedOne(
      database_->Change("UPDATE keys SET rotation_days = ?1, next_rotation = iif(?1 > 0, "
                        "(SELECT version.create_time FROM key_versions AS version "
                        "WHERE version.id = keys.primary_version) + ?1 * " MICROS_PER_DAY
                        ", NULL) WHERE id = ?2 AND initial_version IS NOT NULL",
                        days, id),
      NoSuchKey(id));
}

absl::StatusOr<std::vector<KeyId>> SqliteStore::ListKeysToRotate(absl::Time now, int limit) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  return database_
      ->Prepare(
          "SELECT id FROM keys WHERE state = ? AND origin = ? AND next_rotation <= ? "
          "ORDER BY next_rotation LIMIT ?",
          static_cast<int>(KeyState::kEnabled), static_cast<int>(KeyOrigin::kToken),
          absl::ToUnixMicros(now), limit)
      .All(ReadKeyId);
}

absl::StatusOr<std::vector<KeyId>> SqliteStore::ListKeysToDestroy(absl::Time now, int limit) {
  absl::Status valid = CheckLimit(limit);
  if (!valid.ok()) return valid;
  MutexLock lock(mutex_);
  return database_
      ->Prepare(
          "SELECT id FROM keys WHERE initial_version IS NOT NULL AND "
          "(state = ? OR (state = ? AND deletion_time <= ?)) LIMIT ?",
          static_cast<int>(KeyState::kDestroying), static_cast<int>(KeyState::kPendingDeletion),
          absl::ToUnixMicros(now), limit)
      .All(ReadKeyId);
}

absl::Status SqliteStore::DeleteKey(const KeyId& id) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<std::pair<KeyState, bool>> key =
      Found(database_
                ->Prepare("SELECT state, EXISTS (SELECT 1 FROM key_versions "
                          "WHERE key_id = keys.id AND number IS NULL) "
                          "FROM keys WHERE id = ? AND initial_version IS NOT NULL",
                          id)
                .One([](SqliteStatement& row) {
                  return std::make_pair(ReadKeyState(row, 0), row.Int64(1) != 0);
                }),
            NoSuchKey(id));
  if (!key.ok()) return key.status();
  const auto& [state, has_pending_version] = *key;
  if (state != KeyState::kDestroying) {
    return absl::FailedPreconditionError(
        absl::StrCat("key ", id.ToString(), " is not being destroyed"));
  }
  if (has_pending_version) {
    return absl::FailedPreconditionError(
        absl::StrCat("a version of key ", id.ToString(), " is pending"));
  }
  for (const char* deletion :
       {"DELETE FROM aliases WHERE key_id = ?",       //
        "DELETE FROM key_policies WHERE key_id = ?",  //
        "DELETE FROM grants WHERE key_id = ?",        //
        "DELETE FROM key_tags WHERE key_id = ?",      //
        "DELETE FROM imports WHERE key_id = ?",
        // A key and its versions refer to each other.
        "UPDATE keys SET initial_version = NULL, primary_version = NULL WHERE id = ?",
        "DELETE FROM key_versions WHERE key_id = ?",  //
        "DELETE FROM keys WHERE id = ?"}) {
    absl::Status status = database_->Change(deletion, id).status();
    if (!status.ok()) return status;
  }
  return transaction->Commit();
}

absl::StatusOr<UseBlock> SqliteStore::ReserveUses(const KeyVersionId& version, int64_t count,
                                                  int64_t limit) {
  count = std::max<int64_t>(count, 0);
  MutexLock lock(mutex_);
  // One statement nearly always: there is room for all of them.
  absl::StatusOr<std::optional<int64_t>> reserved =
      database_
          ->Prepare(
              "UPDATE key_versions SET uses_reserved = uses_reserved + ?2 "
              "WHERE id = ?1 AND number IS NOT NULL AND uses_reserved <= ?3 - ?2 "
              "RETURNING uses_reserved",
              version, count, limit)
          .One([](SqliteStatement& row) { return row.Int64(0); });
  if (!reserved.ok()) return reserved.status();
  if (reserved->has_value()) return UseBlock{.size = count, .uses_reserved = **reserved};

  // RETURNING does not tell how many there were before, so the rest takes a transaction.
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<int64_t> before =
      Found(database_
                ->Prepare("SELECT uses_reserved FROM key_versions "
                          "WHERE id = ? AND number IS NOT NULL",
                          version)
                .One([](SqliteStatement& row) { return row.Int64(0); }),
            NoSuchVersion(version));
  if (!before.ok()) return before.status();
  if (*before >= limit) return UseBlock{.size = 0, .uses_reserved = *before};
  const int64_t size = std::min(count, limit - *before);
  absl::Status status = database_
                            ->Change("UPDATE key_versions SET uses_reserved = ? WHERE id = ?",
                                     *before + size, version)
                            .status();
  if (!status.ok()) return status;
  status = transaction->Commit();
  if (!status.ok()) return status;
  return UseBlock{.size = size, .uses_reserved = *before + size};
}

absl::Status SqliteStore::PutImport(const ImportRecord& import) {
  MutexLock lock(mutex_);
  absl::StatusOr<int64_t> put = database_->Change(
      "INSERT INTO imports (" IMPORT_COLUMNS
      ") SELECT id, ?, ?, ? FROM keys WHERE id = ? AND initial_version IS NOT NULL "
      "ON CONFLICT (key_id) DO UPDATE SET id = excluded.id, algorithm = excluded.algorithm, "
      "expire_time = excluded.expire_time",
      import.id, import.algorithm, absl::ToUnixMicros(import.expire_time), import.key_id);
  if (!put.ok()) {
    return NameWhatIsTaken(put.status(), absl::StrCat("import ", import.id.ToString()));
  }
  return ChangedOne(put, NoSuchKey(import.key_id));
}

absl::StatusOr<std::optional<ImportRecord>> SqliteStore::GetImport(const KeyId& key_id) {
  MutexLock lock(mutex_);
  return database_->Prepare("SELECT " IMPORT_COLUMNS " FROM imports WHERE key_id = ?", key_id)
      .One(ReadImport);
}

absl::Status SqliteStore::DropImport(const ImportId& id) {
  MutexLock lock(mutex_);
  return database_->Change("DELETE FROM imports WHERE id = ?", id).status();
}

absl::StatusOr<std::vector<ImportRecord>> SqliteStore::ListExpiredImports(absl::Time now) {
  MutexLock lock(mutex_);
  return database_
      ->Prepare("SELECT " IMPORT_COLUMNS " FROM imports WHERE expire_time <= ?",
                absl::ToUnixMicros(now))
      .All(ReadImport);
}

absl::Status SqliteStore::CommitImport(const KeyVersionId& version, absl::string_view proof) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<std::pair<KeyId, KeyState>> key =
      Found(database_
                ->Prepare("SELECT key.id, key.state FROM key_versions AS version "
                          "JOIN keys AS key ON key.id = version.key_id "
                          "WHERE version.id = ? AND version.number IS NOT NULL",
                          version)
                .One([](SqliteStatement& row) {
                  return std::make_pair(row.Id<KeyId>(0), ReadKeyState(row, 1));
                }),
            NoSuchVersion(version));
  if (!key.ok()) return key.status();
  const auto& [key_id, state] = *key;
  if (state != KeyState::kPendingImport) {
    return absl::FailedPreconditionError(
        absl::StrCat("key ", key_id.ToString(), " does not wait for its material"));
  }
  absl::Status status =
      database_
          ->Change(
              "UPDATE key_versions SET proof = ?2, uses_reserved = uses_reserved + 1 "
              "WHERE id = ?1 AND length(proof) = 0 AND length(?2) > 0",
              version, SqliteBlob{proof})
          .status();
  if (!status.ok()) return status;
  status = database_
               ->Change("UPDATE keys SET state = ? WHERE id = ?",
                        static_cast<int>(KeyState::kEnabled), key_id)
               .status();
  if (!status.ok()) return status;
  return transaction->Commit();
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
  absl::Status status = CheckKey(key_id);
  if (!status.ok()) return status;
  // Pending versions have no number, and NULL is above nothing.
  return database_
      ->Prepare("SELECT " VERSION_COLUMNS
                " FROM key_versions WHERE key_id = ? AND number > ? ORDER BY number LIMIT ?",
                key_id, after_number, limit)
      .All(ReadVersion);
}

absl::Status SqliteStore::VisitKeyVersions(const std::function<void(const VersionOfKey&)>& visit) {
  MutexLock lock(mutex_);
  // Two tables from end to end, one after the other. A join would read the file all over the place,
  // once for each version; and nearly all keys are as here in VersionOfKey.
  const VersionOfKey usual;
  absl::flat_hash_map<KeyId, std::pair<KeyState, KeyOrigin>> unusual;
  absl::Status status =
      database_
          ->Prepare("SELECT id, state, origin FROM keys WHERE state <> ? OR origin <> ?",
                    static_cast<int>(usual.key_state), static_cast<int>(usual.key_origin))
          .Each([&](SqliteStatement& row) {
            unusual[ReadKeyId(row)] = {ReadKeyState(row, 1), ReadKeyOrigin(row, 2)};
          });
  if (!status.ok()) return status;
  return database_->Prepare("SELECT " VERSION_COLUMNS " FROM key_versions WHERE number IS NOT NULL")
      .Each([&](SqliteStatement& row) {
        VersionOfKey version;
        version.version = ReadVersion(row);
        if (!row.ok()) return;
        const auto key = unusual.find(version.version.key_id);
        if (key != unusual.end()) {
          std::tie(version.key_state, version.key_origin) = key->second;
        }
        visit(version);
      });
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
  absl::Status status = CheckKey(key_id);
  if (!status.ok()) return status;
  absl::StatusOr<AliasRecord> alias =
      Found(database_
                ->Prepare("UPDATE aliases SET key_id = ?, update_time = ? WHERE name = ? "
                          "RETURNING " ALIAS_COLUMNS,
                          key_id, absl::ToUnixMicros(update_time), name)
                .One(ReadAlias),
            NoSuchAlias(name));
  if (!alias.ok()) return alias;
  status = transaction->Commit();
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
  absl::Status status = CheckKey(key_id);
  if (!status.ok()) return status;
  status = database_->Change("DELETE FROM key_policies WHERE key_id = ?", key_id).status();
  if (!status.ok()) return status;
  status = InsertPolicy(key_id, policy);
  if (!status.ok()) return status;
  return transaction->Commit();
}

absl::Status SqliteStore::InsertGrant(const GrantRecord& grant, bool ended) {
  return NameWhatIsTaken(
      database_
          ->Change("INSERT INTO grants (" GRANT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   grant.id, grant.key_id, grant.grantee, grant.retiring_principal,
                   absl::ToUnixMicros(grant.create_time), MicrosUnlessNever(grant.expire_time),
                   SqliteBlob{grant.document}, ended ? 1 : 0)
          .status(),
      absl::StrCat("grant ", grant.id.ToString()));
}

absl::Status SqliteStore::CreateGrant(const GrantRecord& grant, int most) {
  MutexLock lock(mutex_);
  absl::StatusOr<SqliteTransaction> transaction = SqliteTransaction::Begin(*database_);
  if (!transaction.ok()) return transaction.status();
  absl::Status status = CheckKey(grant.key_id);
  if (!status.ok()) return status;
  status = InsertGrant(grant, false);
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
  absl::Status status = CheckKey(key_id);
  if (!status.ok()) return status;
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
  absl::Status status = CheckKey(grant.key_id);
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> ended = database_->Change(
      "UPDATE grants SET ended = 1 WHERE id = ? AND key_id = ?", grant.id, grant.key_id);
  if (!ended.ok()) return ended.status();
  if (*ended == 0) {
    status = InsertGrant(grant, true);
    if (!status.ok()) return status;
  }
  return transaction->Commit();
}

absl::StatusOr<std::vector<GrantId>> SqliteStore::ListEndedGrants(const KeyId& key_id) {
  MutexLock lock(mutex_);
  absl::Status status = CheckKey(key_id);
  if (!status.ok()) return status;
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
