#include "tests/server/core/faulty_store.h"

namespace strongroom::core {

using store::AliasRecord;
using store::AuditHead;
using store::GrantRecord;
using store::ImportRecord;
using store::KeyRecord;
using store::KeyState;
using store::KeyVersionRecord;
using store::PendingVersion;
using store::UseBlock;

// The body of a member: its fault, or what the store says.
#define FORWARD(member, ...)                                                  \
  if (const absl::Status fault = FaultOf(#member); !fault.ok()) return fault; \
  return store_.member(__VA_ARGS__)

void FaultyStore::Fail(const std::string& member, const absl::Status& status,
                       int but_for_the_first) {
  MutexLock lock(mu_);
  faults_[member] = {status, but_for_the_first};
}

void FaultyStore::Mend() {
  MutexLock lock(mu_);
  faults_.clear();
}

absl::Status FaultyStore::FaultOf(const std::string& member) {
  MutexLock lock(mu_);
  const auto it = faults_.find(member);
  if (it == faults_.end() || it->second.calls_before-- > 0) return absl::OkStatus();
  return it->second.status;
}

absl::StatusOr<std::optional<std::string>> FaultyStore::GetTokenSerial() {
  FORWARD(GetTokenSerial);
}

absl::Status FaultyStore::BindToken(absl::string_view serial) { FORWARD(BindToken, serial); }

absl::Status FaultyStore::BeginKey(const KeyRecord& key, const KeyVersionId& first_version,
                                   absl::string_view policy) {
  if (on_begin_key_) on_begin_key_(first_version);
  FORWARD(BeginKey, key, first_version, policy);
}

absl::Status FaultyStore::BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                                       absl::Time create_time) {
  FORWARD(BeginVersion, key_id, version, create_time);
}

absl::StatusOr<KeyVersionRecord> FaultyStore::CommitVersion(const KeyVersionId& version,
                                                            absl::string_view proof) {
  FORWARD(CommitVersion, version, proof);
}

absl::Status FaultyStore::DropPendingVersion(const KeyVersionId& version) {
  FORWARD(DropPendingVersion, version);
}

absl::StatusOr<std::vector<PendingVersion>> FaultyStore::ListPendingVersions() {
  if (const absl::Status fault = FaultOf("ListPendingVersions"); !fault.ok()) return fault;
  absl::StatusOr<std::vector<PendingVersion>> pending = store_.ListPendingVersions();
  if (after_list_pending_) after_list_pending_();
  return pending;
}

absl::StatusOr<KeyRecord> FaultyStore::GetKey(const KeyId& id) { FORWARD(GetKey, id); }

absl::StatusOr<std::vector<KeyRecord>> FaultyStore::ListKeys(
    const std::optional<KeyId>& after, int limit, const std::map<std::string, std::string>& tags) {
  FORWARD(ListKeys, after, limit, tags);
}

absl::Status FaultyStore::SetKeyState(const KeyId& id, KeyState state, absl::Time deletion_time) {
  FORWARD(SetKeyState, id, state, deletion_time);
}

absl::Status FaultyStore::SetKeyDescription(const KeyId& id, absl::string_view description) {
  FORWARD(SetKeyDescription, id, description);
}

absl::Status FaultyStore::SetKeyTags(const KeyId& id,
                                     const std::map<std::string, std::string>& tags) {
  FORWARD(SetKeyTags, id, tags);
}

absl::Status FaultyStore::SetKeyRotation(const KeyId& id, int32_t days) {
  FORWARD(SetKeyRotation, id, days);
}

absl::StatusOr<std::vector<KeyId>> FaultyStore::ListKeysToRotate(absl::Time now, int limit) {
  FORWARD(ListKeysToRotate, now, limit);
}

absl::StatusOr<std::vector<KeyId>> FaultyStore::ListKeysToDestroy(absl::Time now, int limit) {
  FORWARD(ListKeysToDestroy, now, limit);
}

absl::Status FaultyStore::DeleteKey(const KeyId& id) { FORWARD(DeleteKey, id); }

absl::StatusOr<UseBlock> FaultyStore::ReserveUses(const KeyVersionId& version, int64_t count,
                                                  int64_t limit) {
  FORWARD(ReserveUses, version, count, limit);
}

absl::Status FaultyStore::PutImport(const ImportRecord& import) { FORWARD(PutImport, import); }

absl::StatusOr<std::optional<ImportRecord>> FaultyStore::GetImport(const KeyId& key_id) {
  FORWARD(GetImport, key_id);
}

absl::Status FaultyStore::DropImport(const ImportId& id) { FORWARD(DropImport, id); }

absl::StatusOr<std::vector<ImportRecord>> FaultyStore::ListExpiredImports(absl::Time now) {
  FORWARD(ListExpiredImports, now);
}

absl::Status FaultyStore::CommitImport(const KeyVersionId& version, absl::string_view proof) {
  FORWARD(CommitImport, version, proof);
}

absl::StatusOr<KeyVersionRecord> FaultyStore::GetKeyVersion(const KeyVersionId& id) {
  FORWARD(GetKeyVersion, id);
}

absl::StatusOr<std::vector<KeyVersionRecord>> FaultyStore::ListKeyVersions(const KeyId& key_id,
                                                                           int32_t after_number,
                                                                           int limit) {
  FORWARD(ListKeyVersions, key_id, after_number, limit);
}

absl::Status FaultyStore::VisitKeyVersions(
    const std::function<void(const store::VersionOfKey&)>& visit) {
  FORWARD(VisitKeyVersions, visit);
}

absl::Status FaultyStore::CreateAlias(const AliasRecord& alias) { FORWARD(CreateAlias, alias); }

absl::StatusOr<AliasRecord> FaultyStore::UpdateAlias(absl::string_view name, const KeyId& key_id,
                                                     absl::Time update_time) {
  FORWARD(UpdateAlias, name, key_id, update_time);
}

absl::Status FaultyStore::DeleteAlias(absl::string_view name) { FORWARD(DeleteAlias, name); }

absl::StatusOr<AliasRecord> FaultyStore::GetAlias(absl::string_view name) {
  FORWARD(GetAlias, name);
}

absl::StatusOr<std::vector<AliasRecord>> FaultyStore::ListAliases(
    const std::optional<KeyId>& key_id, absl::string_view after_name, int limit) {
  FORWARD(ListAliases, key_id, after_name, limit);
}

absl::StatusOr<std::string> FaultyStore::GetKeyPolicy(const KeyId& key_id) {
  FORWARD(GetKeyPolicy, key_id);
}

absl::Status FaultyStore::PutKeyPolicy(const KeyId& key_id, absl::string_view policy) {
  FORWARD(PutKeyPolicy, key_id, policy);
}

absl::Status FaultyStore::CreateGrant(const GrantRecord& grant, int most) {
  FORWARD(CreateGrant, grant, most);
}

absl::StatusOr<GrantRecord> FaultyStore::GetGrant(const GrantId& id) { FORWARD(GetGrant, id); }

absl::StatusOr<std::vector<GrantRecord>> FaultyStore::ListGrants(
    const KeyId& key_id, const std::optional<std::string>& grantee,
    const std::optional<GrantId>& after, int limit) {
  FORWARD(ListGrants, key_id, grantee, after, limit);
}

absl::Status FaultyStore::EndGrant(const GrantRecord& grant) { FORWARD(EndGrant, grant); }

absl::StatusOr<std::vector<GrantId>> FaultyStore::ListEndedGrants(const KeyId& key_id) {
  FORWARD(ListEndedGrants, key_id);
}

absl::StatusOr<int64_t> FaultyStore::DropExpiredGrants(absl::Time now) {
  FORWARD(DropExpiredGrants, now);
}

absl::StatusOr<std::optional<AuditHead>> FaultyStore::GetAuditHead() { FORWARD(GetAuditHead); }

absl::Status FaultyStore::SetAuditHead(const AuditHead& head) { FORWARD(SetAuditHead, head); }

#undef FORWARD

}  // namespace strongroom::core
