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
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/token.h"
#include "hsm/version_keys.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_state.h"
#include "server/core/parameters.h"
#include "server/core/use_budget.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::core {

// Which version of a key seals.
enum class SealingVersion { kInitial, kPrimary };

// What the ring keeps of a version that it can count the uses of. Immutable, but for the count.
struct LoadedVersion {
  KeyId key_id;
  KeyVersionId id;
  // Empty if the token lacks them: the material that was imported is deleted.
  std::optional<hsm::VersionKeys> keys;
  std::shared_ptr<UseBudget> budget;
};

// A version of an enabled key, ready for use in the token. Copies share one LoadedVersion.
class UsableVersion {
 private:
  std::shared_ptr<const LoadedVersion> version_;  // owns what the others refer to

 public:
  // It has keys.
  explicit UsableVersion(std::shared_ptr<const LoadedVersion> version)
      : version_(std::move(version)),
        key_id(version_->key_id),
        key_version_id(version_->id),
        keys(*version_->keys),
        budget(version_->budget.get()) {}

  const KeyId& key_id;
  const KeyVersionId& key_version_id;
  const hsm::VersionKeys& keys;
  // To be taken from before the seal key is used to seal.
  UseBudget* const budget;
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

struct KeyPage {
  std::vector<KeyDescription> keys;
  // After which key the next page begins, if there may be more. A page may be empty all the same.
  std::optional<KeyId> next;
};

// What Open found and did, for the log.
struct KeyRingReport {
  int versions = 0;
  // Versions in the store whose keys the token lacks or that are not as they were made; they are
  // not used.
  int unusable_versions = 0;
  // A line for each, but not for more than kMostUnusableLines: those that are not as they were made
  // first. A token that is not the right one could fill a disk.
  static constexpr size_t kMostUnusableLines = 20;
  std::vector<std::string> unusable;
  // Versions that a crash had left half made, and that were taken back.
  int reaped = 0;
  // Versions in the token of which the store knows nothing. They are left alone.
  int unknown = 0;
};

// The keys, their versions and their names: what the store keeps and the token holds, joined.
//
// Keys are kept in memory as they are used, so that sealing and opening does not ask the store: the
// little that they need, so that this may be all keys. Of a version that the token has no keys of,
// there is no more than that it exists.
// Changes go to the store first. This, with KeyLife and MaterialImport, which change keys through
// it, is the only writer of its store and of its keys in the token.
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
                                                       const Clock& clock, const UseLimits& limits,
                                                       KeyRingReport& report);

  // --- Using keys -------------------------------------------------------------------------------

  // The version of `key` that seals. Errors of CheckAction; Rejected.Unavailable.
  absl::StatusOr<UsableVersion> ForSealing(const KeyId& key, SealingVersion which);
  // A version that a blob names. Errors of CheckAction; Rejected.Unavailable; InvalidCiphertext if
  // there is none, for such a blob is not genuine.
  absl::StatusOr<UsableVersion> ForOpening(const KeyId& key_id, const KeyVersionId& version_id);
  // Which key is meant. All else takes ids: who may use a key is decided by its id, and a name may
  // be moved to another key at any moment. Forbidden.KeyNotFound, Forbidden.AliasNotFound.
  absl::StatusOr<KeyId> Resolve(const KeyReference& key);

  // --- Looking at keys --------------------------------------------------------------------------

  absl::StatusOr<KeyDescription> Describe(const KeyId& key);
  // Pages begin after what the last page ended with, and have at most `limit` entries. A key that
  // `after` names and that is unknown is Forbidden.KeyNotFound.
  absl::StatusOr<KeyPage> ListKeys(const KeyFilter& filter, const std::optional<KeyId>& after,
                                   int limit);
  absl::StatusOr<std::vector<KeyVersionDescription>> ListKeyVersions(const KeyId& key_id,
                                                                     int32_t after_number,
                                                                     int limit);
  absl::StatusOr<std::vector<store::AliasRecord>> ListAliases(const std::optional<KeyId>& key_id,
                                                              absl::string_view after_name,
                                                              int limit);

  // --- Names ------------------------------------------------------------------------------------

  absl::StatusOr<store::AliasRecord> CreateAlias(const AliasName& name, const KeyId& key);
  // Both change an alias only while it is `from`'s; it was moved meanwhile if it is not.
  absl::StatusOr<store::AliasRecord> UpdateAlias(const AliasName& name, const KeyId& from,
                                                 const KeyId& to);
  absl::Status DeleteAlias(const AliasName& name, const KeyId& from);

  // --- Changing keys: for KeyLife and MaterialImport --------------------------------------------

  // Whether the key's state allows this; see CheckAction.
  absl::Status Check(KeyAction action, const KeyId& key);
  // Runs `change` alone among all changes, with the key as it is in the store, if the key's state
  // allows `action`; then reads the key anew. `change` returns errors for the caller.
  absl::StatusOr<KeyDescription> Change(
      KeyAction action, const KeyId& key,
      const std::function<absl::Status(const store::KeyRecord&)>& change)
      ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_);

  absl::StatusOr<KeyId> NewKeyId(Deadline deadline);
  // Makes a version in two phases: `begin` records it as pending, its keys are generated in the
  // token (unless it has none yet, for they will be imported), and it is committed.
  enum class VersionKeysAre { kGenerated, kImportedLater };
  absl::StatusOr<store::KeyVersionRecord> MakeVersion(
      const KeyId& key_id, VersionKeysAre origin, Deadline deadline,
      const std::function<absl::Status(const KeyVersionId&)>& begin)
      ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_, making_mu_);
  // Takes back versions whose making failed so that it could not be taken back then. Returns how
  // many.
  absl::StatusOr<int> Reap(Deadline deadline) ABSL_LOCKS_EXCLUDED(making_mu_);

  // The keys of a committed version came into the token, or went. `uses_reserved` is what the store
  // says now.
  void AdoptVersion(const KeyVersionId& version, hsm::VersionKeys keys, int64_t uses_reserved)
      ABSL_LOCKS_EXCLUDED(cache_mu_);
  void AbandonVersion(const KeyVersionId& version) ABSL_LOCKS_EXCLUDED(cache_mu_);
  // Whether the token has the keys of a committed version as they were made.
  bool HasKeys(const KeyVersionId& version) ABSL_LOCKS_EXCLUDED(cache_mu_);
  // Deletes a key that is being destroyed from the store and from memory. Its keys in the token are
  // gone.
  absl::Status DeleteKey(const KeyId& key) ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_);

  // Keys of which a version has used up so much of its budget that they should rotate; each is told
  // once.
  std::vector<KeyId> TakeKeysToRotate() ABSL_LOCKS_EXCLUDED(due_mu_);
  // Waits until there are such keys, until `deadline`, or until WakeUp.
  void WaitForKeysToRotate(Deadline deadline) ABSL_LOCKS_EXCLUDED(due_mu_);
  void WakeUp() ABSL_LOCKS_EXCLUDED(due_mu_);
  // One use of the version's seal key. Rejected.LimitExceeded.
  absl::Status TakeUse(const UsableVersion& version) ABSL_LOCKS_EXCLUDED(due_mu_);
  // Whether the primary version should give way because of its uses.
  bool PrimaryIsWorn(const store::KeyRecord& key) ABSL_LOCKS_EXCLUDED(cache_mu_);

 private:
  // There is one of these for each version of each key, and for each key that was used: see
  // docs/operations.md for what they come to.
  struct Version {
    KeyId key_id;
    // Null if the token lacks the keys, or they are not as they were made.
    std::shared_ptr<const LoadedVersion> loaded;
    // As long as it is null.
    int64_t uses_reserved;

    bool usable() const { return loaded != nullptr && loaded->keys.has_value(); }
  };
  static_assert(sizeof(Version) <= 40);
  struct Key {
    KeyVersionId initial_version;
    KeyVersionId primary_version;
    store::KeyState state;
    // There is none of these in memory.
    bool creating;
  };
  static_assert(sizeof(Key) <= 40);

  KeyRing(store::Store& store, hsm::Token& token, const Clock& clock, const UseLimits& limits)
      : store_(store), token_(token), clock_(clock), limits_(limits) {}

  absl::Status LoadVersions(KeyRingReport& report);
  // A version that was pending and that is in `making_`. NOT_FOUND if it is not pending any more.
  absl::Status TakeBack(const KeyVersionId& version, Deadline deadline);
  // From memory, or Reload's. Between this and its use, it may change.
  absl::StatusOr<Key> FindKey(const KeyId& id) ABSL_LOCKS_EXCLUDED(change_mu_, cache_mu_);
  static Key KeyOf(const store::KeyRecord& record) {
    return {record.initial_version, record.primary_version, record.state, record.creating};
  }
  // As the store has it now, and into memory. Forbidden.KeyNotFound.
  absl::StatusOr<store::KeyRecord> Reload(const KeyId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_)
      ABSL_LOCKS_EXCLUDED(cache_mu_);
  // Null if there is no such version.
  const Version* FindVersion(const KeyVersionId& id) const ABSL_SHARED_LOCKS_REQUIRED(cache_mu_);
  KeyStatus StatusOfKey(const Key& key) const ABSL_SHARED_LOCKS_REQUIRED(cache_mu_);
  absl::StatusOr<UsableVersion> ToSeal(const KeyId& id, const Key& key, SealingVersion which) const
      ABSL_SHARED_LOCKS_REQUIRED(cache_mu_);
  absl::StatusOr<UsableVersion> ToOpen(const KeyId& id, const Key& key,
                                       const KeyVersionId& version) const
      ABSL_SHARED_LOCKS_REQUIRED(cache_mu_);
  int64_t UsesLeft(const KeyVersionId& version) const ABSL_SHARED_LOCKS_REQUIRED(cache_mu_);
  KeyDescription DescriptionOf(store::KeyRecord key) ABSL_LOCKS_EXCLUDED(cache_mu_);
  // OK if an alias is `key`'s.
  absl::Status CheckAlias(const AliasName& name, const KeyId& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mu_);
  // The keys of a new version, and what to do if it comes to nothing.
  absl::StatusOr<hsm::NewVersionKeys> GenerateKeys(const KeyVersionId& id, Deadline deadline);
  void AddVersion(const store::KeyVersionRecord& record, std::optional<hsm::VersionKeys> keys)
      ABSL_LOCKS_EXCLUDED(cache_mu_, due_mu_);
  template <typename IdType>
  absl::StatusOr<IdType> RandomId(Deadline deadline);

  store::Store& store_;
  hsm::Token& token_;
  const Clock& clock_;
  const UseLimits limits_;

  // Held while the store is changed or read into memory, so that memory never goes back to what the
  // store said before a change. Never held while the token works.
  Mutex change_mu_ ABSL_ACQUIRED_BEFORE(cache_mu_);
  SharedMutex cache_mu_;
  absl::flat_hash_map<KeyId, Key> keys_ ABSL_GUARDED_BY(cache_mu_);
  // All that are committed.
  absl::flat_hash_map<KeyVersionId, Version> versions_ ABSL_GUARDED_BY(cache_mu_);
  absl::flat_hash_map<std::string, KeyId> aliases_ ABSL_GUARDED_BY(cache_mu_);

  Mutex making_mu_;
  // Pending versions that somebody is at work on.
  absl::flat_hash_set<KeyVersionId> making_ ABSL_GUARDED_BY(making_mu_);

  Mutex due_mu_;
  CondVar due_;
  absl::flat_hash_set<KeyId> keys_to_rotate_ ABSL_GUARDED_BY(due_mu_);
  bool woken_up_ ABSL_GUARDED_BY(due_mu_) = false;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_KEY_RING_H_
