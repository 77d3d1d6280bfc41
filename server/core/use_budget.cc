#include "server/core/use_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {

namespace {

// With fewer than this in a block, a half of it is over before the next is there.
constexpr int64_t kLeastToReserveAhead = 64;

}  // namespace

std::optional<int64_t> UseBudget::TakeOfBlock() {
  int64_t left = block_;
  while (left > 0) {
    if (block_.compare_exchange_weak(left, left - 1)) return left - 1;
  }
  return std::nullopt;
}

int64_t UseBudget::BlockSize() const {
  // A hundredth, so that a crash does not lose much of a small limit.
  return std::clamp<int64_t>(limits_.most / 100, 1, limits_.block);
}

absl::Status UseBudget::UsedUp() const {
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("key version ", version_.ToString(),
                                " has sealed as often as it may (", limits_.most,
                                " times); CreateKeyVersion makes the key's next one, which seals "
                                "wherever the primary version does"));
}

absl::Status UseBudget::Take() {
  if (const std::optional<int64_t> left = TakeOfBlock(); left.has_value()) {
    // One taker finds just this many. It waits for the disk, and nobody else does.
    if (*left == BlockSize() / 2 && BlockSize() >= kLeastToReserveAhead) {
      MutexLock lock(mu_);
      // What comes of it is told to who needs it.
      Reserve().IgnoreError();
    }
    return absl::OkStatus();
  }
  MutexLock lock(mu_);
  // Somebody else may have reserved while this one waited.
  while (!TakeOfBlock().has_value()) {
    if (absl::Status status = Reserve(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status UseBudget::Reserve() {
  // It was the last block: who goes on asking does not keep the store busy.
  if (reserved_ >= limits_.most) return UsedUp();
  absl::StatusOr<store::UseBlock> block = store_.ReserveUses(version_, BlockSize(), limits_.most);
  if (!block.ok()) return FromStore(block.status());
  reserved_ = block->uses_reserved;
  if (block->size == 0) return UsedUp();
  block_ += block->size;
  return absl::OkStatus();
}

void UseBudget::CatchUp(int64_t uses_reserved) {
  MutexLock lock(mu_);
  reserved_ = std::max<int64_t>(reserved_, uses_reserved);
}

int64_t UseBudget::Left() const {
  // In this order, for a new block is in `reserved_` first: rather one too few than one too many.
  const int64_t block = block_;
  return std::max<int64_t>(limits_.most - reserved_, 0) + block;
}

}  // namespace strongroom::core
