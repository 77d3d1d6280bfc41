#include "server/gate/principal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using ::testing::AllOf;
using testing::FailsWith;
using ::testing::HasSubstr;

constexpr char kDomain[] = "spiffe://bank.example";

PrincipalPattern Pattern(const std::string& text) {
  absl::StatusOr<PrincipalPattern> pattern = PrincipalPattern::Parse("principals", text);
  EXPECT_OK(pattern);
  return *std::move(pattern);
}

TEST(PrincipalTest, NamesAndSpiffeIdsAreValid) {
  for (const std::string& text :
       {std::string("orders"), std::string("orders.bank.example"), std::string("A_b-1@x:/y"),
        std::string(256, 'x'), std::string(kDomain),
        std::string(kDomain) + "/ns/payments/sa/a_B-1.2",
        std::string(kDomain) + "/" + std::string(2048 - 22, 'x')}) {
    EXPECT_OK(CheckPrincipal("grantee", text)) << text;
    EXPECT_OK(PrincipalPattern::Parse("principals", text)) << text;
  }
}

TEST(PrincipalTest, WhatIsNoPrincipalIsRefused) {
  for (const std::string& text : {std::string(" "),
                                  std::string("a b"),
                                  std::string("a\tb"),
                                  std::string("a\n"),
                                  std::string("a\0b", 3),
                                  std::string("\x7f"),
                                  std::string("b\xc3\xa4r"),
                                  std::string(257, 'x'),
                                  std::string("*"),
                                  std::string("**"),
                                  std::string("a*"),
                                  std::string("*.bank.example"),
                                  std::string("spiffe://"),
                                  std::string("spiffe:///a"),
                                  std::string("spiffe://Bank.example/a"),
                                  std::string(kDomain) + "/",
                                  std::string(kDomain) + "//a",
                                  std::string(kDomain) + "/a/",
                                  std::string(kDomain) + "/a/../b",
                                  std::string(kDomain) + "/./b",
                                  std::string(kDomain) + "/a%2fb",
                                  std::string(kDomain) + ":80/a",
                                  std::string(kDomain) + "/" + std::string(2048 - 21, 'x')}) {
    EXPECT_THAT(CheckPrincipal("grantee", text),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(HasSubstr("grantee: \""), HasSubstr("a right one is"))))
        << text;
    EXPECT_THAT(PrincipalPattern::Parse("principals[1]", text),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(HasSubstr("principals[1]: \""), HasSubstr("a right one is"))))
        << text;
  }
  EXPECT_THAT(CheckPrincipal("grantee", ""), FailsWith(Reason::kMissingParameter));
  EXPECT_THAT(PrincipalPattern::Parse("principals", ""), FailsWith(Reason::kMissingParameter));
}

TEST(PrincipalTest, WildcardIsTheLastSegmentOfASpiffeIdOnly) {
  for (const char* text : {"spiffe://*", "spiffe:///*", "spiffe://*/a", "spiffe://bank.example/a*",
                           "spiffe://bank.example/*/a", "spiffe://bank.example/*/*",
                           "spiffe://bank.example/a/**", "spiffe://bank.example//*",
                           "spiffe://bank.example/../*", "spiffe://bank.*/*", "orders/*", "/*"}) {
    EXPECT_THAT(PrincipalPattern::Parse("principals", text),
                FailsWith(Reason::kInvalidParameter, HasSubstr("spiffe://TRUST-DOMAIN/PATH/*")))
        << text;
  }
  EXPECT_OK(PrincipalPattern::Parse("principals", "spiffe://bank.example/*"));
  // A pattern is no principal.
  EXPECT_THAT(CheckPrincipal("grantee", "spiffe://bank.example/*"),
              FailsWith(Reason::kInvalidParameter));
}

TEST(PrincipalTest, NameMatchesItselfOnly) {
  const PrincipalPattern pattern = Pattern("orders");
  EXPECT_TRUE(pattern.Matches("orders"));
  for (const char* other : {"", "order", "orders2", "Orders", "orders/x", " orders"}) {
    EXPECT_FALSE(pattern.Matches(other)) << other;
  }
  const PrincipalPattern id = Pattern("spiffe://bank.example/ns/a");
  EXPECT_TRUE(id.Matches("spiffe://bank.example/ns/a"));
  EXPECT_FALSE(id.Matches("spiffe://bank.example/ns/a/b"));
  EXPECT_FALSE(id.Matches("spiffe://bank.example/ns/a/"));
}

TEST(PrincipalTest, PrefixMatchesWholeSegmentsBelowIt) {
  const PrincipalPattern pattern = Pattern("spiffe://bank.example/ns/payments/*");
  EXPECT_TRUE(pattern.Matches("spiffe://bank.example/ns/payments/a"));
  EXPECT_TRUE(pattern.Matches("spiffe://bank.example/ns/payments/sa/orders"));
  for (const char* other :
       {"spiffe://bank.example/ns/payments", "spiffe://bank.example/ns/payments/",
        "spiffe://bank.example/ns/payments2/a", "spiffe://bank.example/ns/payments-eu",
        "spiffe://bank.example/ns", "spiffe://bank.example.evil/ns/payments/a",
        "spiffe://evil/ns/payments/a", "spiffe://bank.example/x/ns/payments/a",
        "spiffe://bank.example/ns/payments/../root", "spiffe://bank.example/ns/payments/.",
        "spiffe://bank.example/ns/payments//a", "spiffe://bank.example/ns/payments/a/",
        "spiffe://bank.example/ns/payments/a%2f..", "spiffe://bank.example/ns/payments/*",
        "bank.example/ns/payments/a", "payments", ""}) {
    EXPECT_FALSE(pattern.Matches(other)) << other;
  }
  EXPECT_FALSE(pattern.Matches("spiffe://bank.example/ns/payments/" + std::string(2048, 'x')));
}

TEST(PrincipalTest, PrefixOfATrustDomainMatchesThatDomainOnly) {
  const PrincipalPattern pattern = Pattern("spiffe://bank.example/*");
  EXPECT_TRUE(pattern.Matches("spiffe://bank.example/a"));
  EXPECT_TRUE(pattern.Matches("spiffe://bank.example/a/b/c"));
  EXPECT_FALSE(pattern.Matches("spiffe://bank.example"));
  EXPECT_FALSE(pattern.Matches("spiffe://bank.example/"));
  EXPECT_FALSE(pattern.Matches("spiffe://bank.example.evil/a"));
  EXPECT_EQ(pattern.text(), "spiffe://bank.example/*");
}

}  // namespace
}  // namespace strongroom::gate
