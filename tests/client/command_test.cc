#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/command/run.h"
#include "client/version.h"
#include "platform/files.h"
#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::command {
namespace {

using ::strongroom::testing::FakeServer;
using ::strongroom::testing::MakeTestDirectory;
using ::strongroom::testing::ServiceError;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;

constexpr char kClassic[] = "strongroom.v1.KmsService/";
constexpr char kInstance[] = "strongroom.v1.KmsInstanceService/";
constexpr char kKeys[] = "strongroom.v1.KeyManagementService/";
constexpr char kSecret[] = "a key that must not be seen here";

using Arguments = std::vector<std::string>;

Arguments Split(const std::string& line) { return absl::StrSplit(line, ' ', absl::SkipEmpty()); }

struct Result {
  int exit_code = 0;
  std::string out;
  std::string err;

  Json json() const { return Json::parse(out, nullptr, /*allow_exceptions=*/false); }
  Json error() const {
    return Json::parse(err, nullptr, /*allow_exceptions=*/false).value("error", Json());
  }
};

// The command against a server in this process, in a directory of the test's own.
class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, MakeTestDirectory());
    ASSERT_EQ(chdir(directory_.c_str()), 0);
    server_ = std::make_unique<FakeServer>("unix:fake.sock");
  }

  Result Run(const Arguments& arguments, const std::string& input = "") {
    Arguments all = {"--address", "unix:fake.sock"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return RunAsIs(all, input);
  }
  Result Run(const std::string& line, const std::string& input = "") {
    return Run(Split(line), input);
  }
  static Result RunAsIs(const Arguments& arguments, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out, err;
    const ExitCode exit_code = command::Run(arguments, in, out, err);
    return {static_cast<int>(exit_code), out.str(), err.str()};
  }

  static void Write(const std::string& path, const std::string& content) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fwrite(content.data(), 1, content.size(), file);
    std::fclose(file);
  }
  static std::string Read(const std::string& path) {
    absl::StatusOr<std::string> content = ReadFile(path);
    return content.ok() ? *content : absl::StrCat("(", content.status().message(), ")");
  }
  static bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }
  static int ModeOf(const std::string& path) {
    struct stat info = {};
    stat(path.c_str(), &info);
    return info.st_mode & 07777;
  }

  // GenerateDataKey of the classic service answers with kSecret.
  void AnswerDataKey() {
    server_->On<v1::GenerateDataKeyRequest, v1::GenerateDataKeyResponse>(
        absl::StrCat(kClassic, "GenerateDataKey"), [this](const auto& request, auto* response) {
          data_key_request_ = request;
          response->set_key_id("key-1");
          response->set_key_version_id("version-1");
          response->set_plaintext(kSecret);
          response->set_ciphertext_blob("blob");
          response->set_request_id("request-1");
          return grpc::Status::OK;
        });
  }

  // AdvanceGenerateDataKeyPair answers with kSecret as the private key.
  void AnswerPair(const std::string& public_key) {
    server_->On<instance::v1::AdvanceGenerateDataKeyPairRequest,
                instance::v1::AdvanceGenerateDataKeyPairResponse>(
        absl::StrCat(kInstance, "AdvanceGenerateDataKeyPair"),
        [public_key](const auto& request, auto* response) {
          response->set_keyid("key-1");
          response->set_keyversionid("version-1");
          response->set_keypairspec(request.keypairspec());
          response->set_iv("0123456789ab");
          response->set_algorithm("AES_GCM");
          response->set_publickey(public_key);
          response->set_privatekeyplaintext(kSecret);
          response->set_privatekeyciphertextblob("blob");
          response->set_requestid("request-1");
          return grpc::Status::OK;
        });
  }

  std::string directory_;
  std::unique_ptr<FakeServer> server_;
  v1::GenerateDataKeyRequest data_key_request_;
};

TEST_F(CommandTest, EveryRpcHasACommand) {
  Write("in", "content");
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
      {"health", "grpc.health.v1.Health/Check"},
  };
  for (const auto& [line, rpc] : cases) {
    const Result result = Run(line + " --output json");
    // The empty answer to a health check says UNKNOWN.
    EXPECT_EQ(result.exit_code, line == "health" ? 8 : 0) << line << ": " << result.err;
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

// --- Output ---

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
                                  {"create_time", "2023-11-14T22:13:20Z"},
                                  {"initial_key_version_id", ""},
                                  {"primary_key_version_id", ""},
                                  {"description", ""}}));
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
                           "encrypt",
                           "decrypt",
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
