// What is sent and what comes back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

#include "client/client.h"
#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/client_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::strongroom::testing::ClientTest;
using ::strongroom::testing::Expect;
using ::strongroom::testing::ExpectEqual;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::kSecret;
using ::strongroom::testing::Span;
using ::testing::SizeIs;

constexpr char kGenerate[] = "strongroom.v1.KmsService/GenerateDataKey";

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

TEST_F(ClientTest, BatchIsAskedForAndUnpacked) {
  v1::BatchGenerateDataKeyResponse answer;
  answer.set_key_id("id");
  for (const char* plaintext : {"first", "second key"}) {
    v1::BatchDataKey& key = *answer.add_outcomes()->mutable_data_key();
    key.set_key_version_id("version");
    key.set_plaintext(plaintext);
    key.set_ciphertext_blob(std::string("blob of ") + plaintext);
  }
  for (const char* reason : {"Rejected.LimitExceeded", "New.Reason"}) {
    v1::BatchDataKeyError& error = *answer.add_outcomes()->mutable_error();
    error.set_reason(reason);
    error.set_message("why");
  }
  // Of a service that says nothing.
  answer.add_outcomes();
  answer.set_request_id("request");
  v1::BatchGenerateDataKeyRequest seen, expected;
  Expect(server_.get(), "strongroom.v1.KmsService/BatchGenerateDataKey", answer, &seen);
  ASSERT_OK_AND_ASSIGN(DataKeyBatch received,
                       client_->BatchGenerateDataKey({.key_id = "k",
                                                      .count = 5,
                                                      .key_spec = DataKeySpec::kAes128,
                                                      .number_of_bytes = 7,
                                                      .without_plaintext = true,
                                                      .encryption_context = {{"a", "1"}}}));
  // What lies in the locked memory stays where it is.
  const DataKeyBatch batch = std::move(received);
  EXPECT_EQ(batch.key_id, "id");
  EXPECT_EQ(batch.request_id, "request");
  ASSERT_THAT(batch.outcomes, SizeIs(5));
  EXPECT_EQ(batch.plaintexts.ExposeSecretAsText(), "firstsecond key");
  const char* const plaintexts[] = {"first", "second key"};
  for (size_t i = 0; i < 2; ++i) {
    const BatchDataKey& key = std::get<BatchDataKey>(batch.outcomes[i]);
    EXPECT_EQ(key.key_version_id, "version");
    EXPECT_EQ(std::string(key.plaintext.begin(), key.plaintext.end()), plaintexts[i]);
    EXPECT_EQ(key.ciphertext_blob, std::string("blob of ") + plaintexts[i]);
  }
  const BatchDataKeyError& limit = std::get<BatchDataKeyError>(batch.outcomes[2]);
  EXPECT_EQ(limit.reason, Reason::kLimitExceeded);
  EXPECT_EQ(limit.reason_name, "Rejected.LimitExceeded");
  EXPECT_EQ(limit.message, "why");
  const BatchDataKeyError& unknown = std::get<BatchDataKeyError>(batch.outcomes[3]);
  EXPECT_EQ(unknown.reason, Reason::kUnknown);
  EXPECT_EQ(unknown.reason_name, "New.Reason");
  EXPECT_EQ(std::get<BatchDataKeyError>(batch.outcomes[4]).reason, Reason::kUnknown);

  expected.set_key_id("k");
  expected.set_count(5);
  expected.set_key_spec(v1::DATA_KEY_SPEC_AES_128);
  expected.set_number_of_bytes(7);
  expected.set_without_plaintext(true);
  (*expected.mutable_encryption_context())["a"] = "1";
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
  ASSERT_OK_AND_ASSIGN(const Page<Key> page, client_->keys().List({.page = {.page_size = 1000}}));
  EXPECT_THAT(page.items, SizeIs(1000));
}

}  // namespace
}  // namespace strongroom
