#ifndef STRONGROOM_SERVER_GATE_RATE_LIMITER_H_
#define STRONGROOM_SERVER_GATE_RATE_LIMITER_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "platform/mutex.h"
#include "server/gate/operation.h"

namespace strongroom::gate {

struct RateLimit {
  // Calls a second in the long run: 0.001 to 1,000,000.
  double rate = 0;
  // How many may come at once after a pause: 1 to 1,000,000.
  int burst = 0;
};

// A limit for each class of operations; no limit where there is none.
using RateLimits = std::array<std::optional<RateLimit>, kOperationClasses>;

struct RateLimiterOptions {
  // What holds for every principal...
  RateLimits defaults = {};
  // ... but for these, by their exact names: where they have a limit, it holds instead.
  std::map<std::string, RateLimits> principals = {};
};

// How often each principal may call, by class of operation: token buckets, one for each (principal,
// class), in monotonic time that the caller gives.
//
// Buckets that are full again are forgotten, so the memory is for those principals only that called
// a short while ago. Thread-safe.
class RateLimiter {
 public:
  // InvalidParameter, naming the principal and the class, if a limit is out of its range.
  static absl::StatusOr<std::unique_ptr<RateLimiter>> Create(RateLimiterOptions options);

  // Takes a token. Rejected.Throttling if there is none, with the time until there is one; who is
  // refused meanwhile is told a later time each, up to a second more, so that they do not all come
  // back for the one token.
  absl::Status Take(absl::string_view principal, OperationClass operation_class,
                    std::chrono::steady_clock::time_point now);

  // For a call that took its token and turns out to be a batch, which counts as `count` calls.
  //
  // Takes the rest of them, all or none. Rejected.Throttling if there are not so many, with the
  // time until there are `count`, for coming again takes the first one again.
  absl::Status TakeRest(absl::string_view principal, OperationClass operation_class, int64_t count,
                        std::chrono::steady_clock::time_point now);
  // Whether so many may ever come at once. InvalidParameter, naming `field`, if not.
  absl::Status CheckBatch(absl::string_view field, absl::string_view principal,
                          OperationClass operation_class, int64_t count) const;

  // How many buckets are remembered, for tests and metrics.
  size_t buckets() const;

 private:
  using Nanoseconds = int64_t;
  // A limit in terms of time: a token is there every `interval`, and at most `burst` wait.
  struct Pace {
    Nanoseconds interval;
    Nanoseconds whole;  // burst * interval: what it takes to fill an empty bucket
    RateLimit limit;
  };
  using Paces = std::array<std::optional<Pace>, kOperationClasses>;

  struct Bucket {
    Nanoseconds full_at = 0;
    // When the last one who was refused was told to come back.
    Nanoseconds told = 0;
  };

  // Shards, so that neither a call nor the sweeping of many buckets holds up all others.
  struct Shard {
    mutable Mutex mu;
    // By principal and class. A bucket that is full has no entry, or one in the past.
    absl::flat_hash_map<std::string, Bucket> buckets ABSL_GUARDED_BY(mu);
    size_t sweep_size ABSL_GUARDED_BY(mu) = 128;
  };
  static constexpr size_t kShards = 16;

  RateLimiter() = default;
  static absl::StatusOr<Paces> ToPaces(absl::string_view whose, const RateLimits& limits);
  // Null where there is no limit.
  const Pace* PaceOf(absl::string_view principal, OperationClass operation_class) const;
  Shard& ShardOf(const std::string& bucket);
  // The bucket of that name, full or not; others that are full are forgotten now and then.
  static Bucket& Find(Shard& shard, const std::string& name, Nanoseconds time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  Paces defaults_;
  absl::flat_hash_map<std::string, Paces> principals_;
  std::array<Shard, kShards> shards_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_RATE_LIMITER_H_
