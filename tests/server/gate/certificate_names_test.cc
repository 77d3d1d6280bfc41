#include "server/gate/certificate_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using ::testing::HasSubstr;
using testing::IsOkAndHolds;
using testing::StatusIs;

constexpr char kSpiffe[] = "spiffe://bank.example/ns/payments/sa/orders";
constexpr char kHost[] = "orders.bank.example";

auto Refused(const std::string& why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
}

TEST(CertificateNamesTest, SpiffeIdComesBeforeDnsNames) {
  for (const CertificateNames& names :
       {CertificateNames{{kSpiffe}, {}}, CertificateNames{{kSpiffe}, {kHost}},
        CertificateNames{{"https://bank.example", kSpiffe}, {kHost}}}) {
    EXPECT_THAT(PrincipalIn(names), IsOkAndHolds(std::string(kSpiffe)));
  }
}

TEST(CertificateNamesTest, SeveralSpiffeIdsAreRefused) {
  for (const char* second : {kSpiffe, "spiffe://bank.example/admin", "SPIFFE://bank.example/x"}) {
    EXPECT_THAT(PrincipalIn({{kSpiffe, second}, {kHost}}), Refused("more than one SPIFFE id"));
    EXPECT_THAT(PrincipalIn({{second, kSpiffe}, {}}), Refused("more than one SPIFFE id"));
  }
}

TEST(CertificateNamesTest, WellFormedSpiffeIdsAreTaken) {
  for (const std::string& id :
       {std::string("spiffe://a/b"), std::string("spiffe://a_b-c.1/Sa/x-y_z.0/..."),
        absl::StrCat("spiffe://", std::string(255, 'd'), "/x"),
        absl::StrCat("spiffe://a/", std::string(2048 - 11, 'x'))}) {
    EXPECT_THAT(PrincipalIn({{id}, {}}), IsOkAndHolds(id));
  }
}

TEST(CertificateNamesTest, MalformedSpiffeIdIsRefusedWhateverTheDnsNames) {
  for (const std::string& id : {std::string("spiffe:"),
                                std::string("spiffe://"),
                                std::string("spiffe:///x"),
                                std::string("spiffe://bank.example"),
                                std::string("spiffe://bank.example/"),
                                std::string("spiffe://bank.example/x/"),
                                std::string("spiffe://bank.example//x"),
                                std::string("spiffe://bank.example/./x"),
                                std::string("spiffe://bank.example/x/.."),
                                std::string("spiffe://bank.example:443/x"),
                                std::string("spiffe://me@bank.example/x"),
                                std::string("spiffe://Bank.example/x"),
                                std::string("spiffe://bank.example/x?y"),
                                std::string("spiffe://bank.example/x#y"),
                                std::string("spiffe://bank.example/%41"),
                                std::string("spiffe://bank.example/a b"),
                                std::string("spiffe://bank.example/\xc3\xa4"),
                                std::string("SPIFFE://bank.example/x"),
                                std::string("Spiffe:bank.example/x"),
                                std::string("spiffe://bank.example/x\n"),
                                std::string("spiffe://bank*example/x"),
                                absl::StrCat("spiffe://", std::string(256, 'd'), "/x"),
                                absl::StrCat("spiffe://a/", std::string(2048 - 10, 'x'))}) {
    EXPECT_THAT(PrincipalIn({{id}, {kHost}}), Refused("SPIFFE id is not well formed")) << id;
  }
}

TEST(CertificateNamesTest, FirstDnsNameStandsInForASpiffeId) {
  EXPECT_THAT(PrincipalIn({{}, {kHost, "alt.bank.example"}}), IsOkAndHolds(std::string(kHost)));
  EXPECT_THAT(PrincipalIn({{"https://bank.example"}, {kHost}}), IsOkAndHolds(std::string(kHost)));
  EXPECT_THAT(PrincipalIn({{}, {"Orders.BANK.example"}}), IsOkAndHolds(std::string(kHost)));
  EXPECT_THAT(PrincipalIn({{}, {"x"}}), IsOkAndHolds(std::string("x")));
}

TEST(CertificateNamesTest, FirstDnsNameThatIsNoHostNameIsRefusedWhateverTheOthers) {
  for (const std::string& name :
       {std::string(), std::string("*.bank.example"), std::string("*"), std::string("."),
        std::string("bank..example"), std::string(".bank.example"), std::string("bank.example."),
        std::string("-a.example"), std::string("a-.example"), std::string("a_b.example"),
        std::string("a b"), std::string("a/b"), std::string("a@b"), std::string("\xc3\xa4.example"),
        std::string("a\n"), std::string(64, 'a'),
        // 254 characters, in labels that are short enough.
        absl::StrCat(std::string(63, 'a'), ".", std::string(63, 'b'), ".", std::string(63, 'c'),
                     ".", std::string(62, 'd'))}) {
    EXPECT_THAT(PrincipalIn({{}, {name, kHost}}), Refused("first DNS name is not a host name"))
        << name;
  }
  const std::string longest = absl::StrCat(std::string(63, 'a'), ".", std::string(63, 'b'), ".",
                                           std::string(63, 'c'), ".", std::string(61, 'd'));
  EXPECT_THAT(PrincipalIn({{}, {longest}}), IsOkAndHolds(longest));
}

TEST(CertificateNamesTest, NulInAnyNameIsRefused) {
  const std::string uri("spi\0ffe://bank.example/x", 24);
  const std::string host("orders.bank.example\0.evil.example", 33);
  EXPECT_THAT(PrincipalIn({{uri}, {kHost}}), Refused("NUL"));
  EXPECT_THAT(PrincipalIn({{kSpiffe, uri}, {}}), Refused("NUL"));
  EXPECT_THAT(PrincipalIn({{}, {host}}), Refused("NUL"));
  EXPECT_THAT(PrincipalIn({{kSpiffe}, {kHost, host}}), Refused("NUL"));
}

TEST(CertificateNamesTest, CertificateWithoutANameIsRefused) {
  EXPECT_THAT(PrincipalIn({}), Refused("neither a SPIFFE id nor a DNS name"));
  EXPECT_THAT(PrincipalIn({{"https://bank.example"}, {}}),
              Refused("neither a SPIFFE id nor a DNS name"));
}

}  // namespace
}  // namespace strongroom::gate
