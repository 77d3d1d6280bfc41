#include "hsm/internal/random_pool.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace strongroom::hsm::internal {
namespace {

// Numbers the threads in the order of their first use.
size_t ThreadNumber() {
  static std::atomic<size_t> threads = 0;
  thread_local const size_t number = threads++;
  return number;
}

template <typename T>
std::vector<std::unique_ptr<T>> MakeMany(int count) {
  std::vector<std::unique_ptr<T>> many;
  for (int i = 0; i < std::max(count, 1); ++i) many.push_back(std::make_unique<T>());
  return many;
}

}  // namespace

RandomPool::RandomPool(int blocks) : blocks_(MakeMany<Block>(blocks)) {}

bool RandomPool::TakeFrom(Block& block, absl::Span<uint8_t> out) {
  if (block.left < out.size()) return false;
  const absl::Span<uint8_t> taken =
      block.bytes.MutableSecret().subspan(block.bytes.size() - block.left, out.size());
  std::copy(taken.begin(), taken.end(), out.begin());
  Wipe(taken.data(), taken.size());
  block.left -= out.size();
  return true;
}

absl::Status RandomPool::Take(absl::Span<uint8_t> out, const Draw& draw) {
  if (out.size() > kMostBytes) return draw(out);
  Block& block = *blocks_[ThreadNumber() % blocks_.size()];
  {
    MutexLock lock(block.mu);
    if (TakeFrom(block, out)) return absl::OkStatus();
  }
  SecretBytes fresh(kBlockBytes);
  if (absl::Status status = draw(fresh.MutableSecret()); !status.ok()) return status;
  MutexLock lock(block.mu);
  // Another thread may have done the same meanwhile: its block goes, unused.
  block.bytes = std::move(fresh);
  block.left = block.bytes.size();
  TakeFrom(block, out);
  return absl::OkStatus();
}

}  // namespace strongroom::hsm::internal
