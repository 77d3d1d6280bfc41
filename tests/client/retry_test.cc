#include "client/retry.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/error.h"
#include "client/unary_call.h"
#include "tests/client/fake_server.h"

namespace strongroom {
namespace {

constexpr RetryPolicy kPolicy = {.max_attempts = 4,
                                 .initial_backoff = absl::Milliseconds(100),
                                 .max_backoff = absl::Milliseconds(150)};
const Deadline kNow = Deadline() + std::chrono::hours(1);
const Deadline kLater = kNow + std::chrono::seconds(10);
const absl::Status kUnavailable = absl::UnavailableError("away");

absl::Status UnavailableFor(absl::Duration delay) {
  return FromGrpcStatus(testing::ServiceError(grpc::StatusCode::UNAVAILABLE, "away",
                                              "Rejected.Unavailable", 503, "id", delay));
}

TEST(RetryScheduleTest, DelaysGrowToTheLargestAndAttemptsEnd) {
  RetrySchedule schedule(kPolicy, kLater);
  EXPECT_EQ(schedule.NextDelay(kUnavailable, kNow, 0.5), absl::Milliseconds(50));
  EXPECT_EQ(schedule.NextDelay(kUnavailable, kNow, 0.5), absl::Milliseconds(75));
  EXPECT_EQ(schedule.NextDelay(kUnavailable, kNow, 0.5), absl::Milliseconds(75));
  EXPECT_EQ(schedule.NextDelay(kUnavailable, kNow, 0.5), std::nullopt);
}

TEST(RetryScheduleTest, JitterIsFull) {
  EXPECT_EQ(RetrySchedule(kPolicy, kLater).NextDelay(kUnavailable, kNow, 0), absl::ZeroDuration());
}

TEST(RetryScheduleTest, OtherErrorsAreNotTriedAgain) {
  for (const absl::Status& error :
       {absl::ResourceExhaustedError(""), absl::DeadlineExceededError(""), absl::InternalError(""),
        absl::AbortedError(""), absl::CancelledError(""), absl::UnknownError("")}) {
    EXPECT_EQ(RetrySchedule(kPolicy, kLater).NextDelay(error, kNow, 0), std::nullopt) << error;
  }
}

TEST(RetryScheduleTest, ServersDelayIsWaitedOutBesides) {
  RetrySchedule schedule(kPolicy, kLater);
  EXPECT_EQ(schedule.NextDelay(UnavailableFor(absl::Seconds(2)), kNow, 0.5),
            absl::Seconds(2) + absl::Milliseconds(50));
}

TEST(RetryScheduleTest, NegativeServersDelayCountsAsNone) {
  RetrySchedule schedule(kPolicy, kLater);
  EXPECT_EQ(schedule.NextDelay(UnavailableFor(absl::Seconds(-2)), kNow, 0.5),
            absl::Milliseconds(50));
}

TEST(RetryScheduleTest, WaitPastTheDeadlineIsNotBegun) {
  RetrySchedule schedule(kPolicy, kLater);
  EXPECT_EQ(schedule.NextDelay(UnavailableFor(absl::Seconds(10)), kNow, 0), std::nullopt);
  EXPECT_EQ(RetrySchedule(kPolicy, kNow).NextDelay(kUnavailable, kNow, 0), std::nullopt);
}

TEST(RetryScheduleTest, SingleAttemptIsNotRepeated) {
  EXPECT_EQ(RetrySchedule({.max_attempts = 1}, kLater).NextDelay(kUnavailable, kNow, 0),
            std::nullopt);
}

TEST(ErrorDetailTest, AllReasonsAreReadByTheirNames) {
  // As in the table of errors that the API documents.
  for (const char* name : {"InvalidParameter",
                           "MissingParameter",
                           "ValidationError",
                           "UnsupportedOperation",
                           "InvalidCiphertext",
                           "IncorrectKey",
                           "Forbidden.NoPermission",
                           "AccessDeniedError",
                           "InvalidGrantToken",
                           "Forbidden.KeyNotFound",
                           "Forbidden.AliasNotFound",
                           "Forbidden.OnlySymmetricKeySupported",
                           "Rejected.Disabled",
                           "Rejected.PendingDeletion",
                           "DryRunOperationError",
                           "Rejected.LimitExceeded",
                           "Rejected.Throttling",
                           "Rejected.Unavailable",
                           "ServiceUnavailableTemporary",
                           "DependencyTimeout",
                           "InternalFailure"}) {
    const std::optional<ErrorDetail> detail = ErrorDetailOf(FromGrpcStatus(
        testing::ServiceError(grpc::StatusCode::INTERNAL, "message", name, 418, "request-7")));
    ASSERT_TRUE(detail.has_value()) << name;
    EXPECT_NE(detail->reason, Reason::kUnknown) << name;
    EXPECT_EQ(ReasonName(detail->reason), name);
    EXPECT_EQ(detail->reason_name, name);
    EXPECT_EQ(detail->http_status, 418);
    EXPECT_EQ(detail->request_id, "request-7");
    EXPECT_EQ(detail->retry_delay, std::nullopt);
  }
}

TEST(ErrorDetailTest, UnknownReasonKeepsItsName) {
  const std::optional<ErrorDetail> detail = ErrorDetailOf(FromGrpcStatus(
      testing::ServiceError(grpc::StatusCode::INTERNAL, "m", "Rejected.Tomorrow", 500, "id")));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, Reason::kUnknown);
  EXPECT_EQ(detail->reason_name, "Rejected.Tomorrow");
}

TEST(ErrorDetailTest, RetryDelayIsReadToTheNanosecond) {
  const absl::Duration delay = absl::Seconds(3) + absl::Nanoseconds(4);
  EXPECT_EQ(ErrorDetailOf(UnavailableFor(delay))->retry_delay, delay);
}

TEST(ErrorDetailTest, StatusWithoutDetailsHasNone) {
  EXPECT_EQ(ErrorDetailOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ErrorDetailOf(kUnavailable), std::nullopt);
  EXPECT_EQ(
      ErrorDetailOf(FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL, "m", "\xff rubbish"))),
      std::nullopt);
}

}  // namespace
}  // namespace strongroom
