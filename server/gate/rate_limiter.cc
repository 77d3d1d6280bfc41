#include "server/gate/rate_limiter.h"

#include <algorithm>
#include <cmath>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

constexpr double kLeastRate = 0.001;
constexpr double kMostRate = 1e6;
constexpr int kMostBurst = 1000000;
constexpr int64_t kLongestDelayForOthers = 1'000'000'000;  // nanoseconds

int64_t ToNanoseconds(std::chrono::steady_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::string BucketName(absl::string_view principal, OperationClass operation_class) {
  // The class in front, in one character, so that no two buckets have the same name.
  return absl::StrCat(absl::string_view("01234").substr(static_cast<size_t>(operation_class), 1),
                      principal);
}

absl::Status TooOften(absl::string_view principal, OperationClass operation_class,
                      const RateLimit& limit, int64_t missing_nanoseconds,
                      absl::string_view batch) {
  const absl::Duration wait =
      absl::Ceil(absl::Nanoseconds(missing_nanoseconds), absl::Milliseconds(1));
  return core::MakeRetryableError(
      core::Reason::kThrottling,
      absl::StrCat(principal, " calls too often: at most ", limit.rate, " ",
                   NameOf(operation_class), " operations a second, and ", limit.burst, " at once",
                   batch, "; try again in ", absl::ToInt64Milliseconds(wait), " ms"),
      wait);
}

}  // namespace

absl::StatusOr<RateLimiter::Paces> RateLimiter::ToPaces(absl::string_view whose,
                                                        const RateLimits& limits) {
  Paces paces;
  for (size_t i = 0; i < kOperationClasses; ++i) {
    if (!limits[i].has_value()) continue;
    const RateLimit& limit = *limits[i];
    // Written so that NaN is out of range.
    if (!(limit.rate >= kLeastRate && limit.rate <= kMostRate) || limit.burst < 1 ||
        limit.burst > kMostBurst) {
      return core::MakeError(
          core::Reason::kInvalidParameter,
          absl::StrCat("the limit of ", NameOf(static_cast<OperationClass>(i)), " for ", whose,
                       " is not valid; valid are rates of 0.001 to 1000000 a second and bursts of "
                       "1 to 1000000"));
    }
    const Nanoseconds interval = std::llround(1e9 / limit.rate);
    paces[i] = Pace{interval, interval * limit.burst, limit};
  }
  return paces;
}

absl::StatusOr<std::unique_ptr<RateLimiter>> RateLimiter::Create(RateLimiterOptions options) {
  auto limiter = std::unique_ptr<RateLimiter>(new RateLimiter());
  absl::StatusOr<Paces> defaults = ToPaces("every principal", options.defaults);
  if (!defaults.ok()) return defaults.status();
  limiter->defaults_ = *defaults;
  for (const auto& [principal, limits] : options.principals) {
    absl::StatusOr<Paces> paces = ToPaces(principal, limits);
    if (!paces.ok()) return paces.status();
    for (size_t i = 0; i < kOperationClasses; ++i) {
      if (!(*paces)[i].has_value()) (*paces)[i] = (*defaults)[i];
    }
    limiter->principals_.emplace(principal, *paces);
  }
  return limiter;
}

const RateLimiter::Pace* RateLimiter::PaceOf(absl::string_view principal,
                                             OperationClass operation_class) const {
  const auto own = principals_.find(principal);
  const std::optional<Pace>& pace =
      (own == principals_.end() ? defaults_ : own->second)[static_cast<size_t>(operation_class)];
  return pace.has_value() ? &*pace : nullptr;
}

RateLimiter::Shard& RateLimiter::ShardOf(const std::string& bucket) {
  // The upper half, for the shard's own table uses the lower bits.
  return shards_[(uint64_t{absl::Hash<std::string>()(bucket)} >> 32) % kShards];
}

RateLimiter::Bucket& RateLimiter::Find(Shard& shard, const std::string& name, Nanoseconds time) {
  if (shard.buckets.size() >= shard.sweep_size) {
    absl::erase_if(shard.buckets,
                   [time](const auto& bucket) { return bucket.second.full_at <= time; });
    shard.sweep_size = std::max<size_t>(128, 2 * shard.buckets.size());
  }
  return shard.buckets[name];
}

absl::Status RateLimiter::Take(absl::string_view principal, OperationClass operation_class,
                               std::chrono::steady_clock::time_point now) {
  const Pace* const pace = PaceOf(principal, operation_class);
  if (pace == nullptr) return absl::OkStatus();
  const Nanoseconds time = ToNanoseconds(now);
  const std::string name = BucketName(principal, operation_class);
  Shard& shard = ShardOf(name);
  Nanoseconds missing = 0;
  {
    MutexLock lock(shard.mu);
    Bucket& bucket = Find(shard, name, time);
    const Nanoseconds full_after = std::max(bucket.full_at, time) + pace->interval;
    missing = full_after - time - pace->whole;
    if (missing <= 0) {
      bucket.full_at = full_after;
      return absl::OkStatus();
    }
    const Nanoseconds soonest = time + missing;
    bucket.told =
        std::clamp(bucket.told + pace->interval, soonest, soonest + kLongestDelayForOthers);
    missing = bucket.told - time;
  }
  return TooOften(principal, operation_class, pace->limit, missing, "");
}

absl::Status RateLimiter::TakeRest(absl::string_view principal, OperationClass operation_class,
                                   int64_t count, std::chrono::steady_clock::time_point now) {
  const Pace* const pace = PaceOf(principal, operation_class);
  if (pace == nullptr || count <= 1) return absl::OkStatus();
  const Nanoseconds time = ToNanoseconds(now);
  const std::string name = BucketName(principal, operation_class);
  Shard& shard = ShardOf(name);
  Nanoseconds missing = 0;
  {
    MutexLock lock(shard.mu);
    Bucket& bucket = Find(shard, name, time);
    const Nanoseconds full_after = std::max(bucket.full_at, time) + (count - 1) * pace->interval;
    missing = full_after - time - pace->whole;
    if (missing <= 0) {
      bucket.full_at = full_after;
      return absl::OkStatus();
    }
  }
  return TooOften(principal, operation_class, pace->limit, missing + pace->interval,
                  absl::StrCat(", of which a batch of ", count, " is ", count));
}

absl::Status RateLimiter::CheckBatch(absl::string_view field, absl::string_view principal,
                                     OperationClass operation_class, int64_t count) const {
  const Pace* const pace = PaceOf(principal, operation_class);
  if (pace == nullptr || count <= pace->limit.burst) return absl::OkStatus();
  return core::MakeError(
      core::Reason::kInvalidParameter,
      absl::StrCat(field, ": ", count, " is more than ", principal, " may ask for at once, ",
                   pace->limit.burst, " ", NameOf(operation_class),
                   " operations; ask for fewer at a time"));
}

size_t RateLimiter::buckets() const {
  size_t buckets = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(shard.mu);
    buckets += shard.buckets.size();
  }
  return buckets;
}

}  // namespace strongroom::gate
