#include "server/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace strongroom::core {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDetail[] = "C_Decrypt: CKR_DEVICE_ERROR";

struct Expected {
  const char* name;
  absl::StatusCode code;
  int http_status;
};

// The API's own table. A switch, so that a reason without a line here does not compile.
Expected ExpectedOf(Reason reason) {
  switch (reason) {
    case Reason::kInvalidParameter:
      return {"InvalidParameter", absl::StatusCode::kInvalidArgument, 400};
    case Reason::kMissingParameter:
      return {"MissingParameter", absl::StatusCode::kInvalidArgument, 400};
    case Reason::kValidationError:
      return {"ValidationError", absl::StatusCode::kInvalidArgument, 400};
    case Reason::kUnsupportedOperation:
      return {"UnsupportedOperation", absl::StatusCode::kUnimplemented, 400};
    case Reason::kInvalidCiphertext:
      return {"InvalidCiphertext", absl::StatusCode::kInvalidArgument, 400};
    case Reason::kIncorrectKey:
      return {"IncorrectKey", absl::StatusCode::kInvalidArgument, 400};
    case Reason::kNoPermission:
      return {"Forbidden.NoPermission", absl::StatusCode::kPermissionDenied, 403};
    case Reason::kAccessDenied:
      return {"AccessDeniedError", absl::StatusCode::kPermissionDenied, 403};
    case Reason::kInvalidGrantToken:
      return {"InvalidGrantToken", absl::StatusCode::kPermissionDenied, 403};
    case Reason::kKeyNotFound:
      return {"Forbidden.KeyNotFound", absl::StatusCode::kNotFound, 404};
    case Reason::kAliasNotFound:
      return {"Forbidden.AliasNotFound", absl::StatusCode::kNotFound, 404};
    case Reason::kDisabled:
      return {"Rejected.Disabled", absl::StatusCode::kFailedPrecondition, 409};
    case Reason::kPendingDeletion:
      return {"Rejected.PendingDeletion", absl::StatusCode::kFailedPrecondition, 409};
    case Reason::kDryRunOperation:
      return {"DryRunOperationError", absl::StatusCode::kFailedPrecondition, 409};
    case Reason::kLimitExceeded:
      return {"Rejected.LimitExceeded", absl::StatusCode::kResourceExhausted, 400};
    case Reason::kThrottling:
      return {"Rejected.Throttling", absl::StatusCode::kResourceExhausted, 429};
    case Reason::kUnavailable:
      return {"Rejected.Unavailable", absl::StatusCode::kUnavailable, 503};
    case Reason::kServiceUnavailableTemporary:
      return {"ServiceUnavailableTemporary", absl::StatusCode::kUnavailable, 503};
    case Reason::kDependencyTimeout:
      return {"DependencyTimeout", absl::StatusCode::kDeadlineExceeded, 504};
    case Reason::kInternalFailure:
      return {"InternalFailure", absl::StatusCode::kInternal, 500};
  }
  return {};
}

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  for (int i = 0; i <= static_cast<int>(Reason::kInternalFailure); ++i) {
    reasons.push_back(static_cast<Reason>(i));
  }
  return reasons;
}

TEST(ErrorTest, EveryReasonHasItsNameCodeAndHttpStatus) {
  for (Reason reason : AllReasons()) {
    const ReasonInfo& info = InfoOf(reason);
    const Expected expected = ExpectedOf(reason);
    EXPECT_EQ(info.reason, reason) << info.name;
    EXPECT_STREQ(info.name, expected.name);
    EXPECT_EQ(info.code, expected.code) << info.name;
    EXPECT_EQ(info.http_status, expected.http_status) << info.name;
  }
}

TEST(ErrorTest, NamesDiffer) {
  std::set<std::string> names;
  for (Reason reason : AllReasons()) names.insert(InfoOf(reason).name);
  EXPECT_EQ(names.size(), AllReasons().size());
}

TEST(ErrorTest, ErrorCarriesItsReasonCodeAndMessage) {
  for (Reason reason : AllReasons()) {
    const absl::Status error = MakeError(reason, "Field: what would be right");
    EXPECT_EQ(ReasonOf(error), reason);
    EXPECT_EQ(error.code(), InfoOf(reason).code);
    EXPECT_EQ(error.message(), "Field: what would be right");
    EXPECT_EQ(MessageOf(error), "Field: what would be right");
    EXPECT_EQ(DetailOf(error), "");
    EXPECT_EQ(RetryDelayOf(error), std::nullopt);
  }
}

TEST(ErrorTest, RetryableErrorCarriesItsDelay) {
  const absl::Status error =
      MakeRetryableError(Reason::kThrottling, "later", absl::Milliseconds(1500));
  EXPECT_EQ(ReasonOf(error), Reason::kThrottling);
  EXPECT_EQ(RetryDelayOf(error), absl::Milliseconds(1500));
}

TEST(ErrorTest, InvalidCiphertextHasOneWording) {
  EXPECT_EQ(ReasonOf(InvalidCiphertext()), Reason::kInvalidCiphertext);
  EXPECT_EQ(InvalidCiphertext(), InvalidCiphertext());
  EXPECT_EQ(DetailOf(InvalidCiphertext()), "");
}

TEST(ErrorTest, TokenFailureBecomesWhatTheCallerCanDo) {
  struct Case {
    absl::StatusCode code;
    Reason reason;
    bool retry;
  };
  constexpr Case kCases[] = {
      {absl::StatusCode::kUnavailable, Reason::kUnavailable, true},
      {absl::StatusCode::kDeadlineExceeded, Reason::kDependencyTimeout, false},
      {absl::StatusCode::kResourceExhausted, Reason::kThrottling, true},
      {absl::StatusCode::kNotFound, Reason::kUnavailable, false},
      {absl::StatusCode::kUnimplemented, Reason::kUnsupportedOperation, false},
      {absl::StatusCode::kInternal, Reason::kInternalFailure, false},
      {absl::StatusCode::kInvalidArgument, Reason::kInternalFailure, false},
      {absl::StatusCode::kFailedPrecondition, Reason::kInternalFailure, false},
      {absl::StatusCode::kPermissionDenied, Reason::kInternalFailure, false},
  };
  for (const Case& c : kCases) {
    const absl::Status error = FromToken(absl::Status(c.code, kDetail));
    SCOPED_TRACE(error.ToString());
    EXPECT_EQ(ReasonOf(error), c.reason);
    EXPECT_EQ(RetryDelayOf(error).has_value(), c.retry);
    EXPECT_EQ(DetailOf(error), kDetail);
    EXPECT_THAT(std::string(error.message()), Not(HasSubstr("CKR")));
    EXPECT_THAT(MessageOf(error), Not(HasSubstr("CKR")));
  }
}

TEST(ErrorTest, StoreFailureBecomesWhatTheCallerCanDo) {
  const absl::Status busy = FromStore(absl::UnavailableError("sqlite: database is locked"));
  EXPECT_EQ(ReasonOf(busy), Reason::kServiceUnavailableTemporary);
  EXPECT_TRUE(RetryDelayOf(busy).has_value());
  EXPECT_EQ(DetailOf(busy), "sqlite: database is locked");
  EXPECT_THAT(MessageOf(busy), Not(HasSubstr("sqlite")));

  const absl::Status damaged = FromStore(absl::InternalError("sqlite: malformed"));
  EXPECT_EQ(ReasonOf(damaged), Reason::kInternalFailure);
  EXPECT_FALSE(RetryDelayOf(damaged).has_value());
  EXPECT_EQ(DetailOf(damaged), "sqlite: malformed");
  EXPECT_THAT(MessageOf(damaged), Not(HasSubstr("sqlite")));
}

TEST(ErrorTest, SuccessStaysSuccess) {
  EXPECT_TRUE(FromToken(absl::OkStatus()).ok());
  EXPECT_TRUE(FromStore(absl::OkStatus()).ok());
  EXPECT_EQ(DetailOf(absl::OkStatus()), "");
}

TEST(ErrorTest, StatusFromElsewhereIsAnInternalFailureThatSaysNothing) {
  const absl::Status elsewhere = absl::NotFoundError(kDetail);
  EXPECT_EQ(ReasonOf(elsewhere), Reason::kInternalFailure);
  EXPECT_EQ(RetryDelayOf(elsewhere), std::nullopt);
  EXPECT_EQ(MessageOf(elsewhere), MessageOf(MakeInternalFailure("")));
  EXPECT_EQ(DetailOf(elsewhere), kDetail);
}

}  // namespace
}  // namespace strongroom::core
