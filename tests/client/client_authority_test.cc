// Policies, grants and dry runs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/client_fixture.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::strongroom::testing::Expect;
using ::strongroom::testing::ExpectEqual;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::kSecret;
using ::strongroom::testing::ServiceError;
using ::strongroom::testing::Span;
using ::strongroom::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const std::string kClassic = "strongroom.v1.KmsService/";
const std::string kInstance = "strongroom.v1.KmsInstanceService/";
const std::string kKeys = "strongroom.v1.KeyManagementService/";

using AuthorityClientTest = ::strongroom::testing::ClientTest;

// --- Policies and grants ---

KeyPolicy SomePolicy() {
  return {.statements = {{.statement_id = "billing",
                          .principals = {"spiffe://example.org/billing/*", "local"},
                          .operations = {"group:use"},
                          .conditions = {.equals = {{"a", "1"}}, .subset = {{"b", ""}}}},
                         {.principals = {"operator"}, .operations = {"*"}}}};
}

v1::KeyPolicy SomePolicyMessage() {
  v1::KeyPolicy policy;
  v1::PolicyStatement& first = *policy.add_statements();
  first.set_statement_id("billing");
  first.add_principals("spiffe://example.org/billing/*");
  first.add_principals("local");
  first.add_operations("group:use");
  (*first.mutable_conditions()->mutable_encryption_context_equals())["a"] = "1";
  (*first.mutable_conditions()->mutable_encryption_context_subset())["b"] = "";
  v1::PolicyStatement& second = *policy.add_statements();
  second.add_principals("operator");
  second.add_operations("*");
  return policy;
}

TEST_F(AuthorityClientTest, PolicyIsPut) {
  v1::PutKeyPolicyResponse answer;
  answer.set_request_id("request");
  v1::PutKeyPolicyRequest seen, expected;
  Expect(server_.get(), kKeys + "PutKeyPolicy", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const DoneResult done,
                       client_->keys().PutPolicy({.key_id = "k", .policy = SomePolicy()}));
  EXPECT_EQ(done.request_id, "request");
  expected.set_key_id("k");
  *expected.mutable_policy() = SomePolicyMessage();
  ExpectEqual(seen, expected);
}

TEST_F(AuthorityClientTest, PolicyIsGot) {
  v1::GetKeyPolicyResponse answer;
  *answer.mutable_policy() = SomePolicyMessage();
  answer.set_request_id("request");
  v1::GetKeyPolicyRequest seen;
  Expect(server_.get(), kKeys + "GetKeyPolicy", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const KeyPolicyResult result, client_->keys().GetPolicy("k"));
  EXPECT_EQ(seen.key_id(), "k");
  EXPECT_EQ(result.request_id, "request");
  ASSERT_TRUE(result.policy.has_value());
  ASSERT_THAT(result.policy->statements, SizeIs(2));
  const PolicyStatement& first = result.policy->statements[0];
  EXPECT_EQ(first.statement_id, "billing");
  EXPECT_THAT(first.principals, ElementsAre("spiffe://example.org/billing/*", "local"));
  EXPECT_THAT(first.operations, ElementsAre("group:use"));
  EXPECT_THAT(first.conditions.equals, ElementsAre(std::pair("a", "1")));
  EXPECT_THAT(first.conditions.subset, ElementsAre(std::pair("b", "")));
  EXPECT_THAT(result.policy->statements[1].conditions.equals, IsEmpty());
}

TEST_F(AuthorityClientTest, KeyWithoutAPolicyHasNone) {
  ASSERT_OK_AND_ASSIGN(const KeyPolicyResult result, client_->keys().GetPolicy("k"));
  EXPECT_FALSE(result.policy.has_value());
}

TEST_F(AuthorityClientTest, KeyIsCreatedWithItsPolicy) {
  v1::CreateKeyRequest seen, expected;
  Expect(server_.get(), kKeys + "CreateKey", v1::CreateKeyResponse(), &seen);
  EXPECT_OK(client_->keys().Create({.description = "d", .policy = SomePolicy()}));
  expected.set_description("d");
  *expected.mutable_policy() = SomePolicyMessage();
  ExpectEqual(seen, expected);
  EXPECT_OK(client_->keys().Create({}));
  EXPECT_FALSE(seen.has_policy());
}

v1::Grant SomeGrantMessage() {
  v1::Grant grant;
  grant.set_grant_id("grant");
  grant.set_key_id("key");
  grant.set_grantee_principal("grantee");
  grant.add_operations("Decrypt");
  (*grant.mutable_constraints()->mutable_encryption_context_subset())["a"] = "1";
  grant.set_retiring_principal("retirer");
  grant.mutable_expire_time()->set_seconds(1700000000);
  grant.mutable_expire_time()->set_nanos(500000000);
  grant.set_issuing_principal("issuer");
  grant.mutable_create_time()->set_seconds(1600000000);
  grant.set_parent_grant_id("parent");
  return grant;
}

void ExpectSomeGrant(const Grant& grant) {
  EXPECT_EQ(grant.grant_id, "grant");
  EXPECT_EQ(grant.key_id, "key");
  EXPECT_EQ(grant.grantee_principal, "grantee");
  EXPECT_THAT(grant.operations, ElementsAre("Decrypt"));
  EXPECT_THAT(grant.constraints.equals, IsEmpty());
  EXPECT_THAT(grant.constraints.subset, ElementsAre(std::pair("a", "1")));
  EXPECT_EQ(grant.retiring_principal, "retirer");
  EXPECT_EQ(grant.expire_time, absl::FromUnixMillis(1700000000500));
  EXPECT_EQ(grant.issuing_principal, "issuer");
  EXPECT_EQ(grant.create_time, absl::FromUnixSeconds(1600000000));
  EXPECT_EQ(grant.parent_grant_id, "parent");
}

TEST_F(AuthorityClientTest, GrantIsCreated) {
  v1::CreateGrantResponse answer;
  *answer.mutable_grant() = SomeGrantMessage();
  answer.set_grant_token("token-1");
  answer.set_request_id("request");
  v1::CreateGrantRequest seen, expected;
  Expect(server_.get(), kKeys + "CreateGrant", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const CreateGrantResult result,
                       client_->keys().CreateGrant({
                           .key_id = "k",
                           .grantee_principal = "g",
                           .operations = {"Decrypt", "Encrypt"},
                           .constraints = {.equals = {{"a", "1"}}},
                           .expire_time = absl::FromUnixMillis(1700000000250),
                           .retiring_principal = "r",
                           .grant_tokens = {"token-0"},
                       }));
  ExpectSomeGrant(result.grant);
  EXPECT_EQ(result.grant_token.ExposeSecretAsText(), "token-1");
  EXPECT_EQ(result.request_id, "request");
  expected.set_key_id("k");
  expected.set_grantee_principal("g");
  expected.add_operations("Decrypt");
  expected.add_operations("Encrypt");
  (*expected.mutable_constraints()->mutable_encryption_context_equals())["a"] = "1";
  expected.mutable_expire_time()->set_seconds(1700000000);
  expected.mutable_expire_time()->set_nanos(250000000);
  expected.set_retiring_principal("r");
  expected.add_grant_tokens("token-0");
  ExpectEqual(seen, expected);
}

TEST_F(AuthorityClientTest, GrantWithoutConstraintsAndExpiryIsSentWithout) {
  v1::CreateGrantRequest seen;
  v1::CreateGrantResponse answer;
  answer.mutable_grant();
  Expect(server_.get(), kKeys + "CreateGrant", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const CreateGrantResult result, client_->keys().CreateGrant({}));
  EXPECT_FALSE(seen.has_constraints());
  EXPECT_FALSE(seen.has_expire_time());
  EXPECT_FALSE(result.grant.expire_time.has_value());
}

TEST_F(AuthorityClientTest, ExpiryThatNeverComesIsForTheServiceToRefuse) {
  v1::CreateGrantRequest seen;
  Expect(server_.get(), kKeys + "CreateGrant", v1::CreateGrantResponse(), &seen);
  EXPECT_OK(client_->keys().CreateGrant({.expire_time = absl::InfiniteFuture()}));
  EXPECT_EQ(seen.expire_time().seconds(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(seen.expire_time().nanos(), 0);
}

TEST_F(AuthorityClientTest, GrantsAreListed) {
  v1::ListGrantsResponse answer;
  *answer.add_grants() = SomeGrantMessage();
  answer.set_next_page_token("next");
  answer.set_request_id("request");
  v1::ListGrantsRequest seen, expected;
  Expect(server_.get(), kKeys + "ListGrants", answer, &seen);
  ASSERT_OK_AND_ASSIGN(
      const Page<Grant> page,
      client_->keys().ListGrants({.key_id = "k",
                                  .grantee_principal = "g",
                                  .page = {.page_size = 1, .page_token = "this"}}));
  ASSERT_THAT(page.items, SizeIs(1));
  ExpectSomeGrant(page.items[0]);
  EXPECT_EQ(page.next_page_token, "next");
  EXPECT_EQ(page.request_id, "request");
  expected.set_key_id("k");
  expected.set_grantee_principal("g");
  expected.set_page_size(1);
  expected.set_page_token("this");
  ExpectEqual(seen, expected);
}

TEST_F(AuthorityClientTest, GrantsAreRetiredAndRevoked) {
  v1::RetireGrantRequest retired, expected_retired;
  v1::RevokeGrantRequest revoked, expected_revoked;
  Expect(server_.get(), kKeys + "RetireGrant", v1::RetireGrantResponse(), &retired);
  Expect(server_.get(), kKeys + "RevokeGrant", v1::RevokeGrantResponse(), &revoked);
  EXPECT_OK(client_->keys().RetireGrant({.key_id = "k", .grant_id = "g"}));
  expected_retired.set_key_id("k");
  expected_retired.set_grant_id("g");
  ExpectEqual(retired, expected_retired);
  EXPECT_OK(client_->keys().RetireGrant({.grant_token = "token-1"}));
  expected_retired.Clear();
  expected_retired.set_grant_token("token-1");
  ExpectEqual(retired, expected_retired);
  EXPECT_OK(client_->keys().RevokeGrant({.key_id = "k", .grant_id = "g"}));
  expected_revoked.set_key_id("k");
  expected_revoked.set_grant_id("g");
  ExpectEqual(revoked, expected_revoked);
}

TEST_F(AuthorityClientTest, DescribeSendsGrantTokens) {
  v1::DescribeKeyRequest seen;
  Expect(server_.get(), kKeys + "DescribeKey", v1::DescribeKeyResponse(), &seen);
  EXPECT_OK(client_->keys().Describe({.key_id = "k", .grant_tokens = {"token-1", "token-2"}}));
  EXPECT_THAT(seen.grant_tokens(), ElementsAre("token-1", "token-2"));
}

// --- Grant tokens and dry runs of the operations on data keys ---

grpc::Status WouldWork() {
  return ServiceError(grpc::StatusCode::FAILED_PRECONDITION, "it would have worked",
                      "DryRunOperationError", 409, "request-1", std::nullopt,
                      {{"failed_check", "none"}, {"token", "able"}});
}

// Each classic operation: its name, a call of it with two tokens as a dry run, and whether the
// service saw them.
TEST_F(AuthorityClientTest, ClassicRequestsCarryTokensAndDryRun) {
  std::vector<std::string> tokens;
  bool dry_run = false;
  const auto expect = [&]<typename Request, typename Response>(const std::string& name) {
    server_->On<Request, Response>(kClassic + name, [&](const Request& request, Response*) {
      tokens = {request.grant_tokens().begin(), request.grant_tokens().end()};
      dry_run = request.dry_run();
      return WouldWork();
    });
  };
  expect.operator()<v1::GenerateDataKeyRequest, v1::GenerateDataKeyResponse>("GenerateDataKey");
  expect.operator()<v1::GenerateDataKeyWithoutPlaintextRequest,
                    v1::GenerateDataKeyWithoutPlaintextResponse>("GenerateDataKeyWithoutPlaintext");
  expect.operator()<v1::GenerateDataKeyPairRequest, v1::GenerateDataKeyPairResponse>(
      "GenerateDataKeyPair");
  expect.operator()<v1::GenerateDataKeyPairWithoutPlaintextRequest,
                    v1::GenerateDataKeyPairWithoutPlaintextResponse>(
      "GenerateDataKeyPairWithoutPlaintext");
  expect.operator()<v1::EncryptRequest, v1::EncryptResponse>("Encrypt");
  expect.operator()<v1::DecryptRequest, v1::DecryptResponse>("Decrypt");
  expect.operator()<v1::ReEncryptRequest, v1::ReEncryptResponse>("ReEncrypt");
  expect.operator()<v1::SignWithDataKeyPairRequest, v1::SignWithDataKeyPairResponse>(
      "SignWithDataKeyPair");
  expect.operator()<v1::DecryptWithDataKeyPairRequest, v1::DecryptWithDataKeyPairResponse>(
      "DecryptWithDataKeyPair");
  expect.operator()<v1::DeriveSharedSecretRequest, v1::DeriveSharedSecretResponse>(
      "DeriveSharedSecret");

  const std::vector<std::string> two = {"token-1", "token-2"};
  const GenerateDataKeyRequest key{.key_id = "k", .grant_tokens = two, .dry_run = true};
  const GenerateDataKeyPairRequest pair{.key_id = "k", .grant_tokens = two, .dry_run = true};
  const std::function<absl::Status()> calls[] = {
      [&] { return client_->GenerateDataKey(key).status(); },
      [&] { return client_->GenerateDataKeyWithoutPlaintext(key).status(); },
      [&] { return client_->GenerateDataKeyPair(pair).status(); },
      [&] { return client_->GenerateDataKeyPairWithoutPlaintext(pair).status(); },
      [&] {
        return client_
            ->Encrypt({.key_id = "k", .plaintext = Span("p"), .grant_tokens = two, .dry_run = true})
            .status();
      },
      [&] {
        return client_->Decrypt({.ciphertext_blob = "b", .grant_tokens = two, .dry_run = true})
            .status();
      },
      [&] { return client_->ReEncrypt({.grant_tokens = two, .dry_run = true}).status(); },
      [&] { return client_->SignWithDataKeyPair({.grant_tokens = two, .dry_run = true}).status(); },
      [&] {
        return client_->DecryptWithDataKeyPair({.grant_tokens = two, .dry_run = true}).status();
      },
      [&] { return client_->DeriveSharedSecret({.grant_tokens = two, .dry_run = true}).status(); },
  };
  for (const auto& call : calls) {
    tokens.clear();
    dry_run = false;
    EXPECT_TRUE(WouldHaveWorked(call())) << server_->calls().back();
    EXPECT_EQ(tokens, two) << server_->calls().back();
    EXPECT_TRUE(dry_run) << server_->calls().back();
    EXPECT_THAT(server_->LastMetadata("x-strongroom-dry-run"), IsEmpty());
  }
}

// All operations of the instance family that use a key.
std::vector<std::pair<std::string, std::function<absl::Status()>>> InstanceCalls(
    const InstanceClient& client, const std::vector<std::string>& tokens, bool dry_run) {
  const InstanceGenerateDataKeyRequest key{.grant_tokens = tokens, .dry_run = dry_run};
  const InstanceAdvanceGenerateDataKeyRequest advance_key{.grant_tokens = tokens,
                                                          .dry_run = dry_run};
  const InstanceGenerateDataKeyPairRequest pair{.grant_tokens = tokens, .dry_run = dry_run};
  const InstanceAdvanceGenerateDataKeyPairRequest advance_pair{.grant_tokens = tokens,
                                                               .dry_run = dry_run};
  const InstanceEncryptRequest encrypt{
      .plaintext = Span("p"), .grant_tokens = tokens, .dry_run = dry_run};
  const InstanceDecryptRequest decrypt{.grant_tokens = tokens, .dry_run = dry_run};
  return {
      {"GenerateDataKey", [=, &client] { return client.GenerateDataKey(key).status(); }},
      {"AdvanceGenerateDataKey",
       [=, &client] { return client.AdvanceGenerateDataKey(advance_key).status(); }},
      {"GenerateDataKeyPair", [=, &client] { return client.GenerateDataKeyPair(pair).status(); }},
      {"AdvanceGenerateDataKeyPair",
       [=, &client] { return client.AdvanceGenerateDataKeyPair(advance_pair).status(); }},
      {"GenerateDataKeyPairWithoutPlaintext",
       [=, &client] { return client.GenerateDataKeyPairWithoutPlaintext(pair).status(); }},
      {"AdvanceGenerateDataKeyPairWithoutPlaintext",
       [=, &client] {
         return client.AdvanceGenerateDataKeyPairWithoutPlaintext(advance_pair).status();
       }},
      {"Encrypt", [=, &client] { return client.Encrypt(encrypt).status(); }},
      {"AdvanceEncrypt", [=, &client] { return client.AdvanceEncrypt(encrypt).status(); }},
      {"Decrypt", [=, &client] { return client.Decrypt(decrypt).status(); }},
      {"AdvanceDecrypt", [=, &client] { return client.AdvanceDecrypt(decrypt).status(); }},
  };
}

TEST_F(AuthorityClientTest, InstanceCallsCarryTokensAndDryRunBesideTheMessage) {
  for (const auto& [name, call] :
       InstanceCalls(client_->instance(), {"token-1", "token-2"}, /*dry_run=*/true)) {
    server_->Fail(kInstance + name, WouldWork(), 1);
    EXPECT_TRUE(WouldHaveWorked(call())) << name;
    EXPECT_EQ(server_->calls().back(), kInstance + name);
    EXPECT_THAT(server_->LastMetadata("x-strongroom-grant-token"),
                UnorderedElementsAre("token-1", "token-2"))
        << name;
    EXPECT_THAT(server_->LastMetadata("x-strongroom-dry-run"), ElementsAre("true")) << name;
  }
}

TEST_F(AuthorityClientTest, InstanceCallsWithoutTokensCarryNothing) {
  for (const auto& [name, call] : InstanceCalls(client_->instance(), {}, /*dry_run=*/false)) {
    EXPECT_OK(call()) << name;
    EXPECT_THAT(server_->LastMetadata("x-strongroom-grant-token"), IsEmpty()) << name;
    EXPECT_THAT(server_->LastMetadata("x-strongroom-dry-run"), IsEmpty()) << name;
  }
}

TEST_F(AuthorityClientTest, TokensAreSentAgainWithARetry) {
  server_->Fail(kInstance + "Encrypt", ::strongroom::testing::Unavailable(), 1);
  EXPECT_OK(client_->instance().Encrypt({.key_id = "k", .grant_tokens = {"token-1"}}));
  EXPECT_THAT(server_->calls(), SizeIs(2));
  EXPECT_THAT(server_->LastMetadata("x-strongroom-grant-token"), ElementsAre("token-1"));
}

// gRPC would end the process.
TEST_F(AuthorityClientTest, TokenThatCannotBeMetadataIsRefusedAndNotShown) {
  for (const std::string& token :
       {std::string(), std::string("tok en"), std::string("token\n"), std::string("t\xc3\xb6ken"),
        std::string("token\0", 6), std::string("token\x7f")}) {
    const absl::Status status =
        client_->instance().Encrypt({.key_id = "k", .grant_tokens = {"fine", token}}).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("grant_tokens[1]")));
    EXPECT_THAT(status.ToString(), Not(HasSubstr("tok en")));
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(AuthorityClientTest, DryRunsErrorTellsTheCheckAndTheToken) {
  server_->Fail(kClassic + "Decrypt", WouldWork(), 1);
  const absl::Status works = client_->Decrypt({.dry_run = true}).status();
  EXPECT_THAT(works, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(WouldHaveWorked(works));
  EXPECT_EQ(ErrorDetailOf(works)->reason, Reason::kDryRunOperation);
  ASSERT_TRUE(ErrorDetailOf(works)->dry_run.has_value());
  EXPECT_EQ(ErrorDetailOf(works)->dry_run->failed_check, "none");
  EXPECT_EQ(ErrorDetailOf(works)->dry_run->token, "able");

  server_->Fail(
      kClassic + "Decrypt",
      ServiceError(grpc::StatusCode::PERMISSION_DENIED, "no", "AccessDeniedError", 403, "request-1",
                   std::nullopt, {{"failed_check", "permission"}, {"token", "away"}}),
      1);
  const absl::Status denied = client_->Decrypt({.dry_run = true}).status();
  EXPECT_FALSE(WouldHaveWorked(denied));
  EXPECT_EQ(ErrorDetailOf(denied)->reason, Reason::kAccessDenied);
  EXPECT_EQ(ErrorDetailOf(denied)->dry_run->failed_check, "permission");
  EXPECT_EQ(ErrorDetailOf(denied)->dry_run->token, "away");

  EXPECT_FALSE(WouldHaveWorked(absl::OkStatus()));
  EXPECT_FALSE(WouldHaveWorked(absl::FailedPreconditionError("DryRunOperationError")));
}

TEST_F(AuthorityClientTest, ErrorOfNoDryRunHasNoDetailOfOne) {
  server_->Fail(
      kClassic + "Decrypt",
      ServiceError(grpc::StatusCode::NOT_FOUND, "no", "Forbidden.KeyNotFound", 404, "request-1"),
      1);
  const absl::Status status = client_->Decrypt({}).status();
  ASSERT_TRUE(ErrorDetailOf(status).has_value());
  EXPECT_FALSE(ErrorDetailOf(status)->dry_run.has_value());
}

// As a service does that does not know the field, or the header.
TEST_F(AuthorityClientTest, ServiceThatKnowsNoDryRunsGivesAnErrorAndNoKey) {
  v1::GenerateDataKeyRequest seen;
  v1::GenerateDataKeyResponse answer;
  answer.set_plaintext(kSecret);
  Expect(server_.get(), kClassic + "GenerateDataKey", answer, &seen);
  const absl::Status status = client_->GenerateDataKey({.key_id = "k", .dry_run = true}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("no dry runs")));
  EXPECT_FALSE(WouldHaveWorked(status));
  for (const auto& [name, call] : InstanceCalls(client_->instance(), {}, /*dry_run=*/true)) {
    EXPECT_THAT(call(), StatusIs(absl::StatusCode::kInternal, HasSubstr("no dry runs"))) << name;
  }
}

}  // namespace
}  // namespace strongroom
