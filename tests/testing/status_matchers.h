#ifndef STRONGROOM_TESTS_TESTING_STATUS_MATCHERS_H_
#define STRONGROOM_TESTS_TESTING_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Matchers for absl::Status and absl::StatusOr. Debian's Abseil has none.
namespace strongroom::testing {

namespace internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

}  // namespace internal

// EXPECT_THAT(Call(), IsOk())
MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << internal::StatusOf(arg).ToString();
  return internal::StatusOf(arg).ok();
}

// EXPECT_THAT(Call(), IsOkAndHolds(Eq(3)))
MATCHER_P(IsOkAndHolds, value_matcher, "is OK and holds a value that matches") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value_matcher, *arg, result_listener);
}

// EXPECT_THAT(Call(), StatusIs(absl::StatusCode::kNotFound)); or a matcher of codes.
MATCHER_P(StatusIs, code_matcher,
          std::string(negation ? "is not " : "is ") + "a status whose code " +
              ::testing::DescribeMatcher<absl::StatusCode>(code_matcher)) {
  const absl::Status& status = internal::StatusOf(arg);
  *result_listener << status.ToString() << " ";
  return ::testing::ExplainMatchResult(code_matcher, status.code(), result_listener);
}

// EXPECT_THAT(Call(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no token")))
MATCHER_P2(StatusIs, code_matcher, message_matcher,
           std::string(negation ? "is not " : "is ") + "a status whose code " +
               ::testing::DescribeMatcher<absl::StatusCode>(code_matcher) + " and whose message " +
               ::testing::DescribeMatcher<std::string>(message_matcher)) {
  const absl::Status& status = internal::StatusOf(arg);
  *result_listener << status.ToString() << " ";
  return ::testing::ExplainMatchResult(code_matcher, status.code(), result_listener) &&
         ::testing::ExplainMatchResult(message_matcher, std::string(status.message()),
                                       result_listener);
}

}  // namespace strongroom::testing

#define EXPECT_OK(expression) EXPECT_THAT(expression, ::strongroom::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT(expression, ::strongroom::testing::IsOk())

// ASSERT_OK_AND_ASSIGN(const int number, Call()): the value, or the end of the test.
#define ASSERT_OK_AND_ASSIGN(declaration, expression)                                          \
  STRONGROOM_ASSERT_OK_AND_ASSIGN_(STRONGROOM_CONCATENATE_(status_or_, __LINE__), declaration, \
                                   expression)
#define STRONGROOM_ASSERT_OK_AND_ASSIGN_(status_or, declaration, expression) \
  auto status_or = (expression);                                             \
  ASSERT_OK(status_or);                                                      \
  declaration = *std::move(status_or)
#define STRONGROOM_CONCATENATE_(a, b) STRONGROOM_CONCATENATE_EXPANDED_(a, b)
#define STRONGROOM_CONCATENATE_EXPANDED_(a, b) a##b

#endif  // STRONGROOM_TESTS_TESTING_STATUS_MATCHERS_H_
