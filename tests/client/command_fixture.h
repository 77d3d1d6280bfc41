#ifndef STRONGROOM_TESTS_CLIENT_COMMAND_FIXTURE_H_
#define STRONGROOM_TESTS_CLIENT_COMMAND_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/command/run.h"
#include "platform/files.h"
#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::command {

inline constexpr char kClassic[] = "strongroom.v1.KmsService/";
inline constexpr char kInstance[] = "strongroom.v1.KmsInstanceService/";
inline constexpr char kKeys[] = "strongroom.v1.KeyManagementService/";
inline constexpr char kSecret[] = "a key that must not be seen here";

using Arguments = std::vector<std::string>;

inline Arguments Split(const std::string& line) {
  return absl::StrSplit(line, ' ', absl::SkipEmpty());
}

struct Result {
  int exit_code = 0;
  std::string out;
  std::string err;

  nlohmann::json json() const {
    return nlohmann::json::parse(out, nullptr, /*allow_exceptions=*/false);
  }
  nlohmann::json error() const {
    return nlohmann::json::parse(err, nullptr, /*allow_exceptions=*/false)
        .value("error", nlohmann::json());
  }
};

// The command against a server in this process, in a directory of the test's own.
class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, testing::MakeTestDirectory());
    ASSERT_EQ(chdir(directory_.c_str()), 0);
    server_ = std::make_unique<testing::FakeServer>("unix:fake.sock");
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
  std::unique_ptr<testing::FakeServer> server_;
  v1::GenerateDataKeyRequest data_key_request_;
};

}  // namespace strongroom::command

#endif  // STRONGROOM_TESTS_CLIENT_COMMAND_FIXTURE_H_
