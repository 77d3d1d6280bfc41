// MACs made in the token, and whether the token is there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
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
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using testing::StatusIs;

constexpr MacPurpose kPurposes[] = {MacPurpose::kAuditSeal, MacPurpose::kGrantToken,
                                    MacPurpose::kMetadata};
constexpr const char* kLabels[] = {"strongroom-mac-audit-seal", "strongroom-mac-grant-token",
                                   "strongroom-mac-metadata"};

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

TEST_F(MacTest, UnpreparedKeysMakeNoMac) {
  EXPECT_THAT(Compute(MacPurpose::kMetadata, "text"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(MacTest, TokenWhoseFolderIsGoneIsNotAlive) {
  ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
  EXPECT_OK(token().CheckAlive(kNoDeadline));
  std::filesystem::rename(TokenFolder(), softhsm().directory() + "/away");
  EXPECT_THAT(token().CheckAlive(kNoDeadline), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(MacTest, TokenWhoseFolderIsGoneIsNotAliveEvenWithoutMacKeys) {
  EXPECT_OK(token().CheckAlive(kNoDeadline));
  std::filesystem::rename(TokenFolder(), softhsm().directory() + "/away");
  EXPECT_THAT(token().CheckAlive(kNoDeadline), Not(IsOk()));
}

}  // namespace
}  // namespace strongroom::hsm
