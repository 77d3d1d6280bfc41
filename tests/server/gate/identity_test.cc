#include "server/gate/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
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

TEST(IdentityTest, SpiffeIdComesBeforeDnsNames) {
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{kSpiffe}, {}}), IsOkAndHolds(std::string(kSpiffe)));
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{kSpiffe}, {"orders.bank.example"}}),
              IsOkAndHolds(std::string(kSpiffe)));
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{"https://bank.example", kSpiffe}, {}}),
              IsOkAndHolds(std::string(kSpiffe)));
}

TEST(IdentityTest, CertificateWithTwoSpiffeIdsIsNobodys) {
  const TlsPeer two = {{kSpiffe, "spiffe://bank.example/ns/payments/sa/admin"}, {}};
  EXPECT_THAT(Production().PrincipalOf(two), Nobody());
  // Its DNS name does not help it.
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{two.uris, {"orders.bank.example"}}), Nobody());
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{kSpiffe, kSpiffe}, {}}), Nobody());
}

TEST(IdentityTest, FirstDnsNameStandsInForASpiffeId) {
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{}, {"orders.bank.example", "alt.bank.example"}}),
              IsOkAndHolds(std::string("orders.bank.example")));
  EXPECT_THAT(Production().PrincipalOf(TlsPeer{{"https://bank.example"}, {"orders.bank.example"}}),
              IsOkAndHolds(std::string("orders.bank.example")));
}

TEST(IdentityTest, CertificateWithoutANameIsNobodys) {
  for (const IdentityPolicy* policy : {&Production(), &Development()}) {
    EXPECT_THAT(policy->PrincipalOf(TlsPeer{}), Nobody());
    EXPECT_THAT(policy->PrincipalOf(TlsPeer{{"https://bank.example"}, {}}), Nobody());
    EXPECT_THAT(policy->PrincipalOf(TlsPeer{{}, {""}}), Nobody());
  }
}

}  // namespace
}  // namespace strongroom::gate
