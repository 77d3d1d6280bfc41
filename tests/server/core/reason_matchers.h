#ifndef STRONGROOM_TESTS_SERVER_CORE_REASON_MATCHERS_H_
#define STRONGROOM_TESTS_SERVER_CORE_REASON_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "server/core/error.h"
#include "tests/testing/status_matchers.h"

// Matchers for the errors of server/core/error.h, in an absl::Status or an absl::StatusOr.
namespace strongroom::testing {

// EXPECT_THAT(Call(), FailsWith(core::Reason::kDisabled))
MATCHER_P(FailsWith, reason,
          std::string(negation ? "does not fail with " : "fails with ") +
              core::InfoOf(reason).name) {
  const absl::Status& error = internal::StatusOf(arg);
  *result_listener << error.ToString();
  return !error.ok() && core::ReasonOf(error) == reason &&
         error.code() == core::InfoOf(reason).code;
}

// EXPECT_THAT(Call(), FailsWith(core::Reason::kDisabled, HasSubstr("enable")))
MATCHER_P2(FailsWith, reason, message_matcher,
           std::string(negation ? "does not fail with " : "fails with ") +
               core::InfoOf(reason).name + " and a message that " +
               ::testing::DescribeMatcher<std::string>(message_matcher)) {
  const absl::Status& error = internal::StatusOf(arg);
  *result_listener << error.ToString() << " ";
  return !error.ok() && core::ReasonOf(error) == reason &&
         error.code() == core::InfoOf(reason).code &&
         ::testing::ExplainMatchResult(message_matcher, std::string(error.message()),
                                       result_listener);
}

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_SERVER_CORE_REASON_MATCHERS_H_
