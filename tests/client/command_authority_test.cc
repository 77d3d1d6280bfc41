// `key policy`, `grant`, --grant-token-file and --dry-run.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/command_fixture.h"
#include "tests/client/fake_server.h"

namespace strongroom::command {
namespace {

using ::strongroom::testing::ServiceError;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kToken[] = "grant-token-that-must-not-be-seen";

constexpr char kPolicy[] = R"({
  "statements": [
    {
      "statementId": "billing",
      "principals": [
        "spiffe://example.org/billing/*"
      ],
      "operations": [
        "group:use"
      ],
      "conditions": {
        "encryptionContextEquals": {
          "order": "42"
        },
        "encryptionContextSubset": {
          "department": "billing"
        }
      }
    },
    {
      "principals": [
        "local"
      ],
      "operations": [
        "*"
      ]
    }
  ]
}
)";

class AuthorityCommandTest : public CommandTest {
 protected:
  // Keeps the request of `rpc`.
  template <typename Request, typename Response>
  void Keep(const std::string& rpc, Request* seen, const Response& answer) {
    server_->On<Request, Response>(absl::StrCat(kKeys, rpc),
                                   [=](const Request& request, Response* response) {
                                     *seen = request;
                                     *response = answer;
                                     return grpc::Status::OK;
                                   });
  }
  void WriteToken(const std::string& path, const std::string& content = kToken) {
    Write(path, content);
    ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  }
  static void ExpectNoToken(const Result& result) {
    EXPECT_THAT(result.out, Not(HasSubstr("must-not-be-seen")));
    EXPECT_THAT(result.err, Not(HasSubstr("must-not-be-seen")));
  }
};

// --- Policies ---

TEST_F(AuthorityCommandTest, PolicyIsPutFromAFileOrStandardInput) {
  v1::PutKeyPolicyRequest seen;
  v1::PutKeyPolicyResponse answer;
  answer.set_request_id("request-1");
  Keep("PutKeyPolicy", &seen, answer);
  Write("policy.json", kPolicy);
  const Result result = Run("key policy put alias/orders --file policy.json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "Request id  request-1\n");
  EXPECT_EQ(seen.key_id(), "alias/orders");
  ASSERT_EQ(seen.policy().statements_size(), 2);
  const v1::PolicyStatement& first = seen.policy().statements(0);
  EXPECT_EQ(first.statement_id(), "billing");
  EXPECT_THAT(first.principals(), ElementsAre("spiffe://example.org/billing/*"));
  EXPECT_THAT(first.operations(), ElementsAre("group:use"));
  EXPECT_EQ(first.conditions().encryption_context_equals().at("order"), "42");
  EXPECT_EQ(first.conditions().encryption_context_subset().at("department"), "billing");
  EXPECT_FALSE(seen.policy().statements(1).has_conditions());

  ASSERT_EQ(Run("key policy put k --file -",
                R"({"statements": [{"statement_id": "snake", "principals": ["p"],
                    "conditions": {"encryption_context_subset": {"a": "1"}}}]})")
                .exit_code,
            0);
  EXPECT_EQ(seen.policy().statements(0).statement_id(), "snake");
  EXPECT_EQ(seen.policy().statements(0).conditions().encryption_context_subset().at("a"), "1");
}

TEST_F(AuthorityCommandTest, PolicyThatIsWrongIsALocalErrorThatSaysWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"statements\": [\n{\"principals\" [\"p\"]}]}", "line 2"},
      {"{'statements': []}", "line 1"},
      {"", "line 1"},
      {R"({"statements": [{"colour": "red"}]})", "statements[0]"},
      {R"({"statements": [{"colour": "red"}]})", "colour"},
      {R"({"statements": [{}, {"principals": [{}]}]})", "principals"},
      {R"({"statements": [{"conditions": {"encryptionContextEquals": {"a": {}}}}]})", "conditions"},
      {R"({"statements": [{"operations": ["Decrypt"], "operations": ["*"]}]})",
       "\"operations\" twice"},
      {R"([])", "policy.json"},
  };
  for (const auto& [policy, hint] : cases) {
    Write("policy.json", policy);
    for (const char* line :
         {"key policy put k --file policy.json", "key create --policy-file policy.json"}) {
      const Result result = Run(line);
      EXPECT_EQ(result.exit_code, 10) << policy;
      EXPECT_THAT(result.err,
                  AllOf(StartsWith("strongroom: LocalError: policy.json holds no policy in JSON: "),
                        HasSubstr(hint)))
          << policy;
    }
  }
  EXPECT_EQ(Run("key policy put k --file missing").exit_code, 10);
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(AuthorityCommandTest, PolicyIsGotInTheFormThatPutTakes) {
  v1::PutKeyPolicyRequest put;
  Keep("PutKeyPolicy", &put, v1::PutKeyPolicyResponse());
  ASSERT_EQ(Run("key policy put k --file -", kPolicy).exit_code, 0);

  v1::GetKeyPolicyRequest seen;
  v1::GetKeyPolicyResponse answer;
  *answer.mutable_policy() = put.policy();
  answer.set_request_id("request-1");
  Keep("GetKeyPolicy", &seen, answer);
  const Result table = Run("key policy get alias/orders");
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_EQ(seen.key_id(), "alias/orders");
  EXPECT_EQ(table.out, kPolicy);
  EXPECT_EQ(Run("key policy get alias/orders --output json").json(),
            (Json{{"policy", Json::parse(kPolicy)}, {"request_id", "request-1"}}));
}

TEST_F(AuthorityCommandTest, KeyWithoutAPolicyIsSaidToHaveNone) {
  v1::GetKeyPolicyRequest seen;
  v1::GetKeyPolicyResponse answer;
  answer.set_request_id("request-1");
  Keep("GetKeyPolicy", &seen, answer);
  EXPECT_EQ(Run("key policy get k").out, "none\n");
  EXPECT_EQ(Run("key policy get k --output json").json(), (Json{{"request_id", "request-1"}}));
}

TEST_F(AuthorityCommandTest, PolicyCannotSteerATerminal) {
  v1::GetKeyPolicyRequest seen;
  v1::GetKeyPolicyResponse answer;
  answer.mutable_policy()->add_statements()->set_statement_id("\x1b[2J\xc2\x9b");
  Keep("GetKeyPolicy", &seen, answer);
  EXPECT_THAT(Run("key policy get k").out, HasSubstr("\"\\u001b[2J\\u009b\""));
}

TEST_F(AuthorityCommandTest, KeyIsCreatedWithItsPolicy) {
  v1::CreateKeyRequest seen;
  Keep("CreateKey", &seen, v1::CreateKeyResponse());
  Write("policy.json", kPolicy);
  ASSERT_EQ(Run("key create --description d --policy-file policy.json").exit_code, 0);
  EXPECT_EQ(seen.description(), "d");
  EXPECT_EQ(seen.policy().statements_size(), 2);
  ASSERT_EQ(Run("key create").exit_code, 0);
  EXPECT_FALSE(seen.has_policy());
}

// --- Grants ---

v1::Grant SomeGrant() {
  v1::Grant grant;
  grant.set_grant_id("grant-1");
  grant.set_key_id("key-1");
  grant.set_grantee_principal("spiffe://example.org/batch");
  grant.add_operations("Decrypt");
  grant.add_operations("DescribeKey");
  (*grant.mutable_constraints()->mutable_encryption_context_subset())["department"] = "billing";
  grant.set_retiring_principal("retirer");
  grant.mutable_expire_time()->set_seconds(1800000000);
  grant.set_issuing_principal("issuer");
  grant.mutable_create_time()->set_seconds(1700000000);
  grant.set_parent_grant_id("grant-0");
  return grant;
}

const Json kSomeGrantAsJson = {
    {"grant_id", "grant-1"},
    {"key_id", "key-1"},
    {"grantee_principal", "spiffe://example.org/batch"},
    {"operations", {"Decrypt", "DescribeKey"}},
    {"encryption_context_subset", {{"department", "billing"}}},
    {"expire_time", "2027-01-15T08:00:00Z"},
    {"retiring_principal", "retirer"},
    {"issuing_principal", "issuer"},
    {"create_time", "2023-11-14T22:13:20Z"},
    {"parent_grant_id", "grant-0"},
};

class GrantCommandTest : public AuthorityCommandTest {
 protected:
  void SetUp() override {
    AuthorityCommandTest::SetUp();
    v1::CreateGrantResponse answer;
    *answer.mutable_grant() = SomeGrant();
    answer.set_grant_token(kToken);
    answer.set_request_id("request-1");
    Keep("CreateGrant", &seen_, answer);
  }

  v1::CreateGrantRequest seen_;
};

TEST_F(GrantCommandTest, GrantIsCreatedAndItsTokenWritten) {
  WriteToken("mine.token", "my-own-token\n");
  const Result result =
      Run("grant create alias/orders --grantee spiffe://example.org/batch --operation Decrypt "
          "--operation DescribeKey --context-equals a=1=2 --context-subset department=billing "
          "--context-subset b= --expires 2027-01-15T09:00:00+01:00 --retiring-principal retirer "
          "--grant-token-file mine.token --token-file batch.token --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(seen_.key_id(), "alias/orders");
  EXPECT_EQ(seen_.grantee_principal(), "spiffe://example.org/batch");
  EXPECT_THAT(seen_.operations(), ElementsAre("Decrypt", "DescribeKey"));
  EXPECT_EQ(seen_.constraints().encryption_context_equals().at("a"), "1=2");
  EXPECT_EQ(seen_.constraints().encryption_context_subset().size(), 2u);
  EXPECT_EQ(seen_.expire_time().seconds(), 1800000000);
  EXPECT_EQ(seen_.retiring_principal(), "retirer");
  EXPECT_THAT(seen_.grant_tokens(), ElementsAre("my-own-token"));
  Json expected = kSomeGrantAsJson;
  expected["token_file"] = "batch.token";
  expected["request_id"] = "request-1";
  EXPECT_EQ(result.json(), expected) << result.out;
  EXPECT_EQ(Read("batch.token"), kToken);
  EXPECT_EQ(ModeOf("batch.token"), 0600);
  ExpectNoToken(result);
}

TEST_F(GrantCommandTest, TokenIsShownNowhere) {
  const std::string line = "grant create k --grantee g --operation Decrypt";
  for (const char* more : {"", " --output json", " --token-file t", " --token-file t --force"}) {
    const Result result = Run(line + more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    ExpectNoToken(result);
  }
}

TEST_F(GrantCommandTest, ExpiryIsATimeOrALengthOfTime) {
  const std::string line = "grant create k --grantee g --operation Decrypt";
  const absl::Time before = absl::Now();
  ASSERT_EQ(Run(line + " --expires 1h30m").exit_code, 0);
  const absl::Time expiry = absl::FromUnixSeconds(seen_.expire_time().seconds()) +
                            absl::Nanoseconds(seen_.expire_time().nanos());
  EXPECT_GE(expiry, before + absl::Minutes(90));
  EXPECT_LE(expiry, absl::Now() + absl::Minutes(90));
  ASSERT_EQ(Run(line).exit_code, 0);
  EXPECT_FALSE(seen_.has_expire_time());
  EXPECT_FALSE(seen_.has_constraints());
}

TEST_F(GrantCommandTest, TokenFileThatIsThereIsNotReplacedAndNothingIsSent) {
  Write("there", "before");
  const std::string line = "grant create k --grantee g --operation Decrypt --token-file there";
  EXPECT_EQ(Run(line).exit_code, 10);
  EXPECT_EQ(Read("there"), "before");
  EXPECT_THAT(server_->calls(), IsEmpty());
  EXPECT_EQ(Run(line + " --force").exit_code, 0);
  EXPECT_EQ(Read("there"), kToken);
}

TEST_F(GrantCommandTest, GrantWhoseTokenCannotBeWrittenIsNamed) {
  server_->On<v1::CreateGrantRequest, v1::CreateGrantResponse>(
      absl::StrCat(kKeys, "CreateGrant"), [](const auto&, auto* response) {
        Write("t", "somebody else's");
        *response->mutable_grant() = SomeGrant();
        response->set_grant_token(kToken);
        return grpc::Status::OK;
      });
  const Result result = Run("grant create k --grantee g --operation Decrypt --token-file t");
  EXPECT_EQ(result.exit_code, 10);
  EXPECT_THAT(result.err, HasSubstr("grant-1"));
  EXPECT_EQ(Read("t"), "somebody else's");
  ExpectNoToken(result);
}

TEST_F(AuthorityCommandTest, GrantsAreListed) {
  v1::ListGrantsRequest seen;
  v1::ListGrantsResponse answer;
  *answer.add_grants() = SomeGrant();
  v1::Grant& second = *answer.add_grants();
  second.set_grant_id("grant-2");
  second.set_grantee_principal("local");
  second.add_operations("group:use");
  answer.set_request_id("request-1");
  Keep("ListGrants", &seen, answer);
  const Json json = Run("grant list k --grantee g --page-size 5 --output json").json();
  EXPECT_EQ(seen.key_id(), "k");
  EXPECT_EQ(seen.grantee_principal(), "g");
  EXPECT_EQ(seen.page_size(), 5);
  ASSERT_EQ(json["grants"].size(), 2u);
  EXPECT_EQ(json["grants"][0], kSomeGrantAsJson);
  EXPECT_FALSE(json["grants"][1].contains("expire_time"));
  EXPECT_FALSE(json["grants"][1].contains("constraints"));
  EXPECT_EQ(json["request_id"], "request-1");
  EXPECT_EQ("\n" + Run("grant list k").out, R"(
GRANT ID  GRANTEE PRINCIPAL           OPERATIONS            CONSTRAINTS                     EXPIRE TIME
grant-1   spiffe://example.org/batch  Decrypt, DescribeKey  context has department=billing  2027-01-15T08:00:00Z
grant-2   local                       group:use             none                            never
)");
}

TEST_F(AuthorityCommandTest, GrantIsRetiredByIdOrByToken) {
  v1::RetireGrantRequest seen;
  v1::RetireGrantResponse answer;
  answer.set_request_id("request-1");
  Keep("RetireGrant", &seen, answer);
  EXPECT_EQ(Run("grant retire k grant-1 --output json").json(),
            (Json{{"grant_id", "grant-1"}, {"request_id", "request-1"}}));
  EXPECT_EQ(seen.key_id(), "k");
  EXPECT_EQ(seen.grant_id(), "grant-1");
  EXPECT_EQ(seen.grant_token(), "");
  WriteToken("t");
  const Result result = Run("grant retire --token-file t --output json");
  EXPECT_EQ(result.json(), (Json{{"request_id", "request-1"}})) << result.err;
  EXPECT_EQ(seen.key_id(), "");
  EXPECT_EQ(seen.grant_id(), "");
  EXPECT_EQ(seen.grant_token(), kToken);
  ExpectNoToken(result);
}

TEST_F(AuthorityCommandTest, GrantIsRevoked) {
  v1::RevokeGrantRequest seen;
  Keep("RevokeGrant", &seen, v1::RevokeGrantResponse());
  EXPECT_EQ(Run("grant revoke k grant-1 --output json").json()["grant_id"], "grant-1");
  EXPECT_EQ(seen.key_id(), "k");
  EXPECT_EQ(seen.grant_id(), "grant-1");
}

// --- Grant tokens and dry runs ---

// Every command that takes --grant-token-file and --dry-run, and its RPC.
std::vector<std::pair<std::string, std::string>> TriedCommands() {
  std::vector<std::pair<std::string, std::string>> commands = {
      {"data-key generate-without-plaintext --key-id k",
       absl::StrCat(kClassic, "GenerateDataKeyWithoutPlaintext")},
  };
  const struct {
    const char* command;
    const char* rpc;
    const char* advance_rpc;
  } all[] = {
      {"data-key generate --key-id k", "GenerateDataKey", "AdvanceGenerateDataKey"},
      {"data-key-pair generate --key-id k --spec EC_P256", "GenerateDataKeyPair",
       "AdvanceGenerateDataKeyPair"},
      {"data-key-pair generate-without-plaintext --key-id k --spec EC_P256",
       "GenerateDataKeyPairWithoutPlaintext", "AdvanceGenerateDataKeyPairWithoutPlaintext"},
      {"encrypt --key-id k --in in", "Encrypt", "AdvanceEncrypt"},
      {"decrypt --key-id k --in in", "Decrypt", "AdvanceDecrypt"},
  };
  for (const auto& [command, rpc, advance_rpc] : all) {
    commands.emplace_back(command, absl::StrCat(kClassic, rpc));
    commands.emplace_back(absl::StrCat(command, " --service instance"),
                          absl::StrCat(kInstance, rpc));
    commands.emplace_back(absl::StrCat(command, " --service instance --advance"),
                          absl::StrCat(kInstance, advance_rpc));
  }
  const std::pair<const char*, const char*> classic_only[] = {
      {"data-key-pair sign --private-key-blob in --in in --algorithm ECDSA_SHA_256",
       "SignWithDataKeyPair"},
      {"data-key-pair decrypt --private-key-blob in --in in --algorithm RSAES_OAEP_SHA_1",
       "DecryptWithDataKeyPair"},
      {"data-key-pair derive --private-key-blob in --public-key-in in", "DeriveSharedSecret"},
  };
  for (const auto& [command, rpc] : classic_only) {
    commands.emplace_back(command, absl::StrCat(kClassic, rpc));
  }
  return commands;
}

grpc::Status DryRunError(grpc::StatusCode code, const std::string& reason, int http_status,
                         const std::string& failed_check, const std::string& token) {
  return ServiceError(code, "not allowed", reason, http_status, "request-1", std::nullopt,
                      {{"failed_check", failed_check}, {"token", token}});
}

grpc::Status WouldWork() {
  return DryRunError(grpc::StatusCode::FAILED_PRECONDITION, "DryRunOperationError", 409, "none",
                     "able");
}

TEST_F(AuthorityCommandTest, DryRunThatWouldWorkEndsWithZeroAndSaysSo) {
  Write("in", "content");
  for (const auto& [line, rpc] : TriedCommands()) {
    server_->Fail(rpc, WouldWork(), 2);
    const Result table = Run(line + " --dry-run");
    EXPECT_EQ(table.exit_code, 0) << line << ": " << table.err;
    EXPECT_EQ(table.out, "Dry run     would work\nToken       able\nRequest id  request-1\n")
        << line;
    EXPECT_THAT(table.err, IsEmpty()) << line;
    EXPECT_EQ(server_->calls().back(), rpc) << line;
    EXPECT_EQ(Run(line + " --dry-run --output json").json(),
              (Json{{"dry_run", "would work"}, {"token", "able"}, {"request_id", "request-1"}}))
        << line;
  }
}

TEST_F(AuthorityCommandTest, DryRunThatWouldNotWorkEndsAsItsKindAndNamesTheCheck) {
  const std::string rpc = absl::StrCat(kClassic, "GenerateDataKey");
  const std::string line = "data-key generate --key-id k --dry-run";
  server_->Fail(rpc,
                DryRunError(grpc::StatusCode::PERMISSION_DENIED, "AccessDeniedError", 403,
                            "permission", "away"),
                1);
  const Result denied = Run(line);
  EXPECT_EQ(denied.exit_code, 5);
  EXPECT_EQ(denied.err,
            "strongroom: AccessDeniedError: not allowed (request id request-1); would "
            "not work: failed check: permission, token: away\n");
  EXPECT_THAT(denied.out, IsEmpty());

  server_->Fail(
      rpc,
      DryRunError(grpc::StatusCode::INVALID_ARGUMENT, "ValidationError", 400, "token", "unable"),
      1);
  const Result invalid = Run(line + " --output json");
  EXPECT_EQ(invalid.exit_code, 3);
  EXPECT_EQ(invalid.error()["reason"], "ValidationError");
  EXPECT_EQ(invalid.error()["failed_check"], "token");
  EXPECT_EQ(invalid.error()["token"], "unable");
}

TEST_F(AuthorityCommandTest, WouldWorkIsNoSuccessOfWhatWasToBeDone) {
  server_->Fail(absl::StrCat(kClassic, "GenerateDataKey"), WouldWork(), 1);
  const Result result = Run("data-key generate --key-id k --reveal-plaintext");
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.out, IsEmpty());
}

TEST_F(AuthorityCommandTest, ErrorOfADryRunThatIsNotAboutItStaysOne) {
  server_->Fail(absl::StrCat(kClassic, "Decrypt"),
                ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "too often",
                             "Rejected.Throttling", 429, "request-1"),
                1);
  Write("in", "content");
  const Result result = Run("decrypt --in in --dry-run");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_THAT(result.err, Not(HasSubstr("would")));
}

TEST_F(AuthorityCommandTest, DryRunWritesNothing) {
  Write("there", "before");
  server_->Fail(absl::StrCat(kClassic, "GenerateDataKey"), WouldWork(), 1);
  const Result result =
      Run("data-key generate --key-id k --dry-run --ciphertext-out new --plaintext-out there");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(Exists("new"));
  EXPECT_EQ(Read("there"), "before");
}

TEST_F(AuthorityCommandTest, ServiceThatKnowsNoDryRunsIsAnErrorAndItsKeyDropped) {
  AnswerDataKey();
  const Result result =
      Run("data-key generate --key-id k --dry-run --reveal-plaintext --ciphertext-out new");
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_THAT(result.err, HasSubstr("no dry runs"));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_FALSE(Exists("new"));
}

TEST_F(AuthorityCommandTest, GrantTokensAreReadFromFilesAndShownNowhere) {
  AnswerDataKey();
  WriteToken("t1");
  WriteToken("t2", "another-token\n");
  const Result classic =
      Run("data-key generate --key-id k --reveal-plaintext --grant-token-file t1 "
          "--grant-token-file t2");
  ASSERT_EQ(classic.exit_code, 0) << classic.err;
  EXPECT_THAT(data_key_request_.grant_tokens(), ElementsAre(kToken, "another-token"));
  EXPECT_FALSE(data_key_request_.dry_run());
  ExpectNoToken(classic);

  Write("in", "content");
  for (const auto& [line, rpc] : TriedCommands()) {
    if (rpc.rfind(kInstance, 0) != 0) continue;
    server_->Fail(rpc, grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no"), 1);
    const Result result = Run(line + " --dry-run --grant-token-file t1");
    EXPECT_EQ(result.exit_code, 5) << line;
    EXPECT_THAT(server_->LastMetadata("x-strongroom-grant-token"), ElementsAre(kToken)) << line;
    EXPECT_THAT(server_->LastMetadata("x-strongroom-dry-run"), ElementsAre("true")) << line;
    ExpectNoToken(result);
  }

  v1::DescribeKeyRequest described;
  Keep("DescribeKey", &described, v1::DescribeKeyResponse());
  ASSERT_EQ(Run("key describe k --grant-token-file t1").exit_code, 0);
  EXPECT_THAT(described.grant_tokens(), ElementsAre(kToken));
}

TEST_F(AuthorityCommandTest, FileThatHoldsNoTokenOrThatOthersReadIsALocalError) {
  Write("in", "content");
  WriteToken("empty", "");
  WriteToken("lines", absl::StrCat(kToken, "\nmore"));
  WriteToken("long", absl::StrCat(kToken, std::string(8192, 'x')));
  WriteToken("binary", absl::StrCat(kToken, std::string("\0\xff", 2)));
  WriteToken("open");
  ASSERT_EQ(chmod("open", 0644), 0);
  for (const char* file : {"empty", "lines", "long", "binary", "open", "missing"}) {
    for (const char* line :
         {"data-key generate --key-id k --reveal-plaintext --grant-token-file ",
          "data-key generate-without-plaintext --key-id k --grant-token-file ",
          "data-key generate --key-id k --service instance --reveal-plaintext --grant-token-file ",
          "data-key-pair generate --key-id k --spec EC_P256 --grant-token-file ",
          "encrypt --key-id k --in in --grant-token-file ",
          "decrypt --in in --reveal-plaintext --grant-token-file ",
          "key describe k --grant-token-file ",
          "grant create k --grantee g --operation o --grant-token-file ",
          "grant retire --token-file "}) {
      const Result result = Run(absl::StrCat(line, file));
      EXPECT_EQ(result.exit_code, 10) << line << file;
      EXPECT_THAT(result.err, HasSubstr(file)) << line;
      ExpectNoToken(result);
    }
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

}  // namespace
}  // namespace strongroom::command
