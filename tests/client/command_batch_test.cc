// `strongroom data-key batch`: many data keys in one call, two files each.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/command_fixture.h"
#include "tests/client/fake_server.h"

namespace strongroom::command {
namespace {

using ::strongroom::testing::ServiceError;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::json;

class BatchCommandTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    for (const char* folder : {"blobs", "keys"}) ASSERT_EQ(mkdir(folder, 0700), 0);
    Answer(/*made=*/1000);
  }

  // The server makes so many of what it is asked for.
  void Answer(int made) {
    server_->On<v1::BatchGenerateDataKeyRequest, v1::BatchGenerateDataKeyResponse>(
        absl::StrCat(kClassic, "BatchGenerateDataKey"),
        [this, made](const auto& request, auto* response) {
          request_ = request;
          response->set_key_id("key-1");
          for (int i = 1; i <= request.count(); ++i) {
            v1::BatchDataKeyOutcome& outcome = *response->add_outcomes();
            if (i <= made) {
              outcome.mutable_data_key()->set_key_version_id("version-1");
              outcome.mutable_data_key()->set_ciphertext_blob(absl::StrCat("blob ", i));
              if (!request.without_plaintext()) {
                outcome.mutable_data_key()->set_plaintext(absl::StrCat(kSecret, " ", i));
              }
            } else {
              outcome.mutable_error()->set_reason("Rejected.LimitExceeded");
              outcome.mutable_error()->set_message("no uses left");
            }
          }
          response->set_request_id("request-1");
          return grpc::Status::OK;
        });
  }

  static size_t FilesIn(const std::string& folder) {
    size_t files = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder)) ++files;
    return files;
  }

  v1::BatchGenerateDataKeyRequest request_;
};

TEST_F(BatchCommandTest, EveryKeyHasTwoFilesOfOneNumber) {
  const Result result =
      Run("data-key batch --key-id alias/a --count 12 --bytes 16 --context a=1 "
          "--ciphertext-out-dir blobs --plaintext-out-dir keys");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(FilesIn("blobs"), 12u);
  EXPECT_EQ(FilesIn("keys"), 12u);
  for (const auto& [name, number] : {std::pair{"01", 1}, std::pair{"12", 12}}) {
    EXPECT_EQ(Read(absl::StrCat("blobs/", name, ".blob")), absl::StrCat("blob ", number));
    EXPECT_EQ(Read(absl::StrCat("keys/", name, ".key")), absl::StrCat(kSecret, " ", number));
    EXPECT_EQ(ModeOf(absl::StrCat("keys/", name, ".key")), 0600);
  }
  EXPECT_EQ(result.out,
            "Key id             key-1\n"
            "Key version id     version-1\n"
            "Made               12\n"
            "Failed             0\n"
            "Ciphertext folder  blobs\n"
            "Plaintext folder   keys\n"
            "Request id         request-1\n");
  EXPECT_EQ(request_.key_id(), "alias/a");
  EXPECT_EQ(request_.count(), 12);
  EXPECT_EQ(request_.number_of_bytes(), 16);
  EXPECT_EQ(request_.encryption_context().at("a"), "1");
  EXPECT_FALSE(request_.without_plaintext());
}

TEST_F(BatchCommandTest, WithoutPlaintextThereAreBlobsOnly) {
  const Result result =
      Run("data-key batch --key-id k --count 3 --key-spec AES_128 --without-plaintext "
          "--ciphertext-out-dir blobs --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(request_.without_plaintext());
  EXPECT_EQ(request_.key_spec(), v1::DATA_KEY_SPEC_AES_128);
  EXPECT_EQ(FilesIn("blobs"), 3u);
  EXPECT_EQ(result.json(), (Json{{"key_id", "key-1"},
                                 {"key_version_id", "version-1"},
                                 {"made", 3},
                                 {"failed", 0},
                                 {"ciphertext_folder", "blobs"},
                                 {"request_id", "request-1"}}));
}

TEST_F(BatchCommandTest, WhatFailedIsListedAndTheRestIsKept) {
  Answer(/*made=*/2);
  const std::string line =
      "data-key batch --key-id k --count 5 --ciphertext-out-dir blobs --plaintext-out-dir keys "
      "--force";
  const Result result = Run(line);
  EXPECT_EQ(result.exit_code, 11);
  EXPECT_EQ(FilesIn("blobs"), 2u);
  EXPECT_EQ(FilesIn("keys"), 2u);
  EXPECT_THAT(result.out, AllOf(HasSubstr("FIRST  LAST  REASON                  MESSAGE\n"
                                          "3      5     Rejected.LimitExceeded  no uses left\n"),
                                HasSubstr("Made               2\nFailed             3\n")));
  const Result json = Run(line + " --output json");
  EXPECT_EQ(json.exit_code, 11);
  EXPECT_EQ(json.json()["failures"], (Json::array({{{"first", 3},
                                                    {"last", 5},
                                                    {"reason", "Rejected.LimitExceeded"},
                                                    {"message", "no uses left"}}})));
}

TEST_F(BatchCommandTest, PlaintextIsShownNowhere) {
  for (const char* format : {"table", "json"}) {
    const Result result =
        Run(absl::StrCat("data-key batch --key-id k --count 2 --ciphertext-out-dir blobs "
                         "--plaintext-out-dir keys --force --output ",
                         format));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out + result.err, Not(HasSubstr("must not be seen")));
  }
}

TEST_F(BatchCommandTest, WhatIsWrongIsRefusedBeforeAnythingIsSent) {
  Write("blobs/2.blob", "there");
  const std::string base = "data-key batch --key-id k ";
  const std::pair<std::string, int> cases[] = {
      {"--count 2 --ciphertext-out-dir blobs", 2},
      {"--count 2 --ciphertext-out-dir blobs --plaintext-out-dir keys --without-plaintext", 2},
      {"--count 2 --plaintext-out-dir keys", 2},
      {"--ciphertext-out-dir blobs --plaintext-out-dir keys", 2},
      {"--count 0 --ciphertext-out-dir blobs --plaintext-out-dir keys", 2},
      {"--count 1001 --ciphertext-out-dir blobs --plaintext-out-dir keys", 2},
      {"--count 3 --key-spec X --ciphertext-out-dir keys --plaintext-out-dir keys", 2},
      {"--count 2 --ciphertext-out-dir blobs --plaintext-out-dir keys", 10},
      {"--count 2 --ciphertext-out-dir missing --plaintext-out-dir keys", 10},
  };
  for (const auto& [options, exit_code] : cases) {
    EXPECT_EQ(Run(base + options).exit_code, exit_code) << options;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
  EXPECT_EQ(FilesIn("keys"), 0u);
  // With --force it is replaced.
  ASSERT_EQ(
      Run(base + "--count 2 --force --ciphertext-out-dir blobs --plaintext-out-dir keys").exit_code,
      0);
  EXPECT_EQ(Read("blobs/2.blob"), "blob 2");
}

TEST_F(BatchCommandTest, BatchThatFailsLeavesNoFiles) {
  server_->Fail(absl::StrCat(kClassic, "BatchGenerateDataKey"),
                ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "no uses left",
                             "Rejected.LimitExceeded", 400, "request-2"),
                1);
  const Result result = Run(
      "data-key batch --key-id k --count 2 --ciphertext-out-dir blobs --plaintext-out-dir keys");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(FilesIn("blobs") + FilesIn("keys"), 0u);
}

TEST_F(BatchCommandTest, DryRunWritesNothing) {
  server_->Fail(absl::StrCat(kClassic, "BatchGenerateDataKey"),
                ServiceError(grpc::StatusCode::FAILED_PRECONDITION, "would have worked",
                             "DryRunOperationError", 409, "request-1", std::nullopt,
                             {{"failed_check", "none"}, {"token", "able"}}),
                1);
  const Result result =
      Run("data-key batch --key-id k --count 2 --ciphertext-out-dir missing --dry-run");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("would work"));
}

}  // namespace
}  // namespace strongroom::command
