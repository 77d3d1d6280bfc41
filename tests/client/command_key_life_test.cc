// `key`'s life: tags, rotation, deletion, import; and `data-key-pair sign`, `decrypt`, `derive`.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
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
using Json = nlohmann::json;

class KeyLifeCommandTest : public CommandTest {
 protected:
  // Answers `rpc` with `answer` and keeps its request.
  template <typename Request, typename Response>
  void Keep(const std::string& rpc, Request* seen, const Response& answer) {
    server_->On<Request, Response>(rpc, [=](const Request& request, Response* response) {
      *seen = request;
      *response = answer;
      return grpc::Status::OK;
    });
  }
};

// --- Keys ---

TEST_F(KeyLifeCommandTest, KeyIsCreatedWithOriginTagsAndRotation) {
  v1::CreateKeyRequest seen;
  Keep(absl::StrCat(kKeys, "CreateKey"), &seen, v1::CreateKeyResponse());
  EXPECT_EQ(Run("key create --origin external --tag team=billing --tag empty= --rotation-days 0")
                .exit_code,
            0);
  EXPECT_EQ(seen.origin(), v1::KEY_ORIGIN_EXTERNAL);
  EXPECT_EQ(seen.tags().size(), 2u);
  EXPECT_EQ(seen.tags().at("team"), "billing");
  EXPECT_TRUE(seen.has_rotation_period_days());
  EXPECT_EQ(Run("key create").exit_code, 0);
  EXPECT_FALSE(seen.has_rotation_period_days());
}

TEST_F(KeyLifeCommandTest, KeyIsDescribedWhole) {
  v1::DescribeKeyResponse answer;
  v1::Key& key = *answer.mutable_key();
  key.set_key_id("key-1");
  key.set_state(v1::KEY_STATE_PENDING_DELETION);
  key.set_origin(v1::KEY_ORIGIN_EXTERNAL);
  (*key.mutable_tags())["team"] = "billing";
  key.set_rotation_period_days(90);
  key.mutable_next_rotation_time()->set_seconds(1700000000);
  key.mutable_deletion_time()->set_seconds(1700000001);
  key.set_primary_uses_left(int64_t{1} << 32);
  key.set_initial_uses_left(7);
  v1::DescribeKeyRequest seen;
  Keep(absl::StrCat(kKeys, "DescribeKey"), &seen, answer);
  const std::string table = Run("key describe k").out;
  EXPECT_THAT(table, AllOf(HasSubstr("PENDING_DELETION"), HasSubstr("EXTERNAL"),
                           HasSubstr("team=billing"), HasSubstr("every 90 days"),
                           HasSubstr("Next rotation time      2023-11-14T22:13:20Z"),
                           HasSubstr("Deletion time           2023-11-14T22:13:21Z"),
                           HasSubstr("Primary uses left       4294967296")));
  const Json json = Run("key describe k --output json").json();
  EXPECT_EQ(json["tags"], (Json{{"team", "billing"}}));
  EXPECT_EQ(json["rotation_period_days"], 90);
  EXPECT_EQ(json["deletion_time"], "2023-11-14T22:13:21Z");
  EXPECT_EQ(json["initial_uses_left"], 7);
  EXPECT_FALSE(json.contains("rotation"));
}

TEST_F(KeyLifeCommandTest, KeysAreListedByStateAndTagThroughEmptyPages) {
  std::vector<v1::ListKeysRequest> seen;
  server_->On<v1::ListKeysRequest, v1::ListKeysResponse>(
      absl::StrCat(kKeys, "ListKeys"), [&](const auto& request, auto* response) {
        seen.push_back(request);
        // Only the last of three pages has a key.
        if (seen.size() < 3) {
          response->set_next_page_token(absl::StrCat("page-", seen.size()));
        } else {
          response->add_keys()->set_key_id("key-1");
        }
        return grpc::Status::OK;
      });
  const Result result =
      Run("key list --state enabled --state pending-deletion --tag team=billing --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(result.json()["keys"].size(), 1u) << result.out;
  ASSERT_EQ(seen.size(), 3u);
  for (const v1::ListKeysRequest& request : seen) {
    EXPECT_THAT(request.states(),
                ElementsAre(v1::KEY_STATE_ENABLED, v1::KEY_STATE_PENDING_DELETION));
    EXPECT_EQ(request.tags().at("team"), "billing");
  }
  EXPECT_EQ(seen[2].page_token(), "page-2");
}

TEST_F(KeyLifeCommandTest, ChangesOfAKeyAreSent) {
  v1::UpdateKeyDescriptionRequest update;
  Keep(absl::StrCat(kKeys, "UpdateKeyDescription"), &update, v1::UpdateKeyDescriptionResponse());
  EXPECT_EQ(Run({"key", "update", "k", "--description", "for orders"}).exit_code, 0);
  EXPECT_EQ(update.description(), "for orders");

  v1::TagKeyRequest tag;
  Keep(absl::StrCat(kKeys, "TagKey"), &tag, v1::TagKeyResponse());
  EXPECT_EQ(Run("key tag k --tag a=1=2 --tag b=").exit_code, 0);
  EXPECT_EQ(tag.tags().at("a"), "1=2");
  EXPECT_EQ(tag.tags().at("b"), "");

  v1::UntagKeyRequest untag;
  Keep(absl::StrCat(kKeys, "UntagKey"), &untag, v1::UntagKeyResponse());
  EXPECT_EQ(Run("key untag k --tag a --tag b").exit_code, 0);
  EXPECT_THAT(untag.tag_names(), ElementsAre("a", "b"));

  v1::UpdateRotationPolicyRequest rotation;
  Keep(absl::StrCat(kKeys, "UpdateRotationPolicy"), &rotation, v1::UpdateRotationPolicyResponse());
  EXPECT_EQ(Run("key rotation k --days 90").exit_code, 0);
  EXPECT_EQ(rotation.rotation_period_days(), 90);
  EXPECT_EQ(Run("key rotation k --off").exit_code, 0);
  EXPECT_EQ(rotation.rotation_period_days(), 0);
  EXPECT_TRUE(rotation.has_rotation_period_days());
}

TEST_F(KeyLifeCommandTest, DeletionSaysWhen) {
  v1::ScheduleKeyDeletionResponse answer;
  answer.mutable_key()->set_state(v1::KEY_STATE_PENDING_DELETION);
  answer.mutable_key()->mutable_deletion_time()->set_seconds(1700000000);
  v1::ScheduleKeyDeletionRequest seen;
  Keep(absl::StrCat(kKeys, "ScheduleKeyDeletion"), &seen, answer);
  EXPECT_THAT(Run("key delete k --window-days 7").out,
              HasSubstr("Deletion time           2023-11-14T22:13:20Z"));
  EXPECT_EQ(seen.pending_window_days(), 7);
  for (const char* line : {"key undelete k", "key cancel-deletion k"}) {
    EXPECT_EQ(Run(line).exit_code, 0);
    EXPECT_EQ(server_->calls().back(), absl::StrCat(kKeys, "CancelKeyDeletion"));
  }
}

TEST_F(KeyLifeCommandTest, KeyThatIsToBeDestroyedEndsAsADisabledOne) {
  const std::pair<const char*, grpc::StatusCode> cases[] = {
      {"Rejected.Disabled", grpc::StatusCode::FAILED_PRECONDITION},
      {"Rejected.PendingDeletion", grpc::StatusCode::FAILED_PRECONDITION},
      {"Rejected.LimitExceeded", grpc::StatusCode::RESOURCE_EXHAUSTED},
  };
  for (const auto& [reason, code] : cases) {
    server_->Fail(absl::StrCat(kKeys, "TagKey"), ServiceError(code, "no", reason, 409, "id"), 1);
    const Result result = Run("key tag k --tag a=1");
    EXPECT_EQ(result.exit_code, code == grpc::StatusCode::FAILED_PRECONDITION ? 6 : 7) << reason;
    EXPECT_THAT(result.err, HasSubstr(reason));
  }
}

// --- Import ---

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

class ImportCommandTest : public KeyLifeCommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    pair_.reset(EVP_RSA_gen(2048));
    uint8_t* der = nullptr;
    const int size = i2d_PUBKEY(pair_.get(), &der);
    answer_.set_public_key(der, static_cast<size_t>(size));
    OPENSSL_free(der);
    answer_.set_key_id("key-1");
    answer_.set_import_token("token");
    answer_.mutable_expire_time()->set_seconds(1700000000);
    Keep(absl::StrCat(kKeys, "GetParametersForImport"), &parameters_, answer_);
    Keep(absl::StrCat(kKeys, "ImportKeyMaterial"), &import_, v1::ImportKeyMaterialResponse());
  }

  std::string OpenOaep(const std::string& wrapped, const EVP_MD* hash) {
    const std::unique_ptr<EVP_PKEY_CTX, FreeKey> context(EVP_PKEY_CTX_new(pair_.get(), nullptr));
    std::string opened(256, '\0');
    size_t size = opened.size();
    EVP_PKEY_decrypt_init(context.get());
    EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING);
    EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash);
    EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash);
    if (EVP_PKEY_decrypt(context.get(), reinterpret_cast<uint8_t*>(opened.data()), &size,
                         reinterpret_cast<const uint8_t*>(wrapped.data()), wrapped.size()) <= 0) {
      return "(does not open)";
    }
    return opened.substr(0, size);
  }

  static std::string OpenKwp(const std::string& key, const std::string& wrapped) {
    const std::unique_ptr<EVP_CIPHER_CTX, FreeKey> context(EVP_CIPHER_CTX_new());
    EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    std::string opened(wrapped.size(), '\0');
    int size = 0;
    EVP_DecryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr,
                       reinterpret_cast<const uint8_t*>(key.data()), nullptr);
    EVP_DecryptUpdate(context.get(), reinterpret_cast<uint8_t*>(opened.data()), &size,
                      reinterpret_cast<const uint8_t*>(wrapped.data()),
                      static_cast<int>(wrapped.size()));
    return opened.substr(0, static_cast<size_t>(size));
  }

  void WriteMaterial(const std::string& content = kSecret) {
    Write("material", content);
    ASSERT_EQ(chmod("material", 0600), 0);
  }

  std::unique_ptr<EVP_PKEY, FreeKey> pair_;
  v1::GetParametersForImportResponse answer_;
  v1::GetParametersForImportRequest parameters_;
  v1::ImportKeyMaterialRequest import_;
};

TEST_F(ImportCommandTest, ParametersGoToFiles) {
  const Result result =
      Run("key import-parameters k --algorithm rsaes_oaep_sha_1 --wrapping-key-spec RSA_2048 "
          "--public-key-out pub --token-out token --output json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parameters_.wrapping_algorithm(), v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_1);
  EXPECT_EQ(parameters_.wrapping_key_spec(), v1::IMPORT_WRAPPING_KEY_SPEC_RSA_2048);
  EXPECT_EQ(Read("pub"), answer_.public_key());
  EXPECT_EQ(Read("token"), "token");
  EXPECT_EQ(result.json()["expire_time"], "2023-11-14T22:13:20Z");
  // They are not replaced, and nothing is sent: what was got before would become void.
  const size_t calls = server_->calls().size();
  EXPECT_EQ(Run("key import-parameters k --public-key-out pub --token-out t").exit_code, 10);
  EXPECT_EQ(server_->calls().size(), calls);
}

TEST_F(ImportCommandTest, WrappedMaterialIsImported) {
  Write("token", std::string("to\0ken\n", 7));
  EXPECT_EQ(Run("key import k --token token --in -", "wrapped").exit_code, 0);
  EXPECT_EQ(import_.key_id(), "k");
  EXPECT_EQ(import_.import_token(), std::string("to\0ken\n", 7));
  EXPECT_EQ(import_.encrypted_key_material(), "wrapped");
}

TEST_F(ImportCommandTest, MaterialInTheClearIsWrappedHere) {
  WriteMaterial();
  ASSERT_EQ(Run("key import k --material-in material").exit_code, 0);
  EXPECT_EQ(parameters_.wrapping_algorithm(), v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_256);
  EXPECT_EQ(import_.import_token(), "token");
  EXPECT_EQ(OpenOaep(import_.encrypted_key_material(), EVP_sha256()), kSecret);

  ASSERT_EQ(Run("key import k --material-in - --algorithm RSAES_OAEP_SHA_1", kSecret).exit_code, 0);
  EXPECT_EQ(OpenOaep(import_.encrypted_key_material(), EVP_sha1()), kSecret);

  ASSERT_EQ(
      Run("key import k --material-in material --algorithm RSA_AES_KEY_WRAP_SHA_256").exit_code, 0);
  const std::string& both = import_.encrypted_key_material();
  ASSERT_EQ(both.size(), 256u + 40u);
  const std::string key = OpenOaep(both.substr(0, 256), EVP_sha256());
  ASSERT_EQ(key.size(), 32u);
  EXPECT_EQ(OpenKwp(key, both.substr(256)), kSecret);
}

TEST_F(ImportCommandTest, TokenThatKnowsNoSha256IsAskedForSha1) {
  WriteMaterial();
  const grpc::Status unsupported =
      ServiceError(grpc::StatusCode::UNIMPLEMENTED, "no", "UnsupportedOperation", 400, "id");
  server_->Fail(absl::StrCat(kKeys, "GetParametersForImport"), unsupported, 1);
  ASSERT_EQ(Run("key import k --material-in material").exit_code, 0);
  EXPECT_EQ(parameters_.wrapping_algorithm(), v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_1);
  EXPECT_EQ(OpenOaep(import_.encrypted_key_material(), EVP_sha1()), kSecret);
  // Not where one was asked for.
  server_->Fail(absl::StrCat(kKeys, "GetParametersForImport"), unsupported, 1);
  EXPECT_EQ(Run("key import k --material-in material --algorithm RSAES_OAEP_SHA_256").exit_code, 3);
}

TEST_F(ImportCommandTest, MaterialThatOthersMayReadOrOfAnotherLengthIsRefused) {
  WriteMaterial();
  ASSERT_EQ(chmod("material", 0644), 0);
  const Result open = Run("key import k --material-in material");
  EXPECT_EQ(open.exit_code, 10);
  EXPECT_THAT(open.err, AllOf(HasSubstr("chmod 0600"), Not(HasSubstr(kSecret))));
  for (const std::string& content : {std::string(31, 'x'), std::string(33, 'x'), std::string()}) {
    WriteMaterial(content);
    EXPECT_EQ(Run("key import k --material-in material").exit_code, 10);
    EXPECT_EQ(Run("key import k --material-in -", content).exit_code, 10);
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

TEST_F(ImportCommandTest, PublicKeyThatIsTooWeakOrNoneIsRefused) {
  WriteMaterial();
  pair_.reset(EVP_RSA_gen(1024));
  uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(pair_.get(), &der);
  const std::string weak(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  for (const std::string& key : {weak, std::string("nonsense"), std::string()}) {
    answer_.set_public_key(key);
    Keep(absl::StrCat(kKeys, "GetParametersForImport"), &parameters_, answer_);
    EXPECT_EQ(Run("key import k --material-in material").exit_code, 9);
    EXPECT_EQ(server_->calls().back(), absl::StrCat(kKeys, "GetParametersForImport"));
  }
}

// --- Private keys used in the token ---

TEST_F(KeyLifeCommandTest, MessageOrDigestIsSigned) {
  v1::SignWithDataKeyPairResponse answer;
  answer.set_key_id("key-1");
  answer.set_signature("signature");
  answer.set_signing_algorithm(v1::SIGNING_ALGORITHM_ECDSA_SHA_256);
  answer.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_EC_P256);
  v1::SignWithDataKeyPairRequest seen;
  Keep(absl::StrCat(kClassic, "SignWithDataKeyPair"), &seen, answer);
  Write("blob", std::string("b\0lob\n", 6));
  Write("digest", "digest");
  const std::string sign = "data-key-pair sign --private-key-blob blob --algorithm ECDSA_SHA_256 ";
  const Result result =
      Run(sign + "--in - --context k=v --key-id k --format fixed --signature-out sig --output json",
          "message\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(seen.private_key_ciphertext_blob(), std::string("b\0lob\n", 6));
  EXPECT_EQ(seen.message(), "message\n");
  EXPECT_EQ(seen.message_type(), v1::MESSAGE_TYPE_RAW);
  EXPECT_EQ(seen.signing_algorithm(), v1::SIGNING_ALGORITHM_ECDSA_SHA_256);
  EXPECT_EQ(seen.ecdsa_signature_format(), v1::ECDSA_SIGNATURE_FORMAT_FIXED);
  EXPECT_EQ(seen.encryption_context().at("k"), "v");
  EXPECT_EQ(seen.key_id(), "k");
  EXPECT_EQ(Read("sig"), "signature");
  EXPECT_EQ(result.json()["signature"], absl::Base64Escape("signature"));
  EXPECT_EQ(result.json()["key_pair_spec"], "EC_P256");

  EXPECT_THAT(Run(sign + "--digest-in digest --aad bound").out,
              HasSubstr(absl::Base64Escape("signature")));
  EXPECT_EQ(seen.message(), "digest");
  EXPECT_EQ(seen.message_type(), v1::MESSAGE_TYPE_DIGEST);
  EXPECT_EQ(seen.aad(), "bound");
}

TEST_F(KeyLifeCommandTest, SecretsOfPrivateKeysGoWhereTheyAreAskedToGoOnly) {
  v1::DecryptWithDataKeyPairResponse plaintext;
  plaintext.set_plaintext(kSecret);
  v1::DecryptWithDataKeyPairRequest decrypt;
  Keep(absl::StrCat(kClassic, "DecryptWithDataKeyPair"), &decrypt, plaintext);
  v1::DeriveSharedSecretResponse secret;
  secret.set_shared_secret(kSecret);
  v1::DeriveSharedSecretRequest derive;
  Keep(absl::StrCat(kClassic, "DeriveSharedSecret"), &derive, secret);
  Write("blob", "blob");
  Write("in", "in");
  const std::string lines[] = {
      "data-key-pair decrypt --private-key-blob blob --in in --algorithm RSAES_OAEP_SHA_256",
      "data-key-pair derive --private-key-blob blob --public-key-in in"};
  for (const std::string& line : lines) {
    const Result nowhere = Run(line);
    EXPECT_EQ(nowhere.exit_code, 2) << line;
    EXPECT_THAT(nowhere.err, HasSubstr("--plaintext-out")) << line;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
  for (const std::string& line : lines) {
    const Result file = Run(line + " --plaintext-out out --force");
    EXPECT_EQ(file.exit_code, 0) << file.err;
    EXPECT_EQ(Read("out"), kSecret);
    EXPECT_EQ(ModeOf("out"), 0600);
    EXPECT_THAT(file.out, Not(HasSubstr(absl::Base64Escape(kSecret))));
    const Result shown = Run(line + " --reveal-plaintext --output json");
    EXPECT_EQ(shown.json()["plaintext"], absl::Base64Escape(kSecret)) << shown.out;
  }
  EXPECT_EQ(Run(lines[1] + " --shared-secret-out other").exit_code, 0);
  EXPECT_EQ(Read("other"), kSecret);
  EXPECT_EQ(decrypt.ciphertext(), "in");
  EXPECT_EQ(decrypt.decryption_algorithm(), v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_256);
  EXPECT_EQ(derive.public_key(), "in");
}

TEST_F(KeyLifeCommandTest, WrongCommandLineIsRefusedBeforeAnythingIsSent) {
  Write("in", "content");
  const std::string sign = "data-key-pair sign --private-key-blob in ";
  const std::pair<std::string, std::string> cases[] = {
      {"key create --origin moon", "TOKEN, EXTERNAL"},
      {"key create --tag a", "--tag takes"},
      {"key list --state sleeping", "PENDING_DELETION"},
      {"key tag k", "--tag"},
      {"key untag k --tag a=1", "NAME alone"},
      {"key rotation k", "--days or --off"},
      {"key rotation k --days 1 --off", "--days or --off"},
      {"key rotation k --days 0", "--off"},
      {"key import-parameters k --public-key-out p", "--token-out"},
      {"key import k", "--material-in"},
      {"key import k --token in", "--material-in"},
      {"key import k --token in --in in --material-in in", "--material-in"},
      {"key import k --token - --in -", "standard input"},
      {"key import k --token in --in in --algorithm RSAES_OAEP_SHA_1", "--material-in"},
      {"key import k --material-in in --algorithm none", "RSA_AES_KEY_WRAP_SHA_256"},
      {sign + "--in in", "--algorithm"},
      {sign + "--algorithm ECDSA_SHA_256", "--digest-in"},
      {sign + "--algorithm ECDSA_SHA_256 --in in --digest-in in", "--digest-in"},
      {sign + "--algorithm MD5 --in in", "RSASSA_PSS_SHA_256"},
      {sign + "--algorithm ECDSA_SHA_256 --in in --format pem", "DER, FIXED"},
      {"data-key-pair sign --private-key-blob - --algorithm ECDSA_SHA_256 --in -",
       "standard input"},
  };
  for (const auto& [line, hint] : cases) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("strongroom: UsageError: "), HasSubstr(hint))) << line;
  }
  EXPECT_THAT(server_->calls(), IsEmpty());
}

}  // namespace
}  // namespace strongroom::command
