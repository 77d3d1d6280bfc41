#ifndef STRONGROOM_TESTS_SERVER_CORE_FAULTY_STORE_H_
#define STRONGROOM_TESTS_SERVER_CORE_FAULTY_STORE_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "platform/mutex.h"
#include "server/store/store.h"

namespace strongroom::core {

// Forwards to a real store, and fails where a test wants it to. Thread-safe.
class FaultyStore final : public store::Store {
 public:
  // `store` outlives this.
  explicit FaultyStore(store::Store& store) : store_(store) {}

  // From now on calls of this member, e.g. "GetKey", fail without reaching the store, but for the
  // first so many.
  void Fail(const std::string& member, const absl::Status& status, int but_for_the_first = 0);
  // No more failures.
  void Mend();
  // Called with the first version's id before a key begins.
  void OnBeginKey(std::function<void(const KeyVersionId&)> hook) { on_begin_key_ = hook; }
  // Called after the pending versions were listed, before the list is returned.
  void AfterListPendingVersions(std::function<void()> hook) { after_list_pending_ = hook; }

  StoreId id() const override { return store_.id(); }
  absl::StatusOr<std::optional<std::string>> GetTokenSerial() override;
  absl::Status BindToken(absl::string_view serial) override;
  absl::Status BeginKey(const store::KeyRecord& key, const KeyVersionId& first_version,
                        absl::string_view policy) override;
  absl::Status BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                            absl::Time create_time) override;
  absl::StatusOr<store::KeyVersionRecord> CommitVersion(const KeyVersionId& version,
                                                        absl::string_view proof) override;
  absl::Status DropPendingVersion(const KeyVersionId& version) override;
  absl::StatusOr<std::vector<store::PendingVersion>> ListPendingVersions() override;
  absl::StatusOr<store::KeyRecord> GetKey(const KeyId& id) override;
  absl::StatusOr<std::vector<store::KeyRecord>> ListKeys(
      const std::optional<KeyId>& after, int limit,
      const std::map<std::string, std::string>& tags) override;
  absl::Status SetKeyState(const KeyId& id, store::KeyState state,
                           absl::Time deletion_time) override;
  absl::Status SetKeyDescription(const KeyId& id, absl::string_view description) override;
  absl::Status SetKeyTags(const KeyId& id, const std::map<std::string, std::string>& tags) override;
  absl::Status SetKeyRotation(const KeyId& id, int32_t days) override;
  absl::StatusOr<std::vector<KeyId>> ListKeysToRotate(absl::Time now, int limit) override;
  absl::StatusOr<std::vector<KeyId>> ListKeysToDestroy(absl::Time now, int limit) override;
  absl::Status DeleteKey(const KeyId& id) override;
  absl::StatusOr<store::UseBlock> ReserveUses(const KeyVersionId& version, int64_t count,
                                              int64_t limit) override;
  absl::Status PutImport(const store::ImportRecord& import) override;
  absl::StatusOr<std::optional<store::ImportRecord>> GetImport(const KeyId& key_id) override;
  absl::Status DropImport(const ImportId& id) override;
  absl::StatusOr<std::vector<store::ImportRecord>> ListExpiredImports(absl::Time now) override;
  absl::Status CommitImport(const KeyVersionId& version, absl::string_view proof) override;
  absl::StatusOr<store::KeyVersionRecord> GetKeyVersion(const KeyVersionId& id) override;
  absl::StatusOr<std::vector<store::KeyVersionRecord>> ListKeyVersions(const KeyId& key_id,
                                                                       int32_t after_number,
                                                                       int limit) override;
  absl::Status VisitKeyVersions(
      const std::function<void(const store::VersionOfKey&)>& visit) override;
  absl::Status CreateAlias(const store::AliasRecord& alias) override;
  absl::StatusOr<store::AliasRecord> UpdateAlias(absl::string_view name, const KeyId& key_id,
                                                 absl::Time update_time) override;
  absl::Status DeleteAlias(absl::string_view name) override;
  absl::StatusOr<store::AliasRecord> GetAlias(absl::string_view name) override;
  absl::StatusOr<std::vector<store::AliasRecord>> ListAliases(const std::optional<KeyId>& key_id,
                                                              absl::string_view after_name,
                                                              int limit) override;
  absl::StatusOr<std::string> GetKeyPolicy(const KeyId& key_id) override;
  absl::Status PutKeyPolicy(const KeyId& key_id, absl::string_view policy) override;
  absl::Status CreateGrant(const store::GrantRecord& grant, int most) override;
  absl::StatusOr<store::GrantRecord> GetGrant(const GrantId& id) override;
  absl::StatusOr<std::vector<store::GrantRecord>> ListGrants(
      const KeyId& key_id, const std::optional<std::string>& grantee,
      const std::optional<GrantId>& after, int limit) override;
  absl::Status EndGrant(const store::GrantRecord& grant) override;
  absl::StatusOr<std::vector<GrantId>> ListEndedGrants(const KeyId& key_id) override;
  absl::StatusOr<int64_t> DropExpiredGrants(absl::Time now) override;
  absl::StatusOr<std::optional<store::AuditHead>> GetAuditHead() override;
  absl::Status SetAuditHead(const store::AuditHead& head) override;

 private:
  absl::Status FaultOf(const std::string& member) ABSL_LOCKS_EXCLUDED(mu_);

  store::Store& store_;
  std::function<void(const KeyVersionId&)> on_begin_key_;
  std::function<void()> after_list_pending_;
  Mutex mu_;
  struct Fault {
    absl::Status status;
    int calls_before = 0;
  };
  std::map<std::string, Fault> faults_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::core

#endif  // STRONGROOM_TESTS_SERVER_CORE_FAULTY_STORE_H_
