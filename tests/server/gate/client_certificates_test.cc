#include "server/gate/client_certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/server/gate/test_authority.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using testing::FailsWith;
using ::testing::HasSubstr;
using testing::IsOkAndHolds;
using testing::StatusIs;
using testing::TestAuthority;
using testing::TestCertificate;

constexpr char kSpiffe[] = "spiffe://bank.example/orders";

class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(now_); }
  void Set(absl::Time now) { now_ = absl::ToUnixSeconds(now); }

 private:
  std::atomic<int64_t> now_ = 0;
};

const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2031, 5, 17, 12), absl::UTCTimeZone());
const absl::Time kYearAgo = kNow - absl::Hours(24 * 365);
const absl::Time kInAYear = kNow + absl::Hours(24 * 365);
const absl::Time kHourAgo = kNow - absl::Hours(1);
const absl::Time kInAnHour = kNow + absl::Hours(1);
constexpr absl::Duration kSecond = absl::Seconds(1);

TestCertificate Right() { return {{kSpiffe}, {"orders.example"}, kHourAgo, kInAYear}; }

auto Refused(const std::string& why) {
  return FailsWith(core::Reason::kNoPermission,
                   HasSubstr(absl::StrCat("the client certificate is refused: ", why,
                                          "; a right one is issued")));
}
auto IsOrders() { return IsOkAndHolds(std::string(kSpiffe)); }

class ClientCertificatesTest : public ::testing::Test {
 protected:
  ClientCertificatesTest() { clock_.Set(kNow); }

  static std::shared_ptr<const ClientTrust> Trust(const std::string& authorities,
                                                  const std::string& lists = "") {
    absl::StatusOr<ClientTrust> trust = ClientTrust::Create(authorities);
    EXPECT_OK(trust);
    if (!lists.empty()) {
      EXPECT_OK(trust->AddRevocationLists(lists));
    }
    return std::make_shared<const ClientTrust>(*std::move(trust));
  }

  FakeClock clock_;
  ClientCertificates certificates_{clock_};
  TestAuthority authority_{"clients", kYearAgo, kInAYear};
};

TEST_F(ClientCertificatesTest, AllAreRefusedWithoutAuthorities) {
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(Right())),
              Refused("there are no client authorities"));
}

TEST_F(ClientCertificatesTest, RightCertificateIsItsName) {
  certificates_.Use(Trust(authority_.certificate()));
  const std::string certificate = authority_.Issue(Right());
  // The second answer is remembered.
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());

  TestCertificate host = Right();
  host.uris.clear();
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(host)),
              IsOkAndHolds(std::string("orders.example")));
}

TEST_F(ClientCertificatesTest, RefusalSaysWhyInTheLog) {
  certificates_.Use(Trust(authority_.certificate()));
  const auto refused = certificates_.PrincipalOf("not a certificate");
  EXPECT_THAT(refused, Refused("it cannot be read"));
  EXPECT_EQ(core::DetailOf(refused.status()), "client certificate: it cannot be read");
}

TEST_F(ClientCertificatesTest, WhatIsNoCertificateIsRefused) {
  certificates_.Use(Trust(authority_.certificate()));
  const std::string right = authority_.Issue(Right());
  for (const std::string& chain :
       {std::string(), std::string("x"), right.substr(0, right.size() / 2),
        absl::StrCat(right, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        absl::StrCat("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", right)}) {
    EXPECT_THAT(certificates_.PrincipalOf(chain), Refused("it cannot be read")) << chain;
  }
}

TEST_F(ClientCertificatesTest, CertificateOfAnotherAuthorityIsRefused) {
  // Of the same name, even.
  TestAuthority other("clients", kYearAgo, kInAYear);
  certificates_.Use(Trust(other.certificate()));
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(Right())),
              FailsWith(core::Reason::kNoPermission));
  // Bringing its authority along does not help.
  EXPECT_THAT(
      certificates_.PrincipalOf(absl::StrCat(authority_.Issue(Right()), authority_.certificate())),
      FailsWith(core::Reason::kNoPermission));
}

TEST_F(ClientCertificatesTest, SelfSignedCertificateIsRefused) {
  certificates_.Use(Trust(authority_.certificate()));
  TestAuthority self("self", kYearAgo, kInAYear);
  EXPECT_THAT(certificates_.PrincipalOf(self.certificate()),
              FailsWith(core::Reason::kNoPermission));
}

TEST_F(ClientCertificatesTest, CertificateForServersOnlyIsRefused) {
  certificates_.Use(Trust(authority_.certificate()));
  TestCertificate wanted = Right();
  wanted.extended_key_usage = "serverAuth";
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              Refused("unsuitable certificate purpose"));
  wanted.extended_key_usage = "serverAuth,clientAuth";
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)), IsOrders());
}

TEST_F(ClientCertificatesTest, CertificateIsRightBetweenItsDates) {
  certificates_.Use(Trust(authority_.certificate()));
  TestCertificate wanted = Right();
  wanted.not_before = kHourAgo;
  wanted.not_after = kInAnHour;
  const std::string certificate = authority_.Issue(wanted);
  // Forth and back: what is remembered is no more than right.
  const struct {
    absl::Time now;
    const char* refusal;
  } kMoments[] = {
      {kHourAgo - kSecond, "certificate is not yet valid"},
      {kHourAgo, nullptr},
      {kNow, nullptr},
      {kInAnHour - kSecond, nullptr},
      {kInAnHour, "certificate has expired"},
      {kNow, nullptr},
      {kInAnHour, "certificate has expired"},
      {kInAnHour + absl::Hours(24 * 3650), "certificate has expired"},
      {kHourAgo - kSecond, "certificate is not yet valid"},
      {kHourAgo, nullptr},
  };
  for (const auto& moment : kMoments) {
    clock_.Set(moment.now);
    if (moment.refusal == nullptr) {
      EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders()) << moment.now;
    } else {
      EXPECT_THAT(certificates_.PrincipalOf(certificate), Refused(moment.refusal)) << moment.now;
    }
  }
}

TEST_F(ClientCertificatesTest, AuthorityThatExpiresTakesItsCertificatesAlong) {
  TestAuthority brief("brief", kYearAgo, kInAnHour);
  certificates_.Use(Trust(brief.certificate()));
  const std::string certificate = brief.Issue(Right());
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  clock_.Set(kInAnHour);
  EXPECT_THAT(certificates_.PrincipalOf(certificate), Refused("certificate has expired"));
}

TEST_F(ClientCertificatesTest, IntermediateAuthorityComesWithTheCertificate) {
  TestAuthority intermediate("intermediate", kYearAgo, kInAnHour, &authority_);
  certificates_.Use(Trust(authority_.certificate()));
  const std::string certificate = intermediate.Issue(Right());
  EXPECT_THAT(certificates_.PrincipalOf(certificate), FailsWith(core::Reason::kNoPermission));
  const std::string chain = absl::StrCat(certificate, intermediate.certificate());
  EXPECT_THAT(certificates_.PrincipalOf(chain), IsOrders());
  clock_.Set(kInAnHour);
  EXPECT_THAT(certificates_.PrincipalOf(chain), Refused("certificate has expired"));
}

TEST_F(ClientCertificatesTest, NewAuthoritiesBiteAtOnce) {
  TestAuthority other("others", kYearAgo, kInAYear);
  const std::string certificate = authority_.Issue(Right());
  certificates_.Use(Trust(authority_.certificate()));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  certificates_.Use(Trust(other.certificate()));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), FailsWith(core::Reason::kNoPermission));
  certificates_.Use(Trust(absl::StrCat(other.certificate(), authority_.certificate())));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
}

TEST_F(ClientCertificatesTest, RevokedCertificateIsRefusedAtOnce) {
  const std::string first = authority_.Issue(Right());
  const std::string second = authority_.Issue(Right());
  certificates_.Use(
      Trust(authority_.certificate(), authority_.RevocationList({}, kHourAgo, kInAnHour)));
  EXPECT_THAT(certificates_.PrincipalOf(first), IsOrders());
  EXPECT_THAT(certificates_.PrincipalOf(second), IsOrders());
  certificates_.Use(
      Trust(authority_.certificate(), authority_.RevocationList({1}, kHourAgo, kInAnHour)));
  EXPECT_THAT(certificates_.PrincipalOf(first), Refused("certificate revoked"));
  EXPECT_THAT(certificates_.PrincipalOf(second), IsOrders());
}

TEST_F(ClientCertificatesTest, OutdatedListRefusesAll) {
  const std::string certificate = authority_.Issue(Right());
  certificates_.Use(
      Trust(authority_.certificate(), authority_.RevocationList({}, kHourAgo, kInAnHour)));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  clock_.Set(kInAnHour - kSecond);
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  clock_.Set(kInAnHour);
  EXPECT_THAT(certificates_.PrincipalOf(certificate), Refused("CRL has expired"));
  certificates_.Use(
      Trust(authority_.certificate(), authority_.RevocationList({}, kInAYear, kInAYear)));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), Refused("CRL is not yet valid"));
}

TEST_F(ClientCertificatesTest, ListThatComesIntoForceLaterBitesThen) {
  const std::string certificate = authority_.Issue(Right());
  certificates_.Use(Trust(authority_.certificate(),
                          absl::StrCat(authority_.RevocationList({}, kHourAgo, kInAYear),
                                       authority_.RevocationList({1}, kInAnHour, kInAYear))));
  EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  clock_.Set(kInAnHour + kSecond);
  EXPECT_THAT(certificates_.PrincipalOf(certificate), Refused("certificate revoked"));
}

TEST_F(ClientCertificatesTest, ListOfEveryAuthorityOfTheChainIsNeeded) {
  TestAuthority intermediate("intermediate", kYearAgo, kInAYear, &authority_);
  const std::string chain = absl::StrCat(intermediate.Issue(Right()), intermediate.certificate());
  const std::string authorities =
      absl::StrCat(authority_.certificate(), intermediate.certificate());
  const std::string root_list = authority_.RevocationList({}, kHourAgo, kInAnHour);
  const std::string list = intermediate.RevocationList({}, kHourAgo, kInAnHour);
  for (const std::string& one : {root_list, list}) {
    certificates_.Use(Trust(authorities, one));
    EXPECT_THAT(certificates_.PrincipalOf(chain), Refused("unable to get certificate CRL"));
  }
  certificates_.Use(Trust(authorities, absl::StrCat(root_list, list)));
  EXPECT_THAT(certificates_.PrincipalOf(chain), IsOrders());
  // The intermediate one itself, whose number is 1000.
  certificates_.Use(Trust(
      authorities, absl::StrCat(authority_.RevocationList({1000}, kHourAgo, kInAnHour), list)));
  EXPECT_THAT(certificates_.PrincipalOf(chain), Refused("certificate revoked"));
}

TEST_F(ClientCertificatesTest, CertificateThatNamesNobodyIsRefused) {
  certificates_.Use(Trust(authority_.certificate()));
  TestCertificate wanted = Right();
  wanted.uris = {kSpiffe, "spiffe://bank.example/admin"};
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              Refused("it has more than one SPIFFE id"));
  wanted.uris = {std::string("spiffe://bank.example/orders\0x", 30)};
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              Refused("one of its names has a NUL character"));
  wanted.uris = {};
  wanted.dns_names = {std::string("orders.example\0.evil.example", 28)};
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              Refused("one of its names has a NUL character"));
  // Its common name is a host name, which does not count.
  wanted.dns_names = {};
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              Refused("it has neither a SPIFFE id nor a DNS name"));
  wanted.malformed_names = true;
  EXPECT_THAT(certificates_.PrincipalOf(authority_.Issue(wanted)),
              FailsWith(core::Reason::kNoPermission));
}

TEST_F(ClientCertificatesTest, TrustRefusesWhatItCannotUse) {
  EXPECT_THAT(ClientTrust::Create("nothing"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no certificate")));
  EXPECT_THAT(ClientTrust::Create("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("malformed certificate")));
  ASSERT_OK_AND_ASSIGN(ClientTrust trust, ClientTrust::Create(authority_.certificate()));
  EXPECT_EQ(trust.EarliestUpdate(), absl::InfiniteFuture());
  EXPECT_THAT(trust.AddRevocationLists(authority_.certificate()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("has no certificate revocation list")));
  // Of another authority, by name or by key.
  for (const char* name : {"others", "clients"}) {
    TestAuthority other(name, kYearAgo, kInAYear);
    EXPECT_THAT(
        trust.AddRevocationLists(other.RevocationList({}, kHourAgo, kInAnHour)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none of the client authorities")));
  }
  EXPECT_OK(trust.AddRevocationLists(authority_.RevocationList({}, kHourAgo, kInAnHour)));
  EXPECT_EQ(trust.EarliestUpdate(), kInAnHour);
}

TEST_F(ClientCertificatesTest, MoreCertificatesThanAreRemembered) {
  certificates_.Use(Trust(authority_.certificate()));
  const std::string certificate = authority_.Issue(Right());
  for (int i = 0; i < 4200; ++i) {
    // Text before a certificate does not count, but makes another chain of it.
    EXPECT_THAT(certificates_.PrincipalOf(absl::StrCat(i, "\n", certificate)), IsOrders());
  }
}

TEST_F(ClientCertificatesTest, ThreadsMayAskWhileTrustChanges) {
  TestAuthority other("others", kYearAgo, kInAYear);
  const auto theirs = Trust(other.certificate());
  const auto ours = Trust(authority_.certificate());
  const std::string certificate = authority_.Issue(Right());
  certificates_.Use(ours);
  std::atomic<bool> done = false;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      while (!done) certificates_.PrincipalOf(certificate).IgnoreError();
    });
  }
  for (int i = 0; i < 200; ++i) {
    certificates_.Use(theirs);
    // Whoever asks now must not be answered by what was trusted before, nor by what others found
    // who began before.
    for (int j = 0; j < 100; ++j) EXPECT_FALSE(certificates_.PrincipalOf(certificate).ok());
    certificates_.Use(ours);
    EXPECT_THAT(certificates_.PrincipalOf(certificate), IsOrders());
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace strongroom::gate
