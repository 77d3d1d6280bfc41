#ifndef STRONGROOM_SERVER_CORE_KEY_LIFE_H_
#define STRONGROOM_SERVER_CORE_KEY_LIFE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_ring.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::core {

// What a new key shall be. The fields were checked (server/core/parameters.h).
struct NewKey {
  std::string description = {};
  store::KeyOrigin origin = store::KeyOrigin::kToken;
  std::map<std::string, std::string> tags = {};
  // 0: it does not rotate by time. Without it, what the options say.
  std::optional<int32_t> rotation_days = {};
};

// What the server has to do of itself.
struct DueWork {
  enum class Kind { kRotate, kDestroy };
  Kind kind;
  KeyId key;
};

// The keys' own life: creating, rotating, disabling, describing, deleting.
//
// What makes or destroys objects in the token is in two phases, so that a crash at any moment loses
// nothing that was acknowledged and leaves nothing behind: the next KeyRing::Open, or the next
// time that the work is found due, takes it up or takes it back.
//
// Errors are for the caller (server/core/error.h); each action's answer in each state is that of
// server/core/key_state.h. Thread-safe.
class KeyLife {
 public:
  static constexpr size_t kMaxTags = 50;

  struct Options {
    // How often new keys rotate if nothing else is said; 0: not by time.
    int32_t rotation_days = 90;
  };

  // All outlive this.
  KeyLife(KeyRing& ring, store::Store& store, hsm::Token& token, const Clock& clock,
          const Options& options);

  // `policy_of` gives the policy document that is stored with the new key (see Store::BeginKey);
  // without it there is none.
  using PolicyOf = std::function<absl::StatusOr<std::string>(const KeyId&)>;
  absl::StatusOr<KeyDescription> CreateKey(const NewKey& key, Deadline deadline,
                                           const PolicyOf& policy_of = nullptr);
  // UnsupportedOperation if its material was imported.
  absl::StatusOr<store::KeyVersionRecord> CreateKeyVersion(const KeyId& key, Deadline deadline);

  absl::StatusOr<KeyDescription> EnableKey(const KeyId& key);
  absl::StatusOr<KeyDescription> DisableKey(const KeyId& key);

  absl::StatusOr<KeyDescription> UpdateDescription(const KeyId& key, absl::string_view description);
  // Rejected.LimitExceeded if it would have more than kMaxTags.
  absl::StatusOr<KeyDescription> TagKey(const KeyId& key,
                                        const std::map<std::string, std::string>& tags);
  absl::StatusOr<KeyDescription> UntagKey(const KeyId& key, const std::vector<std::string>& names);
  // `days` is 0 (not by time) or 1 to 2,560. UnsupportedOperation if its material was imported.
  absl::StatusOr<KeyDescription> UpdateRotationPolicy(const KeyId& key, int32_t days);

  // `days` is 7 to 30.
  absl::StatusOr<KeyDescription> ScheduleDeletion(const KeyId& key, int days);
  absl::StatusOr<KeyDescription> CancelDeletion(const KeyId& key);

  // --- What the server does of itself (server/gate/upkeep.h)
  // --------------------------------------

  // What is due now: rotations, by time and by use (of these each is told once), and destructions.
  absl::StatusOr<std::vector<DueWork>> ListDue();
  // Whether the clock went ahead of monotonic time by more than an hour since this began: nothing
  // is destroyed then, for a wrong clock must not delete a key early.
  bool ClockJumped() const;
  // Rotates a key if it is due, and returns the new version; nothing if it is not, or not any more.
  // One at a time, so that a key which is asked for twice rotates once.
  absl::StatusOr<std::optional<store::KeyVersionRecord>> RotateIfDue(const KeyId& key,
                                                                     Deadline deadline)
      ABSL_LOCKS_EXCLUDED(rotation_mu_);
  // Destroys a key whose time has come: begins it for good (no CancelDeletion after this), ...
  // False if its time has not come, or not any more.
  absl::StatusOr<bool> BeginDestruction(const KeyId& key);
  // ... and carries it out: the token's objects, then what the store has of it. May be repeated
  // until it succeeds.
  absl::Status FinishDestruction(const KeyId& key, Deadline deadline);

 private:
  KeyRing& ring_;
  store::Store& store_;
  hsm::Token& token_;
  const Clock& clock_;
  const Options options_;
  // Held while a key rotates by itself.
  Mutex rotation_mu_;
  const absl::Time begin_;
  const std::chrono::steady_clock::time_point monotonic_begin_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_KEY_LIFE_H_
