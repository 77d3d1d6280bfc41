#ifndef STRONGROOM_SERVER_STORE_STORE_H_
#define STRONGROOM_SERVER_STORE_STORE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/store/ids.h"

namespace strongroom::store {

// Whether a key may be used. The numbers are what a database keeps: do not change them.
enum class KeyState {
  kEnabled = 1,
  kDisabled = 2,
  kPendingDeletion = 3,
  kPendingImport = 4,
  kDestroying = 5,  // for good: its objects in the token are being destroyed
};

// Where a key's material comes from. The numbers are what a database keeps.
enum class KeyOrigin { kToken = 1, kImported = 2 };

struct KeyRecord {
  KeyId id;
  KeyState state = KeyState::kEnabled;
  KeyOrigin origin = KeyOrigin::kToken;
  // Its first version is pending: both ids of versions are nil, and `state` is what it will be.
  bool creating = false;
  std::string description;
  std::map<std::string, std::string> tags;
  absl::Time create_time;  // microseconds are kept, of all times
  KeyVersionId initial_version;
  KeyVersionId primary_version;
  // Rotates by time so many days after the primary version was made; 0: it does not.
  int32_t rotation_days = 0;
  // When that is; absl::InfiniteFuture() if it does not. The store computes it.
  absl::Time next_rotation = absl::InfiniteFuture();
  // absl::InfiniteFuture() unless its deletion is scheduled.
  absl::Time deletion_time = absl::InfiniteFuture();
};

struct KeyVersionRecord {
  KeyVersionId id;
  KeyId key_id;
  int32_t number = 0;  // 1 for the initial version
  absl::Time create_time;
  // Something known to be sealed with this version's seal key; see hsm::Token. Empty if there is
  // none: no material was imported yet, or the version is older than proofs are.
  std::string proof;
  // How many uses of its seal key were reserved, whether they took place or not.
  int64_t uses_reserved = 0;
};

// A version, and what its key says of it.
struct VersionOfKey {
  KeyVersionRecord version;
  KeyState key_state = KeyState::kEnabled;
  KeyOrigin key_origin = KeyOrigin::kToken;
};

// Uses of a key that nobody else gets: `size` of them, or none.
struct UseBlock {
  int64_t size = 0;
  // KeyVersionRecord::uses_reserved as it is now.
  int64_t uses_reserved = 0;
};

// A key pair in the token under whose public half the material of a key is brought in.
struct ImportRecord {
  KeyId key_id;
  ImportId id;
  int32_t algorithm = 0;  // a number of the caller's
  absl::Time expire_time;
};

struct AliasRecord {
  std::string name;  // with the leading "alias/"
  KeyId key_id;
  absl::Time create_time;
  absl::Time update_time;
};

// A version whose token objects may or may not exist: something began to make it and has not said
// that it is done.
struct PendingVersion {
  KeyVersionId id;
  KeyId key_id;
  // Whether the key itself is new, and goes if the version does.
  bool first_of_key = false;
};

// Somebody's leave to use a key.
struct GrantRecord {
  GrantId id;
  KeyId key_id;
  std::string grantee;
  std::string retiring_principal;  // empty if there is none
  absl::Time create_time;          // microseconds are kept
  absl::Time expire_time;          // likewise; absl::InfiniteFuture() if it does not expire
  // What the caller of the store keeps of it; any bytes.
  std::string document;
  // Retired or revoked, which is for good.
  bool ended = false;
};

// Where the audit trail has got to: the number of its last record, and that record's hash.
struct AuditHead {
  int64_t sequence = 0;
  std::array<uint8_t, 32> hash = {};
};

// The metadata of keys, who may use them, and the audit trail's end. Nothing in it is secret, and
// it says nothing of the key material but the ids under which a token keeps it.
//
// Creation is in two phases, for the database and the token cannot commit together: Begin… records
// a pending version, the caller makes and verifies the token objects, CommitVersion shows the
// result to readers. What a crash leaves pending is listed by ListPendingVersions and taken back by
// DropPendingVersion. No other member ever shows a pending version; a key that has no other is
// shown by GetKey and ListKeys, as `creating`, and is not there for any other.
//
// Every member is atomic and durable when it returns OK. Errors of all: NOT_FOUND and
// ALREADY_EXISTS as said below; INVALID_ARGUMENT if a limit is below 1; UNAVAILABLE if the database
// is busy, full or failing (the change did not happen and may be tried again); INTERNAL if what it
// holds cannot be right.
//
// Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  // The id this store was given when it was made.
  virtual StoreId id() const = 0;

  // The token that holds this store's keys (the serial number it was bound to), if it was bound.
  virtual absl::StatusOr<std::optional<std::string>> GetTokenSerial() = 0;
  // Binds the store to a token. FAILED_PRECONDITION if it is bound to another one already.
  virtual absl::Status BindToken(absl::string_view serial) = 0;

  // Begins a key with its first version and its policy (as PutKeyPolicy takes it).
  // `key.initial_version` and `key.primary_version` are ignored, for CommitVersion sets them, and
  // so are `creating`, `next_rotation` and `deletion_time`. ALREADY_EXISTS if either id is taken.
  virtual absl::Status BeginKey(const KeyRecord& key, const KeyVersionId& first_version,
                                absl::string_view policy) = 0;
  // Begins a further version. NOT_FOUND if there is no such key; ALREADY_EXISTS if the id is taken.
  virtual absl::Status BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                                    absl::Time create_time) = 0;
  // Makes a pending version the key's primary one (and its initial one, if it is the first), with
  // the number that follows the highest committed one. The proof counts as one use. NOT_FOUND if no
  // such version is pending.
  virtual absl::StatusOr<KeyVersionRecord> CommitVersion(const KeyVersionId& version,
                                                         absl::string_view proof) = 0;
  // Forgets a pending version, and its key with the policy if that has no other. NOT_FOUND if none
  // such is pending.
  virtual absl::Status DropPendingVersion(const KeyVersionId& version) = 0;
  virtual absl::StatusOr<std::vector<PendingVersion>> ListPendingVersions() = 0;

  // NOT_FOUND if there is no such key.
  virtual absl::StatusOr<KeyRecord> GetKey(const KeyId& id) = 0;
  // At most `limit` keys (at least 1) in the order of creation (time, then id), after the key
  // `after` (from the beginning if empty; NOT_FOUND if there is no such key); only those that have
  // all of `tags`.
  virtual absl::StatusOr<std::vector<KeyRecord>> ListKeys(
      const std::optional<KeyId>& after, int limit,
      const std::map<std::string, std::string>& tags = {}) = 0;

  // NOT_FOUND, of these four, if there is no such key. `deletion_time` is kept as it is given.
  virtual absl::Status SetKeyState(const KeyId& id, KeyState state,
                                   absl::Time deletion_time = absl::InfiniteFuture()) = 0;
  virtual absl::Status SetKeyDescription(const KeyId& id, absl::string_view description) = 0;
  // In place of all that it has.
  virtual absl::Status SetKeyTags(const KeyId& id,
                                  const std::map<std::string, std::string>& tags) = 0;
  virtual absl::Status SetKeyRotation(const KeyId& id, int32_t days) = 0;

  // Ids of at most `limit` keys that are enabled and whose next_rotation is not after `now`, those
  // that are due longest first.
  virtual absl::StatusOr<std::vector<KeyId>> ListKeysToRotate(absl::Time now, int limit) = 0;
  // Ids of at most `limit` keys that are being destroyed, or whose deletion is scheduled for no
  // later than `now`, in no order.
  virtual absl::StatusOr<std::vector<KeyId>> ListKeysToDestroy(absl::Time now, int limit) = 0;
  // Forgets a key, with its versions, aliases, policy, grants and import. NOT_FOUND if there is no
  // such key; FAILED_PRECONDITION if it is not being destroyed (KeyState::kDestroying), or a
  // version of it is pending.
  virtual absl::Status DeleteKey(const KeyId& id) = 0;

  // Reserves at most `count` uses of a version's seal key, and no more than `limit` in all: none if
  // those are used up, or if `count` is below 1. Durable when it returns. NOT_FOUND if there is no
  // such version.
  virtual absl::StatusOr<UseBlock> ReserveUses(const KeyVersionId& version, int64_t count,
                                               int64_t limit) = 0;

  // Makes `import` the one import of its key, in place of the one there may be. NOT_FOUND if there
  // is no such key; ALREADY_EXISTS if the id is taken by another key's.
  virtual absl::Status PutImport(const ImportRecord& import) = 0;
  // Empty if the key has none; also if there is no such key.
  virtual absl::StatusOr<std::optional<ImportRecord>> GetImport(const KeyId& key_id) = 0;
  // OK if there is none such.
  virtual absl::Status DropImport(const ImportId& id) = 0;
  // Those whose expire_time is not after `now`, in no order.
  virtual absl::StatusOr<std::vector<ImportRecord>> ListExpiredImports(absl::Time now) = 0;
  // Says that the key's one version has its material: it is enabled, and the version has this proof
  // if it had none (which counts as one use). NOT_FOUND if there is no such version;
  // FAILED_PRECONDITION if its key is not KeyState::kPendingImport.
  virtual absl::Status CommitImport(const KeyVersionId& version, absl::string_view proof) = 0;

  // NOT_FOUND if there is no such version.
  virtual absl::StatusOr<KeyVersionRecord> GetKeyVersion(const KeyVersionId& id) = 0;
  // At most `limit` versions in the order of their numbers, from those above `after_number`.
  // NOT_FOUND if there is no such key.
  virtual absl::StatusOr<std::vector<KeyVersionRecord>> ListKeyVersions(const KeyId& key_id,
                                                                        int32_t after_number,
                                                                        int limit) = 0;
  // Shows all committed versions of all keys to `visit`, in no order and one at a time, for there
  // may be more than should be in memory at once. All else waits meanwhile: `visit` does not use
  // the store.
  virtual absl::Status VisitKeyVersions(const std::function<void(const VersionOfKey&)>& visit) = 0;

  // ALREADY_EXISTS if the name is taken; NOT_FOUND if there is no such key.
  virtual absl::Status CreateAlias(const AliasRecord& alias) = 0;
  // Moves an alias and returns it as it is now. NOT_FOUND, whose message says which, if there is no
  // such alias or no such key.
  virtual absl::StatusOr<AliasRecord> UpdateAlias(absl::string_view name, const KeyId& key_id,
                                                  absl::Time update_time) = 0;
  // NOT_FOUND if there is no such alias.
  virtual absl::Status DeleteAlias(absl::string_view name) = 0;
  // NOT_FOUND if there is no such alias.
  virtual absl::StatusOr<AliasRecord> GetAlias(absl::string_view name) = 0;
  // At most `limit` aliases in the bytewise order of their names, from those above `after_name`
  // ("" begins); only those of `key_id` if it is given (none if there is no such key).
  virtual absl::StatusOr<std::vector<AliasRecord>> ListAliases(const std::optional<KeyId>& key_id,
                                                               absl::string_view after_name,
                                                               int limit) = 0;

  // The key's policy document; empty if it has none. NOT_FOUND if there is no such key.
  virtual absl::StatusOr<std::string> GetKeyPolicy(const KeyId& key_id) = 0;
  // `policy` is any bytes; none take the key's policy away. NOT_FOUND if there is no such key.
  virtual absl::Status PutKeyPolicy(const KeyId& key_id, absl::string_view policy) = 0;

  // `grant.ended` is ignored. NOT_FOUND if there is no such key; ALREADY_EXISTS if the id is taken,
  // by a grant that has ended too; RESOURCE_EXHAUSTED if the key has `most` grants that have not
  // ended. Expired ones count until they are dropped.
  virtual absl::Status CreateGrant(const GrantRecord& grant, int most) = 0;
  // Those that have ended too. NOT_FOUND if there is no such grant.
  virtual absl::StatusOr<GrantRecord> GetGrant(const GrantId& id) = 0;
  // At most `limit` grants of a key that have not ended, in the order of creation (time, then id),
  // after the grant `after` (from the beginning if empty); only those of `grantee` if it is given.
  // NOT_FOUND if there is no such key, or if `after` is no grant of it. One that has ended will do,
  // so that a list goes on where it was.
  virtual absl::StatusOr<std::vector<GrantRecord>> ListGrants(
      const KeyId& key_id, const std::optional<std::string>& grantee,
      const std::optional<GrantId>& after, int limit) = 0;
  // Marks a grant as ended; OK if it is already. One that this store does not have (another server
  // made it) is added as ended, so that its token is known to be void. NOT_FOUND if there is no
  // such key; ALREADY_EXISTS if the id is taken by a grant of another key.
  virtual absl::Status EndGrant(const GrantRecord& grant) = 0;
  // The ids of all grants of a key that have ended, in no order. NOT_FOUND if there is no such key.
  virtual absl::StatusOr<std::vector<GrantId>> ListEndedGrants(const KeyId& key_id) = 0;
  // Forgets the grants that expired before `now`, ended or not, and returns how many.
  virtual absl::StatusOr<int64_t> DropExpiredGrants(absl::Time now) = 0;

  // What SetAuditHead was given last, if it ever was.
  virtual absl::StatusOr<std::optional<AuditHead>> GetAuditHead() = 0;
  virtual absl::Status SetAuditHead(const AuditHead& head) = 0;
};

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_STORE_H_
