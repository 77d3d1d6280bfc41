#ifndef STRONGROOM_SERVER_STORE_SQLITE_STORE_H_
#define STRONGROOM_SERVER_STORE_SQLITE_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "platform/files.h"
#include "platform/mutex.h"
#include "server/store/ids.h"
#include "server/store/sqlite_database.h"
#include "server/store/store.h"

namespace strongroom::store {

// A store in one SQLite file, for one server. Thread-safe.
class SqliteStore final : public Store {
 public:
  // Opens the store at `path`, or makes it if there is none (mode 0600). Another process cannot
  // open it until this object is gone: it holds `path`.lock.
  //
  // FAILED_PRECONDITION if another process has it open, if the file is not a store's, was written
  // by a later release, or may be written by others than its owner; INTERNAL if it is damaged;
  // NOT_FOUND if its directory is not there; PERMISSION_DENIED or UNAVAILABLE if the system
  // refuses. Messages say what to do.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path);

  StoreId id() const override { return id_; }

  absl::StatusOr<std::optional<std::string>> GetTokenSerial() override;
  absl::Status BindToken(absl::string_view serial) override;

  absl::Status BeginKey(const KeyRecord& key, const KeyVersionId& first_version,
                        absl::string_view policy) override;
  absl::Status BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                            absl::Time create_time) override;
  absl::StatusOr<KeyVersionRecord> CommitVersion(const KeyVersionId& version,
                                                 absl::string_view proof) override;
  absl::Status DropPendingVersion(const KeyVersionId& version) override;
  absl::StatusOr<std::vector<PendingVersion>> ListPendingVersions() override;

  absl::StatusOr<KeyRecord> GetKey(const KeyId& id) override;
  absl::StatusOr<std::vector<KeyRecord>> ListKeys(
      const std::optional<KeyId>& after, int limit,
      const std::map<std::string, std::string>& tags) override;
  absl::Status SetKeyState(const KeyId& id, KeyState state, absl::Time deletion_time) override;
  absl::Status SetKeyDescription(const KeyId& id, absl::string_view description) override;
  absl::Status SetKeyTags(const KeyId& id, const std::map<std::string, std::string>& tags) override;
  absl::Status SetKeyRotation(const KeyId& id, int32_t days) override;
  absl::StatusOr<std::vector<KeyId>> ListKeysToRotate(absl::Time now, int limit) override;
  absl::StatusOr<std::vector<KeyId>> ListKeysToDestroy(absl::Time now, int limit) override;
  absl::Status DeleteKey(const KeyId& id) override;
  absl::StatusOr<UseBlock> ReserveUses(const KeyVersionId& version, int64_t count,
                                       int64_t limit) override;
  absl::Status PutImport(const ImportRecord& import) override;
  absl::StatusOr<std::optional<ImportRecord>> GetImport(const KeyId& key_id) override;
  absl::Status DropImport(const ImportId& id) override;
  absl::StatusOr<std::vector<ImportRecord>> ListExpiredImports(absl::Time now) override;
  absl::Status CommitImport(const KeyVersionId& version, absl::string_view proof) override;

  absl::StatusOr<KeyVersionRecord> GetKeyVersion(const KeyVersionId& id) override;
  absl::StatusOr<std::vector<KeyVersionRecord>> ListKeyVersions(const KeyId& key_id,
                                                                int32_t after_number,
                                                                int limit) override;
  absl::Status VisitKeyVersions(const std::function<void(const VersionOfKey&)>& visit) override;

  absl::Status CreateAlias(const AliasRecord& alias) override;
  absl::StatusOr<AliasRecord> UpdateAlias(absl::string_view name, const KeyId& key_id,
                                          absl::Time update_time) override;
  absl::Status DeleteAlias(absl::string_view name) override;
  absl::StatusOr<AliasRecord> GetAlias(absl::string_view name) override;
  absl::StatusOr<std::vector<AliasRecord>> ListAliases(const std::optional<KeyId>& key_id,
                                                       absl::string_view after_name,
                                                       int limit) override;

  absl::StatusOr<std::string> GetKeyPolicy(const KeyId& key_id) override;
  absl::Status PutKeyPolicy(const KeyId& key_id, absl::string_view policy) override;

  absl::Status CreateGrant(const GrantRecord& grant, int most) override;
  absl::StatusOr<GrantRecord> GetGrant(const GrantId& id) override;
  absl::StatusOr<std::vector<GrantRecord>> ListGrants(const KeyId& key_id,
                                                      const std::optional<std::string>& grantee,
                                                      const std::optional<GrantId>& after,
                                                      int limit) override;
  absl::Status EndGrant(const GrantRecord& grant) override;
  absl::StatusOr<std::vector<GrantId>> ListEndedGrants(const KeyId& key_id) override;
  absl::StatusOr<int64_t> DropExpiredGrants(absl::Time now) override;

  absl::StatusOr<std::optional<AuditHead>> GetAuditHead() override;
  absl::Status SetAuditHead(const AuditHead& head) override;

 private:
  SqliteStore(FileLock lock, const StoreId& id, std::unique_ptr<SqliteDatabase> database);

  absl::StatusOr<std::optional<std::string>> FindTokenSerial()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // NOT_FOUND if there is no such key, or none whose first version is committed.
  absl::Status CheckKey(const KeyId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::map<std::string, std::string>> FindTags(const KeyId& key_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Any tags the key had must be gone.
  absl::Status InsertTags(const KeyId& key_id, const std::map<std::string, std::string>& tags)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<GrantRecord> FindGrant(const GrantId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // An empty one is not kept. Any policy the key had must be gone.
  absl::Status InsertPolicy(const KeyId& key_id, absl::string_view policy)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Inserts a grant; ALREADY_EXISTS if its id is taken.
  absl::Status InsertGrant(const GrantRecord& grant, bool ended)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const FileLock lock_;  // outlives the connection
  const StoreId id_;
  Mutex mutex_;
  const std::unique_ptr<SqliteDatabase> database_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_SQLITE_STORE_H_
