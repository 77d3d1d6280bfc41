#include "server/core/private_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "hsm/pair_spec.h"
#include "server/core/data_keys.h"
#include "server/core/error.h"
#include "tests/hsm/raw_token.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/openssl_keys.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::Hash;
using hsm::PairSpec;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::OpenSslKey;
using testing::RsaScheme;

struct HashName {
  Hash hash;
  const char* name;
};
constexpr HashName kSigningHashes[] = {
    {Hash::kSha256, "SHA256"}, {Hash::kSha384, "SHA384"}, {Hash::kSha512, "SHA512"}};

struct CurveName {
  PairSpec spec;
  const char* group;
  size_t bytes;
};
constexpr CurveName kCurves[] = {{PairSpec::kEcP256, "prime256v1", 32},
                                 {PairSpec::kEcP384, "secp384r1", 48},
                                 {PairSpec::kEcP521, "secp521r1", 66},
                                 {PairSpec::kEcP256k, "secp256k1", 32}};

const CurveName* CurveOf(PairSpec spec) {
  for (const CurveName& curve : kCurves) {
    if (curve.spec == spec) return &curve;
  }
  return nullptr;
}

// A sealed private key, with the other half as OpenSSL has it.
struct Pair {
  std::string blob;
  OpenSslKey public_key;
};

class PrivateKeysTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
    Make({});
  }
  // Before the token goes, in which opened keys are.
  void TearDown() override { private_keys_.reset(); }

  void Make(PrivateKeys::Options options) {
    options.now = [this] { return now_; };
    private_keys_.reset();
    private_keys_.emplace(ring(), token(), options);
  }
  // With opened keys that stay for a minute.
  void MakeKeeping(int at_most) {
    Make({.opened_for = absl::Seconds(60), .opened_at_most = at_most});
  }
  void Advance(absl::Duration duration) { now_ += absl::ToChronoNanoseconds(duration); }

  const KeyId& key() { return key_; }
  PrivateKeys& private_keys() { return *private_keys_; }

  Pair Generate(PairSpec spec, const Binding& binding = {}) {
    absl::StatusOr<KeyPair> pair =
        data_keys().GenerateKeyPair({.key = key(), .binding = binding}, spec, KeyFormat::kDer,
                                    Plaintext::kNotReturned, kNoDeadline);
    EXPECT_OK(pair);
    if (!pair.ok()) return {};
    return {pair->sealed.blob, testing::ParsePublicKey(pair->public_key)};
  }

  absl::StatusOr<Signed> Sign(const std::string& blob, const SigningRequest& request,
                              const Binding& binding = {},
                              const std::optional<KeyId>& expected_key = {}) {
    return private_keys().Sign({blob, binding, expected_key}, request, kNoDeadline);
  }
  static SigningRequest Ecdsa(absl::string_view message = "message") {
    return {.scheme = SignatureScheme::kEcdsa, .hash = Hash::kSha256, .message = message};
  }
  absl::StatusOr<UsedResult> Decrypt(const std::string& blob, Hash hash,
                                     const std::string& ciphertext) {
    return private_keys().Decrypt({blob, unbound_}, hash, ciphertext, kNoDeadline);
  }
  absl::StatusOr<UsedResult> Derive(const std::string& blob, const std::string& public_key) {
    return private_keys().DeriveSharedSecret({blob, unbound_}, public_key, kNoDeadline);
  }

  bool IsGood(const Pair& pair, const absl::StatusOr<Signed>& made) {
    return made.ok() && testing::Verifies(pair.public_key.get(), RsaScheme::kNone, "SHA256",
                                          testing::DigestOf("SHA256", "message"), made->signature);
  }
  uint64_t Unwraps() { return faults().Calls("C_UnwrapKey"); }
  size_t SessionObjects() {
    const absl::StatusOr<hsm::RawToken> raw = hsm::RawToken::Open(softhsm().label());
    EXPECT_OK(raw);
    return raw.ok() ? raw->CountSessionObjects() : 0;
  }

 private:
  const Binding unbound_;
  OpenedKeys::Moment now_ = {};
  KeyId key_;
  std::optional<PrivateKeys> private_keys_;
};

// --- Signing -------------------------------------------------------------------------------------

class SigningTest : public PrivateKeysTest, public ::testing::WithParamInterface<PairSpec> {};

TEST_P(SigningTest, SignaturesOfEachAlgorithmVerify) {
  const CurveName* const curve = CurveOf(GetParam());
  const Pair pair = Generate(GetParam());
  const auto verifies = [&](RsaScheme scheme, const char* hash, absl::string_view signature) {
    return testing::Verifies(pair.public_key.get(), scheme, hash,
                             testing::DigestOf(hash, "message"), signature);
  };
  for (const auto& [hash, name] : kSigningHashes) {
    SCOPED_TRACE(name);
    const std::string digest = testing::DigestOf(name, "message");
    for (const bool is_digest : {false, true}) {
      SigningRequest request = {.scheme = SignatureScheme::kEcdsa,
                                .hash = hash,
                                .message = is_digest ? absl::string_view(digest) : "message",
                                .is_digest = is_digest};
      if (curve != nullptr) {
        ASSERT_OK_AND_ASSIGN(const Signed der, Sign(pair.blob, request));
        EXPECT_TRUE(verifies(RsaScheme::kNone, name, der.signature));
        request.format = EcdsaFormat::kFixed;
        ASSERT_OK_AND_ASSIGN(const Signed fixed, Sign(pair.blob, request));
        EXPECT_EQ(fixed.signature.size(), 2 * curve->bytes);
        EXPECT_TRUE(verifies(RsaScheme::kNone, name, testing::EcdsaToDer(fixed.signature)));
        continue;
      }
      request.scheme = SignatureScheme::kRsaPkcs1V15;
      ASSERT_OK_AND_ASSIGN(const Signed pkcs1, Sign(pair.blob, request));
      EXPECT_TRUE(verifies(RsaScheme::kPkcs1V15, name, pkcs1.signature));
      request.scheme = SignatureScheme::kRsaPss;
      ASSERT_OK_AND_ASSIGN(const Signed pss, Sign(pair.blob, request));
      EXPECT_TRUE(verifies(RsaScheme::kPss, name, pss.signature));
      EXPECT_EQ(pss.key.pair_spec, GetParam());
      EXPECT_EQ(pss.key.key_id, key());
    }
  }
  EXPECT_EQ(SessionObjects(), 0u);
}

INSTANTIATE_TEST_SUITE_P(AllSpecs, SigningTest, ::testing::ValuesIn(hsm::kAllPairSpecs),
                         [](const auto& info) {
                           const CurveName* curve = CurveOf(info.param);
                           return curve != nullptr
                                      ? std::string(curve->group)
                                      : absl::StrCat("Rsa", static_cast<int>(info.param));
                         });

TEST_F(PrivateKeysTest, MessageOrDigestOfAWrongLengthIsRefused) {
  const Pair pair = Generate(PairSpec::kEcP256);
  const auto refused = FailsWith(Reason::kInvalidParameter, HasSubstr("message: "));
  EXPECT_THAT(Sign(pair.blob, Ecdsa("")), refused);
  EXPECT_THAT(Sign(pair.blob, Ecdsa(std::string(4097, 'm'))), refused);
  EXPECT_OK(Sign(pair.blob, Ecdsa(std::string(4096, 'm'))));
  EXPECT_OK(Sign(pair.blob, Ecdsa("m")));
  for (size_t size : {0, 1, 20, 31, 33, 48, 64}) {
    const std::string digest(size, 'd');
    SigningRequest request = Ecdsa(digest);
    request.is_digest = true;
    EXPECT_THAT(Sign(pair.blob, request), refused) << size;
  }
}

TEST_F(PrivateKeysTest, AlgorithmThatDoesNotFitIsRefusedAndNothingIsOpened) {
  const Pair curve = Generate(PairSpec::kEcP256);
  const Pair rsa = Generate(PairSpec::kRsa2048);
  const auto refused = FailsWith(Reason::kInvalidParameter, HasSubstr("signing_algorithm: "));
  faults().Reset();
  EXPECT_THAT(Sign(rsa.blob, Ecdsa()), refused);
  for (SignatureScheme scheme : {SignatureScheme::kRsaPkcs1V15, SignatureScheme::kRsaPss}) {
    SigningRequest request = Ecdsa();
    request.scheme = scheme;
    EXPECT_THAT(Sign(curve.blob, request), refused);
  }
  SigningRequest sha1 = Ecdsa();
  sha1.hash = Hash::kSha1;
  EXPECT_THAT(Sign(curve.blob, sha1), refused);
  EXPECT_EQ(Unwraps(), 0u);
}

// --- The blob ------------------------------------------------------------------------------------

TEST_F(PrivateKeysTest, BlobWithoutAPrivateKeyIsRefusedOnceItIsGenuine) {
  const std::string text = Seal(key(), "a text").blob;
  ASSERT_OK_AND_ASSIGN(
      const DataKey data_key,
      data_keys().GenerateDataKey({.key = key()}, 32, Plaintext::kNotReturned, kNoDeadline));
  for (const std::string& blob : {text, data_key.sealed.blob}) {
    const auto refused =
        FailsWith(Reason::kInvalidParameter, HasSubstr("private_key_ciphertext_blob: "));
    EXPECT_THAT(Sign(blob, Ecdsa()), refused);
    EXPECT_THAT(Decrypt(blob, Hash::kSha1, std::string(256, 'c')), refused);
    EXPECT_THAT(Derive(blob, "key"), refused);
    std::string changed = blob;
    changed.back() ^= 1;
    EXPECT_THAT(Sign(changed, Ecdsa()), FailsWith(Reason::kInvalidCiphertext));
    EXPECT_THAT(Decrypt(changed, Hash::kSha1, ""), FailsWith(Reason::kInvalidCiphertext));
    EXPECT_THAT(Derive(changed, "key"), FailsWith(Reason::kInvalidCiphertext));
  }
}

TEST_F(PrivateKeysTest, KeyOfTheWrongKindIsRefused) {
  const Pair curve = Generate(PairSpec::kEcP256);
  const Pair rsa = Generate(PairSpec::kRsa2048);
  const auto refused =
      FailsWith(Reason::kInvalidParameter, HasSubstr("private_key_ciphertext_blob: "));
  EXPECT_THAT(Decrypt(curve.blob, Hash::kSha1, std::string(256, 'c')), refused);
  EXPECT_THAT(Derive(rsa.blob, testing::EncodePublicKey(curve.public_key.get())), refused);
}

TEST_F(PrivateKeysTest, BlobOpensUnderItsOwnKeyAndBindingOnly) {
  const KeyId other = CreateKey();
  for (const int kept : {0, 4}) {
    MakeKeeping(kept);
    const Binding binding = Context({{"a", "1"}});
    const Pair pair = Generate(PairSpec::kEcP256, binding);
    EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa(), binding, key())));
    EXPECT_THAT(Sign(pair.blob, Ecdsa(), binding, other), FailsWith(Reason::kIncorrectKey));
    EXPECT_THAT(Sign(pair.blob, Ecdsa()), FailsWith(Reason::kInvalidCiphertext));
    EXPECT_THAT(Sign(pair.blob, Ecdsa(), Context({{"a", "2"}})),
                FailsWith(Reason::kInvalidCiphertext));
    EXPECT_THAT(Sign(pair.blob, Ecdsa(), Aad("a1")), FailsWith(Reason::kInvalidCiphertext));
    EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa(), binding)));
  }
}

// --- Decrypting and deriving ---------------------------------------------------------------------

TEST_F(PrivateKeysTest, DecryptsWhatOpenSslEncrypts) {
  for (PairSpec spec : {PairSpec::kRsa2048, PairSpec::kRsa3072}) {
    const Pair pair = Generate(spec);
    ASSERT_OK_AND_ASSIGN(
        const UsedResult used,
        Decrypt(pair.blob, Hash::kSha1,
                testing::EncryptOaep(pair.public_key.get(), "SHA1", "a data key")));
    EXPECT_EQ(Text(used.result), "a data key");
    EXPECT_EQ(used.key.pair_spec, spec);
  }
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, CiphertextThatDoesNotDecryptIsInvalid) {
  const Pair pair = Generate(PairSpec::kRsa2048);
  std::string changed = testing::EncryptOaep(pair.public_key.get(), "SHA1", "text");
  changed[9] ^= 1;
  const Pair other = Generate(PairSpec::kRsa2048);
  for (const std::string& bad :
       {changed, testing::EncryptOaep(other.public_key.get(), "SHA1", "text"), std::string(),
        std::string(255, '\1'), std::string(257, '\1'), std::string(256, '\0'),
        std::string(256, '\xff')}) {
    EXPECT_THAT(Decrypt(pair.blob, Hash::kSha1, bad), FailsWith(Reason::kInvalidCiphertext));
  }
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, HashThatTheTokenDoesNotKnowIsUnsupported) {
  const Pair pair = Generate(PairSpec::kRsa2048);
  EXPECT_THAT(Decrypt(pair.blob, Hash::kSha256,
                      testing::EncryptOaep(pair.public_key.get(), "SHA256", "text")),
              FailsWith(Reason::kUnsupportedOperation, HasSubstr("decryption_algorithm: ")));
}

TEST_F(PrivateKeysTest, SharedSecretIsOpenSslsFromEitherSide) {
  for (const auto& [spec, group, bytes] : kCurves) {
    SCOPED_TRACE(group);
    const Pair pair = Generate(spec);
    const OpenSslKey peer = testing::GenerateCurveKey(group);
    const std::string expected = testing::Agree(peer.get(), pair.public_key.get());
    EXPECT_EQ(expected.size(), bytes);
    const std::string pem = testing::EncodePublicKeyAsPem(peer.get());
    for (const std::string& form :
         {testing::EncodePublicKey(peer.get()), pem, absl::StrCat("\n", pem, "\n")}) {
      ASSERT_OK_AND_ASSIGN(const UsedResult used, Derive(pair.blob, form));
      EXPECT_EQ(Text(used.result), expected);
    }
    // A compressed point is the same point.
    EVP_PKEY_set_utf8_string_param(peer.get(), "point-format", "compressed");
    const std::string compressed = testing::EncodePublicKey(peer.get());
    ASSERT_OK_AND_ASSIGN(const UsedResult used, Derive(pair.blob, compressed));
    EXPECT_EQ(Text(used.result), expected);
    // Two sides that both have their keys here.
    const Pair other = Generate(spec);
    ASSERT_OK_AND_ASSIGN(const UsedResult one,
                         Derive(pair.blob, testing::EncodePublicKey(other.public_key.get())));
    ASSERT_OK_AND_ASSIGN(const UsedResult two,
                         Derive(other.blob, testing::EncodePublicKey(pair.public_key.get())));
    EXPECT_TRUE(one.result == two.result);
  }
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, PublicKeyThatIsNoPointOfTheCurveIsRefused) {
  const Pair pair = Generate(PairSpec::kEcP256);
  const Pair rsa = Generate(PairSpec::kRsa2048);
  const OpenSslKey peer = testing::GenerateCurveKey("prime256v1");
  const std::string good = testing::EncodePublicKey(peer.get());
  std::string off_the_curve = good;
  off_the_curve.back() ^= 1;
  // SubjectPublicKeyInfo of P-256 with the point at infinity.
  std::string infinity = good.substr(0, 23) + std::string("\x03\x02\x00\x00", 4);
  infinity[1] = 25;
  faults().Reset();
  for (const std::string& bad :
       {std::string(), std::string("key"), off_the_curve, infinity, good + "x",
        good.substr(0, good.size() - 1), std::string(5000, 'x'),
        testing::EncodePublicKeyAsPem(peer.get()) + "more",
        std::string("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"),
        testing::EncodePublicKey(testing::GenerateCurveKey("secp384r1").get()),
        testing::EncodePublicKey(testing::GenerateCurveKey("secp256k1").get()),
        testing::EncodePublicKey(rsa.public_key.get())}) {
    EXPECT_THAT(Derive(pair.blob, bad),
                FailsWith(Reason::kInvalidParameter, HasSubstr("public_key: ")));
  }
  EXPECT_EQ(faults().Calls("C_DeriveKey"), 0u);
  EXPECT_OK(Derive(pair.blob, good));
}

// --- Failures ------------------------------------------------------------------------------------

TEST_F(PrivateKeysTest, FailureAtAnyStepIsUnavailableAndLeavesNothingOpen) {
  const Pair pair = Generate(PairSpec::kEcP256);
  const OpenSslKey peer = testing::GenerateCurveKey("prime256v1");
  const std::string peer_key = testing::EncodePublicKey(peer.get());
  const auto sign = [&] { return Sign(pair.blob, Ecdsa()).status(); };
  const auto derive = [&] { return Derive(pair.blob, peer_key).status(); };
  const auto expect_fails = [&](const char* function, const std::function<absl::Status()>& use) {
    SCOPED_TRACE(function);
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail ", function, " CKR_DEVICE_ERROR")));
    EXPECT_THAT(use(), FailsWith(Reason::kUnavailable));
    EXPECT_EQ(SessionObjects(), 0u);
    // What is left begun in the sessions of the lanes ends as they are used.
    faults().Reset();
    for (int i = 0; i < 6; ++i) use().IgnoreError();
    EXPECT_OK(use());
    EXPECT_EQ(SessionObjects(), 0u);
  };
  for (const char* function :
       {"C_DecryptInit", "C_Decrypt", "C_UnwrapKey", "C_SignInit", "C_Sign"}) {
    expect_fails(function, sign);
  }
  for (const char* function :
       {"C_UnwrapKey", "C_DeriveKey", "C_GenerateRandom", "C_CreateObject", "C_WrapKey"}) {
    expect_fails(function, derive);
  }
}

TEST_F(PrivateKeysTest, WhatTheTokenCannotDoIsUnsupported) {
  const Pair pair = Generate(PairSpec::kEcP256);
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_MECHANISM_INVALID"));
  EXPECT_THAT(Sign(pair.blob, Ecdsa()),
              FailsWith(Reason::kUnsupportedOperation, HasSubstr("signing_algorithm: ")));
}

TEST_F(PrivateKeysTest, DisabledKeyIsRefused) {
  const Pair pair = Generate(PairSpec::kEcP256);
  Disable(key());
  EXPECT_THAT(Sign(pair.blob, Ecdsa()), FailsWith(Reason::kDisabled));
  Enable(key());
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
}

// --- Keys that stay open -------------------------------------------------------------------------

TEST_F(PrivateKeysTest, NothingStaysOpenUnlessItIsToldTo) {
  const Pair pair = Generate(PairSpec::kEcP256);
  for (const PrivateKeys::Options& options :
       {PrivateKeys::Options{},
        PrivateKeys::Options{.opened_for = absl::ZeroDuration(), .opened_at_most = 8},
        PrivateKeys::Options{.opened_for = absl::Hours(1), .opened_at_most = 0}}) {
    Make(options);
    faults().Reset();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa())));
    EXPECT_EQ(Unwraps(), 3u);
    EXPECT_EQ(SessionObjects(), 0u);
  }
}

TEST_F(PrivateKeysTest, OpenedKeyCostsNoUnwrapAndSharesItsUses) {
  const Pair pair = Generate(PairSpec::kEcP256);
  const OpenSslKey peer = testing::GenerateCurveKey("prime256v1");
  MakeKeeping(4);
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
  faults().Reset();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa())));
  EXPECT_OK(Derive(pair.blob, testing::EncodePublicKey(peer.get())));
  EXPECT_EQ(Unwraps(), 0u);
  EXPECT_EQ(faults().Calls("C_Decrypt"), 0u);
  EXPECT_EQ(SessionObjects(), 1u);
  // What does not fit is refused as it is when the key is not open.
  SigningRequest request = Ecdsa();
  request.scheme = SignatureScheme::kRsaPss;
  EXPECT_THAT(Sign(pair.blob, request), FailsWith(Reason::kInvalidParameter));
}

TEST_F(PrivateKeysTest, OpenedKeyEndsWithItsTimeHoweverOftenItIsUsed) {
  const Pair pair = Generate(PairSpec::kEcP256);
  MakeKeeping(4);
  faults().Reset();
  for (int i = 0; i < 6; ++i) {
    EXPECT_OK(Sign(pair.blob, Ecdsa()));
    Advance(absl::Seconds(10));
  }
  EXPECT_EQ(Unwraps(), 1u);
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
  EXPECT_EQ(Unwraps(), 2u);
  EXPECT_EQ(SessionObjects(), 1u);
}

TEST_F(PrivateKeysTest, ExpiredKeysAreClosedWithoutBeingUsed) {
  const Pair one = Generate(PairSpec::kEcP256);
  const Pair two = Generate(PairSpec::kEcP256);
  MakeKeeping(4);
  EXPECT_OK(Sign(one.blob, Ecdsa()));
  Advance(absl::Seconds(30));
  EXPECT_OK(Sign(two.blob, Ecdsa()));
  Advance(absl::Seconds(29));
  private_keys().CloseExpired();
  EXPECT_EQ(SessionObjects(), 2u);
  Advance(absl::Seconds(1));
  private_keys().CloseExpired();
  EXPECT_EQ(SessionObjects(), 1u);
  Advance(absl::Seconds(30));
  private_keys().CloseExpired();
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, OpenedKeysAreBoundedAndTheLeastUsedGoesFirst) {
  const Pair one = Generate(PairSpec::kEcP256);
  const Pair two = Generate(PairSpec::kEcP256);
  const Pair three = Generate(PairSpec::kEcP256);
  MakeKeeping(2);
  EXPECT_OK(Sign(one.blob, Ecdsa()));
  EXPECT_OK(Sign(two.blob, Ecdsa()));
  EXPECT_OK(Sign(one.blob, Ecdsa()));
  EXPECT_OK(Sign(three.blob, Ecdsa()));
  EXPECT_EQ(SessionObjects(), 2u);
  faults().Reset();
  EXPECT_TRUE(IsGood(one, Sign(one.blob, Ecdsa())));
  EXPECT_TRUE(IsGood(three, Sign(three.blob, Ecdsa())));
  EXPECT_EQ(Unwraps(), 0u);
  EXPECT_TRUE(IsGood(two, Sign(two.blob, Ecdsa())));
  EXPECT_EQ(Unwraps(), 1u);
}

TEST_F(PrivateKeysTest, OpenedKeyOfADisabledKeyIsRefusedAndClosed) {
  const Pair pair = Generate(PairSpec::kEcP256);
  MakeKeeping(4);
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
  EXPECT_EQ(SessionObjects(), 1u);
  Disable(key());
  faults().Reset();
  EXPECT_THAT(Sign(pair.blob, Ecdsa()), FailsWith(Reason::kDisabled));
  EXPECT_EQ(faults().Calls("C_SignInit"), 0u);
  EXPECT_EQ(SessionObjects(), 0u);
  Enable(key());
  EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa())));
}

TEST_F(PrivateKeysTest, OpenedKeyOfAKeyThatIsToBeDeletedIsRefused) {
  const Pair pair = Generate(PairSpec::kEcP256);
  MakeKeeping(4);
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
  ASSERT_OK(life().ScheduleDeletion(key(), 7));
  EXPECT_THAT(Sign(pair.blob, Ecdsa()), FailsWith(Reason::kPendingDeletion));
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, OpenedKeyIsFoundByItsVeryBlobOnly) {
  const Pair pair = Generate(PairSpec::kEcP256);
  MakeKeeping(4);
  EXPECT_OK(Sign(pair.blob, Ecdsa()));
  std::string changed = pair.blob;
  changed.back() ^= 1;
  EXPECT_THAT(Sign(changed, Ecdsa()), FailsWith(Reason::kInvalidCiphertext));
  EXPECT_THAT(Sign(pair.blob, Ecdsa(), Aad("a")), FailsWith(Reason::kInvalidCiphertext));
  // Where the one ends and the other begins counts, though together they are the same bytes.
  const std::string kind = Aad("b").encoded().substr(0, 1);
  ASSERT_EQ(absl::StrCat("blob", Aad(kind + "b").encoded()),
            absl::StrCat("blob", kind, Aad("b").encoded()));
  EXPECT_NE(OpenedKeys::NameOf("blob", Aad(kind + "b")),
            OpenedKeys::NameOf("blob" + kind, Aad("b")));
}

TEST_F(PrivateKeysTest, KeyThatTheTokenHasLostIsOpenedAgain) {
  const Pair pair = Generate(PairSpec::kEcP256);
  const OpenSslKey peer = testing::GenerateCurveKey("prime256v1");
  const std::string peer_key = testing::EncodePublicKey(peer.get());
  const std::string expected = testing::Agree(peer.get(), pair.public_key.get());
  MakeKeeping(4);
  for (const char* code : {"CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED",
                           "CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"}) {
    SCOPED_TRACE(code);
    EXPECT_OK(Sign(pair.blob, Ecdsa()));
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_SignInit ", code, " call=1")));
    EXPECT_TRUE(IsGood(pair, Sign(pair.blob, Ecdsa())));
    EXPECT_EQ(Unwraps(), 1u);
    EXPECT_EQ(SessionObjects(), 1u);
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_DeriveKey ", code, " call=1")));
    ASSERT_OK_AND_ASSIGN(const UsedResult used, Derive(pair.blob, peer_key));
    EXPECT_EQ(Text(used.result), expected);
    EXPECT_EQ(SessionObjects(), 1u);
  }
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_KEY_HANDLE_INVALID"));
  EXPECT_THAT(Sign(pair.blob, Ecdsa()), FailsWith(Reason::kUnavailable));
  EXPECT_EQ(SessionObjects(), 0u);
}

TEST_F(PrivateKeysTest, OpenedKeysAreSharedAmongThreads) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 3; ++i) pairs.push_back(Generate(PairSpec::kEcP256));
  // Fewer than there are, so that keys go while others use them.
  MakeKeeping(2);
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 30; ++j) {
        const Pair& pair = pairs[static_cast<size_t>(i + j) % pairs.size()];
        if (IsGood(pair, Sign(pair.blob, Ecdsa()))) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 6 * 30);
  EXPECT_LE(SessionObjects(), 2u);
  Make({});
  EXPECT_EQ(SessionObjects(), 0u);
}

}  // namespace
}  // namespace strongroom::core
