#ifndef STRONGROOM_SERVER_STORE_STORE_H_
#define STRONGROOM_SERVER_STORE_STORE_H_

#include <cstdint>
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
enum class KeyState { kEnabled = 1, kDisabled = 2 };

struct KeyRecord {
  KeyId id;
  KeyState state = KeyState::kEnabled;
  std::string description;
  absl::Time create_time;  // microseconds are kept
  KeyVersionId initial_version;
  KeyVersionId primary_version;
};

struct KeyVersionRecord {
  KeyVersionId id;
  KeyId key_id;
  int32_t number = 0;  // 1 for the initial version
  absl::Time create_time;
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

// The metadata of keys. Nothing in it is secret, and it says nothing of the key material but the
// ids under which a token keeps it.
//
// Creation is in two phases, for the database and the token cannot commit together: Begin… records
// a pending version, the caller makes and verifies the token objects, CommitVersion shows the
// result to readers. What a crash leaves pending is listed by ListPendingVersions and taken back by
// DropPendingVersion. No other member ever shows a pending version, or a key that has no other.
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

  // Begins a key with its first version. `key.initial_version` and `key.primary_version` are
  // ignored: CommitVersion sets them. ALREADY_EXISTS if either id is taken.
  virtual absl::Status BeginKey(const KeyRecord& key, const KeyVersionId& first_version) = 0;
  // Begins a further version. NOT_FOUND if there is no such key; ALREADY_EXISTS if the id is taken.
  virtual absl::Status BeginVersion(const KeyId& key_id, const KeyVersionId& version,
                                    absl::Time create_time) = 0;
  // Makes a pending version the key's primary one (and its initial one, if it is the first), with
  // the number that follows the highest committed one. NOT_FOUND if no such version is pending.
  virtual absl::StatusOr<KeyVersionRecord> CommitVersion(const KeyVersionId& version) = 0;
  // Forgets a pending version, and its key if that has no other. NOT_FOUND if none such is pending.
  virtual absl::Status DropPendingVersion(const KeyVersionId& version) = 0;
  virtual absl::StatusOr<std::vector<PendingVersion>> ListPendingVersions() = 0;

  // NOT_FOUND if there is no such key.
  virtual absl::StatusOr<KeyRecord> GetKey(const KeyId& id) = 0;
  // NOT_FOUND if there is no such key.
  virtual absl::Status SetKeyState(const KeyId& id, KeyState state) = 0;
  // At most `limit` keys (at least 1) in the order of creation (time, then id), after the key
  // `after` (from the beginning if empty; NOT_FOUND if there is no such key).
  virtual absl::StatusOr<std::vector<KeyRecord>> ListKeys(const std::optional<KeyId>& after,
                                                          int limit) = 0;

  // NOT_FOUND if there is no such version.
  virtual absl::StatusOr<KeyVersionRecord> GetKeyVersion(const KeyVersionId& id) = 0;
  // At most `limit` versions in the order of their numbers, from those above `after_number`.
  // NOT_FOUND if there is no such key.
  virtual absl::StatusOr<std::vector<KeyVersionRecord>> ListKeyVersions(const KeyId& key_id,
                                                                        int32_t after_number,
                                                                        int limit) = 0;
  // All committed versions of all keys, in no order.
  virtual absl::StatusOr<std::vector<KeyVersionRecord>> ListAllKeyVersions() = 0;

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
};

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_STORE_H_
