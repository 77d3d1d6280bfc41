#ifndef STRONGROOM_SERVER_CORE_KEY_RING_H_
#define STRONGROOM_SERVER_CORE_KEY_RING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/token.h"
#include "hsm/version_keys.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_state.h"
#include "server/core/parameters.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::core {

// Which version of a key seals.
enum class SealingVersion { kInitial, kPrimary };

// A version of an enabled key, ready for use in the token.
struct UsableVersion {
  KeyId key_id;
  KeyVersionId key_version_id;
  hsm::VersionKeys keys;
};

// A key as callers see it.
struct KeyDescription {
  store::KeyRecord record;
  KeyStatus status = KeyStatus::kEnabled;
  // How often these versions may seal yet.
  int64_t primary_uses_left = 0;
  int64_t initial_uses_left = 0;
};

struct KeyVersionDescription {
  store::KeyVersionRecord record;
  bool primary = false;
  int64_t uses_left = 0;
};

// Which keys a list shall have: all if both are empty.
struct KeyFilter {
  std::vector<KeyStatus> statuses = {};
  std::map<std::string, std::string> tags = {};
};

// What Open found and did, for the log.
struct KeyRingReport {
  int versions = 0;
  // Versions in the store whose keys the token lacks or that are not as they were made; they are
  // not used, and each has a line here.
  std::vector<std::string> unusable;
  // Versions that a crash had left half made, and that were taken back.
  int reaped = 0;
  // Versions in the token of which the store knows nothing. They are left alone.
  int unknown = 0;
};

// The keys, their versions and their names: what the store keeps and the token holds, joined.
//
// Keys are kept in memory as they are used, so that sealing and opening does not ask the store.
// Changes go to the store first. This is the only writer of its store and of its keys in the token.
//
// Errors are for the caller (server/core/error.h). Thread-safe.
class KeyRing {
 public:
  // Claims the token for the store and the reverse, takes back what a crash left half made, and
  // verifies every version's keys in the token. Errors are for the operator, and say what to do:
  // FAILED_PRECONDITION if the token or the store belongs to another one.
  //
  // `store`, `token` and `clock` outlive the ring.
  static absl::StatusOr<std::unique_ptr<KeyRing>> Open(store::Store& store, hsm::Token& token,
                                                       const Clock& clock, KeyRingReport& report);

  // --- Using keys -------------------------------------------------------------------------------

  // The version of `key` that seals. Rejected.Disabled.
  absl::StatusOr<UsableVersion> ForSealing(const KeyId& key, SealingVersion which);
  // A version that a blob names. Rejected.Disabled; InvalidCiphertext if there is none, for such a
  // blob is not genuine.
  absl::StatusOr<UsableVersion> ForOpening(const KeyId& key_id, const KeyVersionId& version_id);
  // Which key is meant. All else takes ids: who may use a key is decided by its id, and a name may
  // be moved to another key at any moment. Forbidden.KeyNotFound, Forbidden.AliasNotFound.
  absl::StatusOr<KeyId> Resolve(const KeyReference& key);

  // --- The keys' own life -----------------------------------------------------------------------

  // `policy_of` gives the policy document that is stored with the new key (see Store::BeginKey);
  // without it there is none.
  using PolicyOf = std::function<absl::StatusOr<std::string>(const KeyId&)>;
  absl::StatusOr<store::KeyRecord> CreateKey(absl::string_view description, Deadline deadline,
                                             const PolicyOf& policy_of = nullptr);
  absl::StatusOr<store::KeyRecord> DescribeKey(const KeyId& key);
  absl::StatusOr<store::KeyVersionRecord> CreateKeyVersion(const KeyId& key, Deadline deadline);
  absl::StatusOr<store::KeyRecord> SetKeyState(const KeyId& key, store::KeyState state);

  absl::StatusOr<store::AliasRecord> CreateAlias(const AliasName& name, const KeyId& key);
  // Both change an alias only while it is `from`'s; it was moved meanwhile if it is not.
  absl::StatusOr<store::AliasRecord> UpdateAlias(const AliasName& name, const KeyId& from,
                                                 const KeyId& to);
  absl::Status DeleteAlias(const AliasName& name, const KeyId& from);

  // Pages begin after what the last page ended with, and have at most `limit` entries. A key that
  // `after` names and that is unknown is Forbidden.KeyNotFound.
  absl::StatusOr<std::vector<store::KeyRecord>> ListKeys(const std::optional<KeyId>& after,
                                                         int limit);
  absl::StatusOr<std::vector<store::KeyVersionRecord>> ListKeyVersions(const KeyId& key_id,
                                                                       int32_t after_number,
                                                                       int limit);
  absl::StatusOr<std::vector<store::AliasRecord>> ListAliases(const std::optional<KeyId>& key_id,
                                                              absl::string_view after_name,
                                                              int limit);

 private:
  struct Version {
    KeyId key_id;
    hsm::VersionKeys keys;
  };

  KeyRing(store::Store& store, hsm::Token& token, const Clock& clock)
      : store_(store), token_(token), clock_(clock) {}

  absl::Status Reap(KeyRingReport& report);
  absl::Status LoadVersions(KeyRingReport& report);
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> FindKey(const KeyId& id)
      ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_);
  absl::StatusOr<UsableVersion> Use(const store::KeyRecord& key, const KeyVersionId& version_id)
      ABSL_LOCKS_EXCLUDED(cache_mu_);
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> Reload(const KeyId& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_) ABSL_LOCKS_EXCLUDED(cache_mu_);
  // OK if an alias is `key`'s.
  absl::Status CheckAlias(const AliasName& name, const KeyId& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_);
  // Runs both phases of making a version around its generation in the token.
  absl::StatusOr<store::KeyVersionRecord> MakeVersion(
      const KeyId& key_id, Deadline deadline,
      const std::function<absl::Status(const KeyVersionId&)>& begin)
      ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_);
  template <typename IdType>
  absl::StatusOr<IdType> RandomId(Deadline deadline);

  store::Store& store_;
  hsm::Token& token_;
  const Clock& clock_;

  // Held while the store is changed or read into memory, so that memory never goes back to what the
  // store said before a change. Never held while the token works.
  Mutex change_mu_ ABSL_ACQUIRED_BEFORE(cache_mu_);
  SharedMutex cache_mu_;
  absl::flat_hash_map<KeyId, std::shared_ptr<const store::KeyRecord>> keys_
      ABSL_GUARDED_BY(cache_mu_);
  absl::flat_hash_map<KeyVersionId, Version> versions_ ABSL_GUARDED_BY(cache_mu_);
  absl::flat_hash_map<std::string, KeyId> aliases_ ABSL_GUARDED_BY(cache_mu_);
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_KEY_RING_H_
