// Sealing and opening with AES-GCM in the token, and what happens when the token fails at it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

constexpr char kAad[] = "header and binding";
constexpr char kText[] = "0123456789abcdef0123456789abcdef";

class SealTest : public OpenTokenFixture {
 protected:
  absl::StatusOr<std::string> Seal(absl::string_view text) {
    return token().Seal(keys(), kIv, Bytes(kAad), Bytes(text), kNoDeadline);
  }
  absl::StatusOr<SecretBytes> Unseal(absl::string_view sealed) {
    return token().Unseal(keys(), kIv, Bytes(kAad), sealed, kNoDeadline);
  }
};

TEST_F(SealTest, OpeningGivesBackWhatWasSealed) {
  for (size_t size : {0, 1, 15, 16, 17, 1024, 4096, 32768}) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7);
    ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(text));
    EXPECT_EQ(sealed.size(), size + kTagBytes);
    ASSERT_OK_AND_ASSIGN(const SecretBytes opened, Unseal(sealed));
    EXPECT_EQ(opened.ExposeSecretAsText(), text) << size;
  }
}

TEST_F(SealTest, NoBytesAtNoAddressAreSealed) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(keys(), kIv, Bytes(kAad), {}, kNoDeadline));
  EXPECT_EQ(sealed.size(), kTagBytes);
  EXPECT_OK(Unseal(sealed));
}

TEST_F(SealTest, LargestAadIsBound) {
  const std::string aad(70000, 'a');
  std::string another = aad;
  another.back() = 'b';
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(keys(), kIv, Bytes(aad), Bytes(kText), kNoDeadline));
  EXPECT_OK(token().Unseal(keys(), kIv, Bytes(aad), sealed, kNoDeadline));
  EXPECT_THAT(token().Unseal(keys(), kIv, Bytes(another), sealed, kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SealTest, AnyFlippedBitIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal("abcd"));
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string tampered = sealed;
    tampered[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_THAT(Unseal(tampered), StatusIs(absl::StatusCode::kInvalidArgument)) << "bit " << bit;
  }
}

TEST_F(SealTest, AnyTruncationIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal("abcd"));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(Unseal(sealed.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument))
        << size << " bytes left";
  }
  EXPECT_THAT(Unseal(sealed + '\0'), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(Unseal(sealed));
}

TEST_F(SealTest, AnotherAadIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (const char* aad : {"", "header and bindinG", "header and bindin", "header and binding "}) {
    EXPECT_THAT(token().Unseal(keys(), kIv, Bytes(aad), sealed, kNoDeadline),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << aad;
  }
}

TEST_F(SealTest, AnotherIvIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (size_t i = 0; i < kIvBytes; ++i) {
    Iv iv = kIv;
    iv[i] ^= 1;
    EXPECT_THAT(token().Unseal(keys(), iv, Bytes(kAad), sealed, kNoDeadline),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << i;
  }
}

TEST_F(SealTest, AnotherVersionIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_other,
                       token().CreateVersionKeys(Id(2), kNoDeadline));
  const VersionKeys& other = new_other.keys;
  EXPECT_THAT(token().Unseal(other, kIv, Bytes(kAad), sealed, kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// Newer SoftHSM and other tokens have a code for it.
TEST_F(SealTest, TokenThatNamesATamperedCiphertextIsUnderstood) {
  ASSERT_OK_AND_ASSIGN(std::string sealed, Seal(kText));
  sealed[0] ^= 1;
  for (const char* code : {"CKR_ENCRYPTED_DATA_INVALID", "CKR_ENCRYPTED_DATA_LEN_RANGE",
                           "CKR_FUNCTION_FAILED", "0xc0"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_Decrypt ", code, " call=1 forwarded")));
    EXPECT_THAT(Unseal(sealed), StatusIs(absl::StatusCode::kInvalidArgument)) << code;
  }
}

TEST_F(SealTest, OneFailureOfTheTokenIsNotAWrongCiphertext) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_Decrypt CKR_GENERAL_ERROR call=1 forwarded"));
  ASSERT_OK_AND_ASSIGN(const SecretBytes opened, Unseal(sealed));
  EXPECT_EQ(opened.ExposeSecretAsText(), kText);
}

// The probe that tells a forged ciphertext from a failing token must not cost a use of the key each
// time: the uses of a key are limited, and forgers do not pay for them.
TEST_F(SealTest, ForgedCiphertextsDoNotUseUpTheKey) {
  ASSERT_OK_AND_ASSIGN(std::string sealed, Seal(kText));
  sealed[0] ^= 1;
  faults().Reset();
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Unseal(sealed), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  // The keys came with their proof.
  EXPECT_EQ(faults().Calls("C_Encrypt"), 0u);
}

TEST_F(SealTest, ForgedCiphertextUsesKeysOfUnknownProofOnce) {
  ASSERT_OK_AND_ASSIGN(std::string sealed, Seal(kText));
  sealed[0] ^= 1;
  for (const std::string& no_proof : {std::string(), std::string("x"), std::string(54, 'x')}) {
    ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(1), kNoDeadline));
    token().SetProof(found, no_proof);
    faults().Reset();
    for (int i = 0; i < 3; ++i) {
      EXPECT_THAT(token().Unseal(found, kIv, Bytes(kAad), sealed, kNoDeadline),
                  StatusIs(absl::StatusCode::kInvalidArgument));
      EXPECT_EQ(faults().Calls("C_Encrypt"), 1u);
    }
  }
}

TEST_F(SealTest, ForgedCiphertextDoesNotUseKeysWhoseProofIsSaid) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys made, token().CreateVersionKeys(Id(2), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(2), kNoDeadline));
  token().SetProof(found, made.proof);
  faults().Reset();
  EXPECT_THAT(token().Unseal(found, kIv, Bytes(kAad), std::string(32, 'x'), kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 0u);
}

// It would make every ciphertext of that version look like a failure of the token's.
TEST_F(SealTest, ProofOfOneVersionIsNoneOfAnother) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys other, token().CreateVersionKeys(Id(2), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(1), kNoDeadline));
  token().SetProof(found, other.proof);
  EXPECT_THAT(token().Unseal(found, kIv, Bytes(kAad), std::string(32, 'x'), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable));
}

// To answer INVALID_ARGUMENT here would make somebody throw good data away.
TEST_F(SealTest, FailingTokenIsUnavailableAndNotAWrongCiphertext) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (const char* directive : {
           "fail C_Decrypt CKR_GENERAL_ERROR forwarded",
           "fail C_Decrypt CKR_FUNCTION_FAILED forwarded",
           "fail C_Decrypt CKR_ENCRYPTED_DATA_INVALID forwarded",
           "fail C_Decrypt CKR_ENCRYPTED_DATA_LEN_RANGE forwarded",
           "fail C_Decrypt CKR_DEVICE_ERROR forwarded",
           "fail C_Decrypt CKR_DEVICE_REMOVED forwarded",
           "fail C_Decrypt CKR_TOKEN_NOT_PRESENT forwarded",
           "fail C_DecryptInit CKR_GENERAL_ERROR",
           "fail C_DecryptInit CKR_DEVICE_ERROR",
           "fail C_DecryptInit CKR_CRYPTOKI_NOT_INITIALIZED",
           "fail C_DecryptInit CKR_USER_NOT_LOGGED_IN",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Unseal(sealed), StatusIs(absl::StatusCode::kUnavailable)) << directive;
  }
  faults().Reset();
  EXPECT_OK(Unseal(sealed));
}

TEST_F(SealTest, FailingTokenIsUnavailableForSealingToo) {
  for (const char* code : {"CKR_DEVICE_ERROR", "CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT",
                           "CKR_CRYPTOKI_NOT_INITIALIZED"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_Encrypt ", code, " forwarded")));
    EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(code)));
  }
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_HOST_MEMORY"));
  EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SealTest, TokenWhoseFilesAreGoneDoesNotCallACiphertextWrong) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  std::filesystem::remove_all(softhsm().token_directory());
  EXPECT_THAT(Unseal(sealed), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SealTest, SessionThatIsGoneIsReplacedAndTheCallMadeAgain) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (const char* directive : {
           "fail C_DecryptInit CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_DecryptInit CKR_SESSION_CLOSED call=1",
           "fail C_Decrypt CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_Decrypt CKR_SESSION_HANDLE_INVALID call=1 forwarded",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_OK(Unseal(sealed)) << directive;
    EXPECT_EQ(faults().Calls("C_OpenSession"), 1u) << directive;
    EXPECT_EQ(faults().Calls("C_CloseSession"), 1u) << directive;
  }
}

TEST_F(SealTest, SessionThatIsGoneAmidTheKnownGoodProbeIsReplaced) {
  ASSERT_OK_AND_ASSIGN(std::string sealed, Seal(kText));
  sealed[0] ^= 1;
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(1), kNoDeadline));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_SESSION_HANDLE_INVALID call=1"));
  EXPECT_THAT(token().Unseal(found, kIv, Bytes(kAad), sealed, kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(faults().Calls("C_OpenSession"), 1u);
}

TEST_F(SealTest, SessionsThatAreAllGoneAreUnavailableAndComeBack) {
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_SESSION_HANDLE_INVALID call=1-4"));
  EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(Seal(kText));
}

TEST_F(SealTest, TokenWithoutAnotherSessionIsExhausted) {
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("fail C_OpenSession CKR_SESSION_COUNT call=1"));
  EXPECT_THAT(Seal(kText), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(Seal(kText));
}

// A token that fails between the two calls of an operation may leave it begun.
TEST_F(SealTest, SessionLeftAmidAnOperationIsReplaced) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (const char* directive : {
           "fail C_Encrypt CKR_DEVICE_ERROR call=1",
           "fail C_Encrypt CKR_BUFFER_TOO_SMALL call=1",
       }) {
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Seal(kText), Not(IsOk())) << directive;
    EXPECT_OK(Seal(kText)) << directive;
  }
  for (const char* directive : {
           "fail C_Decrypt CKR_DEVICE_ERROR call=1",
           "fail C_Decrypt CKR_BUFFER_TOO_SMALL call=1",
       }) {
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Unseal(sealed), Not(StatusIs(absl::StatusCode::kInvalidArgument))) << directive;
    EXPECT_OK(Unseal(sealed)) << directive;
  }
}

TEST_F(SealTest, KeyHandleThatIsGoneIsFoundAgain) {
  ASSERT_OK_AND_ASSIGN(const std::string sealed, Seal(kText));
  for (const char* code : {"CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_EncryptInit ", code, " call=1")));
    ASSERT_OK(faults().Apply(absl::StrCat("fail C_DecryptInit ", code, " call=1")));
    EXPECT_OK(Seal(kText)) << code;
    EXPECT_OK(Unseal(sealed)) << code;
    EXPECT_EQ(faults().Calls("C_OpenSession"), 0u);
    EXPECT_GT(faults().Calls("C_FindObjects"), 0u);
    // And remembered.
    const uint64_t searches = faults().Calls("C_FindObjects");
    EXPECT_OK(Seal(kText));
    EXPECT_EQ(faults().Calls("C_FindObjects"), searches);
  }
}

TEST_F(SealTest, KeyThatIsFoundAgainIsVerified) {
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_KEY_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("attribute strongroom-seal CKA_EXTRACTABLE 01"));
  EXPECT_THAT(Seal(kText),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_EXTRACTABLE")));
}

TEST_F(SealTest, SessionAndKeyHandleThatAreBothGoneAreReplaced) {
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_KEY_HANDLE_INVALID call=2"));
  EXPECT_OK(Seal(kText));
}

TEST_F(SealTest, RandomBytesComeFromTheToken) {
  std::array<uint8_t, 32> a = {};
  std::array<uint8_t, 32> b = {};
  EXPECT_OK(token().GenerateRandom(absl::MakeSpan(a), kNoDeadline));
  EXPECT_OK(token().GenerateRandom(absl::MakeSpan(b), kNoDeadline));
  EXPECT_NE(a, b);
  ASSERT_OK(faults().Apply("fail C_GenerateRandom CKR_DEVICE_ERROR"));
  EXPECT_THAT(token().GenerateRandom(absl::MakeSpan(a), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace strongroom::hsm
