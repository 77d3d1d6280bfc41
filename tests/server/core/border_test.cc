// Every byte that crosses the border to the token is listened to: what was made without plaintext
// never crosses it in the clear, whatever is done with it inside.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "hsm/pair_spec.h"
#include "server/core/data_keys.h"
#include "server/core/pair_reservoir.h"
#include "server/core/private_keys.h"
#include "server/log/log.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/openssl_keys.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::Hash;
using hsm::PairSpec;
using testing::OpenSslKey;

constexpr size_t kWindow = 16;

// Whether 16 bytes of the secret, wherever in it, are in the text; or, backwards, as a
// little-endian number.
bool HasPartOf(const std::string& text, std::string secret) {
  for (int direction = 0; direction < 2; ++direction) {
    for (size_t i = 0; i + kWindow <= secret.size(); ++i) {
      if (absl::StrContains(text, secret.substr(i, kWindow))) return true;
    }
    secret = std::string(secret.rbegin(), secret.rend());
  }
  return false;
}

class BorderTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
    other_key_ = CreateKey();
    private_keys_.emplace(ring(), token(), PrivateKeys::Options{});
  }

  const KeyId& key() { return key_; }
  const KeyId& other_key() { return other_key_; }
  PrivateKeys& private_keys() { return *private_keys_; }

  void Listen() {
    faults().Reset();
    ASSERT_OK(faults().Apply("record"));
  }
  // What crossed the border since, and no more is listened to.
  std::string Heard() {
    // The recorder is deaf to these, and to nothing else that carries data.
    for (const char* function : {"C_SetOperationState", "C_InitPIN", "C_SetPIN"}) {
      EXPECT_EQ(faults().Calls(function), 0u) << function;
    }
    std::string heard = faults().Recorded();
    faults().Reset();
    EXPECT_FALSE(heard.empty());
    return heard;
  }

 private:
  KeyId key_;
  KeyId other_key_;
  std::optional<PrivateKeys> private_keys_;
};

// That a secret which does cross is found.
TEST_F(BorderTest, DataKeyThatIsReturnedIsHeard) {
  Listen();
  ASSERT_OK_AND_ASSIGN(
      const DataKey data_key,
      data_keys().GenerateDataKey({.key = key()}, 32, Plaintext::kReturned, kNoDeadline));
  const std::string heard = Heard();
  EXPECT_TRUE(HasPartOf(heard, Text(*data_key.plaintext)));
  EXPECT_TRUE(HasPartOf(heard, Text(*data_key.plaintext).substr(0, kWindow)));
  EXPECT_TRUE(HasPartOf(heard, Text(*data_key.plaintext).substr(32 - kWindow)));
}

// That each kind of data is listened to: digests and signatures, points, templates.
TEST_F(BorderTest, WhatSigningAndDerivingCarryIsHeard) {
  ASSERT_OK_AND_ASSIGN(const KeyPair pair, data_keys().GenerateKeyPair(
                                               {.key = key()}, PairSpec::kEcP256, KeyFormat::kDer,
                                               Plaintext::kNotReturned, kNoDeadline));
  const OpenSslKey peer = testing::GenerateCurveKey("prime256v1");
  const Binding unbound;
  Listen();
  ASSERT_OK_AND_ASSIGN(const Signed made, private_keys().Sign({pair.sealed.blob, unbound},
                                                              {.scheme = SignatureScheme::kEcdsa,
                                                               .hash = Hash::kSha256,
                                                               .message = "message",
                                                               .format = EcdsaFormat::kFixed},
                                                              kNoDeadline));
  ASSERT_OK(private_keys().DeriveSharedSecret({pair.sealed.blob, unbound},
                                              testing::EncodePublicKey(peer.get()), kNoDeadline));
  const std::string heard = Heard();
  EXPECT_TRUE(absl::StrContains(heard, testing::DigestOf("SHA256", "message")));
  EXPECT_TRUE(absl::StrContains(heard, made.signature));
  EXPECT_TRUE(absl::StrContains(heard, testing::PointOf(peer.get())));
  EXPECT_TRUE(absl::StrContains(heard, "opened-"));  // in the template of C_UnwrapKey
}

TEST_F(BorderTest, PrivateKeyIsNeverHeardInTheClear) {
  for (const PairSpec spec : {PairSpec::kEcP256, PairSpec::kEcP521, PairSpec::kRsa2048}) {
    SCOPED_TRACE(static_cast<int>(spec));
    const bool rsa = spec == PairSpec::kRsa2048;
    const OpenSslKey peer =
        testing::GenerateCurveKey(spec == PairSpec::kEcP521 ? "secp521r1" : "prime256v1");
    const Binding unbound;
    Listen();
    ASSERT_OK_AND_ASSIGN(const KeyPair pair,
                         data_keys().GenerateKeyPair({.key = key()}, spec, KeyFormat::kDer,
                                                     Plaintext::kNotReturned, kNoDeadline));
    const OpenSslKey public_key = testing::ParsePublicKey(pair.public_key);
    const SealedPrivateKey sealed = {pair.sealed.blob, unbound};
    ASSERT_OK(
        private_keys().Sign(sealed,
                            {.scheme = rsa ? SignatureScheme::kRsaPss : SignatureScheme::kEcdsa,
                             .hash = Hash::kSha256,
                             .message = "message"},
                            kNoDeadline));
    std::string shared_secret;
    if (rsa) {
      ASSERT_OK(private_keys().Decrypt(sealed, Hash::kSha1,
                                       testing::EncryptOaep(public_key.get(), "SHA1", "text"),
                                       kNoDeadline));
      // The way on which the token says no, too.
      ASSERT_FALSE(
          private_keys().Decrypt(sealed, Hash::kSha1, std::string(256, '\1'), kNoDeadline).ok());
    } else {
      ASSERT_OK_AND_ASSIGN(const UsedResult derived,
                           private_keys().DeriveSharedSecret(
                               sealed, testing::EncodePublicKey(peer.get()), kNoDeadline));
      shared_secret = Text(derived.result);
    }
    ASSERT_OK_AND_ASSIGN(const ReEncrypted moved,
                         data_keys().ReEncrypt(pair.sealed.blob, unbound, std::nullopt,
                                               {.key = other_key()}, kNoDeadline));
    ASSERT_OK(ring().Describe(key()));
    ASSERT_OK(ring().ListKeys({}, std::nullopt, 10));
    ASSERT_OK(ring().ListKeyVersions(key(), 0, 10));
    const std::string heard = Heard();

    ASSERT_OK_AND_ASSIGN(const Opened opened, Open(moved.sealed.blob));
    const OpenSslKey private_key = testing::ParsePrivateKey(Text(opened.plaintext));
    ASSERT_NE(private_key, nullptr);
    EXPECT_EQ(testing::EncodePublicKey(private_key.get()), pair.public_key);
    for (const std::string& number : testing::PrivateNumbers(private_key.get())) {
      EXPECT_TRUE(HasPartOf(Text(opened.plaintext), number));
      EXPECT_FALSE(HasPartOf(heard, number));
    }
    EXPECT_FALSE(HasPartOf(heard, shared_secret));
  }
}

// Generated, written, brought back by the next start, prepared, given away.
TEST_F(BorderTest, PairThatWaitedIsNeverHeardInTheClear) {
  for (const PairSpec spec : {PairSpec::kEcP256, PairSpec::kRsa2048}) {
    SCOPED_TRACE(static_cast<int>(spec));
    Log log(LogLevel::kError);
    PairReservoir::Options options;
    options.path = softhsm().directory() + "/pairs.db";
    options.pairs = {{spec, 4}};
    std::vector<KeyPair> pairs;
    Listen();
    for (int start = 0; start < 2; ++start) {
      PairReservoir reservoir(token(), store().id(), log, options);
      DataKeys keys(ring(), token(), kPairGenerations, &reservoir);
      reservoir.Start();
      for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(
            reservoir.WaitUntilSettled(std::chrono::steady_clock::now() + std::chrono::minutes(2)));
        ASSERT_OK_AND_ASSIGN(KeyPair pair,
                             keys.GenerateKeyPair({.key = key()}, spec, KeyFormat::kDer,
                                                  Plaintext::kNotReturned, kNoDeadline));
        pairs.push_back(std::move(pair));
      }
    }
    const std::string heard = Heard();
    for (const KeyPair& pair : pairs) {
      ASSERT_OK_AND_ASSIGN(const Opened opened, Open(pair.sealed.blob));
      const OpenSslKey private_key = testing::ParsePrivateKey(Text(opened.plaintext));
      ASSERT_NE(private_key, nullptr);
      EXPECT_EQ(testing::EncodePublicKey(private_key.get()), pair.public_key);
      for (const std::string& number : testing::PrivateNumbers(private_key.get())) {
        EXPECT_FALSE(HasPartOf(heard, number));
      }
    }
  }
}

TEST_F(BorderTest, DataKeyWithoutPlaintextIsNeverHeardInTheClear) {
  const Binding unbound;
  Listen();
  ASSERT_OK_AND_ASSIGN(
      const DataKey data_key,
      data_keys().GenerateDataKey({.key = key()}, 32, Plaintext::kNotReturned, kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const ReEncrypted moved,
                       data_keys().ReEncrypt(data_key.sealed.blob, unbound, std::nullopt,
                                             {.key = other_key()}, kNoDeadline));
  const std::string heard = Heard();
  ASSERT_OK_AND_ASSIGN(const Opened opened, Open(moved.sealed.blob));
  ASSERT_EQ(opened.plaintext.size(), 32u);
  EXPECT_FALSE(HasPartOf(heard, Text(opened.plaintext)));
}

}  // namespace
}  // namespace strongroom::core
