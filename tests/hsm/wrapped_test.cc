// Secrets and key pairs that are generated in the token and leave it wrapped.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Key;
using ::testing::Not;
using testing::StatusIs;

struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using OpenSslKey = std::unique_ptr<EVP_PKEY, KeyFree>;

struct NumberFree {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};
using Number = std::unique_ptr<BIGNUM, NumberFree>;

const unsigned char* Unsigned(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// All of `der` is one PKCS#8 PrivateKeyInfo.
OpenSslKey ParsePrivateKey(absl::string_view der) {
  const unsigned char* position = Unsigned(der);
  PKCS8_PRIV_KEY_INFO* info =
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &position, static_cast<long>(der.size()));
  if (info == nullptr || position != Unsigned(der) + der.size()) return nullptr;
  OpenSslKey key(EVP_PKCS82PKEY(info));
  PKCS8_PRIV_KEY_INFO_free(info);
  return key;
}

OpenSslKey ParsePublicKey(absl::string_view der) {
  const unsigned char* position = Unsigned(der);
  OpenSslKey key(d2i_PUBKEY(nullptr, &position, static_cast<long>(der.size())));
  if (position != Unsigned(der) + der.size()) return nullptr;
  return key;
}

std::string EncodePublicKey(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::string encoded(reinterpret_cast<char*>(der), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return encoded;
}

bool SignsFor(EVP_PKEY* private_key, EVP_PKEY* public_key) {
  const unsigned char text[] = "what is signed";
  unsigned char signature[1024];
  size_t size = sizeof(signature);
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> sign(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> verify(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return EVP_DigestSignInit(sign.get(), nullptr, EVP_sha256(), nullptr, private_key) == 1 &&
         EVP_DigestSign(sign.get(), signature, &size, text, sizeof(text)) == 1 &&
         EVP_DigestVerifyInit(verify.get(), nullptr, EVP_sha256(), nullptr, public_key) == 1 &&
         EVP_DigestVerify(verify.get(), signature, size, text, sizeof(text)) == 1;
}

// The numbers that are the private key: each alone gives it away.
std::vector<std::string> PrivateNumbers(EVP_PKEY* key) {
  const bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
  const std::vector<const char*> names =
      rsa ? std::vector<const char*>{OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                                     OSSL_PKEY_PARAM_RSA_FACTOR2}
          : std::vector<const char*>{OSSL_PKEY_PARAM_PRIV_KEY};
  std::vector<std::string> numbers;
  for (const char* name : names) {
    BIGNUM* raw = nullptr;
    EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &raw), 1) << name;
    const Number number(raw);
    std::string bytes(static_cast<size_t>(BN_num_bytes(raw)), '\0');
    BN_bn2bin(raw, reinterpret_cast<unsigned char*>(bytes.data()));
    numbers.push_back(bytes);
  }
  return numbers;
}

struct SpecName {
  const char* name;
  const char* type;
  const char* group;  // null for RSA
  int bits;
};

SpecName NameOf(PairSpec spec) {
  switch (spec) {
    case PairSpec::kRsa2048:
      return {"Rsa2048", "RSA", nullptr, 2048};
    case PairSpec::kRsa3072:
      return {"Rsa3072", "RSA", nullptr, 3072};
    case PairSpec::kRsa4096:
      return {"Rsa4096", "RSA", nullptr, 4096};
    case PairSpec::kEcP256:
      return {"EcP256", "EC", "prime256v1", 256};
    case PairSpec::kEcP384:
      return {"EcP384", "EC", "secp384r1", 384};
    case PairSpec::kEcP521:
      return {"EcP521", "EC", "secp521r1", 521};
    case PairSpec::kEcP256k:
      return {"EcP256k", "EC", "secp256k1", 256};
  }
  return {};
}

void ExpectIsOfSpec(EVP_PKEY* key, PairSpec spec) {
  const SpecName name = NameOf(spec);
  EXPECT_EQ(EVP_PKEY_is_a(key, name.type), 1);
  EXPECT_EQ(EVP_PKEY_get_bits(key), name.bits);
  if (name.group != nullptr) {
    char group[64] = {};
    EXPECT_EQ(EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr), 1);
    EXPECT_STREQ(group, name.group);
    return;
  }
  BIGNUM* raw = nullptr;
  ASSERT_EQ(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw), 1);
  const Number exponent(raw);
  EXPECT_EQ(BN_get_word(exponent.get()), 65537u);
}

class WrappedTest : public OpenTokenFixture {
 protected:
  absl::StatusOr<std::string> Generate(size_t size) {
    return token().GenerateWrappedSecret(keys(), size, kNoDeadline);
  }
  absl::StatusOr<SecretBytes> Export(absl::string_view wrapped, size_t size) {
    return token().ExportWrappedSecret(keys(), wrapped, size, kNoDeadline);
  }
  absl::StatusOr<WrappedKeyPair> GeneratePair(PairSpec spec, bool with_private_key) {
    return token().GenerateWrappedKeyPair(keys(), spec, with_private_key, kNoDeadline);
  }
  absl::StatusOr<SecretBytes> ExportPrivateKey(absl::string_view wrapped, PairSpec spec) {
    return token().ExportWrappedPrivateKey(keys(), wrapped, spec, kNoDeadline);
  }

  // On the only lane's session: nothing that an operation made is left.
  void ExpectNoSessionObjects() {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    EXPECT_EQ(raw.CountSessionObjects(), 0u);
    EXPECT_EQ(raw.CountTokenObjects(), 2u);
  }
};

// That the search in ExpectNoSessionObjects() sees what another session made.
TEST_F(WrappedTest, SessionObjectsAreSeenFromOtherSessions) {
  ASSERT_OK_AND_ASSIGN(const RawToken one, OpenRaw());
  ASSERT_OK_AND_ASSIGN(const RawToken other, OpenRaw());
  one.GenerateAesKey({{CKA_TOKEN, RawBool(false)}, {CKA_SENSITIVE, RawBool(true)}});
  EXPECT_EQ(other.CountSessionObjects(), 1u);
}

TEST_F(WrappedTest, SecretOfEachSizeComesOutAtThatSize) {
  for (size_t size : {1, 7, 8, 9, 15, 16, 24, 31, 32, 33, 255, 1023, 1024}) {
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(size));
    ASSERT_OK_AND_ASSIGN(const SecretBytes first, Export(wrapped, size));
    EXPECT_EQ(first.size(), size);
    ASSERT_OK_AND_ASSIGN(const SecretBytes second, Export(wrapped, size));
    EXPECT_TRUE(first == second) << size;
  }
  ExpectNoSessionObjects();
}

TEST_F(WrappedTest, SecretsDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 16; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(16));
    ASSERT_OK_AND_ASSIGN(const SecretBytes secret, Export(wrapped, 16));
    EXPECT_TRUE(seen.insert(std::string(secret.ExposeSecretAsText())).second);
  }
}

// No byte of the value is a filling of the token's: each is drawn.
TEST_F(WrappedTest, EachByteOfAnOddSecretIsDrawn) {
  constexpr size_t kSize = 13;
  std::string combined(kSize, '\0');
  for (int i = 0; i < 16; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(kSize));
    ASSERT_OK_AND_ASSIGN(const SecretBytes secret, Export(wrapped, kSize));
    for (size_t j = 0; j < kSize; ++j) {
      combined[j] |= static_cast<char>(secret.ExposeSecret()[j]);
    }
  }
  EXPECT_THAT(combined, Not(::testing::Contains('\0')));
}

TEST_F(WrappedTest, SecretOfAnotherSizeIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  for (size_t size : {1, 16, 24, 33, 40, 1024}) {
    EXPECT_THAT(Export(wrapped, size), StatusIs(absl::StatusCode::kInvalidArgument)) << size;
  }
  ExpectNoSessionObjects();
}

TEST_F(WrappedTest, SecretThatWasTamperedWithIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  for (size_t i = 0; i < wrapped.size(); ++i) {
    std::string tampered = wrapped;
    tampered[i] ^= 1;
    EXPECT_THAT(Export(tampered, 32), Not(IsOk())) << i;
  }
  for (size_t size : {size_t{0}, size_t{1}, size_t{8}, size_t{16}, wrapped.size() - 1}) {
    EXPECT_THAT(Export(wrapped.substr(0, size), 32), Not(IsOk())) << size;
  }
  EXPECT_OK(Export(wrapped, 32));
  ExpectNoSessionObjects();
}

TEST_F(WrappedTest, SecretOfAnotherVersionIsRefused) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_other,
                       token().CreateVersionKeys(Id(2), kNoDeadline));
  const VersionKeys& other = new_other.keys;
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  EXPECT_THAT(token().ExportWrappedSecret(other, wrapped, 32, kNoDeadline), Not(IsOk()));
}

TEST_F(WrappedTest, FailingTokenIsUnavailableAndNotAWrongSecret) {
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  for (const char* directive : {
           "fail C_UnwrapKey CKR_GENERAL_ERROR",
           "fail C_UnwrapKey CKR_FUNCTION_FAILED",
           "fail C_UnwrapKey CKR_DEVICE_ERROR",
           "fail C_UnwrapKey CKR_DEVICE_REMOVED forwarded",
           "fail C_CreateObject CKR_DEVICE_ERROR",
           "fail C_WrapKey CKR_DEVICE_ERROR",
           "fail C_GenerateRandom CKR_DEVICE_ERROR",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Export(wrapped, 32), Not(StatusIs(absl::StatusCode::kInvalidArgument)))
        << directive;
    EXPECT_THAT(Export(wrapped, 32), Not(IsOk())) << directive;
  }
}

TEST_F(WrappedTest, GoneSessionOrHandleIsReplacedForSecrets) {
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  for (const char* directive : {
           "fail C_GenerateKey CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_WRAPPING_KEY_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_KEY_HANDLE_INVALID call=1",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_OK(Generate(32)) << directive;
    ExpectNoSessionObjects();
  }
  for (const char* directive : {
           "fail C_UnwrapKey CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_UnwrapKey CKR_UNWRAPPING_KEY_HANDLE_INVALID call=1",
           "fail C_UnwrapKey CKR_KEY_HANDLE_INVALID call=1",
           "fail C_CreateObject CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_SESSION_CLOSED call=1",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_OK(Export(wrapped, 32)) << directive;
    ExpectNoSessionObjects();
  }
}

TEST_F(WrappedTest, FailureAtAnyStepLeavesNoSessionObject) {
  ASSERT_OK_AND_ASSIGN(const std::string secret, Generate(32));
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(PairSpec::kEcP256, false));
  for (const char* directive : {
           "fail C_WrapKey CKR_DEVICE_MEMORY call=1",
           "fail C_WrapKey CKR_DEVICE_MEMORY call=2",
           // More room than any key needs is given only to a token that names a size.
           "fail C_WrapKey CKR_BUFFER_TOO_SMALL call=1",
           "fail C_GenerateRandom CKR_DEVICE_MEMORY call=1",
           "fail C_CreateObject CKR_DEVICE_MEMORY call=1",
           "fail C_GetAttributeValue CKR_DEVICE_MEMORY call=1",
           "fail C_GetAttributeValue CKR_DEVICE_MEMORY call=2",
       }) {
    SCOPED_TRACE(directive);
    int failed = 0;
    const auto run = [&](const absl::Status& status) { failed += status.ok() ? 0 : 1; };
    const auto arm = [&] {
      faults().Reset();
      ASSERT_OK(faults().Apply(directive));
    };
    arm();
    run(Generate(32).status());
    ExpectNoSessionObjects();
    arm();
    run(Export(secret, 32).status());
    ExpectNoSessionObjects();
    arm();
    run(GeneratePair(PairSpec::kEcP256, true).status());
    ExpectNoSessionObjects();
    arm();
    run(ExportPrivateKey(pair.wrapped_private_key, PairSpec::kEcP256).status());
    ExpectNoSessionObjects();
    EXPECT_GT(failed, 0);
  }
}

class TransientObjectsTest : public WrappedTest {
 protected:
  // Looks at the objects that are there when `operation` comes to the given call of C_WrapKey.
  // Public keys apart, all must be what cannot leave the token but wrapped.
  void LookDuring(int wrap_call, const std::function<absl::Status()>& operation,
                  std::vector<CK_KEY_TYPE> expected_types) {
    ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("hold C_WrapKey ", point.path(), " call=", wrap_call)));
    absl::Status status;
    std::thread caller([&] { status = operation(); });
    ASSERT_OK(point.WaitUntilHeld());
    ExpectOnlySensitive(std::move(expected_types));
    point.Release();
    caller.join();
    EXPECT_OK(status);
    ExpectNoSessionObjects();
  }

 private:
  void ExpectOnlySensitive(std::vector<CK_KEY_TYPE> expected_types) {
    absl::StatusOr<RawToken> raw = OpenRaw();
    EXPECT_OK(raw);
    std::vector<CK_KEY_TYPE> types;
    for (CK_OBJECT_HANDLE object : raw->Find({{CKA_TOKEN, RawBool(false)}})) {
      if (raw->Get(object, CKA_CLASS) == RawUlong(CKO_PUBLIC_KEY)) continue;
      EXPECT_EQ(raw->Get(object, CKA_PRIVATE), RawBool(true));
      EXPECT_EQ(raw->Get(object, CKA_SENSITIVE), RawBool(true));
      CK_KEY_TYPE type;
      memcpy(&type, raw->Get(object, CKA_KEY_TYPE).data(), sizeof(type));
      types.push_back(type);
      if (type != CKK_AES) continue;
      // The transport key wraps and does nothing else.
      EXPECT_EQ(raw->Get(object, CKA_EXTRACTABLE), RawBool(false));
      EXPECT_EQ(raw->Get(object, CKA_ENCRYPT), RawBool(false));
      EXPECT_EQ(raw->Get(object, CKA_DECRYPT), RawBool(false));
      EXPECT_EQ(raw->Get(object, CKA_UNWRAP), RawBool(false));
      EXPECT_EQ(raw->Get(object, CKA_ALLOWED_MECHANISMS), RawUlong(CKM_AES_KEY_WRAP_PAD));
    }
    EXPECT_THAT(types, ::testing::UnorderedElementsAreArray(expected_types));
  }
};

TEST_F(TransientObjectsTest, SecretsAreSensitiveFromBirthToDestruction) {
  std::string wrapped;
  LookDuring(1,
             [&] {
               absl::StatusOr<std::string> result = Generate(32);
               if (result.ok()) wrapped = *result;
               return result.status();
             },
             {CKK_GENERIC_SECRET});
  LookDuring(1, [&] { return Export(wrapped, 32).status(); }, {CKK_GENERIC_SECRET, CKK_AES});
}

TEST_F(TransientObjectsTest, PrivateKeysAreSensitiveFromBirthToDestruction) {
  for (const PairSpec spec : {PairSpec::kEcP256, PairSpec::kRsa2048}) {
    const CK_KEY_TYPE type = spec == PairSpec::kEcP256 ? CKK_EC : CKK_RSA;
    std::string wrapped;
    LookDuring(1,
               [&] {
                 absl::StatusOr<WrappedKeyPair> result = GeneratePair(spec, true);
                 if (result.ok()) wrapped = result->wrapped_private_key;
                 return result.status();
               },
               {type});
    // The second call is the one under the transport key.
    LookDuring(2, [&] { return GeneratePair(spec, true).status(); }, {type, CKK_AES});
    LookDuring(1, [&] { return ExportPrivateKey(wrapped, spec).status(); }, {type, CKK_AES});
  }
}

class WrappedPairTest : public WrappedTest, public ::testing::WithParamInterface<PairSpec> {};

TEST_P(WrappedPairTest, PrivateKeyIsPkcs8MatchesAndComesOutAgainByteForByte) {
  const PairSpec spec = GetParam();
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(spec, true));
  ASSERT_TRUE(pair.private_key.has_value());
  ExpectNoSessionObjects();

  const OpenSslKey private_key = ParsePrivateKey(pair.private_key->ExposeSecretAsText());
  const OpenSslKey public_key = ParsePublicKey(pair.public_key);
  ASSERT_NE(private_key, nullptr);
  ASSERT_NE(public_key, nullptr);
  ExpectIsOfSpec(private_key.get(), spec);
  ExpectIsOfSpec(public_key.get(), spec);
  EXPECT_EQ(EVP_PKEY_eq(private_key.get(), public_key.get()), 1);
  EXPECT_EQ(EncodePublicKey(private_key.get()), pair.public_key);
  EXPECT_TRUE(SignsFor(private_key.get(), public_key.get()));

  ASSERT_OK_AND_ASSIGN(const SecretBytes exported,
                       ExportPrivateKey(pair.wrapped_private_key, spec));
  EXPECT_TRUE(exported == *pair.private_key);
  ExpectNoSessionObjects();
}

class UnexportedPairTest : public WrappedPairTest {};

TEST_P(UnexportedPairTest, NothingInTheClearCrossesTheBorder) {
  const PairSpec spec = GetParam();
  faults().Reset();
  ASSERT_OK(faults().Apply("record"));
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(spec, false));
  const std::string recorded = faults().Recorded();
  // Whatever else has bytes of keys in it is not recorded, so it must not be called.
  EXPECT_THAT(faults().Calls(),
              ::testing::Each(Key(::testing::AnyOf("C_GenerateKeyPair", "C_GetAttributeValue",
                                                   "C_WrapKey", "C_DestroyObject"))));
  EXPECT_FALSE(pair.private_key.has_value());
  // It did listen.
  EXPECT_TRUE(absl::StrContains(recorded, pair.wrapped_private_key));

  ASSERT_OK_AND_ASSIGN(const SecretBytes exported,
                       ExportPrivateKey(pair.wrapped_private_key, spec));
  const OpenSslKey private_key = ParsePrivateKey(exported.ExposeSecretAsText());
  ASSERT_NE(private_key, nullptr);
  EXPECT_EQ(EncodePublicKey(private_key.get()), pair.public_key);
  for (const std::string& number : PrivateNumbers(private_key.get())) {
    EXPECT_FALSE(absl::StrContains(recorded, number));
    std::string reversed(number.rbegin(), number.rend());
    EXPECT_FALSE(absl::StrContains(recorded, reversed));
    // That a key in the clear would have been found.
    EXPECT_TRUE(absl::StrContains(exported.ExposeSecretAsText(), number));
  }
}

std::string ParameterName(const ::testing::TestParamInfo<PairSpec>& info) {
  return NameOf(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(AllSpecs, WrappedPairTest, ::testing::ValuesIn(kAllPairSpecs),
                         ParameterName);
// The larger sizes of RSA take long and are no different here.
INSTANTIATE_TEST_SUITE_P(QuickSpecs, UnexportedPairTest,
                         ::testing::Values(PairSpec::kRsa2048, PairSpec::kEcP256, PairSpec::kEcP384,
                                           PairSpec::kEcP521, PairSpec::kEcP256k),
                         ParameterName);

TEST_F(WrappedTest, SecretInTheClearDoesNotCrossTheBorder) {
  for (size_t size : {16, 32, 1024}) {
    faults().Reset();
    ASSERT_OK(faults().Apply("record"));
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(size));
    EXPECT_THAT(
        faults().Calls(),
        ::testing::Each(Key(::testing::AnyOf("C_GenerateKey", "C_WrapKey", "C_DestroyObject"))));
    ASSERT_OK_AND_ASSIGN(const SecretBytes secret, Export(wrapped, size));
    // Not when it is generated, nor when it is taken out: there it is under the transport key.
    const std::string recorded = faults().Recorded();
    EXPECT_TRUE(absl::StrContains(recorded, wrapped));
    EXPECT_FALSE(absl::StrContains(recorded, secret.ExposeSecretAsText())) << size;
  }
}

// What the two tests above look for is found where it is.
TEST_F(WrappedTest, RecorderSeesWhatCrossesInTheClear) {
  ASSERT_OK(faults().Apply("record"));
  const std::string text = "something that is sealed in the clear";
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(keys(), kIv, Bytes("aad"), Bytes(text), kNoDeadline));
  EXPECT_TRUE(absl::StrContains(faults().Recorded(), text));
  faults().Reset();
  ASSERT_OK(faults().Apply("record"));
  ASSERT_OK(token().Unseal(keys(), kIv, Bytes("aad"), sealed, kNoDeadline));
  EXPECT_TRUE(absl::StrContains(faults().Recorded(), text));
}

TEST_F(WrappedTest, EachTransportKeyIsUsedOnce) {
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, Generate(32));
  std::set<std::string> seen;
  for (int i = 0; i < 8; ++i) {
    faults().Reset();
    ASSERT_OK(faults().Apply("record"));
    ASSERT_OK(Export(wrapped, 32));
    EXPECT_EQ(faults().Calls("C_GenerateRandom"), 1u);
    EXPECT_TRUE(seen.insert(faults().Recorded()).second);
  }
}

TEST_F(WrappedTest, PairOfAnotherSpecIsRefused) {
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(PairSpec::kEcP256, false));
  EXPECT_THAT(ExportPrivateKey(pair.wrapped_private_key, PairSpec::kRsa2048), Not(IsOk()));
  ExpectNoSessionObjects();
}

TEST_F(WrappedTest, PrivateKeyThatWasTamperedWithIsRefused) {
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(PairSpec::kEcP256, false));
  std::string tampered = pair.wrapped_private_key;
  tampered[20] ^= 1;
  EXPECT_THAT(ExportPrivateKey(tampered, PairSpec::kEcP256), Not(IsOk()));
  EXPECT_THAT(ExportPrivateKey("", PairSpec::kEcP256), Not(IsOk()));
  ASSERT_OK_AND_ASSIGN(const std::string secret, Generate(64));
  EXPECT_THAT(ExportPrivateKey(secret, PairSpec::kEcP256), Not(IsOk()));
  ExpectNoSessionObjects();
}

TEST_F(WrappedTest, PairThatTheTokenCannotMakeIsUnimplemented) {
  ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_MECHANISM_INVALID"));
  EXPECT_THAT(GeneratePair(PairSpec::kEcP256, true), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(WrappedTest, GoneSessionOrHandleIsReplacedForPairs) {
  for (const char* directive : {
           "fail C_GenerateKeyPair CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_GetAttributeValue CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_WRAPPING_KEY_HANDLE_INVALID call=1",
           "fail C_WrapKey CKR_SESSION_HANDLE_INVALID call=3",
           "fail C_CreateObject CKR_SESSION_HANDLE_INVALID call=1",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    ASSERT_OK_AND_ASSIGN(const WrappedKeyPair pair, GeneratePair(PairSpec::kEcP256, true));
    const OpenSslKey private_key = ParsePrivateKey(pair.private_key->ExposeSecretAsText());
    ASSERT_NE(private_key, nullptr) << directive;
    EXPECT_EQ(EncodePublicKey(private_key.get()), pair.public_key) << directive;
    ExpectNoSessionObjects();
  }
}

}  // namespace
}  // namespace strongroom::hsm
