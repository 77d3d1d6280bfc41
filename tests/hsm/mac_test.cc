// MACs made in the token, and whether the token is there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using testing::StatusIs;

constexpr MacPurpose kPurposes[] = {MacPurpose::kAuditSeal, MacPurpose::kGrantToken,
                                    MacPurpose::kMetadata};
constexpr const char* kLabels[] = {"strongroom-mac-audit-seal", "strongroom-mac-grant-token",
                                   "strongroom-mac-metadata"};

// What a key of ours is made with, but for its size.
std::vector<RawAttribute> OfKey(const std::string& label) {
  return {
      {CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
      {CKA_KEY_TYPE, RawUlong(CKK_GENERIC_SECRET)},
      {CKA_LABEL, label},
      {CKA_TOKEN, RawBool(true)},
      {CKA_PRIVATE, RawBool(true)},
      {CKA_SENSITIVE, RawBool(true)},
      {CKA_EXTRACTABLE, RawBool(false)},
      {CKA_MODIFIABLE, RawBool(false)},
      {CKA_SIGN, RawBool(true)},
      {CKA_VERIFY, RawBool(false)},
      {CKA_ENCRYPT, RawBool(false)},
      {CKA_DECRYPT, RawBool(false)},
      {CKA_WRAP, RawBool(false)},
      {CKA_UNWRAP, RawBool(false)},
      {CKA_DERIVE, RawBool(false)},
      {CKA_ALLOWED_MECHANISMS, RawUlong(CKM_SHA256_HMAC)},
  };
}

class MacTest : public TokenFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TokenFixture::SetUp());
    ASSERT_OK_AND_ASSIGN(token_, TokenFixture::Open());
  }

  Token& token() { return *token_; }
  void Reopen() {
    token_ = nullptr;
    ASSERT_OK_AND_ASSIGN(token_, TokenFixture::Open());
  }
  absl::StatusOr<Mac> Compute(MacPurpose purpose, absl::string_view text) {
    return token().ComputeMac(purpose, Bytes(text), kNoDeadline);
  }

  size_t MacKeysInToken() {
    absl::StatusOr<RawToken> raw = OpenRaw();
    EXPECT_OK(raw);
    size_t count = 0;
    for (const std::string label : kLabels) count += raw->Find({{CKA_LABEL, label}}).size();
    EXPECT_EQ(raw->CountSessionObjects(), 0u);
    return count;
  }

  // The token's folder, which holds its objects.
  std::filesystem::path TokenFolder() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(softhsm().directory())) {
      if (entry.path().filename() == "token.object") return entry.path().parent_path();
    }
    ADD_FAILURE() << "no token";
    return {};
  }

 private:
  std::unique_ptr<Token> token_;
};

TEST_F(MacTest, KeysHaveTheAttributesOfTheDesign) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountTokenObjects(), 3u);
  EXPECT_EQ(raw.CountSessionObjects(), 0u);
  for (const std::string label : kLabels) {
    SCOPED_TRACE(label);
    const std::vector<CK_OBJECT_HANDLE> found = raw.Find({{CKA_LABEL, label}});
    ASSERT_EQ(found.size(), 1u);
    const std::vector<RawAttribute> expected = {
        {CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
        {CKA_KEY_TYPE, RawUlong(CKK_GENERIC_SECRET)},
        {CKA_VALUE_LEN, RawUlong(32)},
        {CKA_TOKEN, RawBool(true)},
        {CKA_PRIVATE, RawBool(true)},
        {CKA_SENSITIVE, RawBool(true)},
        {CKA_ALWAYS_SENSITIVE, RawBool(true)},
        {CKA_EXTRACTABLE, RawBool(false)},
        {CKA_NEVER_EXTRACTABLE, RawBool(true)},
        {CKA_MODIFIABLE, RawBool(false)},
        {CKA_LOCAL, RawBool(true)},
        {CKA_SIGN, RawBool(true)},
        {CKA_VERIFY, RawBool(false)},
        {CKA_ENCRYPT, RawBool(false)},
        {CKA_DECRYPT, RawBool(false)},
        {CKA_WRAP, RawBool(false)},
        {CKA_UNWRAP, RawBool(false)},
        {CKA_DERIVE, RawBool(false)},
        {CKA_ALLOWED_MECHANISMS, RawUlong(CKM_SHA256_HMAC)},
    };
    for (const RawAttribute& attribute : expected) {
      EXPECT_EQ(raw.Get(found.front(), attribute.type), attribute.value)
          << "attribute " << attribute.type;
    }
  }
}

TEST_F(MacTest, EqualTextsHaveEqualMacsAndOthersDoNot) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  std::set<Mac> macs;
  for (MacPurpose purpose : kPurposes) {
    for (const std::string& text :
         {std::string(), std::string("a"), std::string("b"), std::string(100'000, 'c')}) {
      ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(purpose, text));
      EXPECT_THAT(Compute(purpose, text), IsOkAndHolds(mac));
      EXPECT_TRUE(macs.insert(mac).second) << "a MAC that another text or purpose has";
    }
  }
}

TEST_F(MacTest, MacsStayTheSameInAnotherOpening) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(MacPurpose::kMetadata, "text"));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_THAT(Compute(MacPurpose::kMetadata, "text"), IsOkAndHolds(mac));
}

// With a key whose value is known, which the fault module passes off as the token's own.
TEST_F(MacTest, MacIsHmacSha256) {
  const std::string value = "0123456789abcdefghijklmnopqrstuv";
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    std::vector<RawAttribute> attributes = OfKey(kLabels[1]);
    attributes.push_back({CKA_VALUE, value});
    raw.Create(attributes);
  }
  for (const char* attribute : {"CKA_LOCAL", "CKA_ALWAYS_SENSITIVE", "CKA_NEVER_EXTRACTABLE"}) {
    ASSERT_OK(faults().Apply(absl::StrCat("attribute ", kLabels[1], " ", attribute, " 01")));
  }
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  for (const std::string& text : {std::string(), std::string("text"), std::string(1000, 'x')}) {
    Mac expected;
    ASSERT_NE(HMAC(EVP_sha256(), value.data(), static_cast<int>(value.size()), Bytes(text).data(),
                   text.size(), expected.data(), nullptr),
              nullptr);
    EXPECT_THAT(Compute(MacPurpose::kGrantToken, text), IsOkAndHolds(expected));
  }
}

// What the token itself makes of the attributes: the attacks that they are for.
TEST_F(MacTest, TokenKeepsTheKeysToWhatTheyAreFor) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK(token().CreateVersionKeys(Id(1), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  const CK_FUNCTION_LIST& p11 = raw.functions();
  const CK_OBJECT_HANDLE wrap = raw.Find({{CKA_LABEL, "strongroom-wrap"}}).at(0);
  for (const char* label : kLabels) {
    SCOPED_TRACE(label);
    const CK_OBJECT_HANDLE key = raw.Find({{CKA_LABEL, label}}).at(0);
    unsigned char out[256];
    CK_ATTRIBUTE value = {CKA_VALUE, out, sizeof(out)};
    EXPECT_EQ(p11.C_GetAttributeValue(raw.session(), key, &value, 1), CKR_ATTRIBUTE_SENSITIVE);
    CK_ULONG size = sizeof(out);
    CK_MECHANISM kwp = {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    EXPECT_EQ(p11.C_WrapKey(raw.session(), &kwp, wrap, key, out, &size), CKR_KEY_UNEXTRACTABLE);

    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE extractable = {CKA_EXTRACTABLE, &yes, sizeof(yes)};
    EXPECT_NE(p11.C_SetAttributeValue(raw.session(), key, &extractable, 1), CKR_OK);
    CK_ATTRIBUTE session_object = {CKA_TOKEN, &no, sizeof(no)};
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    EXPECT_NE(p11.C_CopyObject(raw.session(), key, &session_object, 1, &copy), CKR_OK);

    CK_MECHANISM hmac = {CKM_SHA256_HMAC, nullptr, 0};
    EXPECT_NE(p11.C_VerifyInit(raw.session(), &hmac, key), CKR_OK);
    // Another hash over the same key would not be what was promised of it.
    for (CK_MECHANISM_TYPE type : {CKM_SHA_1_HMAC, CKM_SHA512_HMAC}) {
      CK_MECHANISM other = {type, nullptr, 0};
      EXPECT_NE(p11.C_SignInit(raw.session(), &other, key), CKR_OK);
    }
  }
}

TEST_F(MacTest, PreparingAgainKeepsTheKeysThatAreThere) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac seal, Compute(MacPurpose::kAuditSeal, "text"));
  ASSERT_OK_AND_ASSIGN(const Mac grant, Compute(MacPurpose::kGrantToken, "text"));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(raw.Find({{CKA_LABEL, kLabels[1]}}).at(0));
  }
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), IsOkAndHolds(seal));
  EXPECT_THAT(Compute(MacPurpose::kGrantToken, "text"), IsOkAndHolds(Not(grant)));
  EXPECT_EQ(MacKeysInToken(), 3u);
}

struct Drift {
  const char* attribute;
  const char* value;
};

// Each attribute of the design, as something else.
constexpr Drift kDrifts[] = {
    {"CKA_KEY_TYPE", "1f00000000000000"},
    {"CKA_TOKEN", "00"},
    {"CKA_PRIVATE", "00"},
    {"CKA_SENSITIVE", "00"},
    {"CKA_EXTRACTABLE", "01"},
    {"CKA_MODIFIABLE", "01"},
    {"CKA_ENCRYPT", "01"},
    {"CKA_DECRYPT", "01"},
    {"CKA_WRAP", "01"},
    {"CKA_UNWRAP", "01"},
    {"CKA_SIGN", "00"},
    {"CKA_VERIFY", "01"},
    {"CKA_DERIVE", "01"},
    // None, another, and the right one with one more.
    {"CKA_ALLOWED_MECHANISMS", ""},
    {"CKA_ALLOWED_MECHANISMS", "7102000000000000"},
    {"CKA_ALLOWED_MECHANISMS", "51020000000000007102000000000000"},
    {"CKA_VALUE_LEN", "1000000000000000"},
    {"CKA_ALWAYS_SENSITIVE", "00"},
    {"CKA_NEVER_EXTRACTABLE", "00"},
    {"CKA_LOCAL", "00"},
};

TEST_F(MacTest, KeyThatDriftedIsRefusedByName) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  for (const Drift& drift : kDrifts) {
    for (const std::string label : kLabels) {
      faults().Reset();
      ASSERT_OK(faults().Apply(
          absl::StrCat("attribute ", label, " ", drift.attribute, " ", drift.value)));
      EXPECT_THAT(token().PrepareMacKeys(kNoDeadline),
                  StatusIs(absl::StatusCode::kFailedPrecondition,
                           AllOf(HasSubstr(label), HasSubstr(drift.attribute))))
          << label << " " << drift.attribute;
    }
  }
  faults().Reset();
  EXPECT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_EQ(MacKeysInToken(), 3u);
}

// Somebody with the PIN, who knows the key that he left for us to seal with.
TEST_F(MacTest, KeyThatAnotherMadeIsRefusedAndLeft) {
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Create({{CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
                {CKA_KEY_TYPE, RawUlong(CKK_GENERIC_SECRET)},
                {CKA_TOKEN, RawBool(true)},
                {CKA_LABEL, kLabels[0]},
                {CKA_SIGN, RawBool(true)},
                {CKA_ALLOWED_MECHANISMS, RawUlong(CKM_SHA256_HMAC)},
                {CKA_VALUE, std::string(32, 'k')}});
  }
  EXPECT_THAT(token().PrepareMacKeys(kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(kLabels[0]), HasSubstr("CKA_LOCAL"))));
  EXPECT_EQ(MacKeysInToken(), 1u);
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(MacTest, SecondKeyOfAPurposeIsRefused) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.GenerateAesKey({{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, kLabels[2]}});
  }
  EXPECT_THAT(token().PrepareMacKeys(kNoDeadline),
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr(kLabels[2]), HasSubstr("2 such objects"))));
}

TEST_F(MacTest, CreationThatFailsAtAnyStepLeavesNoHalfMadeKey) {
  for (const char* directive : {
           "fail C_GenerateKey CKR_DEVICE_MEMORY call=1",
           "vanish call=1",
           "fail C_OpenSession CKR_SESSION_COUNT call=1",
           "fail C_GetAttributeValue CKR_DEVICE_ERROR call=1",
           "attribute strongroom-mac-audit-seal CKA_EXTRACTABLE 01",
           "fail C_SignInit CKR_FUNCTION_FAILED call=1",
           "fail C_Sign CKR_FUNCTION_FAILED call=3 forwarded",
       }) {
    SCOPED_TRACE(directive);
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(token().PrepareMacKeys(kNoDeadline), Not(IsOk()));
    EXPECT_EQ(MacKeysInToken(), 0u);
  }
  faults().Reset();
  EXPECT_OK(token().PrepareMacKeys(kNoDeadline));
}

// A key of this name that is not the one just made belongs to a server that started beside this
// one: it is not taken away.
TEST_F(MacTest, CreationThatFailsDestroysOnlyWhatItMade) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  // The search shows nothing, as it would have a moment before the other made it.
  ASSERT_OK(faults().Apply("fail C_FindObjects 0x0 call=1"));
  EXPECT_THAT(token().PrepareMacKeys(kNoDeadline),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 such objects")));
  EXPECT_EQ(MacKeysInToken(), 3u);
  EXPECT_OK(token().PrepareMacKeys(kNoDeadline));
}

// It was made, and is as it should be: the next call takes it.
TEST_F(MacTest, KeyWhoseMakingWasNotAnsweredIsTakenLater) {
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=1 forwarded"));
  EXPECT_THAT(token().PrepareMacKeys(kNoDeadline), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(MacKeysInToken(), 1u);
  EXPECT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_EQ(MacKeysInToken(), 3u);
}

// The session that made them would show what it remembers, not what was kept.
TEST_F(MacTest, CreationIsReadBackInANewSession) {
  faults().Reset();
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_EQ(faults().Calls("C_OpenSession"), 3u);
  EXPECT_EQ(faults().Calls("C_CloseSession"), 3u);
}

TEST_F(MacTest, KeysThatCannotBeSearchedForAreNotMadeAnew) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_FindObjects CKR_DEVICE_ERROR"));
  EXPECT_THAT(token().PrepareMacKeys(kNoDeadline), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(faults().Calls("C_GenerateKey"), 0u);
}

TEST_F(MacTest, SessionThatIsGoneIsReplaced) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(MacPurpose::kAuditSeal, "text"));
  for (const char* directive : {
           "fail C_SignInit CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_Sign CKR_SESSION_CLOSED call=1 forwarded",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), IsOkAndHolds(mac)) << directive;
    EXPECT_EQ(faults().Calls("C_OpenSession"), 1u);
  }
}

TEST_F(MacTest, SessionLeftAmidAnOperationIsReplaced) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(MacPurpose::kAuditSeal, "text"));
  ASSERT_OK(faults().Apply("fail C_Sign CKR_DEVICE_ERROR call=1"));
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), IsOkAndHolds(mac));
}

TEST_F(MacTest, KeyHandleThatIsGoneIsFoundAgain) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  for (MacPurpose purpose : kPurposes) {
    ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(purpose, "text"));
    faults().Reset();
    ASSERT_OK(faults().Apply("fail C_SignInit CKR_SESSION_HANDLE_INVALID call=1"));
    ASSERT_OK(faults().Apply("fail C_SignInit CKR_KEY_HANDLE_INVALID call=2"));
    EXPECT_THAT(Compute(purpose, "text"), IsOkAndHolds(mac));
    // And remembered.
    const uint64_t searches = faults().Calls("C_FindObjects");
    EXPECT_GT(searches, 0u);
    EXPECT_THAT(Compute(purpose, "text"), IsOkAndHolds(mac));
    EXPECT_EQ(faults().Calls("C_FindObjects"), searches);
  }
}

// Not only believed to be: the object has another handle now.
TEST_F(MacTest, KeyWithAnotherHandleIsFoundAgainAndRemembered) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac mac, Compute(MacPurpose::kGrantToken, "text"));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(raw.Find({{CKA_LABEL, kLabels[1]}}).at(0));
    std::vector<RawAttribute> attributes = OfKey(kLabels[1]);
    attributes.push_back({CKA_VALUE_LEN, RawUlong(32)});
    raw.GenerateKey(CKM_GENERIC_SECRET_KEY_GEN, attributes);
  }
  ASSERT_OK_AND_ASSIGN(const Mac other, Compute(MacPurpose::kGrantToken, "text"));
  EXPECT_NE(other, mac);
  faults().Reset();
  EXPECT_THAT(Compute(MacPurpose::kGrantToken, "text"), IsOkAndHolds(other));
  EXPECT_EQ(faults().Calls("C_FindObjects"), 0u);
}

TEST_F(MacTest, KeyThatIsFoundAgainIsVerified) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_KEY_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("attribute strongroom-mac-audit-seal CKA_EXTRACTABLE 01"));
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_EXTRACTABLE")));
}

TEST_F(MacTest, KeyThatIsGoneMakesNoMac) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(raw.Find({{CKA_LABEL, kLabels[0]}}).at(0));
  }
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("finding the key again")));
  EXPECT_EQ(MacKeysInToken(), 2u);
}

TEST_F(MacTest, UnpreparedKeysMakeNoMac) {
  EXPECT_THAT(Compute(MacPurpose::kMetadata, "text"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

class CheckTest : public MacTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(MacTest::SetUp());
    ASSERT_OK_AND_ASSIGN(NewVersionKeys made, token().CreateVersionKeys(Id(1), kNoDeadline));
    keys_ = made.keys;
    ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  }

  absl::Status CheckKeys() { return token().CheckVersionKeys(*keys_, kNoDeadline); }
  absl::Status CheckAlive() { return token().CheckAlive(kNoDeadline); }
  // The token's files are where nobody looks for them.
  void TakeFolderAway() {
    folder_ = TokenFolder();
    std::filesystem::rename(folder_, Away());
  }
  void BringFolderBack() { std::filesystem::rename(Away(), folder_); }

 private:
  std::filesystem::path Away() { return softhsm().directory() + "/away"; }

  std::optional<VersionKeys> keys_;
  std::filesystem::path folder_;
};

TEST_F(CheckTest, UsesNoKey) {
  faults().Reset();
  EXPECT_OK(CheckKeys());
  EXPECT_OK(CheckAlive());
  for (const auto& [function, calls] : faults().Calls()) {
    EXPECT_THAT(function, AnyOf("C_GetAttributeValue", "C_GetTokenInfo"));
  }
}

TEST_F(CheckTest, KeysThatDriftedAreRefused) {
  ASSERT_OK(faults().Apply("attribute strongroom-wrap CKA_DECRYPT 01"));
  EXPECT_THAT(CheckKeys(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_DECRYPT")));
  EXPECT_OK(CheckAlive());
}

TEST_F(CheckTest, KeysThatAreGoneAreUnavailableAsForSeal) {
  ASSERT_OK(token().DestroyVersionKeys(Id(1), kNoDeadline));
  EXPECT_THAT(CheckKeys(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(CheckAlive());
}

TEST_F(CheckTest, SessionAndHandlesThatAreGoneAreReplaced) {
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_OBJECT_HANDLE_INVALID call=2"));
  EXPECT_OK(CheckKeys());
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_OBJECT_HANDLE_INVALID call=2"));
  EXPECT_OK(CheckAlive());
}

TEST_F(CheckTest, TokenThatFailsIsUnavailable) {
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_DEVICE_REMOVED call=1-2"));
  EXPECT_THAT(CheckKeys(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(CheckAlive(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(CheckKeys());
  EXPECT_OK(CheckAlive());
}

// SoftHSM's sessions do not notice: C_GetSessionInfo says that all is well.
TEST_F(CheckTest, TokenWhoseFolderIsGoneIsUnavailable) {
  EXPECT_OK(CheckAlive());
  TakeFolderAway();
  EXPECT_THAT(CheckAlive(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(CheckKeys(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), StatusIs(absl::StatusCode::kUnavailable));
}

// SoftHSM forgets, until the next opening, what is looked at while it is away.
TEST_F(CheckTest, LookingWhetherTheTokenIsAliveDoesNotCostItsKeys) {
  TakeFolderAway();
  EXPECT_THAT(CheckAlive(), StatusIs(absl::StatusCode::kUnavailable));
  BringFolderBack();
  EXPECT_OK(CheckKeys());
  EXPECT_OK(Compute(MacPurpose::kAuditSeal, "text"));
}

TEST_F(CheckTest, TokenThatCameBackWithoutItsKeysIsNotAlive) {
  TakeFolderAway();
  EXPECT_THAT(Compute(MacPurpose::kAuditSeal, "text"), StatusIs(absl::StatusCode::kUnavailable));
  BringFolderBack();
  EXPECT_THAT(CheckAlive(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_OK(CheckAlive());
  EXPECT_EQ(MacKeysInToken(), 3u);
}

TEST_F(CheckTest, TokenWithoutItsKeyForMacsIsUnavailable) {
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(raw.Find({{CKA_LABEL, kLabels[0]}}).at(0));
  }
  EXPECT_THAT(CheckAlive(), StatusIs(absl::StatusCode::kUnavailable));
}

// As before the first call of PrepareMacKeys.
TEST_F(MacTest, TokenWhoseFolderIsGoneIsNotAliveWithoutMacKeysEither) {
  EXPECT_OK(token().CheckAlive(kNoDeadline));
  std::filesystem::rename(TokenFolder(), softhsm().directory() + "/away");
  EXPECT_THAT(token().CheckAlive(kNoDeadline), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace strongroom::hsm
