#ifndef STRONGROOM_HSM_INTERNAL_RANDOM_POOL_H_
#define STRONGROOM_HSM_INTERNAL_RANDOM_POOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "platform/mutex.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// Random bytes of the token, drawn in blocks, so that each few of them do not cost a call of their
// own. No byte is given out twice; what was given out is wiped, and what is left waits in locked
// memory.
//
// Thread-safe.
class RandomPool {
 public:
  // Fills what it is given with random bytes of the token.
  using Draw = std::function<absl::Status(absl::Span<uint8_t>)>;

  // Small enough for tokens that give some 2 KiB at a time.
  static constexpr size_t kBlockBytes = 1980;
  // More than this is drawn for itself.
  static constexpr size_t kMostBytes = kBlockBytes / 4;

  // `blocks` (at least 1) are held for different threads, so that those that work at a time mostly
  // do not meet.
  explicit RandomPool(int blocks);

  // Calls `draw` if there are not enough bytes left, with no lock held; its errors are returned,
  // and nothing is lost by them.
  absl::Status Take(absl::Span<uint8_t> out, const Draw& draw);

 private:
  struct Block {
    Mutex mu;
    SecretBytes bytes ABSL_GUARDED_BY(mu);
    // How many at the end of `bytes` were not given out.
    size_t left ABSL_GUARDED_BY(mu) = 0;
  };

  // False if there are not enough.
  static bool TakeFrom(Block& block, absl::Span<uint8_t> out)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(block.mu);

  const std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_RANDOM_POOL_H_
