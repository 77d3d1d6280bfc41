#include "server/gate/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/store/sqlite_store.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOkAndHolds;
using ::testing::SizeIs;

constexpr Operation kEncrypt("KmsService.Encrypt");
constexpr Operation kDecrypt("KmsService.Decrypt");
constexpr Operation kDescribeKey("KeyManagementService.DescribeKey");
constexpr Operation kListKeys("KeyManagementService.ListKeys");
constexpr Operation kDisableKey("KeyManagementService.DisableKey");
constexpr Operation kPutKeyPolicy("KeyManagementService.PutKeyPolicy");
constexpr Operation kCreateGrant("KeyManagementService.CreateGrant");

const EncryptionContext kNoPairs;
const EncryptionContext kTenantA = {{"tenant", "a"}};
const EncryptionContext kTenantB = {{"tenant", "b"}};

StatementText Allow(const std::string& principal, std::vector<std::string> operations,
                    ContextConditions conditions = {}) {
  return {.principals = {principal}, .operations = std::move(operations), .conditions = conditions};
}

Policy MakePolicy(std::vector<StatementText> statements) {
  absl::StatusOr<Policy> policy = Policy::Create("statements", std::move(statements));
  EXPECT_OK(policy);
  return policy.ok() ? *std::move(policy) : Policy();
}

// "root" may do everything by the configuration; "checker" may seal with every key, but for tenant
// a only.
Policy Configuration() {
  return MakePolicy({Allow("root", {"*"}), Allow("checker", {"group:seal"}, {.equals = kTenantA})});
}

class AuthorityTest : public core::KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
    Renew();
    key_ = CreateKey();
  }

  void TearDown() override {
    replica_ = nullptr;
    replica_ring_ = nullptr;
    replica_store_ = nullptr;
    authority_ = nullptr;
  }

  std::unique_ptr<Authority> Make(Policy configuration) {
    return std::make_unique<Authority>(store(), token(), ring(), clock(), log_,
                                       std::move(configuration));
  }
  // An authority that has nothing in memory.
  void Renew() { authority_ = Make(Configuration()); }

  // Begins a second server, with the same token and a copy of the store as it is now.
  void StartReplica() {
    authority_ = nullptr;
    Stop();
    const std::string copy = store_path() + ".copy";
    std::filesystem::copy_file(store_path(), copy);
    Start();
    ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
    Renew();
    ASSERT_OK_AND_ASSIGN(replica_store_, store::SqliteStore::Open(copy));
    core::KeyRingReport report;
    ASSERT_OK_AND_ASSIGN(replica_ring_, core::KeyRing::Open(*replica_store_, token(), clock(),
                                                            core::UseLimits(), report));
    replica_ = std::make_unique<Authority>(*replica_store_, token(), *replica_ring_, clock(), log_,
                                           Configuration());
  }

  Authority& authority() { return *authority_; }
  Authority& replica() { return *replica_; }
  store::Store& replica_store() { return *replica_store_; }
  const KeyId& key() { return key_; }
  Log& log() { return log_; }

  absl::StatusOr<Permit> DecideBy(Authority& authority, const std::string& principal,
                                  Operation operation, std::optional<core::KeyReference> key,
                                  const EncryptionContext* context = &kNoPairs,
                                  const std::vector<std::string>& tokens = {}) {
    const Demand demand = {operation, std::move(key)};
    return authority.Decide({.principal = principal,
                             .demands = {&demand, 1},
                             .context = {context},
                             .grant_tokens = tokens});
  }
  absl::StatusOr<Permit> Decide(const std::string& principal, Operation operation,
                                const EncryptionContext* context = &kNoPairs,
                                const std::vector<std::string>& tokens = {}) {
    return DecideBy(authority(), principal, operation, key_, context, tokens);
  }

  void Put(const Policy& policy) {
    EXPECT_OK(authority().PutKeyPolicy("root", key_, policy, kNoDeadline));
  }

  absl::StatusOr<CreatedGrant> GrantBy(const std::string& principal, const GrantText& text,
                                       const std::vector<std::string>& tokens = {}) {
    absl::StatusOr<Permit> permit = Decide(principal, kCreateGrant, nullptr, tokens);
    if (!permit.ok()) return permit.status();
    return authority().CreateGrant(*permit, text, kNoDeadline);
  }
  CreatedGrant MustGrant(const GrantText& text, const std::string& principal = "root") {
    absl::StatusOr<CreatedGrant> grant = GrantBy(principal, text);
    EXPECT_OK(grant);
    return grant.ok() ? *std::move(grant) : CreatedGrant{std::make_shared<Grant>(), ""};
  }
  absl::StatusOr<hsm::Mac> MacOf(hsm::MacPurpose purpose, const std::string& data) {
    return token().ComputeMac(purpose, {reinterpret_cast<const uint8_t*>(data.data()), data.size()},
                              kNoDeadline);
  }
  void Revoke(const CreatedGrant& grant) {
    EXPECT_OK(authority().RevokeGrant(key_, grant.grant->id, kNoDeadline));
  }

 private:
  Log log_{LogLevel::kInfo};
  KeyId key_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<store::SqliteStore> replica_store_;
  std::unique_ptr<core::KeyRing> replica_ring_;
  std::unique_ptr<Authority> replica_;
};

auto IsForbidden() { return FailsWith(Reason::kNoPermission); }
auto IsInvalidToken() { return FailsWith(Reason::kInvalidGrantToken); }

// Everything that a caller sees of an error.
void ExpectSameError(const absl::Status& a, const absl::Status& b) {
  EXPECT_EQ(a.code(), b.code());
  EXPECT_EQ(core::ReasonOf(a), core::ReasonOf(b));
  EXPECT_EQ(a.message(), b.message());
  EXPECT_EQ(core::MetadataOf(a), core::MetadataOf(b));
  EXPECT_EQ(core::RetryDelayOf(a), core::RetryDelayOf(b));
  EXPECT_EQ(core::DetailOf(a), core::DetailOf(b));
}

// --- Policies -----------------------------------------------------------------------------------

TEST_F(AuthorityTest, NobodyMayAnythingWithoutAStatement) {
  EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
  EXPECT_THAT(Decide("", kEncrypt), IsForbidden());
  EXPECT_THAT(DecideBy(authority(), "orders", kListKeys, std::nullopt), IsForbidden());
  const auto strict = Make(Policy());
  EXPECT_THAT(DecideBy(*strict, "root", kEncrypt, key()), IsForbidden());
}

TEST_F(AuthorityTest, ConfigurationHoldsForEveryKeyAndWithoutOne) {
  const KeyId other = CreateKey();
  CreateAlias("alias/other", other);
  ASSERT_OK_AND_ASSIGN(const Permit permit,
                       DecideBy(authority(), "root", kDecrypt, core::Alias("alias/other")));
  EXPECT_THAT(permit.keys, ElementsAre(other));
  EXPECT_THAT(permit.grants, IsEmpty());
  EXPECT_EQ(permit.principal, "root");
  ASSERT_OK_AND_ASSIGN(const Permit list, DecideBy(authority(), "root", kListKeys, std::nullopt));
  EXPECT_THAT(list.keys, ElementsAre(std::nullopt));
  EXPECT_OK(Decide("checker", kEncrypt, &kTenantA));
  EXPECT_THAT(Decide("checker", kEncrypt, &kTenantB), IsForbidden());
  EXPECT_THAT(Decide("checker", kEncrypt, nullptr), IsForbidden());
}

TEST_F(AuthorityTest, KeyPolicyHoldsForItsKeyOnly) {
  Put(MakePolicy({Allow("orders", {"group:use"})}));
  EXPECT_OK(Decide("orders", kEncrypt));
  EXPECT_THAT(Decide("orders", kDescribeKey, nullptr), IsForbidden());
  EXPECT_THAT(Decide("billing", kEncrypt), IsForbidden());
  EXPECT_THAT(DecideBy(authority(), "orders", kEncrypt, CreateKey()), IsForbidden());
  EXPECT_THAT(DecideBy(authority(), "orders", kListKeys, std::nullopt), IsForbidden());
  // After a restart as well.
  Renew();
  EXPECT_OK(Decide("orders", kEncrypt));
}

TEST_F(AuthorityTest, ChangedPolicyHoldsAtOnce) {
  Put(MakePolicy({Allow("orders", {"Encrypt"})}));
  EXPECT_OK(Decide("orders", kEncrypt));
  Put(MakePolicy({Allow("billing", {"Encrypt"})}));
  EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
  EXPECT_OK(Decide("billing", kEncrypt));
}

TEST_F(AuthorityTest, WhatWasReadBeforeAChangeIsNotKept) {
  Put(MakePolicy({Allow("orders", {"Encrypt"})}));
  Renew();
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_SignInit ", point.path(), " call=1")));
  // Has read the old policy, and is checking its MAC.
  std::thread reader([&] { EXPECT_OK(Decide("orders", kEncrypt)); });
  EXPECT_OK(point.WaitUntilHeld());
  Put(MakePolicy({Allow("billing", {"Encrypt"})}));
  point.Release();
  reader.join();
  EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
}

TEST_F(AuthorityTest, AllDemandsMustBeAllowed) {
  const KeyId other = CreateKey();
  Put(MakePolicy({Allow("orders", {"UpdateAlias"})}));
  constexpr Operation kUpdateAlias("KeyManagementService.UpdateAlias");
  const std::vector<Demand> both = {{kUpdateAlias, key()}, {kUpdateAlias, other}};
  EXPECT_THAT(authority().Decide({.principal = "orders", .demands = both}), IsForbidden());
  EXPECT_THAT(authority().Decide({.principal = "orders", .demands = {&both[1], 1}}), IsForbidden());
  EXPECT_OK(authority().Decide({.principal = "orders", .demands = {&both[0], 1}}));
  ASSERT_OK_AND_ASSIGN(const Permit permit,
                       authority().Decide({.principal = "root", .demands = both}));
  EXPECT_THAT(permit.keys, ElementsAre(key(), other));
  // Nothing is not a demand.
  EXPECT_THAT(authority().Decide({.principal = "root", .demands = {}}),
              FailsWith(Reason::kInternalFailure));
}

TEST_F(AuthorityTest, AbsentAndForbiddenAreTheSame) {
  CreateAlias("alias/there", key());
  const KeyId absent = KeyId::FromRandom({7});
  const absl::Status forbidden = Decide("orders", kEncrypt).status();
  EXPECT_THAT(forbidden, FailsWith(Reason::kNoPermission,
                                   "orders may not do KmsService.Encrypt with this key, "
                                   "or there is no such key"));
  for (const core::KeyReference& reference :
       {core::KeyReference(absent), core::Alias("alias/absent"), core::Alias("alias/there")}) {
    ExpectSameError(DecideBy(authority(), "orders", kEncrypt, reference).status(), forbidden);
    // By the configuration, but not always.
    EXPECT_THAT(DecideBy(authority(), "checker", kEncrypt, core::KeyReference(absent), &kTenantA),
                IsForbidden());
  }
  ExpectSameError(
      DecideBy(authority(), "checker", kEncrypt, core::KeyReference(absent), &kTenantA).status(),
      Decide("checker", kEncrypt, &kTenantB).status());
  // Who may do it with every key is told the truth.
  EXPECT_THAT(DecideBy(authority(), "root", kEncrypt, core::KeyReference(absent)),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(DecideBy(authority(), "root", kEncrypt, core::Alias("alias/absent")),
              FailsWith(Reason::kAliasNotFound));
}

TEST_F(AuthorityTest, PolicyComesBackAsItWasPut) {
  EXPECT_THAT(authority().GetKeyPolicy(key(), kNoDeadline)->statements(), IsEmpty());
  const Policy policy = MakePolicy({{.id = "a",
                                     .principals = {"spiffe://bank.example/*", "x"},
                                     .operations = {"group:use", "DescribeKey"},
                                     .conditions = {.equals = kTenantA, .subset = kTenantB}}});
  Put(policy);
  Renew();
  ASSERT_OK_AND_ASSIGN(const Policy read, authority().GetKeyPolicy(key(), kNoDeadline));
  EXPECT_EQ(read.statements(), policy.statements());
  EXPECT_THAT(authority().GetKeyPolicy(KeyId::FromRandom({7}), kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(authority().PutKeyPolicy("root", KeyId::FromRandom({7}), policy, kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
}

TEST_F(AuthorityTest, PolicyThatLocksOutIsRefused) {
  const auto put = [&](Authority& authority, const std::string& principal, const Policy& policy) {
    return authority.PutKeyPolicy(principal, key(), policy, kNoDeadline);
  };
  const Policy anna = MakePolicy({Allow("anna", {"PutKeyPolicy"}), Allow("bob", {"group:use"})});
  const Policy conditional = MakePolicy({Allow("anna", {"*"}, {.equals = kTenantA})});
  const Policy use = MakePolicy({Allow("anna", {"group:use"})});

  // Somebody else could: root, by the configuration, but not the caller.
  EXPECT_OK(put(authority(), "anna", anna));
  for (const Policy* policy : {&conditional, &use}) {
    EXPECT_THAT(put(authority(), "anna", *policy),
                FailsWith(Reason::kInvalidParameter,
                          HasSubstr("policy: anna could not change this policy afterwards")));
    EXPECT_OK(put(authority(), "root", *policy));
  }
  EXPECT_THAT(put(authority(), "bob", anna), FailsWith(Reason::kInvalidParameter));
  EXPECT_THAT(put(authority(), "root", Policy()), FailsWith(Reason::kMissingParameter));

  // Nobody could.
  const auto strict = Make(MakePolicy({Allow("root", {"*"}, {.equals = kTenantA})}));
  for (const Policy* policy : {&conditional, &use}) {
    EXPECT_THAT(put(*strict, "anna", *policy),
                FailsWith(Reason::kInvalidParameter,
                          HasSubstr("policy: nobody could change this policy afterwards")));
    EXPECT_THAT(put(*strict, "root", *policy), FailsWith(Reason::kInvalidParameter));
  }
  EXPECT_OK(put(*strict, "anna", anna));
}

TEST_F(AuthorityTest, NewKeyGetsAPolicyUnderTheSameRules) {
  const KeyId id = KeyId::FromRandom({9});
  const Policy anna = MakePolicy({Allow("anna", {"*"})});
  const auto document = [&](Authority& authority, const std::string& principal,
                            const std::optional<Policy>& policy) {
    return authority.PolicyDocumentFor(principal, id, policy, kNoDeadline);
  };
  EXPECT_THAT(document(authority(), "anna", std::nullopt), IsOkAndHolds(std::string()));
  EXPECT_THAT(document(authority(), "bob", anna), FailsWith(Reason::kInvalidParameter));
  EXPECT_THAT(document(authority(), "anna", Policy()), FailsWith(Reason::kMissingParameter));
  const auto strict = Make(MakePolicy({Allow("root", {"CreateKey"})}));
  EXPECT_THAT(document(*strict, "root", std::nullopt),
              FailsWith(Reason::kMissingParameter, HasSubstr("policy: is required")));

  ASSERT_OK_AND_ASSIGN(const std::string signed_policy, document(*strict, "anna", anna));
  store::KeyRecord record;
  record.id = id;
  record.create_time = clock().Now();
  const KeyVersionId version = KeyVersionId::FromRandom({9});
  ASSERT_OK(store().BeginKey(record, version, signed_policy));
  ASSERT_OK(store().CommitVersion(version, "proof"));
  EXPECT_OK(DecideBy(authority(), "anna", kPutKeyPolicy, id, nullptr));
}

TEST_F(AuthorityTest, PolicyThatIsNotGenuineAllowsNothing) {
  Put(MakePolicy({Allow("orders", {"*"})}));
  ASSERT_OK_AND_ASSIGN(const std::string genuine, store().GetKeyPolicy(key()));
  const KeyId other = CreateKey();
  ASSERT_OK(
      authority().PutKeyPolicy("root", other, MakePolicy({Allow("mallory", {"*"})}), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const std::string of_other_key, store().GetKeyPolicy(other));
  std::string changed = genuine;
  changed.replace(changed.find("orders"), 6, "malloc");
  std::string flipped = genuine;
  flipped[6] = flipped[6] == '0' ? '1' : '0';
  for (const std::string& document :
       {changed, flipped, of_other_key, genuine.substr(70), genuine.substr(0, 70),
        genuine.substr(0, genuine.size() - 1), genuine + " ", std::string("{}"),
        MakePolicy({Allow("mallory", {"*"})}).ToDocument()}) {
    ASSERT_OK(store().PutKeyPolicy(key(), document));
    Renew();
    ::testing::internal::CaptureStderr();
    for (const char* principal : {"orders", "mallory", "malloc"}) {
      EXPECT_THAT(Decide(principal, kEncrypt), IsForbidden()) << document;
    }
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("policy_not_genuine"), HasSubstr(key().ToString())));
    EXPECT_THAT(authority().GetKeyPolicy(key(), kNoDeadline), FailsWith(Reason::kInternalFailure));
    EXPECT_OK(Decide("root", kEncrypt));
  }
  // Whoever the configuration lets, makes it good.
  Put(MakePolicy({Allow("orders", {"Encrypt"})}));
  EXPECT_OK(Decide("orders", kEncrypt));
  EXPECT_OK(authority().GetKeyPolicy(key(), kNoDeadline));
}

TEST_F(AuthorityTest, NothingIsAllowedWhileTheStoreOrTheTokenIsAway) {
  Put(MakePolicy({Allow("orders", {"*"})}));
  for (const char* member : {"GetKeyPolicy", "ListGrants", "ListEndedGrants"}) {
    Renew();
    store().Fail(member, absl::UnavailableError("busy"));
    EXPECT_THAT(Decide("orders", kEncrypt), FailsWith(Reason::kServiceUnavailableTemporary))
        << member;
    store().Mend();
    EXPECT_OK(Decide("orders", kEncrypt));
  }
  Renew();
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_DEVICE_ERROR"));
  EXPECT_FALSE(Decide("orders", kEncrypt).ok());
  faults().Reset();
  EXPECT_OK(Decide("orders", kEncrypt));
}

TEST_F(AuthorityTest, UsedKeysAreDecidedInMemory) {
  Put(MakePolicy({Allow("orders", {"*"})}));
  const CreatedGrant grant = MustGrant({.grantee = "billing", .operations = {"Encrypt"}});
  EXPECT_OK(Decide("orders", kEncrypt));
  EXPECT_OK(Decide("billing", kEncrypt, &kNoPairs, {grant.token}));
  for (const char* member : {"GetKeyPolicy", "ListGrants", "ListEndedGrants", "GetGrant"}) {
    store().Fail(member, absl::UnavailableError("busy"));
  }
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_DEVICE_ERROR"));
  EXPECT_OK(Decide("orders", kEncrypt));
  EXPECT_OK(Decide("billing", kEncrypt));
  EXPECT_OK(Decide("billing", kEncrypt, &kNoPairs, {grant.token}));
  EXPECT_THAT(Decide("mallory", kEncrypt), IsForbidden());
}

// --- Grants -------------------------------------------------------------------------------------

TEST_F(AuthorityTest, GrantAllowsItsGranteeItsOperations) {
  const CreatedGrant created = MustGrant({.grantee = "orders",
                                          .operations = {"Encrypt", "DescribeKey"},
                                          .constraints = {.subset = kTenantA},
                                          .expire_time = clock().Now() + absl::Hours(1)});
  EXPECT_EQ(created.grant->issuer, "root");
  EXPECT_EQ(created.grant->key_id, key());
  EXPECT_EQ(created.grant->create_time, clock().Now());
  EXPECT_THAT(created.grant->ancestors, IsEmpty());
  EXPECT_LE(created.token.size(), kMaxGrantTokenLength);
  for (int restart = 0; restart < 2; ++restart) {
    ASSERT_OK_AND_ASSIGN(const Permit permit, Decide("orders", kEncrypt, &kTenantA));
    ASSERT_THAT(permit.grants, SizeIs(1));
    EXPECT_EQ(permit.grants.front()->id, created.grant->id);
    EXPECT_OK(Decide("orders", kDescribeKey, nullptr));
    EXPECT_THAT(Decide("orders", kEncrypt, &kTenantB), IsForbidden());
    EXPECT_THAT(Decide("orders", kEncrypt, nullptr), IsForbidden());
    EXPECT_THAT(Decide("orders", kDecrypt, &kTenantA), IsForbidden());
    EXPECT_THAT(Decide("order", kEncrypt, &kTenantA), IsForbidden());
    EXPECT_THAT(DecideBy(authority(), "orders", kEncrypt, CreateKey(), &kTenantA), IsForbidden());
    Renew();
  }
}

TEST_F(AuthorityTest, PoliciesComeBeforeGrants) {
  MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  Put(MakePolicy({Allow("orders", {"Encrypt"})}));
  EXPECT_THAT(Decide("orders", kEncrypt)->grants, IsEmpty());
}

TEST_F(AuthorityTest, GrantExpires) {
  const CreatedGrant grant = MustGrant({.grantee = "orders",
                                        .operations = {"Encrypt"},
                                        .expire_time = clock().Now() + absl::Hours(1)});
  clock().Advance(absl::Hours(1) - absl::Microseconds(1));
  EXPECT_OK(Decide("orders", kEncrypt));
  EXPECT_OK(Decide("orders", kEncrypt, &kNoPairs, {grant.token}));
  clock().Advance(absl::Microseconds(1));
  EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
  EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {grant.token}), IsInvalidToken());
  EXPECT_THAT(authority().ListGrants(key(), std::nullopt, std::nullopt, 10, kNoDeadline)->grants,
              IsEmpty());
}

TEST_F(AuthorityTest, RevokedGrantAllowsNothing) {
  const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  EXPECT_OK(Decide("orders", kEncrypt, &kNoPairs, {grant.token}));
  Revoke(grant);
  for (int restart = 0; restart < 2; ++restart) {
    EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
    EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {grant.token}),
                FailsWith(Reason::kInvalidGrantToken, HasSubstr("grant_tokens[0]: ")));
    Renew();
  }
  const auto revoke = [&](const KeyId& key, const GrantId& id) {
    return authority().RevokeGrant(key, id, kNoDeadline);
  };
  EXPECT_THAT(revoke(key(), grant.grant->id), FailsWith(Reason::kInvalidParameter));
  EXPECT_THAT(revoke(key(), GrantId::FromRandom({1})),
              FailsWith(Reason::kInvalidParameter, HasSubstr("grant_id: ")));
  // A grant of another key.
  const CreatedGrant second = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  EXPECT_THAT(revoke(CreateKey(), second.grant->id), FailsWith(Reason::kInvalidParameter));
  EXPECT_OK(Decide("orders", kEncrypt));
}

TEST_F(AuthorityTest, TokenWorksWhereTheGrantIsNotKnownYet) {
  StartReplica();
  const CreatedGrant grant = MustGrant({.grantee = "orders",
                                        .operations = {"Encrypt", "RetireGrant"},
                                        .constraints = {.equals = kTenantA}});
  EXPECT_THAT(DecideBy(replica(), "orders", kEncrypt, key(), &kTenantA), IsForbidden());
  ASSERT_OK_AND_ASSIGN(const Permit permit,
                       DecideBy(replica(), "orders", kEncrypt, key(), &kTenantA, {grant.token}));
  EXPECT_EQ(permit.grants.front()->id, grant.grant->id);
  // It allows what the grant allows, and no more.
  EXPECT_THAT(DecideBy(replica(), "orders", kEncrypt, key(), &kTenantB, {grant.token}),
              IsForbidden());
  EXPECT_THAT(DecideBy(replica(), "orders", kDecrypt, key(), &kTenantA, {grant.token}),
              IsForbidden());
  EXPECT_THAT(DecideBy(replica(), "billing", kEncrypt, key(), &kTenantA, {grant.token}),
              IsForbidden());
  // What the first server has ended, the replica has not heard of.
  Revoke(grant);
  EXPECT_THAT(Decide("orders", kEncrypt, &kTenantA, {grant.token}), IsInvalidToken());
  EXPECT_OK(DecideBy(replica(), "orders", kEncrypt, key(), &kTenantA, {grant.token}));
  // Retired by its token, it is void there too, although it never was there.
  EXPECT_OK(replica().RetireGrant("orders", grant.token, kNoDeadline));
  EXPECT_THAT(DecideBy(replica(), "orders", kEncrypt, key(), &kTenantA, {grant.token}),
              IsInvalidToken());
  EXPECT_THAT(replica_store().ListEndedGrants(key()), IsOkAndHolds(ElementsAre(grant.grant->id)));
  EXPECT_THAT(replica().RetireGrant("orders", grant.token, kNoDeadline), IsInvalidToken());
}

TEST_F(AuthorityTest, ForgedTokensAreRefusedAlike) {
  const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  const std::string& token = grant.token;
  Grant wider = *grant.grant;
  wider.text.operations = {"group:use"};
  hsm::Mac mac = ParseGrantToken(token)->mac;
  std::vector<std::string> forged = {"x",
                                     "srg1.",
                                     "srg1.AAAA",
                                     token + "=",
                                     token.substr(0, token.size() - 4),
                                     token + "AAAA",
                                     ToGrantToken({ToDocument(wider), mac}),
                                     ToGrantToken({ToDocument(*grant.grant), {}}),
                                     std::string(8192, 'x')};
  // A bit in each character.
  for (size_t i = 0; i < token.size(); ++i) {
    forged.push_back(token);
    forged.back()[i] = static_cast<char>(forged.back()[i] ^ 1);
  }
  // Made by the same HSM, for something else.
  ASSERT_OK_AND_ASSIGN(mac, MacOf(hsm::MacPurpose::kMetadata, GrantMacInput(ToDocument(wider))));
  forged.push_back(ToGrantToken({ToDocument(wider), mac}));
  ASSERT_OK_AND_ASSIGN(mac, MacOf(hsm::MacPurpose::kGrantToken, ToDocument(wider)));
  forged.push_back(ToGrantToken({ToDocument(wider), mac}));

  const absl::Status first = Decide("orders", kEncrypt, &kNoPairs, {token, "x"}).status();
  EXPECT_THAT(first, FailsWith(Reason::kInvalidGrantToken, AllOf(HasSubstr("grant_tokens[1]: "),
                                                                 HasSubstr("ask whoever made"))));
  for (const std::string& other : forged) {
    ExpectSameError(Decide("orders", kEncrypt, &kNoPairs, {token, other}).status(), first);
    // Even if the call needs none.
    EXPECT_THAT(Decide("root", kEncrypt, &kNoPairs, {other}), IsInvalidToken());
    EXPECT_THAT(authority().RetireGrant("root", other, kNoDeadline), IsInvalidToken());
  }
  EXPECT_OK(Decide("orders", kEncrypt, &kNoPairs, {token}));
}

TEST_F(AuthorityTest, TokenForSomethingElseGivesNothingAndDoesNoHarm) {
  const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  EXPECT_THAT(Decide("billing", kEncrypt, &kNoPairs, {grant.token}), IsForbidden());
  EXPECT_THAT(DecideBy(authority(), "orders", kEncrypt, CreateKey(), &kNoPairs, {grant.token}),
              IsForbidden());
  EXPECT_OK(Decide("root", kDecrypt, &kNoPairs, {grant.token}));
}

TEST_F(AuthorityTest, TokensAreLimited) {
  const std::string token = MustGrant({.grantee = "orders", .operations = {"Encrypt"}}).token;
  EXPECT_OK(Decide("orders", kEncrypt, &kNoPairs, std::vector<std::string>(10, token)));
  EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, std::vector<std::string>(11, token)),
              FailsWith(Reason::kInvalidParameter, HasSubstr("grant_tokens: there are 11")));
  EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {token, ""}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("grant_tokens[1]: has 0")));
  EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {std::string(8193, 'x')}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("grant_tokens[0]: has 8193")));
}

TEST_F(AuthorityTest, GrantWhoseTokenWouldBeTooLongIsRefused) {
  GrantText text = {.grantee = "orders", .operations = {"Encrypt"}};
  text.constraints.equals = {{"k", std::string(6100, 'v')}};
  EXPECT_THAT(GrantBy("root", text),
              FailsWith(Reason::kInvalidParameter, HasSubstr("constraints: ")));
  text.constraints.equals = {{"k", std::string(5500, 'v')}};
  const CreatedGrant created = MustGrant(text);
  EXPECT_OK(Decide("orders", kEncrypt, &text.constraints.equals, {created.token}));
}

TEST_F(AuthorityTest, GrantMadeUnderAGrantNarrowsIt) {
  const absl::Time later = clock().Now() + absl::Hours(1);
  const GrantText parent = {.grantee = "orders",
                            .operations = {"group:seal", "CreateGrant"},
                            .constraints = {.subset = kTenantA},
                            .expire_time = later};
  const CreatedGrant first = MustGrant(parent);
  GrantText child = parent;
  child.grantee = "billing";
  child.operations = {"Encrypt"};
  ASSERT_OK_AND_ASSIGN(const CreatedGrant made, GrantBy("orders", child));
  EXPECT_THAT(made.grant->ancestors, ElementsAre(first.grant->id));
  EXPECT_EQ(made.grant->issuer, "orders");
  EXPECT_OK(Decide("billing", kEncrypt, &kTenantA));

  const auto with = [&](auto change) {
    GrantText text = child;
    change(text);
    return GrantBy("orders", text);
  };
  EXPECT_THAT(with([](GrantText& t) { t.operations = {"Decrypt"}; }),
              FailsWith(Reason::kInvalidParameter, HasSubstr("operations: ")));
  EXPECT_THAT(with([](GrantText& t) { t.constraints = {}; }),
              FailsWith(Reason::kInvalidParameter, HasSubstr("constraints: ")));
  EXPECT_THAT(with([](GrantText& t) { t.constraints = {.equals = kTenantB}; }),
              FailsWith(Reason::kInvalidParameter, HasSubstr("constraints: ")));
  EXPECT_THAT(with([](GrantText& t) { t.expire_time += absl::Microseconds(1); }),
              FailsWith(Reason::kInvalidParameter, HasSubstr("expire_time: ")));
  EXPECT_THAT(with([](GrantText& t) { t.expire_time = absl::InfiniteFuture(); }),
              FailsWith(Reason::kInvalidParameter, HasSubstr("expire_time: ")));
  // Without leave to grant, not at all.
  EXPECT_THAT(GrantBy("billing", child), IsForbidden());
  // Who may by a policy is not bound by a grant.
  Put(MakePolicy({Allow("orders", {"CreateGrant"})}));
  ASSERT_OK_AND_ASSIGN(const CreatedGrant free,
                       with([](GrantText& t) { t.operations = {"Decrypt"}; }));
  EXPECT_THAT(free.grant->ancestors, IsEmpty());
}

TEST_F(AuthorityTest, AnyGrantThatIsNarrowedWillDo) {
  const CreatedGrant seal =
      MustGrant({.grantee = "orders", .operations = {"group:seal", "CreateGrant"}});
  const CreatedGrant open =
      MustGrant({.grantee = "orders", .operations = {"group:open", "CreateGrant"}});
  EXPECT_THAT(GrantBy("orders", {.grantee = "a", .operations = {"Encrypt"}})->grant->ancestors,
              ElementsAre(seal.grant->id));
  EXPECT_THAT(GrantBy("orders", {.grantee = "b", .operations = {"Decrypt"}})->grant->ancestors,
              ElementsAre(open.grant->id));
  // But not a bit of each.
  EXPECT_THAT(GrantBy("orders", {.grantee = "c", .operations = {"group:use"}}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("operations: ")));
}

TEST_F(AuthorityTest, GrantEndsWithThoseItWasMadeUnder) {
  const auto all = [](const std::string& grantee) {
    return GrantText{.grantee = grantee, .operations = {"group:use", "CreateGrant"}};
  };
  const CreatedGrant first = MustGrant(all("p0"));
  std::vector<CreatedGrant> chain = {first};
  for (int i = 0; i < 8; ++i) {
    chain.push_back(MustGrant(all(absl::StrCat("p", i + 1)), absl::StrCat("p", i)));
    EXPECT_THAT(chain.back().grant->ancestors, SizeIs(i + 1));
  }
  EXPECT_THAT(GrantBy("p8", all("p9")), FailsWith(Reason::kLimitExceeded));
  EXPECT_OK(Decide("p8", kEncrypt));

  Revoke(chain[4]);
  for (int restart = 0; restart < 2; ++restart) {
    for (size_t i = 0; i < chain.size(); ++i) {
      const std::string principal = absl::StrCat("p", i);
      EXPECT_EQ(Decide(principal, kEncrypt).ok(), i < 4) << i;
      const absl::StatusOr<Permit> by_token =
          Decide(principal, kEncrypt, &kNoPairs, {chain[i].token});
      EXPECT_EQ(by_token.ok(), i < 4) << i;
      EXPECT_EQ(core::ReasonOf(by_token.status()) == Reason::kInvalidGrantToken, i >= 4) << i;
    }
    EXPECT_THAT(GrantBy("p5", all("p6")), IsForbidden());
    EXPECT_THAT(authority().ListGrants(key(), std::nullopt, std::nullopt, 100, kNoDeadline)->grants,
                SizeIs(4));
    Renew();
  }
}

TEST_F(AuthorityTest, GrantMadeWhileItsParentEndsIsVoid) {
  const CreatedGrant parent =
      MustGrant({.grantee = "orders", .operations = {"Encrypt", "CreateGrant"}});
  ASSERT_OK_AND_ASSIGN(const Permit permit, Decide("orders", kCreateGrant, nullptr));
  Revoke(parent);
  ASSERT_OK_AND_ASSIGN(const CreatedGrant child,
                       authority().CreateGrant(
                           permit, {.grantee = "billing", .operations = {"Encrypt"}}, kNoDeadline));
  EXPECT_THAT(Decide("billing", kEncrypt), IsForbidden());
  EXPECT_THAT(Decide("billing", kEncrypt, &kNoPairs, {child.token}), IsInvalidToken());
}

TEST_F(AuthorityTest, GrantsAreRetiredByThoseWhomTheyConcern) {
  const GrantText text = {
      .grantee = "orders", .retiring_principal = "ops", .operations = {"Encrypt", "RetireGrant"}};
  GrantText plain = text;
  plain.operations = {"Encrypt"};
  GrantText nobodys = plain;
  nobodys.retiring_principal = "";
  Put(MakePolicy({Allow("keeper", {"RetireGrant"}), Allow("maker", {"CreateGrant"})}));
  const struct {
    const char* principal;
    const GrantText& text;
    bool may;
  } kCases[] = {{"ops", plain, true},     {"orders", text, true}, {"orders", plain, false},
                {"keeper", plain, true},  {"root", plain, true},  {"maker", text, false},
                {"billing", text, false}, {"", text, false},      {"", nobodys, false},
                {"ops", nobodys, false}};
  for (const auto& c : kCases) {
    const CreatedGrant by_id = MustGrant(c.text, "maker");
    const CreatedGrant by_token = MustGrant(c.text, "maker");
    if (c.may) {
      ASSERT_OK_AND_ASSIGN(
          const auto retired,
          authority().RetireGrant(c.principal, key(), by_id.grant->id, kNoDeadline));
      EXPECT_EQ(retired->id, by_id.grant->id);
      EXPECT_OK(authority().RetireGrant(c.principal, by_token.token, kNoDeadline));
      EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden()) << c.principal;
      EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {by_id.token}), IsInvalidToken());
      EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {by_token.token}), IsInvalidToken());
    } else {
      EXPECT_THAT(authority().RetireGrant(c.principal, key(), by_id.grant->id, kNoDeadline),
                  IsForbidden())
          << c.principal;
      EXPECT_THAT(authority().RetireGrant(c.principal, by_token.token, kNoDeadline), IsForbidden())
          << c.principal;
      EXPECT_OK(Decide("orders", kEncrypt));
    }
    for (const CreatedGrant* grant : {&by_id, &by_token}) {
      authority().RevokeGrant(key(), grant->grant->id, kNoDeadline).status().IgnoreError();
    }
  }
}

TEST_F(AuthorityTest, RetiringTellsStrangersNothing) {
  const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  const CreatedGrant ended = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  Revoke(ended);
  const auto retire = [&](const std::string& principal, const core::KeyReference& key,
                          const GrantId& id) {
    return authority().RetireGrant(principal, key, id, kNoDeadline).status();
  };
  const GrantId absent = GrantId::FromRandom({1});
  const core::KeyReference absent_key = KeyId::FromRandom({1});
  const absl::Status forbidden = retire("mallory", key(), grant.grant->id);
  EXPECT_THAT(forbidden, IsForbidden());
  ExpectSameError(retire("mallory", key(), absent), forbidden);
  ExpectSameError(retire("mallory", key(), ended.grant->id), forbidden);
  ExpectSameError(retire("mallory", absent_key, absent), forbidden);
  ExpectSameError(retire("mallory", core::Alias("alias/absent"), absent), forbidden);
  ExpectSameError(retire("mallory", CreateKey(), grant.grant->id), forbidden);
  // Those who may are told what is wrong.
  EXPECT_THAT(retire("root", key(), absent),
              FailsWith(Reason::kInvalidParameter, HasSubstr("grant_id: ")));
  EXPECT_THAT(retire("root", key(), ended.grant->id), FailsWith(Reason::kInvalidParameter));
  EXPECT_THAT(retire("root", absent_key, absent), FailsWith(Reason::kKeyNotFound));
}

TEST_F(AuthorityTest, GrantsAreListedInPages) {
  std::vector<GrantId> ids;
  for (int i = 0; i < 7; ++i) {
    clock().Advance(absl::Seconds(1));
    ids.push_back(
        MustGrant({.grantee = i % 2 == 0 ? "even" : "odd", .operations = {"Encrypt"}}).grant->id);
  }
  EXPECT_OK(authority().RevokeGrant(key(), ids[2], kNoDeadline));
  for (int limit = 1; limit < 9; ++limit) {
    std::vector<GrantId> listed;
    std::optional<GrantId> after;
    int pages = 0;
    do {
      ASSERT_OK_AND_ASSIGN(const GrantPage page,
                           authority().ListGrants(key(), std::nullopt, after, limit, kNoDeadline));
      EXPECT_LE(page.grants.size(), static_cast<size_t>(limit));
      for (const auto& grant : page.grants) listed.push_back(grant->id);
      after = page.next;
    } while (after.has_value() && ++pages < 20);
    EXPECT_THAT(listed, ElementsAre(ids[0], ids[1], ids[3], ids[4], ids[5], ids[6])) << limit;
  }
  ASSERT_OK_AND_ASSIGN(const GrantPage even, authority().ListGrants(key(), std::string("even"),
                                                                    std::nullopt, 10, kNoDeadline));
  EXPECT_THAT(even.grants, SizeIs(3));
  EXPECT_THAT(
      authority().ListGrants(key(), std::nullopt, GrantId::FromRandom({1}), 10, kNoDeadline),
      FailsWith(Reason::kInvalidParameter, HasSubstr("page_token: ")));
}

TEST_F(AuthorityTest, GrantThatIsNotGenuineAllowsNothing) {
  const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
  ASSERT_OK_AND_ASSIGN(const store::GrantRecord genuine, store().GetGrant(grant.grant->id));
  const KeyId other = CreateKey();
  std::vector<store::GrantRecord> forged;
  const auto add = [&](uint8_t number) -> store::GrantRecord& {
    forged.push_back(genuine);
    forged.back().id = GrantId::FromRandom({number});
    return forged.back();
  };
  // For somebody else; for another key; under another id, which a revocation would not end.
  Grant wider = *grant.grant;
  wider.id = GrantId::FromRandom({1});
  wider.text.grantee = "mallory";
  add(1).document = ToGrantToken({ToDocument(wider), ParseGrantToken(genuine.document)->mac});
  add(2).key_id = other;
  add(3).document = "";
  add(4).document.pop_back();
  add(5).grantee = "mallory";
  for (store::GrantRecord& record : forged) {
    record.grantee = "mallory";
    ASSERT_OK(store().CreateGrant(record, 100));
  }
  Revoke(grant);
  Renew();
  ::testing::internal::CaptureStderr();
  for (const char* principal : {"orders", "mallory"}) {
    EXPECT_THAT(Decide(principal, kEncrypt), IsForbidden());
    EXPECT_THAT(DecideBy(authority(), principal, kEncrypt, other), IsForbidden());
  }
  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(logged, HasSubstr("grant_not_genuine"));
  for (const store::GrantRecord& record : forged) {
    EXPECT_THAT(logged, HasSubstr(record.id.ToString()));
    EXPECT_THAT(authority().RevokeGrant(record.key_id, record.id, kNoDeadline),
                FailsWith(Reason::kInvalidParameter));
  }
  EXPECT_THAT(authority().ListGrants(key(), std::nullopt, std::nullopt, 10, kNoDeadline)->grants,
              IsEmpty());
}

TEST_F(AuthorityTest, GrantsOfAKeyAreLimited) {
  store().Fail("CreateGrant", absl::ResourceExhaustedError("10000"));
  EXPECT_THAT(GrantBy("root", {.grantee = "orders", .operations = {"Encrypt"}}),
              FailsWith(Reason::kLimitExceeded, HasSubstr("10000 grants")));
  store().Mend();
  EXPECT_THAT(Decide("orders", kEncrypt), IsForbidden());
}

TEST_F(AuthorityTest, LongExpiredGrantsAreForgotten) {
  const CreatedGrant grant = MustGrant({.grantee = "orders",
                                        .operations = {"Encrypt"},
                                        .expire_time = clock().Now() + absl::Hours(1)});
  Revoke(grant);
  clock().Advance(absl::Hours(2));
  EXPECT_THAT(authority().DropExpiredGrants(), IsOkAndHolds(0));
  clock().Advance(absl::Hours(24));
  EXPECT_THAT(authority().DropExpiredGrants(), IsOkAndHolds(1));
  EXPECT_THAT(Decide("orders", kEncrypt, &kNoPairs, {grant.token}), IsInvalidToken());
}

TEST_F(AuthorityTest, ChangesHoldForEveryThreadAtOnce) {
  constexpr int kRounds = 40;
  const Policy with = MakePolicy({Allow("orders", {"Encrypt"})});
  const Policy without = MakePolicy({Allow("billing", {"Encrypt"})});
  // Counts changes: 0 allowed, 1 being taken away, 2 not allowed, 3 being given, 4 allowed...
  std::atomic<int> phase = 2;
  std::atomic<bool> done = false;
  std::vector<std::thread> users;
  for (int t = 0; t < 3; ++t) {
    users.emplace_back([&] {
      while (!done) {
        const int before = phase;
        const absl::StatusOr<Permit> permit = Decide("orders", kEncrypt);
        const int after = phase;
        EXPECT_TRUE(permit.ok() || core::ReasonOf(permit.status()) == Reason::kNoPermission)
            << permit.status();
        if (before == after && before % 2 == 0) {
          EXPECT_EQ(permit.ok(), before % 4 == 0);
        }
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    ++phase;
    if (i % 2 == 0) {
      Put(with);
      ++phase;
      ++phase;
      Put(without);
      ++phase;
    } else {
      const CreatedGrant grant = MustGrant({.grantee = "orders", .operations = {"Encrypt"}});
      ++phase;
      ++phase;
      Revoke(grant);
      ++phase;
    }
  }
  done = true;
  for (std::thread& user : users) user.join();
}

}  // namespace
}  // namespace strongroom::gate
