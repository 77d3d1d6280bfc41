#include "client/client.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/secret_fields.h"
#include "platform/files.h"
#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/certificates.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom {
namespace {

using ::strongroom::testing::Authority;
using ::strongroom::testing::FakeServer;
using ::strongroom::testing::Identity;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::MakeTestDirectory;
using ::strongroom::testing::ServiceError;
using ::strongroom::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kGenerate[] = "strongroom.v1.KmsService/GenerateDataKey";
constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

absl::Span<const uint8_t> Span(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

grpc::Status Unavailable() {
  return ServiceError(grpc::StatusCode::UNAVAILABLE, "the token is away", "Rejected.Unavailable",
                      503, "request-1");
}

// A server and a client of it, over a unix socket. Back-off takes no time.
class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, MakeTestDirectory());
    // A whole path can be too long for a socket.
    ASSERT_EQ(chdir(directory_.c_str()), 0);
    server_ = std::make_unique<FakeServer>("unix:fake.sock");
    options_.address = "unix:fake.sock";
    options_.timeout = absl::Minutes(1);
    options_.retry.initial_backoff = absl::ZeroDuration();
    Connect();
  }

  void Connect() { ASSERT_OK_AND_ASSIGN(client_, Client::Connect(options_)); }

  std::string Write(const std::string& name, absl::string_view content) {
    const std::string path = absl::StrCat(directory_, "/", name);
    EXPECT_OK(WriteSecretFile(path, Span(content)));
    return path;
  }

  std::string directory_;
  std::unique_ptr<FakeServer> server_;
  ClientOptions options_;
  std::unique_ptr<Client> client_;
};

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

// --- What is sent and what comes back ---

// Answers `rpc` with `answer` and keeps the request.
template <typename Request, typename Response>
void Expect(FakeServer* server, const std::string& rpc, const Response& answer, Request* seen) {
  server->On<Request, Response>(rpc, [answer, seen](const Request& request, Response* response) {
    *seen = request;
    *response = answer;
    return grpc::Status::OK;
  });
}

template <typename Message>
void ExpectEqual(const Message& seen, const Message& expected) {
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(seen, expected))
      << "sent " << seen.ShortDebugString() << ", not " << expected.ShortDebugString();
}

TEST_F(ClientTest, ClassicDataKeyIsAskedForAndUnpacked) {
  v1::GenerateDataKeyResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_plaintext(kSecret);
  answer.set_ciphertext_blob("blob");
  answer.set_request_id("request");
  v1::GenerateDataKeyRequest seen, expected;
  Expect(server_.get(), kGenerate, answer, &seen);
  ASSERT_OK_AND_ASSIGN(const DataKey key,
                       client_->GenerateDataKey({.key_id = "alias/a",
                                                 .key_spec = DataKeySpec::kAes128,
                                                 .number_of_bytes = 0,
                                                 .encryption_context = {{"a", "1"}, {"b", ""}}}));
  EXPECT_EQ(key.key_id, "id");
  EXPECT_EQ(key.key_version_id, "version");
  EXPECT_EQ(key.plaintext.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(key.ciphertext_blob, "blob");
  EXPECT_EQ(key.request_id, "request");
  expected.set_key_id("alias/a");
  expected.set_key_spec(v1::DATA_KEY_SPEC_AES_128);
  // 0 is sent, for the service to refuse; "not given" is something else.
  expected.set_number_of_bytes(0);
  (*expected.mutable_encryption_context())["a"] = "1";
  (*expected.mutable_encryption_context())["b"] = "";
  ExpectEqual(seen, expected);
}

TEST_F(ClientTest, ClassicDataKeyWithoutPlaintextIsAskedForAndUnpacked) {
  v1::GenerateDataKeyWithoutPlaintextResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_ciphertext_blob("blob");
  answer.set_request_id("request");
  v1::GenerateDataKeyWithoutPlaintextRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KmsService/GenerateDataKeyWithoutPlaintext", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const SealedDataKey key,
                       client_->GenerateDataKeyWithoutPlaintext({.key_id = "k"}));
  EXPECT_EQ(key.key_id, "id");
  EXPECT_EQ(key.key_version_id, "version");
  EXPECT_EQ(key.ciphertext_blob, "blob");
  EXPECT_EQ(key.request_id, "request");
  expected.set_key_id("k");
  ExpectEqual(seen, expected);
}

TEST_F(ClientTest, ClassicPairsAreAskedForAndUnpacked) {
  v1::GenerateDataKeyPairResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_ECC_NIST_P521);
  answer.set_key_format(v1::KEY_FORMAT_PEM);
  answer.set_public_key("public");
  answer.set_private_key_ciphertext_blob("blob");
  answer.set_request_id("request");
  v1::GenerateDataKeyPairRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KmsService/GenerateDataKeyPair", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const SealedDataKeyPair pair,
                       client_->GenerateDataKeyPair({.key_id = "k",
                                                     .key_pair_spec = DataKeyPairSpec::kEcP521,
                                                     .key_format = KeyFormat::kPem,
                                                     .encryption_context = {{"a", "1"}}}));
  EXPECT_EQ(pair.key_id, "id");
  EXPECT_EQ(pair.key_version_id, "version");
  EXPECT_EQ(pair.key_pair_spec, DataKeyPairSpec::kEcP521);
  EXPECT_EQ(pair.key_format, KeyFormat::kPem);
  EXPECT_EQ(pair.public_key, "public");
  EXPECT_EQ(pair.private_key_ciphertext_blob, "blob");
  EXPECT_EQ(pair.request_id, "request");
  expected.set_key_id("k");
  expected.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_EC_P521);
  expected.set_key_format(v1::KEY_FORMAT_PEM);
  (*expected.mutable_encryption_context())["a"] = "1";
  ExpectEqual(seen, expected);

  v1::GenerateDataKeyPairWithoutPlaintextRequest seen_without;
  v1::GenerateDataKeyPairWithoutPlaintextResponse answer_without;
  ASSERT_TRUE(answer_without.ParseFromString(answer.SerializeAsString()));
  Expect(server_.get(), "strongroom.v1.KmsService/GenerateDataKeyPairWithoutPlaintext",
         answer_without, &seen_without);
  ASSERT_OK_AND_ASSIGN(const SealedDataKeyPair without,
                       client_->GenerateDataKeyPairWithoutPlaintext(
                           {.key_id = "k", .key_pair_spec = DataKeyPairSpec::kRsa4096}));
  EXPECT_EQ(without.public_key, "public");
  EXPECT_EQ(seen_without.key_pair_spec(), v1::DATA_KEY_PAIR_SPEC_RSA_4096);
}

TEST_F(ClientTest, ClassicEncryptAndDecryptAreAskedForAndUnpacked) {
  v1::EncryptResponse encrypted;
  encrypted.set_key_id("id");
  encrypted.set_key_version_id("version");
  encrypted.set_ciphertext_blob("blob");
  encrypted.set_request_id("request");
  v1::EncryptRequest seen_encrypt, expected_encrypt;
  Expect(server_.get(), "strongroom.v1.KmsService/Encrypt", encrypted, &seen_encrypt);
  ASSERT_OK_AND_ASSIGN(
      const EncryptResult result,
      client_->Encrypt(
          {.key_id = "k", .plaintext = Span(kSecret), .encryption_context = {{"a", "1"}}}));
  EXPECT_EQ(result.key_id, "id");
  EXPECT_EQ(result.key_version_id, "version");
  EXPECT_EQ(result.ciphertext_blob, "blob");
  EXPECT_EQ(result.request_id, "request");
  expected_encrypt.set_key_id("k");
  expected_encrypt.set_plaintext(kSecret);
  (*expected_encrypt.mutable_encryption_context())["a"] = "1";
  ExpectEqual(seen_encrypt, expected_encrypt);

  v1::DecryptResponse decrypted;
  decrypted.set_key_id("id");
  decrypted.set_key_version_id("version");
  decrypted.set_plaintext(kSecret);
  decrypted.set_request_id("request");
  v1::DecryptRequest seen_decrypt, expected_decrypt;
  Expect(server_.get(), "strongroom.v1.KmsService/Decrypt", decrypted, &seen_decrypt);
  ASSERT_OK_AND_ASSIGN(const DecryptResult opened,
                       client_->Decrypt({.ciphertext_blob = "blob",
                                         .key_id = "k",
                                         .encryption_context = {{"a", "1"}},
                                         .aad = "aad"}));
  EXPECT_EQ(opened.key_id, "id");
  EXPECT_EQ(opened.key_version_id, "version");
  EXPECT_EQ(opened.plaintext.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(opened.request_id, "request");
  expected_decrypt.set_ciphertext_blob("blob");
  expected_decrypt.set_key_id("k");
  (*expected_decrypt.mutable_encryption_context())["a"] = "1";
  expected_decrypt.set_aad("aad");
  ExpectEqual(seen_decrypt, expected_decrypt);
}

TEST_F(ClientTest, InstanceDataKeysAreAskedForAndUnpacked) {
  namespace pb = instance::v1;
  pb::GenerateDataKeyResponse answer;
  answer.set_keyid("id");
  answer.set_iv("iv");
  answer.set_plaintext(kSecret);
  answer.set_ciphertextblob("blob");
  answer.set_requestid("request");
  answer.set_algorithm("AES_GCM");
  pb::GenerateDataKeyRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/GenerateDataKey", answer, &seen);
  ASSERT_OK_AND_ASSIGN(
      const InstanceDataKey key,
      client_->instance().GenerateDataKey(
          {.key_id = "k", .number_of_bytes = 7, .aad = "aad", .algorithm = "AES_GCM"}));
  EXPECT_EQ(key.key_id, "id");
  EXPECT_EQ(key.key_version_id, "");
  EXPECT_EQ(key.iv, "iv");
  EXPECT_EQ(key.plaintext.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(key.ciphertext_blob, "blob");
  EXPECT_EQ(key.request_id, "request");
  EXPECT_EQ(key.algorithm, "AES_GCM");
  expected.set_keyid("k");
  expected.set_numberofbytes(7);
  expected.set_aad("aad");
  expected.set_algorithm("AES_GCM");
  ExpectEqual(seen, expected);

  pb::AdvanceGenerateDataKeyResponse advance_answer;
  advance_answer.set_keyid("id");
  advance_answer.set_keyversionid("version");
  advance_answer.set_plaintext(kSecret);
  pb::AdvanceGenerateDataKeyRequest advance_seen, advance_expected;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/AdvanceGenerateDataKey", advance_answer,
         &advance_seen);
  ASSERT_OK_AND_ASSIGN(const InstanceDataKey advance_key,
                       client_->instance().AdvanceGenerateDataKey({.key_id = "k", .aad = "aad"}));
  EXPECT_EQ(advance_key.key_version_id, "version");
  EXPECT_EQ(advance_key.plaintext.ExposeSecretAsText(), kSecret);
  advance_expected.set_keyid("k");
  advance_expected.set_aad("aad");
  ExpectEqual(advance_seen, advance_expected);
}

TEST_F(ClientTest, InstancePairsAreAskedForAndUnpacked) {
  namespace pb = instance::v1;
  pb::AdvanceGenerateDataKeyPairResponse answer;
  answer.set_keyid("id");
  answer.set_iv("iv");
  answer.set_keypairspec("ECC_NIST_P256");
  answer.set_privatekeyplaintext(kSecret);
  answer.set_privatekeyciphertextblob("blob");
  answer.set_publickey("public");
  answer.set_requestid("request");
  answer.set_algorithm("AES_GCM");
  answer.set_keyversionid("version");
  pb::AdvanceGenerateDataKeyPairRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/AdvanceGenerateDataKeyPair", answer,
         &seen);
  const InstanceAdvanceGenerateDataKeyPairRequest request = {
      .key_id = "k", .key_pair_spec = "ECC_NIST_P256", .key_format = "PEM", .aad = "aad"};
  ASSERT_OK_AND_ASSIGN(const InstanceDataKeyPair pair,
                       client_->instance().AdvanceGenerateDataKeyPair(request));
  EXPECT_EQ(pair.sealed.key_id, "id");
  EXPECT_EQ(pair.sealed.iv, "iv");
  EXPECT_EQ(pair.sealed.key_pair_spec, "ECC_NIST_P256");
  EXPECT_EQ(pair.private_key.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(pair.sealed.private_key_ciphertext_blob, "blob");
  EXPECT_EQ(pair.sealed.public_key, "public");
  EXPECT_EQ(pair.sealed.request_id, "request");
  EXPECT_EQ(pair.sealed.algorithm, "AES_GCM");
  EXPECT_EQ(pair.sealed.key_version_id, "version");
  expected.set_keyid("k");
  expected.set_keypairspec("ECC_NIST_P256");
  expected.set_keyformat("PEM");
  expected.set_aad("aad");
  ExpectEqual(seen, expected);

  pb::GenerateDataKeyPairResponse plain_answer;
  plain_answer.set_privatekeyplaintext(kSecret);
  pb::GenerateDataKeyPairRequest plain_seen, plain_expected;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/GenerateDataKeyPair", plain_answer,
         &plain_seen);
  ASSERT_OK_AND_ASSIGN(const InstanceDataKeyPair plain,
                       client_->instance().GenerateDataKeyPair({.key_id = "k",
                                                                .key_pair_spec = "RSA_2048",
                                                                .key_format = "DER",
                                                                .algorithm = "AES_GCM"}));
  EXPECT_EQ(plain.private_key.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(plain.sealed.key_version_id, "");
  plain_expected.set_keyid("k");
  plain_expected.set_keypairspec("RSA_2048");
  plain_expected.set_keyformat("DER");
  plain_expected.set_algorithm("AES_GCM");
  ExpectEqual(plain_seen, plain_expected);

  pb::AdvanceGenerateDataKeyPairWithoutPlaintextResponse without_answer;
  without_answer.set_publickey("public");
  without_answer.set_keyversionid("version");
  pb::AdvanceGenerateDataKeyPairWithoutPlaintextRequest without_seen;
  Expect(server_.get(),
         "strongroom.v1.KmsInstanceService/AdvanceGenerateDataKeyPairWithoutPlaintext",
         without_answer, &without_seen);
  ASSERT_OK_AND_ASSIGN(const InstanceSealedDataKeyPair without,
                       client_->instance().AdvanceGenerateDataKeyPairWithoutPlaintext(request));
  EXPECT_EQ(without.public_key, "public");
  EXPECT_EQ(without.key_version_id, "version");
  EXPECT_EQ(without_seen.keypairspec(), "ECC_NIST_P256");
}

TEST_F(ClientTest, InstanceEncryptAndDecryptAreAskedForAndUnpacked) {
  namespace pb = instance::v1;
  pb::AdvanceEncryptResponse encrypted;
  encrypted.set_keyid("id");
  encrypted.set_ciphertextblob("blob");
  encrypted.set_iv("iv");
  encrypted.set_requestid("request");
  encrypted.set_algorithm("AES_GCM");
  encrypted.set_keyversionid("version");
  pb::AdvanceEncryptRequest seen_encrypt, expected_encrypt;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/AdvanceEncrypt", encrypted,
         &seen_encrypt);
  ASSERT_OK_AND_ASSIGN(
      const InstanceEncryptResult result,
      client_->instance().AdvanceEncrypt(
          {.key_id = "k", .plaintext = Span(kSecret), .aad = "aad", .algorithm = "AES_GCM"}));
  EXPECT_EQ(result.key_id, "id");
  EXPECT_EQ(result.ciphertext_blob, "blob");
  EXPECT_EQ(result.iv, "iv");
  EXPECT_EQ(result.request_id, "request");
  EXPECT_EQ(result.algorithm, "AES_GCM");
  EXPECT_EQ(result.key_version_id, "version");
  expected_encrypt.set_keyid("k");
  expected_encrypt.set_plaintext(kSecret);
  expected_encrypt.set_aad("aad");
  expected_encrypt.set_algorithm("AES_GCM");
  ExpectEqual(seen_encrypt, expected_encrypt);

  pb::DecryptResponse decrypted;
  decrypted.set_keyid("id");
  decrypted.set_plaintext(kSecret);
  decrypted.set_requestid("request");
  decrypted.set_algorithm("AES_GCM");
  pb::DecryptRequest seen_decrypt, expected_decrypt;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/Decrypt", decrypted, &seen_decrypt);
  ASSERT_OK_AND_ASSIGN(const InstanceDecryptResult opened,
                       client_->instance().Decrypt({.key_id = "k",
                                                    .ciphertext_blob = "blob",
                                                    .aad = "aad",
                                                    .iv = "iv",
                                                    .algorithm = "AES_GCM"}));
  EXPECT_EQ(opened.key_id, "id");
  EXPECT_EQ(opened.plaintext.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(opened.request_id, "request");
  EXPECT_EQ(opened.algorithm, "AES_GCM");
  expected_decrypt.set_keyid("k");
  expected_decrypt.set_ciphertextblob("blob");
  expected_decrypt.set_aad("aad");
  expected_decrypt.set_iv("iv");
  expected_decrypt.set_algorithm("AES_GCM");
  ExpectEqual(seen_decrypt, expected_decrypt);
}

TEST_F(ClientTest, RandomIsAskedForAndUnpacked) {
  v1::GenerateRandomResponse answer;
  answer.set_plaintext(kSecret);
  answer.set_request_id("request");
  v1::GenerateRandomRequest seen;
  Expect(server_.get(), "strongroom.v1.KmsService/GenerateRandom", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const RandomResult random, client_->GenerateRandom(32));
  EXPECT_EQ(random.random.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(random.request_id, "request");
  EXPECT_EQ(seen.number_of_bytes(), 32);

  instance::v1::GenerateRandomResponse instance_answer;
  instance_answer.set_random(kSecret);
  instance_answer.set_requestid("request");
  instance::v1::GenerateRandomRequest instance_seen;
  Expect(server_.get(), "strongroom.v1.KmsInstanceService/GenerateRandom", instance_answer,
         &instance_seen);
  ASSERT_OK_AND_ASSIGN(const InstanceRandom instance_random,
                       client_->instance().GenerateRandom(32));
  EXPECT_EQ(instance_random.random.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(instance_seen.length(), 32);
}

TEST_F(ClientTest, KeysAreUnpacked) {
  v1::DescribeKeyResponse answer;
  v1::Key& key = *answer.mutable_key();
  key.set_key_id("id");
  key.set_state(v1::KEY_STATE_DISABLED);
  key.set_description("what it is for");
  key.mutable_create_time()->set_seconds(1700000000);
  key.mutable_create_time()->set_nanos(5);
  key.set_initial_key_version_id("first");
  key.set_primary_key_version_id("last");
  answer.set_request_id("request");
  v1::DescribeKeyRequest seen;
  Expect(server_.get(), "strongroom.v1.KeyManagementService/DescribeKey", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const KeyResult result, client_->keys().Describe({.key_id = "alias/a"}));
  EXPECT_EQ(seen.key_id(), "alias/a");
  EXPECT_EQ(result.key.key_id, "id");
  EXPECT_EQ(result.key.state, KeyState::kDisabled);
  EXPECT_EQ(result.key.description, "what it is for");
  EXPECT_EQ(result.key.create_time, absl::FromUnixSeconds(1700000000) + absl::Nanoseconds(5));
  EXPECT_EQ(result.key.initial_key_version_id, "first");
  EXPECT_EQ(result.key.primary_key_version_id, "last");
  EXPECT_EQ(result.request_id, "request");
}

TEST_F(ClientTest, PagesOfVersionsAndAliasesAreAskedForAndUnpacked) {
  v1::ListKeyVersionsResponse versions;
  v1::KeyVersion& version = *versions.add_key_versions();
  version.set_key_version_id("version");
  version.set_key_id("id");
  version.set_number(2);
  version.mutable_create_time()->set_seconds(1700000000);
  version.set_primary(true);
  versions.set_next_page_token("next");
  versions.set_request_id("request");
  v1::ListKeyVersionsRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KeyManagementService/ListKeyVersions", versions, &seen);
  ASSERT_OK_AND_ASSIGN(const Page<KeyVersion> page,
                       client_->keys().ListVersions(
                           {.key_id = "k", .page = {.page_size = 1, .page_token = "this"}}));
  ASSERT_THAT(page.items, SizeIs(1));
  EXPECT_EQ(page.items[0].key_version_id, "version");
  EXPECT_EQ(page.items[0].key_id, "id");
  EXPECT_EQ(page.items[0].number, 2);
  EXPECT_EQ(page.items[0].create_time, absl::FromUnixSeconds(1700000000));
  EXPECT_TRUE(page.items[0].primary);
  EXPECT_EQ(page.next_page_token, "next");
  EXPECT_EQ(page.request_id, "request");
  expected.set_key_id("k");
  expected.set_page_size(1);
  expected.set_page_token("this");
  ExpectEqual(seen, expected);

  v1::ListAliasesResponse aliases;
  v1::Alias& alias = *aliases.add_aliases();
  alias.set_alias_name("alias/a");
  alias.set_key_id("id");
  alias.mutable_create_time()->set_seconds(1700000000);
  alias.mutable_update_time()->set_seconds(1700000001);
  v1::ListAliasesRequest aliases_seen;
  Expect(server_.get(), "strongroom.v1.KeyManagementService/ListAliases", aliases, &aliases_seen);
  ASSERT_OK_AND_ASSIGN(const Page<Alias> names, client_->keys().ListAliases({.key_id = "k"}));
  ASSERT_THAT(names.items, SizeIs(1));
  EXPECT_EQ(names.items[0].alias_name, "alias/a");
  EXPECT_EQ(names.items[0].key_id, "id");
  EXPECT_EQ(names.items[0].create_time, absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(names.items[0].update_time, absl::FromUnixSeconds(1700000001));
  EXPECT_EQ(aliases_seen.key_id(), "k");
}

TEST_F(ClientTest, ChangesOfAliasesNameAliasAndKey) {
  v1::CreateAliasRequest created;
  v1::UpdateAliasRequest updated;
  v1::DeleteAliasRequest deleted;
  const std::string service = "strongroom.v1.KeyManagementService/";
  Expect(server_.get(), service + "CreateAlias", v1::CreateAliasResponse(), &created);
  Expect(server_.get(), service + "UpdateAlias", v1::UpdateAliasResponse(), &updated);
  Expect(server_.get(), service + "DeleteAlias", v1::DeleteAliasResponse(), &deleted);
  EXPECT_OK(client_->keys().CreateAlias({.alias_name = "alias/a", .key_id = "k"}));
  EXPECT_OK(client_->keys().UpdateAlias({.alias_name = "alias/b", .key_id = "l"}));
  EXPECT_OK(client_->keys().DeleteAlias("alias/c"));
  EXPECT_EQ(created.alias_name(), "alias/a");
  EXPECT_EQ(created.key_id(), "k");
  EXPECT_EQ(updated.alias_name(), "alias/b");
  EXPECT_EQ(updated.key_id(), "l");
  EXPECT_EQ(deleted.alias_name(), "alias/c");
}

TEST_F(ClientTest, AnswerLargerThanGrpcsOwnLimitIsTaken) {
  v1::ListKeysResponse answer;
  for (int i = 0; i < 1000; ++i) answer.add_keys()->set_description(std::string(8192, 'd'));
  v1::ListKeysRequest seen;
  Expect(server_.get(), "strongroom.v1.KeyManagementService/ListKeys", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const Page<Key> page, client_->keys().List({.page_size = 1000}));
  EXPECT_THAT(page.items, SizeIs(1000));
}

// --- Addresses and TLS ---

// What connecting to an address says, without TLS options.
absl::Status ConnectTo(const std::string& address, bool allow_plaintext_loopback = true) {
  return Client::Connect({.address = address, .allow_plaintext_loopback = allow_plaintext_loopback})
      .status();
}

TEST(ClientConnectTest, MalformedAddressIsRefusedWithTheFormsThatAreRight) {
  for (const char* address :
       {"", "unix:", "unix://host/path", "localhost", "localhost:", "localhost:0",
        "localhost:65536", "localhost:http", ":7443", "::1:7443", "[localhost]:7443", "[::1]",
        "dns:///kms:7443", "ipv4:127.0.0.1:7443", "a/b:7443", "a,b:7443", "http://kms:7443"}) {
    EXPECT_THAT(ConnectTo(address),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unix:/PATH")))
        << address;
  }
  EXPECT_THAT(ConnectTo("unix:/" + std::string(107, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too long")));
}

TEST(ClientConnectTest, PlaintextBeyondThisMachineIsRefused) {
  for (const char* address :
       {"kms.example:7443", "10.0.0.1:7443", "128.0.0.1:7443", "[2001:db8::1]:7443",
        "[::ffff:10.0.0.1]:7443", "0.0.0.0:7443", "localhost.example:7443", "127.1:7443"}) {
    EXPECT_THAT(ConnectTo(address), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr(address), HasSubstr("TLS"))))
        << address;
  }
}

TEST(ClientConnectTest, PlaintextOnLoopbackTakesPermission) {
  for (const char* address : {"127.0.0.1:7443", "127.9.9.9:7443", "[::1]:7443", "localhost:7443"}) {
    EXPECT_OK(ConnectTo(address)) << address;
    EXPECT_THAT(ConnectTo(address, /*allow_plaintext_loopback=*/false),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed explicitly")))
        << address;
  }
}

TEST(ClientConnectTest, TimeoutsAndAttemptsMustBePositive) {
  EXPECT_THAT(Client::Connect({.timeout = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("timeout")));
  EXPECT_THAT(Client::Connect({.pair_timeout = -absl::Seconds(1)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("timeout")));
  EXPECT_THAT(Client::Connect({.retry = {.max_attempts = 0}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_attempts")));
}

TEST_F(ClientTest, AbstractSocketIsReached) {
  const std::string name = absl::StrCat("strongroom-client-test-", getpid());
  FakeServer server("unix-abstract:" + name);
  options_.address = "unix:@" + name;
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
  EXPECT_THAT(server.calls(), SizeIs(1));
}

TEST_F(ClientTest, SocketPathWithUnusualCharactersIsReached) {
  ASSERT_OK_AND_ASSIGN(client_, Client::Connect({.address = "unix:fa%6be ?#.sock"}));
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_EQ(link("fake.sock", "fa%6be ?#.sock"), 0);
  ASSERT_OK_AND_ASSIGN(client_, Client::Connect({.address = "unix:fa%6be ?#.sock"}));
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTest, LoopbackIsReachedInPlaintextAndNotThroughAProxy) {
  // Were it used, the call would not arrive.
  setenv("http_proxy", "http://127.0.0.1:9", 1);
  FakeServer server("127.0.0.1:0");
  options_.address = absl::StrCat("localhost:", server.port());
  options_.allow_plaintext_loopback = true;
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
  unsetenv("http_proxy");
}

class ClientTlsTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    const Identity identity = authority_.Issue("kms.example");
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = authority_.certificate();
    tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
    tls_server_ = std::make_unique<FakeServer>("127.0.0.1:0", grpc::SslServerCredentials(tls));

    const Identity client = authority_.Issue("client");
    options_.address = absl::StrCat("127.0.0.1:", tls_server_->port());
    options_.tls = {
        .ca_file = Write("ca.pem", authority_.certificate()),
        .certificate_file = Write("client.pem", client.certificate),
        .key_file = Write("client.key", client.key),
        .server_name = "kms.example",
    };
    options_.retry.max_attempts = 1;
  }

  const Authority authority_{"test authority"};
  std::unique_ptr<FakeServer> tls_server_;
};

TEST_F(ClientTlsTest, MutualTlsWorks) {
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTlsTest, ServerOfAnotherAuthorityIsRefused) {
  options_.tls.ca_file = Write("other.pem", Authority("another authority").certificate());
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tls_server_->calls(), SizeIs(0));
}

TEST_F(ClientTlsTest, ServerOfAnotherNameIsRefused) {
  options_.tls.server_name = "";
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tls_server_->calls(), SizeIs(0));
}

// It is reached at 127.0.0.1, which is not what its certificate is for.
TEST_F(ClientTlsTest, LocalhostIsWhatItsCertificateSays) {
  const Identity identity = authority_.Issue("localhost");
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
  FakeServer server("127.0.0.1:0", grpc::SslServerCredentials(tls));
  options_.address = absl::StrCat("localhost:", server.port());
  options_.tls.server_name = "";
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTlsTest, ServerWantsAClientCertificate) {
  options_.tls.certificate_file = "";
  options_.tls.key_file = "";
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClientTlsTest, IncompleteTlsOptionsAreRefused) {
  const TlsOptions whole = options_.tls;
  options_.tls.ca_file = "";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CA file")));
  options_.tls = whole;
  options_.tls.key_file = "";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the key file is missing")));
  options_.tls = whole;
  options_.tls.certificate_file = "";
  EXPECT_THAT(Client::Connect(options_), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  HasSubstr("the certificate file is missing")));
  options_.tls = whole;
  options_.address = "unix:fake.sock";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unix socket")));
}

TEST_F(ClientTlsTest, EmptyAuthorityFileIsRefused) {
  // gRPC would trust the system's authorities.
  options_.tls.ca_file = Write("empty.pem", "");
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("empty.pem")));
}

TEST_F(ClientTlsTest, KeyFileThatOthersCanReadIsRefused) {
  ASSERT_EQ(chmod(options_.tls.key_file.c_str(), 0644), 0);
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("client.key")));
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
