#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/secret_fields.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/client_fixture.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::strongroom::testing::ClientTest;
using ::strongroom::testing::Expect;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::kSecret;
using ::strongroom::testing::ServiceError;
using ::strongroom::testing::StatusIs;
using ::strongroom::testing::Unavailable;
using ::testing::SizeIs;

constexpr char kGenerate[] = "strongroom.v1.KmsService/GenerateDataKey";

// --- Retries, deadlines, errors ---

TEST_F(ClientTest, UnavailableIsTriedAgainUntilItWorks) {
  server_->Fail(kGenerate, Unavailable(), 3);
  EXPECT_OK(client_->GenerateDataKey({.key_id = "k"}));
  EXPECT_THAT(server_->calls(), SizeIs(4));
}

TEST_F(ClientTest, UnavailableIsReturnedWhenAttemptsAreUsedUp) {
  server_->Fail(kGenerate, Unavailable(), 5);
  EXPECT_THAT(client_->GenerateDataKey({.key_id = "k"}),
              StatusIs(absl::StatusCode::kUnavailable, "the token is away"));
  EXPECT_THAT(server_->calls(), SizeIs(4));
}

TEST_F(ClientTest, ServersRetryDelayBeyondTheDeadlineEndsTheAttempts) {
  server_->Fail(kGenerate,
                ServiceError(grpc::StatusCode::UNAVAILABLE, "away", "Rejected.Unavailable", 503,
                             "request-1", absl::Hours(1)),
                1);
  const absl::Status status = client_->GenerateDataKey({.key_id = "k"}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ErrorDetailOf(status)->retry_delay, absl::Hours(1));
  EXPECT_THAT(server_->calls(), SizeIs(1));
}

TEST_F(ClientTest, ServersRetryDelayIsHonoured) {
  server_->Fail(kGenerate,
                ServiceError(grpc::StatusCode::UNAVAILABLE, "away", "Rejected.Unavailable", 503,
                             "request-1", absl::Milliseconds(1)),
                1);
  EXPECT_OK(client_->GenerateDataKey({.key_id = "k"}));
  EXPECT_THAT(server_->calls(), SizeIs(2));
}

TEST_F(ClientTest, ThrottlingIsReturnedWithItsDelayAndNotTriedAgain) {
  server_->Fail("strongroom.v1.KmsService/GenerateDataKeyPair",
                ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "one at a time",
                             "Rejected.Throttling", 429, "request-2", absl::Seconds(2)),
                1);
  const absl::Status status = client_->GenerateDataKeyPair({.key_id = "k"}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "one at a time"));
  const std::optional<ErrorDetail> detail = ErrorDetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, Reason::kThrottling);
  EXPECT_EQ(detail->http_status, 429);
  EXPECT_EQ(detail->request_id, "request-2");
  EXPECT_EQ(detail->retry_delay, absl::Seconds(2));
  EXPECT_THAT(server_->calls(), SizeIs(1));
}

TEST_F(ClientTest, ChangesOfKeysAndAliasesAreSentOnce) {
  const KeyManagementClient& keys = client_->keys();
  const std::pair<const char*, std::function<absl::Status()>> calls[] = {
      {"CreateKey", [&] { return keys.Create({}).status(); }},
      {"CreateKeyVersion", [&] { return keys.CreateVersion("k").status(); }},
      {"EnableKey", [&] { return keys.Enable("k").status(); }},
      {"DisableKey", [&] { return keys.Disable("k").status(); }},
      {"CreateAlias", [&] { return keys.CreateAlias({}).status(); }},
      {"UpdateAlias", [&] { return keys.UpdateAlias({}).status(); }},
      {"DeleteAlias", [&] { return keys.DeleteAlias("alias/a").status(); }},
      {"PutKeyPolicy", [&] { return keys.PutPolicy({}).status(); }},
      {"CreateGrant", [&] { return keys.CreateGrant({}).status(); }},
      {"RetireGrant", [&] { return keys.RetireGrant({}).status(); }},
      {"RevokeGrant", [&] { return keys.RevokeGrant({}).status(); }},
      {"UpdateKeyDescription", [&] { return keys.UpdateDescription({}).status(); }},
      {"TagKey", [&] { return keys.Tag({}).status(); }},
      {"UntagKey", [&] { return keys.Untag({}).status(); }},
      {"UpdateRotationPolicy", [&] { return keys.UpdateRotationPolicy({}).status(); }},
      {"ScheduleKeyDeletion", [&] { return keys.ScheduleDeletion({}).status(); }},
      {"CancelKeyDeletion", [&] { return keys.CancelDeletion("k").status(); }},
      {"GetParametersForImport", [&] { return keys.GetParametersForImport({}).status(); }},
      {"ImportKeyMaterial", [&] { return keys.ImportMaterial({}).status(); }},
      {"DeleteImportedKeyMaterial", [&] { return keys.DeleteMaterial("k").status(); }},
  };
  for (const auto& [name, call] : calls) {
    const std::string rpc = absl::StrCat("strongroom.v1.KeyManagementService/", name);
    server_->Fail(rpc, Unavailable(), 1);
    const size_t before = server_->calls().size();
    EXPECT_THAT(call(), StatusIs(absl::StatusCode::kUnavailable)) << name;
    EXPECT_EQ(server_->calls().size(), before + 1) << name;
  }
}

TEST_F(ClientTest, ReadsOfKeysAndAliasesAreTriedAgain) {
  const KeyManagementClient& keys = client_->keys();
  const std::pair<const char*, std::function<absl::Status()>> calls[] = {
      {"GetKeyPolicy", [&] { return keys.GetPolicy("k").status(); }},
      {"ListGrants", [&] { return keys.ListGrants({}).status(); }},
      {"DescribeKey", [&] { return keys.Describe({.key_id = "k"}).status(); }},
      {"ListKeys", [&] { return keys.List().status(); }},
      {"ListKeyVersions", [&] { return keys.ListVersions({}).status(); }},
      {"ListAliases", [&] { return keys.ListAliases().status(); }},
  };
  for (const auto& [name, call] : calls) {
    server_->Fail(absl::StrCat("strongroom.v1.KeyManagementService/", name), Unavailable(), 1);
    EXPECT_OK(call()) << name;
  }
}

TEST_F(ClientTest, WhatUsesSealedBlobsIsTriedAgain) {
  const std::pair<const char*, std::function<absl::Status()>> calls[] = {
      {"ReEncrypt", [&] { return client_->ReEncrypt({}).status(); }},
      {"SignWithDataKeyPair", [&] { return client_->SignWithDataKeyPair({}).status(); }},
      {"DecryptWithDataKeyPair", [&] { return client_->DecryptWithDataKeyPair({}).status(); }},
      {"DeriveSharedSecret", [&] { return client_->DeriveSharedSecret({}).status(); }},
  };
  for (const auto& [name, call] : calls) {
    server_->Fail(absl::StrCat("strongroom.v1.KmsService/", name), Unavailable(), 1);
    EXPECT_OK(call()) << name;
  }
}

TEST_F(ClientTest, CallThatHangsEndsAtItsDeadline) {
  server_->Hang(kGenerate);
  EXPECT_THAT(client_->GenerateDataKey({.key_id = "k"}, {.timeout = absl::Milliseconds(50)}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ClientTest, PairsHaveTheirOwnTimeout) {
  options_.timeout = absl::Milliseconds(50);
  Connect();
  server_->Hang(kGenerate);
  EXPECT_THAT(client_->GenerateDataKey({.key_id = "k"}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  options_.timeout = absl::Minutes(1);
  options_.pair_timeout = absl::Milliseconds(50);
  Connect();
  server_->Hang("strongroom.v1.KmsInstanceService/AdvanceGenerateDataKeyPair");
  EXPECT_THAT(client_->instance().AdvanceGenerateDataKeyPair({.key_id = "k"}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ClientTest, NothingIsSentWhenNoTimeIsLeft) {
  EXPECT_THAT(client_->GenerateDataKey({.key_id = "k"}, {.timeout = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(server_->calls(), SizeIs(0));
}

TEST_F(ClientTest, EndlessTimeoutIsTaken) {
  EXPECT_OK(client_->GenerateDataKey({.key_id = "k"}, {.timeout = absl::InfiniteDuration()}));
}

TEST_F(ClientTest, ServerThatIsNotThereIsUnavailable) {
  options_.address = "unix:nobody.sock";
  Connect();
  const absl::Status status = client_->GenerateDataKey({.key_id = "k"}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ErrorDetailOf(status), std::nullopt);
}

TEST_F(ClientTest, ThreadsShareOneClient) {
  server_->On<v1::GenerateRandomRequest, v1::GenerateRandomResponse>(
      "strongroom.v1.KmsService/GenerateRandom", [](const auto& request, auto* response) {
        response->set_plaintext(std::string(request.number_of_bytes(), 'r'));
        return grpc::Status::OK;
      });
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        const int32_t size = 1 + thread * 50 + i;
        absl::StatusOr<RandomResult> random = client_->GenerateRandom(size);
        if (random.ok() && random->random.size() == static_cast<size_t>(size)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
}

// --- Secrets ---

TEST(SecretFieldsTest, TakenSecretIsWipedFromItsField) {
  std::string field = kSecret;
  const char* memory = field.data();
  const SecretBytes secret = TakeSecret(&field);
  EXPECT_EQ(secret.ExposeSecretAsText(), kSecret);
  EXPECT_TRUE(field.empty());
  // The string keeps its buffer.
  ASSERT_EQ(field.data(), memory);
  EXPECT_EQ(std::string(memory, sizeof(kSecret) - 1), std::string(sizeof(kSecret) - 1, '\0'));
}

TEST(SecretFieldsTest, ScopedWipeWipesAtTheEndOfItsScope) {
  std::string field = kSecret;
  const char* memory = field.data();
  { const ScopedWipe wipe(&field); }
  EXPECT_TRUE(field.empty());
  EXPECT_EQ(std::string(memory, sizeof(kSecret) - 1), std::string(sizeof(kSecret) - 1, '\0'));
}

// --- Health ---

TEST_F(ClientTest, HealthIsAskedForAndUnpacked) {
  // The message's one field, by hand: status = SERVING (1), NOT_SERVING (2), UNKNOWN (0).
  struct Raw {
    bool ParseFromString(const std::string& bytes) {
      content = bytes;
      return true;
    }
    void SerializeToString(std::string* bytes) const { *bytes = content; }
    std::string content;
  };
  const std::pair<char, Health> cases[] = {
      {1, Health::kServing}, {2, Health::kNotServing}, {0, Health::kUnknown}};
  for (const auto& [number, health] : cases) {
    Raw seen;
    Expect(server_.get(), "grpc.health.v1.Health/Check", Raw{std::string{8, number}}, &seen);
    ASSERT_OK_AND_ASSIGN(const Health answer, client_->CheckHealth("a.b.C"));
    EXPECT_EQ(answer, health);
    EXPECT_EQ(seen.content,
              "\n\x05"
              "a.b.C");
  }
}

}  // namespace
}  // namespace strongroom
