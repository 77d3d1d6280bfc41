#ifndef STRONGROOM_HSM_INTERNAL_KEPT_OBJECT_H_
#define STRONGROOM_HSM_INTERNAL_KEPT_OBJECT_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "hsm/internal/lanes.h"

namespace strongroom::hsm::internal {

// The private key of a kept pair: an object of the one session that makes such, used on any, and
// destroyed on any lane when this goes. Thread-safe.
class KeptObject {
 public:
  // `keeper_endings` says how often the session that makes them has ended. Both outlive this.
  KeptObject(LanePool& lanes, const std::atomic<uint64_t>& keeper_endings, uint64_t made_after,
             LentObject object)
      : lanes_(lanes),
        keeper_endings_(keeper_endings),
        made_after_(made_after),
        object_(std::move(object)) {}
  ~KeptObject() { lanes_.Destroy(std::move(object_)); }
  KeptObject(const KeptObject&) = delete;
  KeptObject& operator=(const KeptObject&) = delete;

  bool IsLost() const { return keeper_endings_ != made_after_; }
  const LentObject& object() const { return object_; }

 private:
  LanePool& lanes_;
  const std::atomic<uint64_t>& keeper_endings_;
  const uint64_t made_after_;
  LentObject object_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_KEPT_OBJECT_H_
