#ifndef STRONGROOM_SERVER_CORE_USE_BUDGET_H_
#define STRONGROOM_SERVER_CORE_USE_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/mutex.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::core {

// How often a key may be used with AES-GCM and random IVs. SP 800-38D, section 8.3: 2^32.
struct UseLimits {
  // From here on a version asks for the next one.
  int64_t rotate_at = int64_t{1} << 31;
  // Here it refuses.
  int64_t most = int64_t{1} << 32;
  // How many uses are reserved at a time, the next when half of them are taken: a crash loses half
  // as many again at most. Fewer if `most` is small.
  int64_t block = 4096;
};

// Counts the uses of one version's seal key. A use is taken before it takes place, from a block
// that the store has durably reserved before, so that no crash makes a version be used more often
// than its limit; what a crash leaves of a block is lost. Thread-safe.
class UseBudget {
 public:
  // `uses_reserved` is what the store says; nobody else reserves uses of this version. `store` and
  // `limits` outlive this.
  UseBudget(store::Store& store, const UseLimits& limits, const KeyVersionId& version,
            int64_t uses_reserved)
      : store_(store), limits_(limits), version_(version), reserved_(uses_reserved) {}

  // Takes one use. Rejected.LimitExceeded if none is left; errors of the store, for the caller.
  absl::Status Take() ABSL_LOCKS_EXCLUDED(mu_);

  // The store may count more than this knew of: the proof of material that came in.
  void CatchUp(int64_t uses_reserved) ABSL_LOCKS_EXCLUDED(mu_);

  // What Take would say, as far as it can be told without taking.
  absl::Status CheckLeft() const { return Left() > 0 ? absl::OkStatus() : UsedUp(); }

  // How many are left, those of the block included.
  int64_t Left() const;
  int64_t reserved() const { return reserved_; }
  // Whether so many are reserved that the key should rotate.
  bool WantsRotation() const { return reserved_ >= limits_.rotate_at; }

 private:
  // Takes one of the block's and says how many it leaves; nothing if the block is used up.
  std::optional<int64_t> TakeOfBlock();
  // How many are reserved at a time.
  int64_t BlockSize() const;
  // Adds a block. Rejected.LimitExceeded if there is none; errors of the store, for the caller.
  absl::Status Reserve() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status UsedUp() const;

  store::Store& store_;
  const UseLimits& limits_;
  const KeyVersionId version_;
  // Held while the store is asked.
  Mutex mu_;
  std::atomic<int64_t> reserved_;
  std::atomic<int64_t> block_ = 0;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_USE_BUDGET_H_
