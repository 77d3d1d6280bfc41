#include "server/gate/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "platform/clock.h"
#include "server/core/error.h"
#include "server/gate/client_certificates.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/server/gate/test_authority.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using testing::FailsWith;
using ::testing::HasSubstr;
using testing::IsOkAndHolds;

constexpr char kSpiffe[] = "spiffe://bank.example/ns/payments/sa/orders";

const IdentityPolicy& Production() {
  static const IdentityPolicy* const policy = new IdentityPolicy(
      {{"/run/strongroom/orders.sock", "orders"}, {"/run/strongroom/etcd.sock", "etcd"}}, false);
  return *policy;
}

const IdentityPolicy& Development() {
  static const IdentityPolicy* const policy = new IdentityPolicy({}, true);
  return *policy;
}

auto Nobody() {
  return FailsWith(core::Reason::kNoPermission, HasSubstr("the caller has no identity; connect"));
}

TEST(IdentityTest, SocketStandsForItsPrincipal) {
  EXPECT_THAT(Production().PrincipalOf(UnixPeer{"/run/strongroom/orders.sock"}),
              IsOkAndHolds(std::string("orders")));
  EXPECT_THAT(Production().PrincipalOf(UnixPeer{"/run/strongroom/etcd.sock"}),
              IsOkAndHolds(std::string("etcd")));
}

TEST(IdentityTest, OtherSocketStandsForNobody) {
  for (const char* path : {"", "/", "/run/strongroom/", "/run/strongroom/orders.sock/",
                           "/run/strongroom/orders", "orders.sock"}) {
    EXPECT_THAT(Production().PrincipalOf(UnixPeer{path}), Nobody()) << path;
    EXPECT_THAT(Development().PrincipalOf(UnixPeer{path}), Nobody()) << path;
  }
}

TEST(IdentityTest, PlaintextIsLocalInDevelopmentOnly) {
  EXPECT_THAT(Development().PrincipalOf(PlaintextPeer()), IsOkAndHolds(std::string("local")));
  EXPECT_THAT(Production().PrincipalOf(PlaintextPeer()), Nobody());
}

TEST(IdentityTest, TlsClientIsWhomItsCertificateStandsFor) {
  const absl::Time now = absl::Now();
  const SystemClock clock;
  testing::TestAuthority authority("clients", now - absl::Hours(1), now + absl::Hours(1));
  const std::string certificate =
      authority.Issue({{kSpiffe}, {}, now - absl::Hours(1), now + absl::Hours(1)});
  ClientCertificates certificates(clock);
  const IdentityPolicy policy({}, true, &certificates);
  EXPECT_THAT(policy.PrincipalOf(TlsPeer{certificate}), FailsWith(core::Reason::kNoPermission));
  ASSERT_OK_AND_ASSIGN(ClientTrust trust, ClientTrust::Create(authority.certificate()));
  certificates.Use(std::make_shared<const ClientTrust>(std::move(trust)));
  EXPECT_THAT(policy.PrincipalOf(TlsPeer{certificate}), IsOkAndHolds(std::string(kSpiffe)));
}

TEST(IdentityTest, TlsClientWithoutACertificateIsNobody) {
  const SystemClock clock;
  const ClientCertificates certificates(clock);
  EXPECT_THAT(IdentityPolicy({}, true, &certificates).PrincipalOf(TlsPeer{}), Nobody());
  EXPECT_THAT(Development().PrincipalOf(TlsPeer{}), Nobody());
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{"any"}), Nobody());
}

}  // namespace
}  // namespace strongroom::gate
