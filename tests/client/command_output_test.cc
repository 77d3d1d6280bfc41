// What the command prints, and how it ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/command/run.h"
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
using Json = nlohmann::json;

TEST_F(CommandTest, DataKeyAsJson) {
  AnswerDataKey();
  const Result result = Run(
      "data-key generate --key-id k --plaintext-out k.key --ciphertext-out k.blob --output json");
  EXPECT_EQ(result.json(), (Json{{"key_id", "key-1"},
                                 {"key_version_id", "version-1"},
                                 {"ciphertext_blob", absl::Base64Escape("blob")},
                                 {"ciphertext_file", "k.blob"},
                                 {"ciphertext_bytes", 4},
                                 {"plaintext_bytes", 32},
                                 {"plaintext_file", "k.key"},
                                 {"request_id", "request-1"}}))
      << result.out;
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(CommandTest, PairAsJson) {
  AnswerPair("public");
  const Result result =
      Run("data-key-pair generate --key-id k --spec ECC_NIST_P256 --service instance --advance "
          "--private-key-out k.key --public-key-out k.pub --output json");
  EXPECT_EQ(result.json(), (Json{{"key_id", "key-1"},
                                 {"key_version_id", "version-1"},
                                 {"key_pair_spec", "ECC_NIST_P256"},
                                 {"key_format", "DER"},
                                 {"algorithm", "AES_GCM"},
                                 {"iv", absl::Base64Escape("0123456789ab")},
                                 {"ciphertext_blob", absl::Base64Escape("blob")},
                                 {"ciphertext_bytes", 4},
                                 {"public_key", absl::Base64Escape("public")},
                                 {"public_key_file", "k.pub"},
                                 {"plaintext_bytes", 32},
                                 {"plaintext_file", "k.key"},
                                 {"request_id", "request-1"}}))
      << result.out;
  EXPECT_EQ(Read("k.pub"), "public");
  EXPECT_EQ(Read("k.key"), kSecret);
}

TEST_F(CommandTest, PemIsShownToPeopleAsItIs) {
  const std::string pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
  AnswerPair(pem);
  const Result result = Run(
      "data-key-pair generate --key-id k --spec EC_P256 --format PEM --service instance --advance "
      "--private-key-out k.key");
  EXPECT_THAT(result.out, HasSubstr(pem));
}

TEST_F(CommandTest, ListGetsAllPages) {
  server_->On<v1::ListKeysRequest, v1::ListKeysResponse>(
      absl::StrCat(kKeys, "ListKeys"), [](const auto& request, auto* response) {
        const int page = request.page_token().empty() ? 1 : std::stoi(request.page_token());
        v1::Key& key = *response->add_keys();
        key.set_key_id(absl::StrCat("key-", page));
        key.set_state(page == 2 ? v1::KEY_STATE_DISABLED : v1::KEY_STATE_ENABLED);
        key.mutable_create_time()->set_seconds(1700000000);
        if (page < 3) response->set_next_page_token(absl::StrCat(page + 1));
        response->set_request_id(absl::StrCat("request-", page));
        return grpc::Status::OK;
      });
  const Json all = Run("key list --output json").json();
  ASSERT_EQ(all["keys"].size(), 3u);
  EXPECT_EQ(all["keys"][1], (Json{{"key_id", "key-2"},
                                  {"state", "DISABLED"},
                                  {"origin", "TOKEN"},
                                  {"create_time", "2023-11-14T22:13:20Z"},
                                  {"initial_key_version_id", ""},
                                  {"primary_key_version_id", ""},
                                  {"description", ""},
                                  {"tags", Json::object()},
                                  {"rotation_period_days", 0},
                                  {"primary_uses_left", 0},
                                  {"initial_uses_left", 0}}));
  EXPECT_FALSE(all.contains("next_page_token"));
  EXPECT_EQ(all["request_id"], "request-3");

  const Json one = Run("key list --page-token 2 --output json").json();
  EXPECT_EQ(one["keys"].size(), 1u);
  EXPECT_EQ(one["next_page_token"], "3");
  EXPECT_EQ(Run("key list --page-size 1 --output json").json()["keys"].size(), 1u);
  EXPECT_THAT(Run("key list --page-size 1").out, HasSubstr("Next page token  2"));
}

TEST_F(CommandTest, SamePageTwiceEndsTheList) {
  server_->On<v1::ListKeysRequest, v1::ListKeysResponse>(absl::StrCat(kKeys, "ListKeys"),
                                                         [](const auto&, auto* response) {
                                                           response->set_next_page_token("again");
                                                           return grpc::Status::OK;
                                                         });
  EXPECT_EQ(Run("key list").exit_code, 9);
}

TEST_F(CommandTest, TableIsAlignedAndCannotSteerATerminal) {
  server_->On<v1::ListAliasesRequest, v1::ListAliasesResponse>(
      absl::StrCat(kKeys, "ListAliases"), [](const auto&, auto* response) {
        response->add_aliases()->set_alias_name("alias/a");
        response->add_aliases()->set_alias_name("alias/\x1b[2J\xc2\x9b\n\xc3\xa9");
        for (auto& alias : *response->mutable_aliases()) alias.set_key_id("key-1");
        return grpc::Status::OK;
      });
  const Result table = Run("alias list");
  std::vector<std::string> lines = absl::StrSplit(table.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u) << table.out;
  EXPECT_THAT(lines[0], HasSubstr("ALIAS NAME"));
  EXPECT_THAT(lines[2], HasSubstr("alias/\\x1b[2J\\u009b\\x0a\xc3\xa9  key-1"));
  EXPECT_EQ(lines[0].find("KEY ID"), lines[1].find("key-1"));
  // One character of two bytes before the column.
  EXPECT_EQ(lines[0].find("KEY ID") + 1, lines[2].find("key-1"));
  EXPECT_THAT(Run("key list").out, HasSubstr("none"));
}

TEST_F(CommandTest, TextThatIsNoUtf8StillGivesJson) {
  server_->On<v1::GenerateDataKeyRequest, v1::GenerateDataKeyResponse>(
      absl::StrCat(kClassic, "GenerateDataKey"),
      [](const auto&, auto*) { return grpc::Status(grpc::StatusCode::INTERNAL, "\xff\xfe"); });
  const Result result = Run("data-key generate --key-id k --reveal-plaintext --output json");
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_EQ(result.error()["code"], "INTERNAL") << result.err;
}

TEST_F(CommandTest, ExitCodeFollowsTheStatus) {
  const std::pair<grpc::StatusCode, int> cases[] = {
      {grpc::StatusCode::INVALID_ARGUMENT, 3},
      {grpc::StatusCode::UNIMPLEMENTED, 3},
      {grpc::StatusCode::OUT_OF_RANGE, 3},
      {grpc::StatusCode::NOT_FOUND, 4},
      {grpc::StatusCode::PERMISSION_DENIED, 5},
      {grpc::StatusCode::UNAUTHENTICATED, 5},
      {grpc::StatusCode::FAILED_PRECONDITION, 6},
      {grpc::StatusCode::ALREADY_EXISTS, 6},
      {grpc::StatusCode::ABORTED, 6},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, 7},
      {grpc::StatusCode::UNAVAILABLE, 8},
      {grpc::StatusCode::DEADLINE_EXCEEDED, 8},
      {grpc::StatusCode::CANCELLED, 8},
      {grpc::StatusCode::INTERNAL, 9},
      {grpc::StatusCode::UNKNOWN, 9},
      {grpc::StatusCode::DATA_LOSS, 9},
  };
  for (const auto& [code, exit_code] : cases) {
    server_->Fail(absl::StrCat(kKeys, "CreateKey"), grpc::Status(code, "no"), 1);
    EXPECT_EQ(Run("key create").exit_code, exit_code) << code;
  }
}

TEST_F(CommandTest, ErrorAsTextAndAsJson) {
  const grpc::Status status =
      ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "one pair\x1b at a time",
                   "Rejected.Throttling", 429, "request-1", absl::Milliseconds(1500));
  server_->Fail(absl::StrCat(kClassic, "GenerateDataKeyPair"), status, 2);
  const std::string line = "data-key-pair generate --key-id k --spec RSA_4096";
  const Result text = Run(line);
  EXPECT_EQ(text.exit_code, 7);
  EXPECT_EQ(text.err,
            "strongroom: Rejected.Throttling: one pair\\x1b at a time (request id request-1); try "
            "again in 1.5s\n");
  EXPECT_THAT(text.out, IsEmpty());
  const Result json = Run(line + " --output json");
  EXPECT_EQ(json.exit_code, 7);
  EXPECT_EQ(json.error(), (Json{{"reason", "Rejected.Throttling"},
                                {"message", "one pair\x1b at a time"},
                                {"code", "RESOURCE_EXHAUSTED"},
                                {"http_status", 429},
                                {"request_id", "request-1"},
                                {"retry_delay_seconds", 1.5}}))
      << json.err;
  EXPECT_THAT(json.out, IsEmpty());
}

TEST_F(CommandTest, UsageAndLocalErrorsAreJsonToo) {
  const Result usage = Run("--output json key lst");
  EXPECT_EQ(usage.exit_code, 2);
  EXPECT_EQ(usage.error()["reason"], "UsageError") << usage.err;
  const Result local = Run("encrypt --output=json --key-id k --in missing");
  EXPECT_EQ(local.exit_code, 10);
  EXPECT_EQ(local.error()["reason"], "LocalError") << local.err;
  EXPECT_THAT(local.error()["message"].get<std::string>(), HasSubstr("missing"));
}

TEST_F(CommandTest, HealthIsItsExitCode) {
  // The message's one field, by hand.
  struct Raw {
    bool ParseFromString(const std::string&) { return true; }
    void SerializeToString(std::string* bytes) const { *bytes = {8, status}; }
    char status = 0;
  };
  const std::pair<char, int> cases[] = {{1, 0}, {2, 8}, {3, 8}};
  for (const auto& [status, exit_code] : cases) {
    server_->On<Raw, Raw>("grpc.health.v1.Health/Check",
                          [status = status](const Raw&, Raw* response) {
                            response->status = status;
                            return grpc::Status::OK;
                          });
    EXPECT_EQ(Run("health").exit_code, exit_code);
  }
  EXPECT_EQ(RunAsIs(Split("health --address unix:nobody.sock")).exit_code, 8);
}

TEST_F(CommandTest, StandardOutputThatCannotBeWrittenIsALocalError) {
  std::istringstream in;
  std::ostringstream out, err;
  out.setstate(std::ios::badbit);
  EXPECT_EQ(command::Run(Split("--address unix:fake.sock key list"), in, out, err),
            ExitCode::kLocal);
  EXPECT_THAT(err.str(), HasSubstr("standard output"));
}

TEST_F(CommandTest, AddressThatCannotBeUsedIsAUsageError) {
  const Result remote = RunAsIs(Split("health --address kms.example:7443"));
  EXPECT_EQ(remote.exit_code, 2);
  EXPECT_THAT(remote.err, HasSubstr("TLS"));
  const Result loopback = RunAsIs(Split("health --address 127.0.0.1:1"));
  EXPECT_EQ(loopback.exit_code, 2);
  EXPECT_THAT(loopback.err, HasSubstr("--allow-plaintext-loopback"));
  const Result nonsense = RunAsIs(Split("health --address nonsense"));
  EXPECT_EQ(nonsense.exit_code, 2);
  EXPECT_THAT(nonsense.err, HasSubstr("HOST:PORT"));
  EXPECT_EQ(RunAsIs(Split("health --address kms.example:1 --tls-ca missing.pem")).exit_code, 10);
}

TEST_F(CommandTest, AddressIsTakenFromTheEnvironment) {
  setenv("STRONGROOM_ADDRESS", "unix:fake.sock", 1);
  EXPECT_EQ(RunAsIs({"key", "list"}).exit_code, 0);
  unsetenv("STRONGROOM_ADDRESS");
  EXPECT_THAT(server_->calls(), ElementsAre(absl::StrCat(kKeys, "ListKeys")));
}

TEST_F(CommandTest, HelpHasExamplesAtEveryLevel) {
  for (const char* line : {"",
                           "key",
                           "key create",
                           "key describe",
                           "key list",
                           "key rotate",
                           "key versions",
                           "key enable",
                           "key disable",
                           "key update",
                           "key tag",
                           "key untag",
                           "key rotation",
                           "key delete",
                           "key cancel-deletion",
                           "key undelete",
                           "key import-parameters",
                           "key import",
                           "key delete-material",
                           "key policy",
                           "key policy get",
                           "key policy put",
                           "grant",
                           "grant create",
                           "grant list",
                           "grant retire",
                           "grant revoke",
                           "audit",
                           "audit verify",
                           "alias",
                           "alias create",
                           "alias update",
                           "alias delete",
                           "alias list",
                           "data-key",
                           "data-key generate",
                           "data-key generate-without-plaintext",
                           "data-key-pair",
                           "data-key-pair generate",
                           "data-key-pair generate-without-plaintext",
                           "data-key-pair sign",
                           "data-key-pair decrypt",
                           "data-key-pair derive",
                           "encrypt",
                           "decrypt",
                           "reencrypt",
                           "random",
                           "health"}) {
    const Result result = RunAsIs(Split(absl::StrCat(line, " --help")));
    EXPECT_EQ(result.exit_code, 0) << line;
    EXPECT_THAT(result.out, AllOf(HasSubstr("Usage: "), HasSubstr("Examples:\n  strongroom ")))
        << line;
    EXPECT_THAT(result.err, IsEmpty()) << line;
  }
  const Result help = RunAsIs({"--help"});
  EXPECT_THAT(help.out, HasSubstr("Exit codes:"));
}

}  // namespace
}  // namespace strongroom::command
