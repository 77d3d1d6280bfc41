#include "server/core/data_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "hsm/pair_spec.h"
#include "server/core/blob.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;
using store::KeyState;
using ::testing::AnyOf;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::HoldPoint;
using testing::IsOk;
using ::testing::Not;

// What is private in a PKCS#8 private key: a curve's scalar, or RSA's exponent and factors.
std::vector<std::string> PrivateNumbers(const std::string& pkcs8) {
  const auto* position = reinterpret_cast<const unsigned char*>(pkcs8.data());
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      d2i_AutoPrivateKey(nullptr, &position, static_cast<long>(pkcs8.size())), &EVP_PKEY_free);
  std::vector<std::string> numbers;
  for (const char* name : {OSSL_PKEY_PARAM_PRIV_KEY, OSSL_PKEY_PARAM_RSA_D,
                           OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2}) {
    BIGNUM* number = nullptr;
    if (EVP_PKEY_get_bn_param(key.get(), name, &number) != 1) continue;
    std::string bytes(static_cast<size_t>(BN_num_bytes(number)), '\0');
    BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
    BN_free(number);
    numbers.push_back(std::move(bytes));
  }
  EXPECT_FALSE(numbers.empty());
  return numbers;
}

class DataKeysTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
  }

  const KeyId& key() { return key_; }

  absl::StatusOr<DataKey> Generate(size_t bytes, Plaintext plaintext,
                                   const SealingOptions& options) {
    return data_keys().GenerateDataKey(options, bytes, plaintext, kNoDeadline);
  }
  absl::StatusOr<DataKey> Generate(size_t bytes, Plaintext plaintext) {
    return Generate(bytes, plaintext, {.key = key()});
  }
  absl::StatusOr<KeyPair> GeneratePair(PairSpec spec, KeyFormat format, Plaintext plaintext) {
    return data_keys().GenerateKeyPair({.key = key()}, spec, format, plaintext, kNoDeadline);
  }
  absl::StatusOr<Opened> OpenWith(absl::string_view blob, const KeyId& expected_key) {
    return data_keys().Decrypt(blob, Binding(), expected_key, std::nullopt, kNoDeadline);
  }

  // A blob of every kind that there is, sealed under `binding`.
  std::vector<std::string> OneOfEachKind(const Binding& binding = {}) {
    const SealingOptions options = {
        .key = key(), .version = SealingVersion::kPrimary, .binding = binding};
    std::vector<std::string> blobs;
    for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
      const absl::StatusOr<DataKey> key = Generate(1, plaintext, options);
      EXPECT_OK(key);
      if (key.ok()) blobs.push_back(key->sealed.blob);
    }
    for (KeyFormat format : {KeyFormat::kPem, KeyFormat::kDer}) {
      const absl::StatusOr<KeyPair> pair = data_keys().GenerateKeyPair(
          options, PairSpec::kEcP256, format, Plaintext::kNotReturned, kNoDeadline);
      EXPECT_OK(pair);
      if (pair.ok()) blobs.push_back(pair->sealed.blob);
    }
    return blobs;
  }

 private:
  KeyId key_;
};

// --- What comes out goes back in --------------------------------------------------------------

class DataKeySizeTest : public DataKeysTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(DataKeySizeTest, KeyThatIsReturnedIsWhatTheBlobOpensTo) {
  ASSERT_OK_AND_ASSIGN(const DataKey generated, Generate(GetParam(), Plaintext::kReturned));
  ASSERT_TRUE(generated.plaintext.has_value());
  EXPECT_EQ(generated.plaintext->size(), GetParam());
  ASSERT_OK_AND_ASSIGN(const Opened opened, Open(generated.sealed.blob));
  EXPECT_EQ(Text(opened.plaintext), Text(*generated.plaintext));
  EXPECT_EQ(opened.key_id, key());
  EXPECT_EQ(opened.key_version_id, generated.sealed.key_version_id);
}

TEST_P(DataKeySizeTest, KeyThatIsNotReturnedOpensToAsManyBytes) {
  ASSERT_OK_AND_ASSIGN(const DataKey generated, Generate(GetParam(), Plaintext::kNotReturned));
  EXPECT_FALSE(generated.plaintext.has_value());
  ASSERT_OK_AND_ASSIGN(const Opened opened, Open(generated.sealed.blob));
  EXPECT_EQ(opened.plaintext.size(), GetParam());
  ASSERT_OK_AND_ASSIGN(const Opened again, Open(generated.sealed.blob));
  EXPECT_EQ(Text(again.plaintext), Text(opened.plaintext));
}

INSTANTIATE_TEST_SUITE_P(Sizes, DataKeySizeTest, ::testing::Values(1, 7, 8, 16, 32, 1023, 1024),
                         ::testing::PrintToStringParamName());

TEST_F(DataKeysTest, AnswerSaysWhatTheBlobSays) {
  ASSERT_OK_AND_ASSIGN(const DataKey generated, Generate(32, Plaintext::kReturned));
  const std::optional<ParsedBlob> parsed = ParseBlob(generated.sealed.blob);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(generated.sealed.key_id, key());
  EXPECT_EQ(parsed->header.key_id, generated.sealed.key_id);
  EXPECT_EQ(parsed->header.key_version_id, generated.sealed.key_version_id);
  EXPECT_EQ(parsed->header.iv, generated.sealed.iv);
  EXPECT_EQ(parsed->header.content_bytes, 32u);
}

TEST_F(DataKeysTest, NoTwoAreAlike) {
  std::set<std::string> keys;
  std::set<hsm::Iv> ivs;
  for (int i = 0; i < 50; ++i) {
    const Plaintext plaintext = i % 2 == 0 ? Plaintext::kReturned : Plaintext::kNotReturned;
    ASSERT_OK_AND_ASSIGN(const DataKey generated, Generate(16, plaintext));
    ASSERT_OK_AND_ASSIGN(const Opened opened, Open(generated.sealed.blob));
    keys.insert(Text(opened.plaintext));
    ivs.insert(generated.sealed.iv);
  }
  EXPECT_EQ(keys.size(), 50u);
  EXPECT_EQ(ivs.size(), 50u);
}

TEST_F(DataKeysTest, CallersOwnBytesAreSealedToo) {
  for (size_t size : {1, 32, 4096}) {
    const std::string plaintext(size, '\xa5');
    ExpectOpens(Seal(key(), plaintext).blob, {}, plaintext);
  }
}

TEST_F(DataKeysTest, RandomBytesAreAsManyAsAskedForAndNew) {
  std::set<std::string> seen;
  for (size_t size : {16, 16, 32, 1024}) {
    ASSERT_OK_AND_ASSIGN(const SecretBytes random, data_keys().GenerateRandom(size, kNoDeadline));
    EXPECT_EQ(random.size(), size);
    seen.insert(Text(random));
  }
  EXPECT_EQ(seen.size(), 4u);
}

// --- Versions, states, aliases ----------------------------------------------------------------

TEST_F(DataKeysTest, VersionThatIsAskedForSealsAndOldBlobsOpenAfterRotation) {
  const std::string before = Seal(key(), "before").blob;
  ASSERT_OK_AND_ASSIGN(const KeyDescription first, ring().Describe(key()));
  const KeyVersionId second = Rotate(key());
  struct Case {
    SealingVersion which;
    KeyVersionId version;
  };
  for (const Case& c : {Case{SealingVersion::kInitial, first.record.initial_version},
                        Case{SealingVersion::kPrimary, second}}) {
    const SealingOptions options = {.key = key(), .version = c.which};
    std::vector<Sealed> sealed;
    for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
      ASSERT_OK_AND_ASSIGN(DataKey data_key, Generate(32, plaintext, options));
      sealed.push_back(std::move(data_key.sealed));
      ASSERT_OK_AND_ASSIGN(KeyPair pair,
                           data_keys().GenerateKeyPair(options, PairSpec::kEcP256, KeyFormat::kDer,
                                                       plaintext, kNoDeadline));
      sealed.push_back(std::move(pair.sealed));
    }
    ASSERT_OK_AND_ASSIGN(Sealed encrypted, data_keys().Encrypt(options, "text", kNoDeadline));
    sealed.push_back(std::move(encrypted));
    for (const Sealed& one : sealed) {
      EXPECT_EQ(one.key_version_id, c.version);
      ASSERT_OK_AND_ASSIGN(const Opened opened, Open(one.blob));
      EXPECT_EQ(opened.key_version_id, c.version);
    }
  }
  ExpectOpens(before, {}, "before");
}

TEST_F(DataKeysTest, DisabledKeySealsAndOpensNothingUntilItIsEnabled) {
  const std::vector<std::string> blobs = OneOfEachKind();
  const auto disabled = FailsWith(Reason::kDisabled, HasSubstr(key().ToString()));
  Disable(key());
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    for (SealingVersion version : {SealingVersion::kInitial, SealingVersion::kPrimary}) {
      EXPECT_THAT(Generate(32, plaintext, {.key = key(), .version = version}), disabled);
    }
    EXPECT_THAT(GeneratePair(PairSpec::kEcP256, KeyFormat::kPem, plaintext), disabled);
  }
  EXPECT_THAT(data_keys().Encrypt({.key = key()}, "text", kNoDeadline), disabled);
  for (const std::string& blob : blobs) {
    EXPECT_THAT(Open(blob), disabled);
    EXPECT_THAT(OpenWith(blob, key()), disabled);
  }
  EXPECT_OK(data_keys().GenerateRandom(1, kNoDeadline));

  Enable(key());
  for (const std::string& blob : blobs) EXPECT_THAT(Open(blob), IsOk());
  EXPECT_THAT(Generate(32, Plaintext::kReturned), IsOk());
}

TEST_F(DataKeysTest, DisabledKeyTouchesNoKeyMaterial) {
  const std::string blob = Seal(key(), "text").blob;
  Disable(key());
  faults().Reset();
  EXPECT_THAT(Generate(32, Plaintext::kNotReturned), FailsWith(Reason::kDisabled));
  EXPECT_THAT(Open(blob), FailsWith(Reason::kDisabled));
  EXPECT_TRUE(faults().Calls().empty());
}

TEST_F(DataKeysTest, UnknownKeySealsNothing) {
  const KeyId unknown = *KeyId::Parse("00000000-0000-4000-8000-000000000000");
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    EXPECT_THAT(Generate(32, plaintext, {.key = unknown}), FailsWith(Reason::kKeyNotFound));
  }
  EXPECT_THAT(data_keys().GenerateKeyPair({.key = unknown}, PairSpec::kEcP256, KeyFormat::kPem,
                                          Plaintext::kReturned, kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(data_keys().Encrypt({.key = unknown}, "text", kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
}

TEST_F(DataKeysTest, UnknownKeyCallsNoToken) {
  const KeyId unknown = *KeyId::Parse("00000000-0000-4000-8000-000000000000");
  std::string foreign = Seal(key(), "text").blob;
  foreign[12] = static_cast<char>(foreign[12] ^ 1);  // in the key id
  // Else the format alone would refuse it.
  ASSERT_TRUE(ParseBlob(foreign).has_value());
  faults().Reset();
  EXPECT_THAT(Generate(32, Plaintext::kReturned, {.key = unknown}),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Generate(32, Plaintext::kNotReturned, {.key = unknown}),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(data_keys().GenerateKeyPair({.key = unknown}, PairSpec::kEcP256, KeyFormat::kDer,
                                          Plaintext::kReturned, kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(data_keys().Encrypt({.key = unknown}, "text", kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Open(foreign), FailsWith(Reason::kInvalidCiphertext));
  EXPECT_TRUE(faults().Calls().empty());
}

TEST_F(DataKeysTest, RestartLosesNothing) {
  const Binding binding = Context({{"tenant", "7"}});
  const std::vector<std::string> blobs = OneOfEachKind(binding);
  std::vector<std::string> plaintexts;
  for (const std::string& blob : blobs) {
    ASSERT_OK_AND_ASSIGN(const Opened opened, Open(blob, binding));
    plaintexts.push_back(Text(opened.plaintext));
  }
  Rotate(key());
  ASSERT_NO_FATAL_FAILURE(Restart());
  for (size_t i = 0; i < blobs.size(); ++i) ExpectOpens(blobs[i], binding, plaintexts[i]);
}

// --- The key that the caller expects ----------------------------------------------------------

TEST_F(DataKeysTest, BlobOfTheExpectedKeyOpens) {
  for (const std::string& blob : OneOfEachKind()) EXPECT_THAT(OpenWith(blob, key()), IsOk());
}

TEST_F(DataKeysTest, GenuineBlobOfAnotherKeyIsAnIncorrectKey) {
  const KeyId other = CreateKey();
  for (const std::string& blob : OneOfEachKind()) {
    const absl::Status error = OpenWith(blob, other).status();
    EXPECT_THAT(error, FailsWith(Reason::kIncorrectKey, HasSubstr(other.ToString())));
    // Whose it is, is not told.
    EXPECT_THAT(std::string(error.message()), Not(HasSubstr(key().ToString())));
  }
}

TEST_F(DataKeysTest, BlobThatIsNotGenuineIsNeverAnIncorrectKey) {
  const KeyId other = CreateKey();
  const std::string sealed = Seal(key(), "text", Aad("aad")).blob;
  // Bound to something else.
  EXPECT_THAT(OpenWith(sealed, other), FailsWith(Reason::kInvalidCiphertext));
  // Tampered with, in the header and behind it.
  for (size_t position : {size_t{12}, size_t{28}, size_t{44}, sealed.size() - 1}) {
    std::string tampered = sealed;
    tampered[position] ^= 1;
    EXPECT_THAT(data_keys().Decrypt(tampered, Aad("aad"), other, std::nullopt, kNoDeadline),
                FailsWith(Reason::kInvalidCiphertext))
        << position;
  }
  EXPECT_THAT(OpenWith("", other), FailsWith(Reason::kInvalidCiphertext));
}

TEST_F(DataKeysTest, OtherIvThanTheBlobsIsAnInvalidCiphertext) {
  const Sealed sealed = Seal(key(), "text");
  const auto open = [&](const hsm::Iv& iv) {
    return data_keys().Decrypt(sealed.blob, Binding(), std::nullopt, iv, kNoDeadline);
  };
  EXPECT_THAT(open(sealed.iv), IsOk());
  for (size_t i = 0; i < sealed.iv.size(); ++i) {
    hsm::Iv wrong = sealed.iv;
    wrong[i] ^= 1;
    EXPECT_THAT(open(wrong), FailsWith(Reason::kInvalidCiphertext));
  }
  EXPECT_THAT(open({}), FailsWith(Reason::kInvalidCiphertext));
}

// --- Bindings ---------------------------------------------------------------------------------

TEST_F(DataKeysTest, BlobOpensUnderItsOwnBindingAndNoOther) {
  const Binding context = Context({{"a", "1"}, {"b", "2"}});
  const Binding bindings[] = {
      Binding(),
      Aad("a"),
      Aad(std::string(1, '\0')),
      Aad("a=1&b=2"),
      Aad(std::string(8192, 'x')),
      // The bytes of the context, with and without its kind.
      Aad(context.encoded()),
      Aad(absl::string_view(context.encoded()).substr(1)),
      context,
      Context({{"a", "1&b=2"}}),
      Context({{"A", "1"}, {"b", "2"}}),
      Context({{"a", "1"}}),
      Context({{"a", ""}}),
      Context({{"", "a"}}),
  };
  for (const Binding& sealed_under : bindings) {
    for (const std::string& blob : OneOfEachKind(sealed_under)) {
      for (const Binding& opened_under : bindings) {
        if (&opened_under == &sealed_under) {
          EXPECT_THAT(Open(blob, opened_under), IsOk());
        } else {
          EXPECT_THAT(Open(blob, opened_under), FailsWith(Reason::kInvalidCiphertext));
        }
      }
    }
  }
}

TEST_F(DataKeysTest, EmptyBindingsAreNone) {
  const std::string blob = Seal(key(), "text", Aad("")).blob;
  ExpectOpens(blob, Context({}), "text");
  ExpectOpens(blob, Binding(), "text");
}

// --- Tampering --------------------------------------------------------------------------------

TEST_F(DataKeysTest, AnyFlippedBitIsAnInvalidCiphertext) {
  const absl::Status expected = InvalidCiphertext();
  for (const std::string& blob : OneOfEachKind()) {
    ASSERT_THAT(Open(blob), IsOk());
    for (size_t bit = 0; bit < blob.size() * 8; ++bit) {
      std::string tampered = blob;
      tampered[bit / 8] ^= static_cast<char>(1 << bit % 8);
      // In the same words, wherever it was.
      ASSERT_EQ(Open(tampered).status(), expected) << "byte " << bit / 8 << " bit " << bit % 8;
    }
  }
}

TEST_F(DataKeysTest, AnyTruncationIsAnInvalidCiphertext) {
  for (const std::string& blob : OneOfEachKind()) {
    for (size_t size = 0; size < blob.size(); ++size) {
      ASSERT_EQ(Open(blob.substr(0, size)).status(), InvalidCiphertext()) << size;
    }
    for (size_t more : {1, 8, 16}) {
      EXPECT_EQ(Open(blob + std::string(more, '\0')).status(), InvalidCiphertext());
    }
  }
}

TEST_F(DataKeysTest, HeaderOfOneBlobDoesNotOpenAnother) {
  const std::vector<std::string> ours = OneOfEachKind();
  const std::vector<std::string> theirs = OneOfEachKind();
  for (size_t i = 0; i < ours.size(); ++i) {
    for (size_t j = 0; j < theirs.size(); ++j) {
      EXPECT_EQ(Open(ours[i].substr(0, BlobHeader::kBytes) + theirs[j].substr(BlobHeader::kBytes))
                    .status(),
                InvalidCiphertext());
    }
  }
}

TEST_F(DataKeysTest, FieldsOfOneBlobDoNotGoIntoAnother) {
  const std::string blob = Seal(key(), "text").blob;
  const std::string of_other_key = Seal(CreateKey(), "text").blob;
  Rotate(key());
  const std::string of_other_version = Seal(key(), "text").blob;
  const auto splice = [&](const std::string& from, size_t begin, size_t end) {
    std::string spliced = blob;
    spliced.replace(begin, end - begin, from, begin, end - begin);
    return Open(spliced).status();
  };
  EXPECT_EQ(splice(of_other_key, 12, 28), InvalidCiphertext()) << "key id";
  EXPECT_EQ(splice(of_other_key, 28, 44), InvalidCiphertext()) << "key version id";
  EXPECT_EQ(splice(of_other_key, 12, 44), InvalidCiphertext()) << "both ids";
  EXPECT_EQ(splice(of_other_version, 28, 44), InvalidCiphertext()) << "version of the same key";
  EXPECT_EQ(splice(of_other_version, 44, 56), InvalidCiphertext()) << "IV";
}

TEST_F(DataKeysTest, KindSpecAndLengthOfContentAreAuthenticated) {
  const std::vector<std::string> blobs = OneOfEachKind();
  const auto with = [](std::string blob, size_t position, char value) {
    EXPECT_NE(blob[position], value);
    blob[position] = value;
    // Else the format alone would refuse it.
    EXPECT_TRUE(ParseBlob(blob).has_value());
    return blob;
  };
  EXPECT_EQ(Open(with(blobs[1], 11, 2)).status(), InvalidCiphertext()) << "longer secret";
  EXPECT_EQ(Open(with(blobs[2], 6, 4)).status(), InvalidCiphertext()) << "PEM as DER";
  EXPECT_EQ(Open(with(blobs[3], 6, 3)).status(), InvalidCiphertext()) << "DER as PEM";
  EXPECT_EQ(Open(with(blobs[3], 7, 7)).status(), InvalidCiphertext()) << "another curve";
  // Sixteen bytes in the clear pass for a wrapped secret of up to eight, by their length.
  const std::string text = Seal(key(), "sixteen bytes...").blob;
  std::string wrapped = text;
  wrapped[6] = 2;
  wrapped[11] = 8;
  ASSERT_TRUE(ParseBlob(wrapped).has_value());
  EXPECT_EQ(Open(wrapped).status(), InvalidCiphertext()) << "bytes as wrapped bytes";
}

TEST_F(DataKeysTest, WhatIsNoBlobIsAnInvalidCiphertext) {
  EXPECT_EQ(Open("").status(), InvalidCiphertext());
  EXPECT_EQ(Open("SRKB").status(), InvalidCiphertext());
  EXPECT_EQ(Open(std::string(73, '\0')).status(), InvalidCiphertext());
  EXPECT_EQ(Open(std::string(6144, 'x')).status(), InvalidCiphertext());
}

// --- Never in the clear -----------------------------------------------------------------------

TEST_F(DataKeysTest, KeyThatIsNotReturnedNeverLeavesTheTokenInTheClear) {
  ASSERT_OK(faults().Apply("record"));
  // That the recorder hears what does cross the border:
  ASSERT_OK_AND_ASSIGN(const DataKey returned, Generate(32, Plaintext::kReturned));
  EXPECT_THAT(faults().Recorded(), HasSubstr(Text(*returned.plaintext)));

  faults().Reset();
  ASSERT_OK(faults().Apply("record"));
  ASSERT_OK_AND_ASSIGN(const DataKey generated, Generate(32, Plaintext::kNotReturned));
  const std::string recorded = faults().Recorded();
  EXPECT_GT(faults().Calls("C_WrapKey"), 0u);
  // Nothing was there to take the key out with, nor was its value asked for.
  EXPECT_EQ(faults().Calls("C_CreateObject"), 0u);
  EXPECT_EQ(faults().Calls("C_GetAttributeValue"), 0u);
  ASSERT_OK_AND_ASSIGN(const Opened opened, Open(generated.sealed.blob));
  EXPECT_FALSE(recorded.empty());
  EXPECT_THAT(recorded, Not(HasSubstr(Text(opened.plaintext))));
  // Nor half of it.
  EXPECT_THAT(recorded, Not(HasSubstr(Text(opened.plaintext).substr(0, 16))));
  EXPECT_THAT(recorded, Not(HasSubstr(Text(opened.plaintext).substr(16))));
}

TEST_F(DataKeysTest, PrivateKeyThatIsNotReturnedNeverLeavesTheTokenInTheClear) {
  for (PairSpec spec : {PairSpec::kEcP256, PairSpec::kRsa2048}) {
    faults().Reset();
    ASSERT_OK(faults().Apply("record"));
    ASSERT_OK_AND_ASSIGN(const KeyPair pair,
                         GeneratePair(spec, KeyFormat::kDer, Plaintext::kNotReturned));
    const std::string recorded = faults().Recorded();
    EXPECT_EQ(faults().Calls("C_CreateObject"), 0u);
    EXPECT_FALSE(pair.private_key.has_value());
    ASSERT_OK_AND_ASSIGN(const Opened opened, Open(pair.sealed.blob));
    for (const std::string& number : PrivateNumbers(Text(opened.plaintext))) {
      for (size_t i = 0; i + 16 <= number.size(); ++i) {
        ASSERT_THAT(recorded, Not(HasSubstr(number.substr(i, 16)))) << i;
      }
    }
    // That the recorder listened:
    EXPECT_THAT(recorded, HasSubstr(pair.public_key.substr(pair.public_key.size() / 2, 16)));
  }
}

// --- Limits and failures ----------------------------------------------------------------------

TEST_F(DataKeysTest, OnePairMoreThanMayBeIsThrottled) {
  ASSERT_EQ(kPairGenerations, 2);
  ASSERT_OK_AND_ASSIGN(HoldPoint first, HoldPoint::Create());
  ASSERT_OK_AND_ASSIGN(HoldPoint second, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", first.path(), " call=1")));
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", second.path(), " call=2")));
  const auto generate = [&] {
    return GeneratePair(PairSpec::kEcP256, KeyFormat::kPem, Plaintext::kReturned);
  };
  std::thread one([&] { EXPECT_THAT(generate(), IsOk()); });
  ASSERT_OK(first.WaitUntilHeld());
  std::thread two([&] { EXPECT_THAT(generate(), IsOk()); });
  ASSERT_OK(second.WaitUntilHeld());

  for (int i = 0; i < 3; ++i) {
    const absl::Status refused = generate().status();
    EXPECT_THAT(refused, FailsWith(Reason::kThrottling, HasSubstr("Concurrency Limit Exceeded")));
    EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(1));
  }
  // All else goes on.
  EXPECT_THAT(Generate(32, Plaintext::kReturned), IsOk());
  EXPECT_THAT(Generate(32, Plaintext::kNotReturned), IsOk());

  first.Release();
  one.join();
  EXPECT_THAT(generate(), IsOk());
  second.Release();
  two.join();
  EXPECT_THAT(generate(), IsOk());
}

TEST_F(DataKeysTest, PlaceOfAPairThatFailedIsFreeAgain) {
  ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_DEVICE_ERROR call=1-5"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(GeneratePair(PairSpec::kEcP256, KeyFormat::kPem, Plaintext::kReturned),
                FailsWith(Reason::kUnavailable));
  }
  EXPECT_THAT(GeneratePair(PairSpec::kEcP256, KeyFormat::kPem, Plaintext::kReturned), IsOk());
}

TEST_F(DataKeysTest, UnknownKeyIsToldBeforeThrottling) {
  DataKeys none(ring(), token(), 0);
  EXPECT_THAT(
      none.GenerateKeyPair({.key = *KeyId::Parse("00000000-0000-4000-8000-000000000000")},
                           PairSpec::kEcP256, KeyFormat::kPem, Plaintext::kReturned, kNoDeadline),
      FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(none.GenerateKeyPair({.key = key()}, PairSpec::kEcP256, KeyFormat::kPem,
                                   Plaintext::kReturned, kNoDeadline),
              FailsWith(Reason::kThrottling));
}

TEST_F(DataKeysTest, TokenThatIsBusyUntilTheDeadlineIsADependencyTimeout) {
  token_options().lanes = 1;
  ASSERT_NO_FATAL_FAILURE(Restart());
  const std::string blob = Seal(key(), "text").blob;
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", point.path(), " call=1")));
  std::thread busy([&] {
    EXPECT_THAT(GeneratePair(PairSpec::kEcP256, KeyFormat::kDer, Plaintext::kReturned), IsOk());
  });
  ASSERT_OK(point.WaitUntilHeld());
  const Deadline passed = std::chrono::steady_clock::now();
  const auto timeout = FailsWith(Reason::kDependencyTimeout);
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    EXPECT_THAT(data_keys().GenerateDataKey({.key = key()}, 32, plaintext, passed), timeout);
    EXPECT_THAT(data_keys().GenerateKeyPair({.key = key()}, PairSpec::kEcP256, KeyFormat::kDer,
                                            plaintext, passed),
                timeout);
  }
  EXPECT_THAT(data_keys().Encrypt({.key = key()}, "text", passed), timeout);
  EXPECT_THAT(data_keys().GenerateRandom(1, passed), timeout);
  EXPECT_THAT(data_keys().Decrypt(blob, Binding(), std::nullopt, std::nullopt, passed), timeout);
  point.Release();
  busy.join();
  ExpectOpens(blob, {}, "text");
}

TEST_F(DataKeysTest, TokenThatFailsIsUnavailableAndNeverAnInvalidCiphertext) {
  const std::vector<std::string> blobs = OneOfEachKind();
  for (const char* fault : {
           "fail C_Decrypt CKR_GENERAL_ERROR forwarded",
           "fail C_Decrypt CKR_FUNCTION_FAILED forwarded",
           "fail C_Decrypt CKR_ENCRYPTED_DATA_INVALID forwarded",
           "fail C_Decrypt CKR_DEVICE_ERROR forwarded",
           "fail C_Decrypt CKR_DEVICE_REMOVED forwarded",
           "fail C_DecryptInit CKR_TOKEN_NOT_PRESENT",
           "fail C_DecryptInit CKR_USER_NOT_LOGGED_IN",
           "fail C_DecryptInit CKR_SESSION_HANDLE_INVALID",
       }) {
    SCOPED_TRACE(fault);
    ASSERT_OK(faults().Apply(fault));
    for (const std::string& blob : blobs) {
      const absl::Status error = Open(blob).status();
      EXPECT_THAT(error, FailsWith(Reason::kUnavailable, Not(HasSubstr("CKR"))));
      EXPECT_TRUE(RetryDelayOf(error).has_value());
      EXPECT_THAT(DetailOf(error), HasSubstr("CKR"));
    }
    faults().Reset();
    for (const std::string& blob : blobs) EXPECT_THAT(Open(blob), IsOk());
  }
}

TEST_F(DataKeysTest, TokenThatFailsAfterTheTagWasRightIsNeverAnInvalidCiphertext) {
  const std::vector<std::string> blobs = OneOfEachKind();
  for (const char* function : {"C_UnwrapKey", "C_CreateObject", "C_WrapKey"}) {
    for (const auto& [code, reason] :
         {std::pair{"CKR_DEVICE_ERROR", Reason::kUnavailable},
          std::pair{"CKR_DEVICE_MEMORY", Reason::kThrottling},
          std::pair{"CKR_GENERAL_ERROR", Reason::kInternalFailure},
          std::pair{"CKR_ENCRYPTED_DATA_INVALID", Reason::kInternalFailure}}) {
      SCOPED_TRACE(absl::StrCat(function, " ", code));
      ASSERT_OK(faults().Apply(absl::StrCat("fail ", function, " ", code)));
      EXPECT_THAT(Open(blobs[0]), IsOk());  // Nothing in it is wrapped.
      for (size_t i = 1; i < blobs.size(); ++i) EXPECT_THAT(Open(blobs[i]), FailsWith(reason));
      faults().Reset();
    }
  }
  for (const std::string& blob : blobs) EXPECT_THAT(Open(blob), IsOk());
}

TEST_F(DataKeysTest, TokenThatFailsSealsNothing) {
  for (const char* fault :
       {"fail C_GenerateRandom CKR_DEVICE_ERROR", "fail C_EncryptInit CKR_DEVICE_ERROR",
        "fail C_Encrypt CKR_DEVICE_ERROR forwarded"}) {
    SCOPED_TRACE(fault);
    ASSERT_OK(faults().Apply(fault));
    const auto unavailable = FailsWith(Reason::kUnavailable, Not(HasSubstr("CKR")));
    for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
      EXPECT_THAT(Generate(32, plaintext), unavailable);
      EXPECT_THAT(GeneratePair(PairSpec::kEcP256, KeyFormat::kPem, plaintext), unavailable);
    }
    EXPECT_THAT(data_keys().Encrypt({.key = key()}, "text", kNoDeadline), unavailable);
    faults().Reset();
  }
}

TEST_F(DataKeysTest, KeysThatAreGoneFromTheTokenAreUnavailable) {
  const std::vector<std::string> blobs = OneOfEachKind();
  ASSERT_OK_AND_ASSIGN(const KeyDescription record, ring().Describe(key()));
  const KeyId other = CreateKey();
  ASSERT_OK(token().DestroyVersionKeys(record.record.primary_version.bytes(), kNoDeadline));
  // Whether that was noticed at the start or happened since.
  for (bool restarted : {false, true}) {
    SCOPED_TRACE(restarted);
    if (restarted) {
      ASSERT_NO_FATAL_FAILURE(Restart());
    }
    for (const std::string& blob : blobs) {
      EXPECT_THAT(Open(blob), FailsWith(Reason::kUnavailable));
    }
    for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
      EXPECT_THAT(Generate(32, plaintext), FailsWith(Reason::kUnavailable));
    }
    ExpectOpens(Seal(other, "text").blob, {}, "text");
  }
}

TEST_F(DataKeysTest, StoreIsNotNeededForKeysInUse) {
  const std::string blob = Seal(key(), "text").blob;
  for (const char* member : {"GetKey", "GetKeyVersion", "GetAlias"}) {
    store().Fail(member, absl::UnavailableError("away"));
  }
  ExpectOpens(blob, {}, "text");
  EXPECT_THAT(Generate(32, Plaintext::kReturned), IsOk());
}

// --- Rehearsals -------------------------------------------------------------------------------

TEST_F(DataKeysTest, RehearsalSaysThatItWouldWork) {
  const std::string blob = Seal(key(), "text").blob;
  EXPECT_THAT(
      data_keys().RehearseSealing(key(), SealingVersion::kPrimary, PairSpec::kRsa4096, kNoDeadline),
      IsOk());
  EXPECT_THAT(data_keys().RehearseOpening(blob, key(), kNoDeadline), IsOk());
  EXPECT_THAT(data_keys().RehearseToken(PairSpec::kEcP256, kNoDeadline), IsOk());
}

TEST_F(DataKeysTest, RehearsalTouchesNoKeyMaterial) {
  const std::string blob = Seal(key(), "text").blob;
  faults().Reset();
  ASSERT_OK(data_keys().RehearseSealing(key(), SealingVersion::kPrimary, PairSpec::kRsa4096,
                                        kNoDeadline));
  ASSERT_OK(data_keys().RehearseOpening(blob, std::nullopt, kNoDeadline));
  for (const auto& [function, count] : faults().Calls()) {
    EXPECT_THAT(function, AnyOf("C_GetAttributeValue", "C_GetSessionInfo", "C_GetTokenInfo"));
  }
}

TEST_F(DataKeysTest, RehearsalSaysWhatIsInTheWay) {
  const KeyId unknown = *KeyId::Parse("00000000-0000-4000-8000-000000000000");
  const std::string blob = Seal(key(), "text").blob;
  const auto seal = [&](const KeyId& id) {
    return data_keys().RehearseSealing(id, SealingVersion::kPrimary, std::nullopt, kNoDeadline);
  };
  EXPECT_THAT(seal(unknown), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(data_keys().RehearseOpening("nonsense", std::nullopt, kNoDeadline),
              FailsWith(Reason::kInvalidCiphertext));
  EXPECT_THAT(data_keys().RehearseOpening(blob, CreateKey(), kNoDeadline),
              FailsWith(Reason::kIncorrectKey));
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_DEVICE_REMOVED"));
  EXPECT_THAT(seal(key()), FailsWith(Reason::kUnavailable));
  faults().Reset();
  Disable(key());
  EXPECT_THAT(seal(key()), FailsWith(Reason::kDisabled));
  EXPECT_THAT(data_keys().RehearseOpening(blob, std::nullopt, kNoDeadline),
              FailsWith(Reason::kDisabled));
}

}  // namespace
}  // namespace strongroom::core
