// Key pairs of every spec, as OpenSSL sees them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "hsm/pair_spec.h"
#include "server/core/data_keys.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;

struct SpecCase {
  PairSpec spec;
  const char* name;
  const char* group;  // of a curve; null for RSA
  int bits;
};

constexpr SpecCase kSpecs[] = {
    {PairSpec::kRsa2048, "Rsa2048", nullptr, 2048},
    {PairSpec::kRsa3072, "Rsa3072", nullptr, 3072},
    {PairSpec::kRsa4096, "Rsa4096", nullptr, 4096},
    {PairSpec::kEcP256, "EcP256", "prime256v1", 256},
    {PairSpec::kEcP384, "EcP384", "secp384r1", 384},
    {PairSpec::kEcP521, "EcP521", "secp521r1", 521},
    {PairSpec::kEcP256k, "EcP256k", "secp256k1", 256},
};

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio MakeBio(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
}

// PKCS#8 and nothing behind it. d2i_AutoPrivateKey would take older formats as well.
Key ReadPrivateKey(const std::string& text, KeyFormat format) {
  const Bio bio = MakeBio(text);
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, decltype(&PKCS8_PRIV_KEY_INFO_free)> pkcs8(
      format == KeyFormat::kPem
          ? PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio.get(), nullptr, nullptr, nullptr)
          : d2i_PKCS8_PRIV_KEY_INFO_bio(bio.get(), nullptr),
      &PKCS8_PRIV_KEY_INFO_free);
  EXPECT_EQ(BIO_pending(bio.get()), 0);
  return Key(pkcs8 != nullptr ? EVP_PKCS82PKEY(pkcs8.get()) : nullptr, &EVP_PKEY_free);
}

Key ReadPublicKey(const std::string& text, KeyFormat format) {
  const Bio bio = MakeBio(text);
  Key key(format == KeyFormat::kPem ? PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr)
                                    : d2i_PUBKEY_bio(bio.get(), nullptr),
          &EVP_PKEY_free);
  EXPECT_EQ(BIO_pending(bio.get()), 0);
  return key;
}

// Whether what one half signs the other one verifies.
bool Match(EVP_PKEY* private_key, EVP_PKEY* public_key) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const unsigned char message[] = "message";
  unsigned char signature[1024];
  size_t size = sizeof(signature);
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, private_key) != 1 ||
      EVP_DigestSign(context.get(), signature, &size, message, sizeof(message)) != 1) {
    return false;
  }
  EVP_MD_CTX_reset(context.get());
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, public_key) == 1 &&
         EVP_DigestVerify(context.get(), signature, size, message, sizeof(message)) == 1;
}

class DataKeyPairsTest : public KmsFixture, public ::testing::WithParamInterface<SpecCase> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
  }

  absl::StatusOr<KeyPair> Generate(KeyFormat format, Plaintext plaintext) {
    return data_keys().GenerateKeyPair({.key = key_}, GetParam().spec, format, plaintext,
                                       kNoDeadline);
  }

  void CheckPair(const std::string& public_text, const std::string& private_text,
                 KeyFormat format) {
    if (format == KeyFormat::kPem) {
      EXPECT_TRUE(absl::StartsWith(private_text, "-----BEGIN PRIVATE KEY-----\n"));
      EXPECT_TRUE(absl::EndsWith(private_text, "\n-----END PRIVATE KEY-----\n"));
      EXPECT_TRUE(absl::StartsWith(public_text, "-----BEGIN PUBLIC KEY-----\n"));
      EXPECT_TRUE(absl::EndsWith(public_text, "\n-----END PUBLIC KEY-----\n"));
    }
    const Key public_key = ReadPublicKey(public_text, format);
    const Key private_key = ReadPrivateKey(private_text, format);
    ASSERT_NE(public_key, nullptr);
    ASSERT_NE(private_key, nullptr);
    for (EVP_PKEY* key : {public_key.get(), private_key.get()}) {
      EXPECT_EQ(EVP_PKEY_get_bits(key), GetParam().bits);
      EXPECT_EQ(EVP_PKEY_is_a(key, GetParam().group != nullptr ? "EC" : "RSA"), 1);
      if (GetParam().group == nullptr) continue;
      char group[64] = {};
      ASSERT_EQ(EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr), 1);
      EXPECT_STREQ(group, GetParam().group);
    }
    if (GetParam().group == nullptr) {
      BIGNUM* exponent = nullptr;
      ASSERT_EQ(EVP_PKEY_get_bn_param(public_key.get(), OSSL_PKEY_PARAM_RSA_E, &exponent), 1);
      EXPECT_EQ(BN_get_word(exponent), 65537u);
      BN_free(exponent);
    }
    EXPECT_TRUE(Match(private_key.get(), public_key.get()));
  }

 private:
  KeyId key_;
};

TEST_P(DataKeyPairsTest, ReturnedPairMatchesAndItsBlobOpensToTheSameBytes) {
  for (KeyFormat format : {KeyFormat::kPem, KeyFormat::kDer}) {
    ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate(format, Plaintext::kReturned));
    ASSERT_TRUE(pair.private_key.has_value());
    CheckPair(pair.public_key, Text(*pair.private_key), format);
    ExpectOpens(pair.sealed.blob, {}, Text(*pair.private_key));
  }
}

TEST_P(DataKeyPairsTest, PairThatIsNotReturnedMatchesOnceItIsOpened) {
  ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate(KeyFormat::kDer, Plaintext::kNotReturned));
  EXPECT_FALSE(pair.private_key.has_value());
  ASSERT_OK_AND_ASSIGN(const Opened opened, Open(pair.sealed.blob));
  CheckPair(pair.public_key, Text(opened.plaintext), KeyFormat::kDer);
  ExpectOpens(pair.sealed.blob, {}, Text(opened.plaintext));
}

INSTANTIATE_TEST_SUITE_P(Specs, DataKeyPairsTest, ::testing::ValuesIn(kSpecs),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace strongroom::core
