#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/version.h"
#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/command_fixture.h"

namespace strongroom::command {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;

TEST_F(CommandTest, EveryRpcHasACommand) {
  Write("in", "content");
  Write("policy", "{}");
  ASSERT_EQ(mkdir("trail", 0700), 0);
  Write("trail/audit-00000000000000000001.jsonl", "");
  const std::string instance = " --service instance";
  const std::string advance = " --service instance --advance";
  const std::pair<std::string, std::string> cases[] = {
      {"key create --description d", absl::StrCat(kKeys, "CreateKey")},
      {"key describe k", absl::StrCat(kKeys, "DescribeKey")},
      {"key list", absl::StrCat(kKeys, "ListKeys")},
      {"key rotate k", absl::StrCat(kKeys, "CreateKeyVersion")},
      {"key versions k", absl::StrCat(kKeys, "ListKeyVersions")},
      {"key enable k", absl::StrCat(kKeys, "EnableKey")},
      {"key disable k", absl::StrCat(kKeys, "DisableKey")},
      {"key update k --description d", absl::StrCat(kKeys, "UpdateKeyDescription")},
      {"key tag k --tag a=1", absl::StrCat(kKeys, "TagKey")},
      {"key untag k --tag a", absl::StrCat(kKeys, "UntagKey")},
      {"key rotation k --off", absl::StrCat(kKeys, "UpdateRotationPolicy")},
      {"key delete k", absl::StrCat(kKeys, "ScheduleKeyDeletion")},
      {"key cancel-deletion k", absl::StrCat(kKeys, "CancelKeyDeletion")},
      {"key import-parameters k --public-key-out p --token-out t",
       absl::StrCat(kKeys, "GetParametersForImport")},
      {"key import k --token in --in in", absl::StrCat(kKeys, "ImportKeyMaterial")},
      {"key delete-material k", absl::StrCat(kKeys, "DeleteImportedKeyMaterial")},
      {"data-key-pair sign --private-key-blob in --in in --algorithm ECDSA_SHA_256",
       absl::StrCat(kClassic, "SignWithDataKeyPair")},
      {"data-key-pair decrypt --private-key-blob in --in in --algorithm RSAES_OAEP_SHA_256 "
       "--reveal-plaintext",
       absl::StrCat(kClassic, "DecryptWithDataKeyPair")},
      {"data-key-pair derive --private-key-blob in --public-key-in in --reveal-plaintext",
       absl::StrCat(kClassic, "DeriveSharedSecret")},
      {"alias create alias/a --key-id k", absl::StrCat(kKeys, "CreateAlias")},
      {"alias update alias/a --key-id k", absl::StrCat(kKeys, "UpdateAlias")},
      {"alias delete alias/a", absl::StrCat(kKeys, "DeleteAlias")},
      {"alias list", absl::StrCat(kKeys, "ListAliases")},
      {"data-key generate --key-id k --reveal-plaintext",
       absl::StrCat(kClassic, "GenerateDataKey")},
      {"data-key generate --key-id k --reveal-plaintext" + instance,
       absl::StrCat(kInstance, "GenerateDataKey")},
      {"data-key generate --key-id k --reveal-plaintext" + advance,
       absl::StrCat(kInstance, "AdvanceGenerateDataKey")},
      {"data-key generate-without-plaintext --key-id k",
       absl::StrCat(kClassic, "GenerateDataKeyWithoutPlaintext")},
      {"data-key batch --key-id k --count 1 --without-plaintext --ciphertext-out-dir trail",
       absl::StrCat(kClassic, "BatchGenerateDataKey")},
      {"data-key-pair generate --key-id k --spec EC_P256",
       absl::StrCat(kClassic, "GenerateDataKeyPair")},
      {"data-key-pair generate --key-id k --spec EC_P256 --reveal-plaintext" + instance,
       absl::StrCat(kInstance, "GenerateDataKeyPair")},
      {"data-key-pair generate --key-id k --spec EC_P256 --reveal-plaintext" + advance,
       absl::StrCat(kInstance, "AdvanceGenerateDataKeyPair")},
      {"data-key-pair generate-without-plaintext --key-id k --spec EC_P256",
       absl::StrCat(kClassic, "GenerateDataKeyPairWithoutPlaintext")},
      {"data-key-pair generate-without-plaintext --key-id k --spec EC_P256" + instance,
       absl::StrCat(kInstance, "GenerateDataKeyPairWithoutPlaintext")},
      {"data-key-pair generate-without-plaintext --key-id k --spec EC_P256" + advance,
       absl::StrCat(kInstance, "AdvanceGenerateDataKeyPairWithoutPlaintext")},
      {"encrypt --key-id k --in in", absl::StrCat(kClassic, "Encrypt")},
      {"encrypt --key-id k --in in" + instance, absl::StrCat(kInstance, "Encrypt")},
      {"encrypt --key-id k --in in" + advance, absl::StrCat(kInstance, "AdvanceEncrypt")},
      {"decrypt --in in --reveal-plaintext", absl::StrCat(kClassic, "Decrypt")},
      {"decrypt --in in --reveal-plaintext --key-id k" + instance,
       absl::StrCat(kInstance, "Decrypt")},
      {"decrypt --in in --reveal-plaintext" + advance, absl::StrCat(kInstance, "AdvanceDecrypt")},
      {"random --bytes 3 --reveal-plaintext", absl::StrCat(kClassic, "GenerateRandom")},
      {"random --bytes 3 --reveal-plaintext" + instance, absl::StrCat(kInstance, "GenerateRandom")},
      {"key policy get k", absl::StrCat(kKeys, "GetKeyPolicy")},
      {"key policy put k --file policy", absl::StrCat(kKeys, "PutKeyPolicy")},
      {"grant create k --grantee g --operation Decrypt", absl::StrCat(kKeys, "CreateGrant")},
      {"grant list k", absl::StrCat(kKeys, "ListGrants")},
      {"grant retire k g", absl::StrCat(kKeys, "RetireGrant")},
      {"grant revoke k g", absl::StrCat(kKeys, "RevokeGrant")},
      {"audit verify trail", "strongroom.v1.AuditService/VerifyAuditSeals"},
      {"health", "grpc.health.v1.Health/Check"},
  };
  for (const auto& [line, rpc] : cases) {
    const Result result = Run(line + " --output json");
    // The empty answer to a health check says UNKNOWN.
    // And the one to a batch has no keys.
    const int expected = line == "health" ? 8 : absl::StartsWith(line, "data-key batch") ? 11 : 0;
    EXPECT_EQ(result.exit_code, expected) << line << ": " << result.err;
    EXPECT_EQ(server_->calls().back(), rpc) << line;
    EXPECT_TRUE(result.json().is_object()) << line << ": " << result.out;
  }
}

// --- Key bytes in the clear ---

TEST_F(CommandTest, PlaintextWithoutADestinationIsRefusedBeforeAnythingIsSent) {
  Write("in", "content");
  for (const char* line :
       {"data-key generate --key-id k", "data-key generate --key-id k --service instance",
        "data-key-pair generate --key-id k --spec EC_P256 --service instance --advance",
        "decrypt --in in", "random --bytes 3"}) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_THAT(result.err, AllOf(HasSubstr("--plaintext-out"), HasSubstr("--reveal-plaintext")))
        << line;
    EXPECT_THAT(result.out, IsEmpty()) << line;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(CommandTest, PlaintextGoesToAFileForItsOwnerOnly) {
  AnswerDataKey();
  // As if the process had no mask of its own.
  const mode_t mask = umask(0);
  for (const char* format : {"table", "json"}) {
    const Result result =
        Run(absl::StrCat("data-key generate --key-id k --plaintext-out ", format,
                         ".key --ciphertext-out ", format, ".blob --output ", format));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(Read(absl::StrCat(format, ".key")), kSecret);
    EXPECT_EQ(ModeOf(absl::StrCat(format, ".key")), 0600);
    EXPECT_EQ(Read(absl::StrCat(format, ".blob")), "blob");
    EXPECT_EQ(ModeOf(absl::StrCat(format, ".blob")), 0600);
    EXPECT_THAT(result.out, Not(HasSubstr(kSecret)));
    EXPECT_THAT(result.out, Not(HasSubstr(absl::Base64Escape(kSecret))));
  }
  umask(mask);
}

TEST_F(CommandTest, PlaintextIsShownInBase64WhenAskedFor) {
  AnswerDataKey();
  const Result json = Run("data-key generate --key-id k --reveal-plaintext --output json");
  EXPECT_EQ(json.json()["plaintext"], absl::Base64Escape(kSecret)) << json.out;
  const Result table = Run("data-key generate --key-id k --reveal-plaintext");
  EXPECT_THAT(table.out, HasSubstr(absl::Base64Escape(kSecret)));
}

TEST_F(CommandTest, FileThatExistsIsNotReplacedAndNothingIsSent) {
  AnswerDataKey();
  for (const char* flag : {"--plaintext-out", "--ciphertext-out"}) {
    Write("there", "before");
    const Result result =
        Run(absl::StrCat("data-key generate --key-id k --reveal-plaintext ", flag, " there"));
    EXPECT_EQ(result.exit_code, 10);
    EXPECT_THAT(result.err, AllOf(HasSubstr("there"), HasSubstr("--force")));
    EXPECT_EQ(Read("there"), "before");
  }
  EXPECT_THAT(server_->calls(), IsEmpty());

  const Result forced = Run("data-key generate --key-id k --plaintext-out there --force");
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_EQ(Read("there"), kSecret);
  EXPECT_EQ(ModeOf("there"), 0600);
}

TEST_F(CommandTest, FileThatComesUpDuringTheCallIsNotReplacedAndNothingIsLeft) {
  server_->On<v1::GenerateDataKeyRequest, v1::GenerateDataKeyResponse>(
      absl::StrCat(kClassic, "GenerateDataKey"), [](const auto&, auto* response) {
        Write("k.key", "somebody else's");
        response->set_plaintext(kSecret);
        return grpc::Status::OK;
      });
  const Result result =
      Run("data-key generate --key-id k --plaintext-out k.key --ciphertext-out k.blob");
  EXPECT_EQ(result.exit_code, 10);
  EXPECT_EQ(Read("k.key"), "somebody else's");
  EXPECT_FALSE(Exists("k.blob"));
}

TEST_F(CommandTest, SymbolicLinkIsNotFollowed) {
  AnswerDataKey();
  Write("target", "before");
  ASSERT_EQ(symlink("target", "link"), 0);
  ASSERT_EQ(symlink("nowhere", "dangling"), 0);
  EXPECT_EQ(Run("data-key generate --key-id k --plaintext-out link").exit_code, 10);
  EXPECT_EQ(Run("data-key generate --key-id k --plaintext-out dangling").exit_code, 10);
  EXPECT_FALSE(Exists("nowhere"));
  EXPECT_EQ(Run("data-key generate --key-id k --plaintext-out link --force").exit_code, 0);
  EXPECT_EQ(Read("target"), "before");
}

TEST_F(CommandTest, OnlyRegularFilesAreReplaced) {
  ASSERT_EQ(mkfifo("pipe", 0600), 0);
  ASSERT_EQ(mkdir("folder", 0700), 0);
  for (const char* path : {"pipe", "folder", "folder/", "missing/k.key"}) {
    const Result result =
        Run(absl::StrCat("data-key generate --key-id k --force --plaintext-out ", path));
    EXPECT_EQ(result.exit_code, 10) << path;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(CommandTest, OneFileForTwoResultsIsRefused) {
  const Result result =
      Run("data-key generate --key-id k --force --plaintext-out ./k --ciphertext-out k");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(CommandTest, DestinationForPlaintextThatDoesNotComeIsRefused) {
  for (const char* line : {"data-key-pair generate --key-id k --spec EC_P256 --plaintext-out k.key",
                           "data-key-pair generate --key-id k --spec EC_P256 --reveal-plaintext"}) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_THAT(result.err, HasSubstr("decrypt")) << line;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

// --- Input ---

TEST_F(CommandTest, ContextIsSplitAtTheFirstEqualsSign) {
  AnswerDataKey();
  const Result result = Run({"data-key", "generate", "--key-id", "k", "--context", "a=1=2",
                             "--context", "b=", "--context", "c d=[e,f]", "--bytes", "-1",
                             "--key-spec", "AES_128", "--reveal-plaintext"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(data_key_request_.encryption_context().size(), 3u);
  EXPECT_EQ(data_key_request_.encryption_context().at("a"), "1=2");
  EXPECT_EQ(data_key_request_.encryption_context().at("b"), "");
  EXPECT_EQ(data_key_request_.encryption_context().at("c d"), "[e,f]");
  // The service says what is wrong with it.
  EXPECT_EQ(data_key_request_.number_of_bytes(), -1);
  EXPECT_EQ(data_key_request_.key_spec(), v1::DATA_KEY_SPEC_AES_128);
}

TEST_F(CommandTest, EncryptSealsAFileOrStandardInputByteForByte) {
  const std::string bytes("\0\n\xff text\r\n\n", 11);
  std::string seen;
  server_->On<v1::EncryptRequest, v1::EncryptResponse>(absl::StrCat(kClassic, "Encrypt"),
                                                       [&](const auto& request, auto* response) {
                                                         seen = request.plaintext();
                                                         response->set_ciphertext_blob("blob");
                                                         return grpc::Status::OK;
                                                       });
  Write("in", bytes);
  ASSERT_EQ(Run("encrypt --key-id k --in in").exit_code, 0);
  EXPECT_EQ(seen, bytes);
  ASSERT_EQ(Run("encrypt --key-id k --in - --ciphertext-out out", bytes + "!").exit_code, 0);
  EXPECT_EQ(seen, bytes + "!");
  EXPECT_EQ(Read("out"), "blob");
}

TEST_F(CommandTest, DecryptSendsBlobAadAndIv) {
  instance::v1::AdvanceDecryptRequest seen;
  server_->On<instance::v1::AdvanceDecryptRequest, instance::v1::AdvanceDecryptResponse>(
      absl::StrCat(kInstance, "AdvanceDecrypt"), [&](const auto& request, auto* response) {
        seen = request;
        response->set_keyid("key-1");
        response->set_keyversionid("version-1");
        response->set_plaintext(kSecret);
        return grpc::Status::OK;
      });
  Write("blob", std::string("b\0lob\n", 6));
  Write("aad", std::string("a\0ad\n", 5));
  const Result result =
      Run("decrypt --service instance --advance --in blob --aad-file aad --iv-hex 00FF0a "
          "--algorithm AES_GCM --plaintext-out out --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(seen.ciphertextblob(), std::string("b\0lob\n", 6));
  EXPECT_EQ(seen.aad(), std::string("a\0ad\n", 5));
  EXPECT_EQ(seen.iv(), std::string("\0\xff\x0a", 3));
  EXPECT_EQ(seen.algorithm(), "AES_GCM");
  EXPECT_EQ(Read("out"), kSecret);
  EXPECT_EQ(result.json()["plaintext_bytes"], 32);
  EXPECT_EQ(result.json()["key_version_id"], "version-1");
}

TEST_F(CommandTest, InputThatCannotBeReadIsALocalError) {
  Write("large", std::string(70000, 'x'));
  for (const char* line : {"encrypt --key-id k --in missing", "encrypt --key-id k --in large",
                           "encrypt --key-id k --in .", "decrypt --reveal-plaintext --in missing",
                           "decrypt --reveal-plaintext --in large --aad-file missing"}) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 10) << line << ": " << result.err;
  }
  EXPECT_EQ(Run("encrypt --key-id k --in -", std::string(70000, 'x')).exit_code, 10);
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(CommandTest, WrongCommandLineIsRefusedBeforeAnythingIsSent) {
  Write("in", "content");
  const std::string generate = "data-key generate --key-id k --reveal-plaintext ";
  const std::string pair = "data-key-pair generate --key-id k ";
  const std::pair<std::string, std::string> cases[] = {
      {"", "--help"},
      {"key", "strongroom key --help"},
      {"key lst", "lst"},
      {"key list --bogus", "--bogus"},
      {"key describe", "KEY"},
      {"key policy", "strongroom key policy --help"},
      {"key policy put k", "--file"},
      {"grant create k --operation Decrypt", "--grantee"},
      {"grant create k --grantee g", "--operation"},
      {"grant create k --grantee g --operation o --context-equals a", "--context-equals takes"},
      {"grant create k --grantee g --operation o --context-subset =a", "--context-subset takes"},
      {"grant create k --grantee g --operation o --expires soon", "24h"},
      {"grant create k --grantee g --operation o --expires 0s", "24h"},
      {"grant create k --grantee g --operation o --expires inf", "24h"},
      {"grant create k --grantee g --operation o --expires infinite-future", "24h"},
      {"grant create k --grantee g --operation o --expires 2030-01-31", "24h"},
      {"grant retire", "--token-file"},
      {"grant retire k", "GRANT_ID"},
      {"grant retire k g --token-file f", "GRANT_ID"},
      {"grant revoke k", "GRANT_ID"},
      {"audit verify", "DIRECTORY"},
      {"audit verify d --first-record 0", "from 1"},
      {"random --bytes 3 --reveal-plaintext --dry-run", "--dry-run"},
      {"key list --output xml", "table or json"},
      {"key list --timeout soon", "500ms"},
      {"key list --timeout -1s", "500ms"},
      {"key list --page-size many", "--page-size"},
      {"alias create alias/a", "--key-id"},
      {"data-key generate --reveal-plaintext", "--key-id"},
      {generate + "--service cloud", "classic or instance"},
      {generate + "--advance", "--service instance"},
      {generate + "--bytes many", "--bytes"},
      {generate + "--key-spec aes_256", "AES_256, AES_128"},
      {generate + "--context a", "KEY=VALUE"},
      {generate + "--context =a", "KEY=VALUE"},
      {generate + "--context a=1 --context a=2", "twice"},
      {generate + "--aad x", "--service instance"},
      {generate + "--algorithm AES_GCM", "--service instance"},
      {generate + "--service instance --context a=1", "--service classic"},
      {generate + "--service instance --key-spec AES_128", "--service classic"},
      {generate + "--service instance --advance --algorithm AES_GCM", "--advance"},
      {generate + "--service instance --aad x --aad-file in", "not both"},
      {"data-key generate-without-plaintext --key-id k --service instance", "instance"},
      {"data-key generate-without-plaintext --key-id k --plaintext-out f", "--plaintext-out"},
      {pair, "--spec"},
      {pair + "--spec ec_p256", "EC_P256, EC_P384, EC_P521, EC_P256K, ECC_NIST_P256"},
      {pair + "--spec EC_P256 --format pem", "PEM, DER"},
      {"encrypt --key-id k", "--in"},
      {"encrypt --key-id k --in in --aad x", "--service instance"},
      {"decrypt --in in --reveal-plaintext --iv-hex 00", "--service instance"},
      {"decrypt --in in --reveal-plaintext --service instance --iv-hex 0", "hexadecimal"},
      {"decrypt --in in --reveal-plaintext --service instance --iv-hex 0g", "hexadecimal"},
      {"random --reveal-plaintext", "--bytes"},
  };
  for (const auto& [line, hint] : cases) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("strongroom: UsageError: "), HasSubstr(hint))) << line;
    EXPECT_THAT(result.out, IsEmpty()) << line;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

// --- The program ---

// Runs //client:strongroom, with standard error in the output.
Result RunProgram(const std::string& arguments) {
  const std::string program =
      absl::StrCat(std::getenv("TEST_SRCDIR"), "/", std::getenv("TEST_WORKSPACE"),
                   "/client/strongroom ", arguments, " 2>&1");
  Result result;
  std::FILE* output = popen(program.c_str(), "r");
  char buffer[4096];
  size_t size = 0;
  while ((size = std::fread(buffer, 1, sizeof(buffer), output)) > 0)
    result.out.append(buffer, size);
  const int status = pclose(output);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

TEST_F(CommandTest, ProgramSaysItsVersion) {
  const Result result = RunProgram("--version");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, absl::StrCat("strongroom ", kVersion, "\n"));
}

TEST_F(CommandTest, ProgramPrintsOneErrorAndNoLog) {
  const Result result = RunProgram("key list --address unix:nobody.sock --output json");
  EXPECT_EQ(result.exit_code, 8);
  EXPECT_TRUE(Json::parse(result.out, nullptr, false).contains("error")) << result.out;
}

TEST_F(CommandTest, ProgramReachesTheServer) {
  AnswerDataKey();
  const Result result = RunProgram(
      "data-key generate --address unix:fake.sock --key-id k --plaintext-out k.key --output json");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.json()["key_id"], "key-1") << result.out;
  EXPECT_EQ(Read("k.key"), kSecret);
}

}  // namespace
}  // namespace strongroom::command
