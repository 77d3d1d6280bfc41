#include "server/gate/rate_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using testing::FailsWith;
using ::testing::HasSubstr;

constexpr OperationClass kDataKey = OperationClass::kDataKey;
constexpr OperationClass kDecrypt = OperationClass::kDecrypt;

RateLimits LimitsOf(OperationClass operation_class, double rate, int burst) {
  RateLimits limits;
  limits[static_cast<size_t>(operation_class)] = RateLimit{rate, burst};
  return limits;
}

std::unique_ptr<RateLimiter> MakeLimiter(RateLimiterOptions options) {
  absl::StatusOr<std::unique_ptr<RateLimiter>> limiter = RateLimiter::Create(std::move(options));
  EXPECT_OK(limiter);
  return *std::move(limiter);
}

// Any moment.
const std::chrono::steady_clock::time_point kStart{std::chrono::hours(5)};

TEST(RateLimiterTest, WithoutALimitEverythingPasses) {
  const auto limiter = MakeLimiter({});
  for (int i = 0; i < 10000; ++i) EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  EXPECT_EQ(limiter->buckets(), 0u);
}

TEST(RateLimiterTest, BurstPassesAndThenTheRateHolds) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 10, 3)});
  for (int i = 0; i < 3; ++i) EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  const absl::Status refused = limiter->Take("orders", kDataKey, kStart);
  EXPECT_THAT(refused, FailsWith(Reason::kThrottling,
                                 AllOf(HasSubstr("orders"), HasSubstr("10 data_key operations"),
                                       HasSubstr("3 at once"), HasSubstr("100 ms"))));
  EXPECT_EQ(core::RetryDelayOf(refused), absl::Milliseconds(100));
  // What was refused took nothing; the next token is for who was refused first.
  EXPECT_EQ(core::RetryDelayOf(limiter->Take("orders", kDataKey, kStart + milliseconds(60))),
            absl::Milliseconds(140));
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart + milliseconds(100)));
  EXPECT_THAT(limiter->Take("orders", kDataKey, kStart + milliseconds(199)),
              FailsWith(Reason::kThrottling));
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart + milliseconds(200)));
  // However long the pause was.
  for (int i = 0; i < 3; ++i) EXPECT_OK(limiter->Take("orders", kDataKey, kStart + seconds(3600)));
  EXPECT_THAT(limiter->Take("orders", kDataKey, kStart + seconds(3600)),
              FailsWith(Reason::kThrottling));
}

TEST(RateLimiterTest, ThoseWhoAreRefusedAreToldDifferentTimes) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 10, 1)});
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  // Up to a second later than the first of them.
  for (int wait : {100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1100, 1100}) {
    EXPECT_EQ(core::RetryDelayOf(limiter->Take("orders", kDataKey, kStart)),
              absl::Milliseconds(wait));
  }
  // They are forgotten once their time has come.
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart + seconds(3)));
  EXPECT_EQ(core::RetryDelayOf(limiter->Take("orders", kDataKey, kStart + seconds(3))),
            absl::Milliseconds(100));
}

TEST(RateLimiterTest, WaitThatIsToldIsNeverTooShort) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 3000, 1)});
  auto now = kStart;
  for (int i = 0; i < 100; ++i) {
    EXPECT_OK(limiter->Take("orders", kDataKey, now));
    const std::optional<absl::Duration> wait =
        core::RetryDelayOf(limiter->Take("orders", kDataKey, now));
    ASSERT_TRUE(wait.has_value());
    EXPECT_EQ(*wait, absl::Milliseconds(1));
    now += absl::ToChronoNanoseconds(*wait);
  }
}

TEST(RateLimiterTest, BatchTakesAsManyAsItHas) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 10, 5)});
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  EXPECT_OK(limiter->TakeRest("orders", kDataKey, 5, kStart));
  EXPECT_EQ(core::RetryDelayOf(limiter->Take("orders", kDataKey, kStart)), absl::Milliseconds(100));
  EXPECT_OK(limiter->Take("billing", kDataKey, kStart));
  // No batch, and a batch of one, are what the call has taken already.
  EXPECT_OK(limiter->TakeRest("orders", kDataKey, 0, kStart));
  EXPECT_OK(limiter->TakeRest("orders", kDataKey, 1, kStart));
}

TEST(RateLimiterTest, BatchThatDoesNotFitTakesNothingAndIsToldWhenItDoes) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 10, 5)});
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  // Three are left for the other four, and the one to come with takes another.
  const absl::Status refused = limiter->TakeRest("orders", kDataKey, 5, kStart);
  EXPECT_THAT(refused, FailsWith(Reason::kThrottling,
                                 AllOf(HasSubstr("orders"), HasSubstr("a batch of 5 is 5"))));
  EXPECT_EQ(core::RetryDelayOf(refused), absl::Milliseconds(200));
  const auto later = kStart + milliseconds(200);
  EXPECT_OK(limiter->Take("orders", kDataKey, later));
  EXPECT_OK(limiter->TakeRest("orders", kDataKey, 5, later));
  EXPECT_THAT(limiter->Take("orders", kDataKey, later), FailsWith(Reason::kThrottling));
}

TEST(RateLimiterTest, BatchThatNeverFitsIsAnInvalidParameter) {
  const auto limiter = MakeLimiter(
      {.defaults = LimitsOf(kDataKey, 10, 5), .principals = {{"batch", LimitsOf(kDataKey, 1, 9)}}});
  EXPECT_OK(limiter->CheckBatch("count", "orders", kDataKey, 5));
  EXPECT_THAT(limiter->CheckBatch("count", "orders", kDataKey, 6),
              FailsWith(Reason::kInvalidParameter,
                        AllOf(HasSubstr("count: 6"), HasSubstr("5 data_key operations"))));
  EXPECT_OK(limiter->CheckBatch("count", "batch", kDataKey, 9));
  EXPECT_OK(limiter->CheckBatch("count", "orders", kDecrypt, 1000));
}

TEST(RateLimiterTest, PrincipalsAndClassesHaveTheirOwnBuckets) {
  RateLimits defaults = LimitsOf(kDataKey, 1, 1);
  defaults[static_cast<size_t>(kDecrypt)] = RateLimit{1, 1};
  const auto limiter = MakeLimiter({.defaults = defaults});
  EXPECT_OK(limiter->Take("orders", kDataKey, kStart));
  EXPECT_OK(limiter->Take("orders", kDecrypt, kStart));
  EXPECT_OK(limiter->Take("billing", kDataKey, kStart));
  EXPECT_OK(limiter->Take("", kDataKey, kStart));
  EXPECT_OK(limiter->Take("orders", OperationClass::kManagement, kStart));
  EXPECT_THAT(limiter->Take("orders", kDataKey, kStart), FailsWith(Reason::kThrottling));
  EXPECT_THAT(limiter->Take("orders", kDecrypt, kStart), FailsWith(Reason::kThrottling));
  EXPECT_THAT(limiter->Take("billing", kDataKey, kStart), FailsWith(Reason::kThrottling));
}

TEST(RateLimiterTest, PrincipalsOwnLimitHoldsInsteadOfTheDefault) {
  RateLimits defaults = LimitsOf(kDataKey, 1, 1);
  defaults[static_cast<size_t>(kDecrypt)] = RateLimit{1, 1};
  const auto limiter =
      MakeLimiter({.defaults = defaults, .principals = {{"batch", LimitsOf(kDataKey, 1, 5)}}});
  for (int i = 0; i < 5; ++i) EXPECT_OK(limiter->Take("batch", kDataKey, kStart));
  EXPECT_THAT(limiter->Take("batch", kDataKey, kStart), FailsWith(Reason::kThrottling));
  // Where it has none of its own, the default holds.
  EXPECT_OK(limiter->Take("batch", kDecrypt, kStart));
  EXPECT_THAT(limiter->Take("batch", kDecrypt, kStart), FailsWith(Reason::kThrottling));
}

TEST(RateLimiterTest, BucketsThatAreFullAgainAreForgotten) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 10, 2)});
  auto now = kStart;
  for (int i = 0; i < 200000; ++i) {
    // At most 200 of them have called in the last 200 ms.
    EXPECT_OK(limiter->Take(absl::StrCat("p", i), kDataKey, now += milliseconds(1)));
  }
  EXPECT_LE(limiter->buckets(), 16u * 128);
}

TEST(RateLimiterTest, LimitsOutOfRangeAreRefused) {
  for (const RateLimit& limit :
       {RateLimit{0, 1}, RateLimit{-1, 1}, RateLimit{0.0001, 1}, RateLimit{2e6, 1},
        RateLimit{std::nan(""), 1}, RateLimit{INFINITY, 1}, RateLimit{1, 0}, RateLimit{1, -1},
        RateLimit{1, 1000001}}) {
    const RateLimits limits = LimitsOf(kDecrypt, limit.rate, limit.burst);
    EXPECT_THAT(RateLimiter::Create({.defaults = limits}),
                FailsWith(Reason::kInvalidParameter, HasSubstr("decrypt")));
    EXPECT_THAT(RateLimiter::Create({.principals = {{"batch", limits}}}),
                FailsWith(Reason::kInvalidParameter, HasSubstr("batch")));
  }
  // The slowest and largest that is valid overflows nothing.
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDecrypt, 0.001, 1000000)});
  EXPECT_OK(limiter->Take("orders", kDecrypt, kStart));
}

TEST(RateLimiterTest, ThreadsTogetherGetNoMoreThanTheBurst) {
  const auto limiter = MakeLimiter({.defaults = LimitsOf(kDataKey, 1, 1000)});
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        if (limiter->Take("orders", kDataKey, kStart).ok()) ++taken;
        EXPECT_OK(limiter->Take(absl::StrCat(t, "-", i), kDataKey, kStart));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1000);
}

}  // namespace
}  // namespace strongroom::gate
