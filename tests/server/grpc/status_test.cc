#include "server/grpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/core/error.h"

namespace strongroom::grpc_server {
namespace {

using core::Reason;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kRequestId[] = "599fa825-17de-417e-9554-bb032cc6a001";
constexpr char kDetail[] = "C_Decrypt: CKR_DEVICE_ERROR";

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(details.details_size() >= 1 && details.details(0).UnpackTo(&info));
  return info;
}

TEST(StatusTest, SuccessHasNoDetails) {
  const grpc::Status status = ToGrpcStatus(absl::OkStatus(), kRequestId);
  EXPECT_TRUE(status.ok());
  EXPECT_THAT(status.error_details(), IsEmpty());
}

TEST(StatusTest, EveryReasonIsToldInCodeMessageAndErrorInfo) {
  for (int i = 0; i <= static_cast<int>(Reason::kInternalFailure); ++i) {
    const core::ReasonInfo& reason = core::InfoOf(static_cast<Reason>(i));
    SCOPED_TRACE(reason.name);
    const grpc::Status status =
        ToGrpcStatus(core::MakeError(reason.reason, "Field: what would be right"), kRequestId);
    // gRPC's codes and Abseil's have the same numbers.
    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(reason.code));
    EXPECT_EQ(status.error_message(), "Field: what would be right");

    const google::rpc::Status details = DetailsOf(status);
    EXPECT_EQ(details.code(), static_cast<int>(reason.code));
    EXPECT_EQ(details.message(), "Field: what would be right");
    EXPECT_EQ(details.details_size(), 1);
    const google::rpc::ErrorInfo info = ErrorInfoOf(status);
    EXPECT_EQ(info.reason(), reason.name);
    EXPECT_EQ(info.domain(), "strongroom");
    EXPECT_EQ(info.metadata().size(), 2u);
    EXPECT_EQ(info.metadata().at("http_status"), absl::StrCat(reason.http_status));
    EXPECT_EQ(info.metadata().at("request_id"), kRequestId);
  }
}

TEST(StatusTest, WaitThatHelpsIsToldInRetryInfo) {
  struct Case {
    absl::Duration wait;
    int64_t seconds;
    int32_t nanos;
  };
  for (const Case& c : {Case{absl::Seconds(1), 1, 0}, Case{absl::Milliseconds(1500), 1, 500000000},
                        Case{absl::Milliseconds(7), 0, 7000000}, Case{absl::Hours(2), 7200, 0}}) {
    const google::rpc::Status details = DetailsOf(
        ToGrpcStatus(core::MakeRetryableError(Reason::kThrottling, "later", c.wait), kRequestId));
    ASSERT_EQ(details.details_size(), 2);
    google::rpc::RetryInfo retry;
    ASSERT_TRUE(details.details(1).UnpackTo(&retry));
    EXPECT_EQ(retry.retry_delay().seconds(), c.seconds);
    EXPECT_EQ(retry.retry_delay().nanos(), c.nanos);
  }
}

TEST(StatusTest, InternalDetailIsNotTold) {
  for (const absl::Status& error :
       {core::FromToken(absl::UnavailableError(kDetail)),
        core::FromToken(absl::InternalError(kDetail)),
        core::FromStore(absl::UnavailableError(kDetail)),
        core::FromStore(absl::InternalError(kDetail)), core::MakeInternalFailure(kDetail)}) {
    ASSERT_EQ(core::DetailOf(error), kDetail);
    const grpc::Status status = ToGrpcStatus(error, kRequestId);
    EXPECT_THAT(status.error_message(), Not(HasSubstr("CKR")));
    EXPECT_THAT(status.error_details(), Not(HasSubstr("CKR")));
  }
}

TEST(StatusTest, StatusFromElsewhereIsAnInternalFailureThatSaysNothing) {
  for (const absl::Status& elsewhere : {absl::NotFoundError(kDetail), absl::InternalError(kDetail),
                                        absl::PermissionDeniedError(kDetail)}) {
    const grpc::Status status = ToGrpcStatus(elsewhere, kRequestId);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "InternalFailure");
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("request_id"), kRequestId);
    EXPECT_THAT(status.error_message(), Not(HasSubstr("CKR")));
    EXPECT_THAT(status.error_message(), HasSubstr("internal failure"));
    EXPECT_THAT(status.error_details(), Not(HasSubstr("CKR")));
  }
}

}  // namespace
}  // namespace strongroom::grpc_server
