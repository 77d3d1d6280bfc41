// The keys' whole life, and private keys used where they are: what is sent and what comes back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

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
using ::strongroom::testing::Span;
using ::strongroom::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::string kClassic = "strongroom.v1.KmsService/";
const std::string kKeys = "strongroom.v1.KeyManagementService/";

using KeyLifeClientTest = ::strongroom::testing::ClientTest;

// --- Private keys used where they are, and ReEncrypt ---

TEST_F(KeyLifeClientTest, ReEncryptIsAskedForAndUnpacked) {
  v1::ReEncryptResponse answer;
  answer.set_ciphertext_blob("new");
  answer.set_source_key_id("from");
  answer.set_source_key_version_id("from-version");
  answer.set_key_id("to");
  answer.set_key_version_id("to-version");
  answer.set_request_id("request");
  v1::ReEncryptRequest seen, expected;
  Expect(server_.get(), kClassic + "ReEncrypt", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const ReEncryptResult result,
                       client_->ReEncrypt({.ciphertext_blob = "old",
                                           .source_encryption_context = {{"a", "1"}},
                                           .source_aad = "aad",
                                           .source_key_id = "s",
                                           .destination_key_id = "d",
                                           .destination_encryption_context = {{"b", "2"}}}));
  EXPECT_EQ(result.ciphertext_blob, "new");
  EXPECT_EQ(result.source_key_id, "from");
  EXPECT_EQ(result.source_key_version_id, "from-version");
  EXPECT_EQ(result.key_id, "to");
  EXPECT_EQ(result.key_version_id, "to-version");
  EXPECT_EQ(result.request_id, "request");
  expected.set_ciphertext_blob("old");
  (*expected.mutable_source_encryption_context())["a"] = "1";
  expected.set_source_aad("aad");
  expected.set_source_key_id("s");
  expected.set_destination_key_id("d");
  (*expected.mutable_destination_encryption_context())["b"] = "2";
  ExpectEqual(seen, expected);
}

TEST_F(KeyLifeClientTest, SignatureIsAskedForAndUnpacked) {
  v1::SignWithDataKeyPairResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_signature("signature");
  answer.set_signing_algorithm(v1::SIGNING_ALGORITHM_ECDSA_SHA_384);
  answer.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_EC_P384);
  answer.set_request_id("request");
  v1::SignWithDataKeyPairRequest seen, expected;
  Expect(server_.get(), kClassic + "SignWithDataKeyPair", answer, &seen);
  ASSERT_OK_AND_ASSIGN(
      const SignWithDataKeyPairResult result,
      client_->SignWithDataKeyPair({.private_key_ciphertext_blob = "blob",
                                    .key_id = "k",
                                    .encryption_context = {{"a", "1"}},
                                    .aad = "aad",
                                    .message = Span("message"),
                                    .message_type = MessageType::kDigest,
                                    .signing_algorithm = SigningAlgorithm::kEcdsaSha384,
                                    .ecdsa_signature_format = EcdsaSignatureFormat::kFixed}));
  EXPECT_EQ(result.key_id, "id");
  EXPECT_EQ(result.key_version_id, "version");
  EXPECT_EQ(result.signature, "signature");
  EXPECT_EQ(result.signing_algorithm, SigningAlgorithm::kEcdsaSha384);
  EXPECT_EQ(result.key_pair_spec, DataKeyPairSpec::kEcP384);
  EXPECT_EQ(result.request_id, "request");
  expected.set_private_key_ciphertext_blob("blob");
  expected.set_key_id("k");
  (*expected.mutable_encryption_context())["a"] = "1";
  expected.set_aad("aad");
  expected.set_message("message");
  expected.set_message_type(v1::MESSAGE_TYPE_DIGEST);
  expected.set_signing_algorithm(v1::SIGNING_ALGORITHM_ECDSA_SHA_384);
  expected.set_ecdsa_signature_format(v1::ECDSA_SIGNATURE_FORMAT_FIXED);
  ExpectEqual(seen, expected);
}

TEST_F(KeyLifeClientTest, DecryptionWithAPairIsAskedForAndUnpacked) {
  v1::DecryptWithDataKeyPairResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_plaintext(kSecret);
  answer.set_decryption_algorithm(v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_1);
  answer.set_request_id("request");
  v1::DecryptWithDataKeyPairRequest seen, expected;
  Expect(server_.get(), kClassic + "DecryptWithDataKeyPair", answer, &seen);
  ASSERT_OK_AND_ASSIGN(
      const DecryptWithDataKeyPairResult result,
      client_->DecryptWithDataKeyPair(
          {.private_key_ciphertext_blob = "blob",
           .key_id = "k",
           .encryption_context = {{"a", "1"}},
           .aad = "aad",
           .ciphertext = "ciphertext",
           .decryption_algorithm = AsymmetricDecryptionAlgorithm::kRsaesOaepSha1}));
  EXPECT_EQ(result.key_id, "id");
  EXPECT_EQ(result.key_version_id, "version");
  EXPECT_EQ(result.plaintext.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(result.decryption_algorithm, AsymmetricDecryptionAlgorithm::kRsaesOaepSha1);
  EXPECT_EQ(result.request_id, "request");
  expected.set_private_key_ciphertext_blob("blob");
  expected.set_key_id("k");
  (*expected.mutable_encryption_context())["a"] = "1";
  expected.set_aad("aad");
  expected.set_ciphertext("ciphertext");
  expected.set_decryption_algorithm(v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_1);
  ExpectEqual(seen, expected);
}

TEST_F(KeyLifeClientTest, SharedSecretIsAskedForAndUnpacked) {
  v1::DeriveSharedSecretResponse answer;
  answer.set_key_id("id");
  answer.set_key_version_id("version");
  answer.set_shared_secret(kSecret);
  answer.set_request_id("request");
  v1::DeriveSharedSecretRequest seen, expected;
  Expect(server_.get(), kClassic + "DeriveSharedSecret", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const DeriveSharedSecretResult result,
                       client_->DeriveSharedSecret({.private_key_ciphertext_blob = "blob",
                                                    .key_id = "k",
                                                    .encryption_context = {{"a", "1"}},
                                                    .aad = "aad",
                                                    .public_key = "public"}));
  EXPECT_EQ(result.key_id, "id");
  EXPECT_EQ(result.key_version_id, "version");
  EXPECT_EQ(result.shared_secret.ExposeSecretAsText(), kSecret);
  EXPECT_EQ(result.request_id, "request");
  expected.set_private_key_ciphertext_blob("blob");
  expected.set_key_id("k");
  (*expected.mutable_encryption_context())["a"] = "1";
  expected.set_aad("aad");
  expected.set_public_key("public");
  ExpectEqual(seen, expected);
}

// --- Keys ---

TEST_F(KeyLifeClientTest, KeysNewFieldsAreUnpacked) {
  v1::DescribeKeyResponse answer;
  v1::Key& key = *answer.mutable_key();
  key.set_state(v1::KEY_STATE_PENDING_DELETION);
  key.set_origin(v1::KEY_ORIGIN_EXTERNAL);
  (*key.mutable_tags())["team"] = "billing";
  key.set_rotation_period_days(90);
  key.mutable_next_rotation_time()->set_seconds(1700000000);
  key.mutable_deletion_time()->set_seconds(1700000001);
  key.set_primary_uses_left(int64_t{1} << 31);
  key.set_initial_uses_left(7);
  v1::DescribeKeyRequest seen;
  Expect(server_.get(), kKeys + "DescribeKey", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const KeyResult result, client_->keys().Describe({.key_id = "k"}));
  EXPECT_EQ(result.key.state, KeyState::kPendingDeletion);
  EXPECT_EQ(result.key.origin, KeyOrigin::kExternal);
  EXPECT_THAT(result.key.tags, ElementsAre(Pair("team", "billing")));
  EXPECT_EQ(result.key.rotation_period_days, 90);
  EXPECT_EQ(result.key.next_rotation_time, absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(result.key.deletion_time, absl::FromUnixSeconds(1700000001));
  EXPECT_EQ(result.key.primary_uses_left, int64_t{1} << 31);
  EXPECT_EQ(result.key.initial_uses_left, 7);

  Expect(server_.get(), kKeys + "DescribeKey", v1::DescribeKeyResponse(), &seen);
  ASSERT_OK_AND_ASSIGN(const KeyResult empty, client_->keys().Describe({.key_id = "k"}));
  EXPECT_EQ(empty.key.next_rotation_time, std::nullopt);
  EXPECT_EQ(empty.key.deletion_time, std::nullopt);
}

TEST_F(KeyLifeClientTest, VersionsUsesLeftAreUnpacked) {
  v1::CreateKeyVersionResponse answer;
  answer.mutable_key_version()->set_uses_left(int64_t{1} << 32);
  v1::CreateKeyVersionRequest seen;
  Expect(server_.get(), kKeys + "CreateKeyVersion", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const KeyVersionResult result, client_->keys().CreateVersion("k"));
  EXPECT_EQ(result.key_version.uses_left, int64_t{1} << 32);
}

TEST_F(KeyLifeClientTest, KeyIsCreatedWithOriginTagsAndRotation) {
  v1::CreateKeyRequest seen, expected;
  Expect(server_.get(), kKeys + "CreateKey", v1::CreateKeyResponse(), &seen);
  EXPECT_OK(client_->keys().Create(
      {.origin = KeyOrigin::kExternal, .tags = {{"team", "billing"}}, .rotation_period_days = 0}));
  expected.set_origin(v1::KEY_ORIGIN_EXTERNAL);
  (*expected.mutable_tags())["team"] = "billing";
  // "Not given" would be the configuration's.
  expected.set_rotation_period_days(0);
  ExpectEqual(seen, expected);

  EXPECT_OK(client_->keys().Create({}));
  ExpectEqual(seen, v1::CreateKeyRequest());
}

TEST_F(KeyLifeClientTest, KeysAreListedByStateAndTag) {
  v1::ListKeysResponse answer;
  answer.set_next_page_token("next");
  v1::ListKeysRequest seen, expected;
  Expect(server_.get(), kKeys + "ListKeys", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const Page<Key> page,
                       client_->keys().List({.states = {KeyState::kEnabled, KeyState::kUnavailable},
                                             .tags = {{"team", "billing"}},
                                             .page = {.page_size = 2, .page_token = "this"}}));
  // Not the last page for that.
  EXPECT_THAT(page.items, IsEmpty());
  EXPECT_EQ(page.next_page_token, "next");
  expected.add_states(v1::KEY_STATE_ENABLED);
  expected.add_states(v1::KEY_STATE_UNAVAILABLE);
  (*expected.mutable_tags())["team"] = "billing";
  expected.set_page_size(2);
  expected.set_page_token("this");
  ExpectEqual(seen, expected);
}

// Answers `rpc` with a key, and returns what was sent.
#define EXPECT_KEY_CALL(name, call, expected)                           \
  {                                                                     \
    v1::name##Response answer;                                          \
    answer.mutable_key()->set_key_id("id");                             \
    answer.set_request_id("request");                                   \
    v1::name##Request seen;                                             \
    Expect(server_.get(), kKeys + #name, answer, &seen);                \
    ASSERT_OK_AND_ASSIGN(const KeyResult result, client_->keys().call); \
    EXPECT_EQ(result.key.key_id, "id") << #name;                        \
    EXPECT_EQ(result.request_id, "request") << #name;                   \
    ExpectEqual(seen, expected);                                        \
  }

TEST_F(KeyLifeClientTest, ChangesOfKeysAreAskedForAndUnpacked) {
  v1::UpdateKeyDescriptionRequest description;
  description.set_key_id("k");
  description.set_description("d");
  EXPECT_KEY_CALL(UpdateKeyDescription, UpdateDescription({.key_id = "k", .description = "d"}),
                  description);

  v1::TagKeyRequest tag;
  tag.set_key_id("k");
  (*tag.mutable_tags())["a"] = "1";
  EXPECT_KEY_CALL(TagKey, Tag({.key_id = "k", .tags = {{"a", "1"}}}), tag);

  v1::UntagKeyRequest untag;
  untag.set_key_id("k");
  untag.add_tag_names("a");
  untag.add_tag_names("b");
  EXPECT_KEY_CALL(UntagKey, Untag({.key_id = "k", .tag_names = {"a", "b"}}), untag);

  v1::UpdateRotationPolicyRequest rotation;
  rotation.set_key_id("k");
  rotation.set_rotation_period_days(0);
  EXPECT_KEY_CALL(UpdateRotationPolicy, UpdateRotationPolicy({.key_id = "k"}), rotation);

  v1::ScheduleKeyDeletionRequest deletion;
  deletion.set_key_id("k");
  deletion.set_pending_window_days(7);
  EXPECT_KEY_CALL(ScheduleKeyDeletion, ScheduleDeletion({.key_id = "k", .pending_window_days = 7}),
                  deletion);

  v1::CancelKeyDeletionRequest cancel;
  cancel.set_key_id("k");
  EXPECT_KEY_CALL(CancelKeyDeletion, CancelDeletion("k"), cancel);

  v1::ImportKeyMaterialRequest import;
  import.set_key_id("k");
  import.set_import_token("token");
  import.set_encrypted_key_material("wrapped");
  EXPECT_KEY_CALL(
      ImportKeyMaterial,
      ImportMaterial({.key_id = "k", .import_token = "token", .encrypted_key_material = "wrapped"}),
      import);

  v1::DeleteImportedKeyMaterialRequest delete_material;
  delete_material.set_key_id("k");
  EXPECT_KEY_CALL(DeleteImportedKeyMaterial, DeleteMaterial("k"), delete_material);
}

TEST_F(KeyLifeClientTest, ParametersForImportAreAskedForAndUnpacked) {
  v1::GetParametersForImportResponse answer;
  answer.set_key_id("id");
  answer.set_public_key("public");
  answer.set_import_token("token");
  answer.mutable_expire_time()->set_seconds(1700000000);
  answer.set_request_id("request");
  v1::GetParametersForImportRequest seen, expected;
  Expect(server_.get(), kKeys + "GetParametersForImport", answer, &seen);
  ASSERT_OK_AND_ASSIGN(const ImportParameters parameters,
                       client_->keys().GetParametersForImport(
                           {.key_id = "k",
                            .wrapping_algorithm = ImportWrappingAlgorithm::kRsaAesKeyWrapSha256,
                            .wrapping_key_spec = ImportWrappingKeySpec::kRsa4096}));
  EXPECT_EQ(parameters.key_id, "id");
  EXPECT_EQ(parameters.public_key, "public");
  EXPECT_EQ(parameters.import_token, "token");
  EXPECT_EQ(parameters.expire_time, absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(parameters.request_id, "request");
  expected.set_key_id("k");
  expected.set_wrapping_algorithm(v1::IMPORT_WRAPPING_ALGORITHM_RSA_AES_KEY_WRAP_SHA_256);
  expected.set_wrapping_key_spec(v1::IMPORT_WRAPPING_KEY_SPEC_RSA_4096);
  ExpectEqual(seen, expected);
}

TEST_F(KeyLifeClientTest, CallsThatMakeAPairInTheTokenHaveThePairsTimeout) {
  options_.timeout = absl::Minutes(1);
  options_.pair_timeout = absl::Milliseconds(50);
  Connect();
  server_->Hang(kKeys + "GetParametersForImport");
  EXPECT_THAT(client_->keys().GetParametersForImport({.key_id = "k"}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

// --- Names ---

TEST(SpecNameTest, NamesAreUnderstoodAsTheyAreGivenOut) {
  EXPECT_EQ(SpecName(KeyState::kPendingDeletion), "PENDING_DELETION");
  EXPECT_EQ(SpecFromName<KeyState>("PENDING_DELETION"), KeyState::kPendingDeletion);
  EXPECT_EQ(SpecFromName<KeyState>("pending_deletion"), std::nullopt);
  EXPECT_EQ(SpecFromName<SigningAlgorithm>("RSASSA_PSS_SHA_256"),
            SigningAlgorithm::kRsassaPssSha256);
  EXPECT_EQ(SpecName(static_cast<KeyOrigin>(77)), "77");
  EXPECT_EQ(SpecNames<ImportWrappingAlgorithm>(),
            "RSAES_OAEP_SHA_256, RSAES_OAEP_SHA_1, RSA_AES_KEY_WRAP_SHA_256");
}

}  // namespace
}  // namespace strongroom
