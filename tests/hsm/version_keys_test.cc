// The two objects of a version: made, verified, found, destroyed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
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
using ::testing::Pair;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;

constexpr char kSealLabel[] = "strongroom-seal";
constexpr char kWrapLabel[] = "strongroom-wrap";

std::string RawId(const ObjectId& id) {
  return std::string(reinterpret_cast<const char*>(id.data()), id.size());
}

class VersionKeysTest : public TokenFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TokenFixture::SetUp());
    ASSERT_OK_AND_ASSIGN(token_, Open());
  }

  Token& token() { return *token_; }
  void Reopen() {
    token_ = nullptr;
    ASSERT_OK_AND_ASSIGN(token_, Open());
  }

  std::vector<CK_OBJECT_HANDLE> FindRaw(const RawToken& raw, const std::string& label,
                                        const ObjectId& id) {
    return raw.Find({{CKA_LABEL, label}, {CKA_ID, RawId(id)}});
  }

  // Neither of the version `id`, nor anything that does not outlive a session.
  void ExpectNothingLeft(const ObjectId& id) {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    EXPECT_EQ(raw.Find({{CKA_ID, RawId(id)}}).size(), 0u);
    EXPECT_EQ(raw.CountSessionObjects(), 0u);
  }

 private:
  std::unique_ptr<Token> token_;
};

TEST_F(VersionKeysTest, CreatedObjectsHaveTheAttributesOfTheDesign) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountTokenObjects(), 2u);
  for (const std::string label : {kSealLabel, kWrapLabel}) {
    SCOPED_TRACE(label);
    const bool seals = label == kSealLabel;
    const std::vector<CK_OBJECT_HANDLE> found = FindRaw(raw, label, Id(7));
    ASSERT_EQ(found.size(), 1u);
    const std::vector<RawAttribute> expected = {
        {CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
        {CKA_KEY_TYPE, RawUlong(CKK_AES)},
        {CKA_VALUE_LEN, RawUlong(32)},
        {CKA_TOKEN, RawBool(true)},
        {CKA_PRIVATE, RawBool(true)},
        {CKA_SENSITIVE, RawBool(true)},
        {CKA_ALWAYS_SENSITIVE, RawBool(true)},
        {CKA_EXTRACTABLE, RawBool(false)},
        {CKA_NEVER_EXTRACTABLE, RawBool(true)},
        {CKA_MODIFIABLE, RawBool(false)},
        {CKA_LOCAL, RawBool(true)},
        {CKA_ENCRYPT, RawBool(seals)},
        {CKA_DECRYPT, RawBool(seals)},
        {CKA_WRAP, RawBool(!seals)},
        {CKA_UNWRAP, RawBool(!seals)},
        {CKA_SIGN, RawBool(false)},
        {CKA_VERIFY, RawBool(false)},
        {CKA_DERIVE, RawBool(false)},
        {CKA_ALLOWED_MECHANISMS, RawUlong(seals ? CKM_AES_GCM : CKM_AES_KEY_WRAP_PAD)},
    };
    for (const RawAttribute& attribute : expected) {
      EXPECT_EQ(raw.Get(found.front(), attribute.type), attribute.value)
          << "attribute 0x" << std::hex << attribute.type;
    }
  }
}

// What the token itself makes of those attributes: the attacks that they are for.
TEST_F(VersionKeysTest, TokenKeepsTheKeysToWhatTheyAreFor) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  const CK_FUNCTION_LIST& p11 = raw.functions();
  const CK_OBJECT_HANDLE seal = FindRaw(raw, kSealLabel, Id(7)).at(0);
  const CK_OBJECT_HANDLE wrap = FindRaw(raw, kWrapLabel, Id(7)).at(0);
  unsigned char out[256];
  CK_ULONG size = sizeof(out);

  for (CK_OBJECT_HANDLE key : {seal, wrap}) {
    CK_ATTRIBUTE value = {CKA_VALUE, out, sizeof(out)};
    EXPECT_EQ(p11.C_GetAttributeValue(raw.session(), key, &value, 1), CKR_ATTRIBUTE_SENSITIVE);
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE extractable = {CKA_EXTRACTABLE, &yes, sizeof(yes)};
    EXPECT_NE(p11.C_SetAttributeValue(raw.session(), key, &extractable, 1), CKR_OK);
    CK_MECHANISM kwp = {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    EXPECT_EQ(p11.C_WrapKey(raw.session(), &kwp, wrap, key, out, &size), CKR_KEY_UNEXTRACTABLE);
  }

  const CK_OBJECT_HANDLE extractable =
      raw.GenerateAesKey({{CKA_TOKEN, RawBool(false)}, {CKA_EXTRACTABLE, RawBool(true)}});
  CK_MECHANISM kwp = {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  size = sizeof(out);
  EXPECT_NE(p11.C_WrapKey(raw.session(), &kwp, seal, extractable, out, &size), CKR_OK);
  size = sizeof(out);
  EXPECT_EQ(p11.C_WrapKey(raw.session(), &kwp, wrap, extractable, out, &size), CKR_OK);

  unsigned char iv[16] = {};
  CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)};
  CK_MECHANISM ecb = {CKM_AES_ECB, nullptr, 0};
  for (CK_OBJECT_HANDLE key : {seal, wrap}) {
    EXPECT_NE(p11.C_DecryptInit(raw.session(), &cbc, key), CKR_OK);
    EXPECT_NE(p11.C_DecryptInit(raw.session(), &ecb, key), CKR_OK);
    EXPECT_NE(p11.C_EncryptInit(raw.session(), &ecb, key), CKR_OK);
  }
  CK_GCM_PARAMS gcm = {};
  gcm.iv_ptr = iv;
  gcm.iv_len = 12;
  gcm.iv_bits = 96;
  gcm.tag_bits = 128;
  CK_MECHANISM gcm_mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
  EXPECT_NE(p11.C_DecryptInit(raw.session(), &gcm_mechanism, wrap), CKR_OK);
}

TEST_F(VersionKeysTest, CreatedKeysAreFoundByAnotherOpening) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_made,
                       token().CreateVersionKeys(Id(7), kNoDeadline));
  const VersionKeys& made = new_made.keys;
  EXPECT_EQ(made.id(), Id(7));
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(made, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(7), kNoDeadline));
  EXPECT_EQ(found.id(), Id(7));
  ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                       token().Unseal(found, kIv, Bytes("aad"), sealed, kNoDeadline));
  EXPECT_EQ(opened.ExposeSecretAsText(), "secret");
}

TEST_F(VersionKeysTest, KeysThatAreNotThereAreNotFound) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  EXPECT_THAT(token().FindVersionKeys(Id(8), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(VersionKeysTest, HalfAVersionIsNotFound) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  raw.Destroy(FindRaw(raw, kWrapLabel, Id(7)).at(0));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(VersionKeysTest, CreatingAVersionThatIsThereIsRefusedAndLeavesIt) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_keys,
                       token().CreateVersionKeys(Id(7), kNoDeadline));
  const VersionKeys& keys = new_keys.keys;
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  EXPECT_THAT(token().CreateVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(7), kNoDeadline));
  EXPECT_OK(token().Unseal(found, kIv, Bytes("aad"), sealed, kNoDeadline));
}

struct Drift {
  const char* attribute;
  const char* seal_value;
  const char* wrap_value;
};

// Each attribute of the design, as something else.
constexpr Drift kDrifts[] = {
    {"CKA_CLASS", "0200000000000000", "0200000000000000"},
    {"CKA_KEY_TYPE", "1000000000000000", "1000000000000000"},
    {"CKA_LABEL", "78", "78"},
    {"CKA_ID", "00", "00"},
    {"CKA_TOKEN", "00", "00"},
    {"CKA_PRIVATE", "00", "00"},
    {"CKA_SENSITIVE", "00", "00"},
    {"CKA_EXTRACTABLE", "01", "01"},
    {"CKA_MODIFIABLE", "01", "01"},
    {"CKA_ENCRYPT", "00", "01"},
    {"CKA_DECRYPT", "00", "01"},
    {"CKA_WRAP", "01", "00"},
    {"CKA_UNWRAP", "01", "00"},
    {"CKA_SIGN", "01", "01"},
    {"CKA_VERIFY", "01", "01"},
    {"CKA_DERIVE", "01", "01"},
    // The right mechanism and one more.
    {"CKA_ALLOWED_MECHANISMS", "87100000000000008210000000000000",
     "0a210000000000008210000000000000"},
    {"CKA_VALUE_LEN", "1000000000000000", "1000000000000000"},
    {"CKA_ALWAYS_SENSITIVE", "00", "00"},
    {"CKA_NEVER_EXTRACTABLE", "00", "00"},
    {"CKA_LOCAL", "00", "00"},
};

TEST_F(VersionKeysTest, AnyAttributeThatDriftedIsRefusedByName) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  for (const Drift& drift : kDrifts) {
    for (const std::string label : {kSealLabel, kWrapLabel}) {
      faults().Reset();
      ASSERT_OK(
          faults().Apply(absl::StrCat("attribute ", label, " ", drift.attribute, " ",
                                      label == kSealLabel ? drift.seal_value : drift.wrap_value)));
      EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
                  StatusIs(absl::StatusCode::kFailedPrecondition,
                           AllOf(HasSubstr(label), HasSubstr(drift.attribute))))
          << label << " " << drift.attribute;
    }
  }
  faults().Reset();
  EXPECT_OK(token().FindVersionKeys(Id(7), kNoDeadline));
}

TEST_F(VersionKeysTest, NoMechanismListIsDrift) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(faults().Apply("attribute strongroom-seal CKA_ALLOWED_MECHANISMS"));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_ALLOWED_MECHANISMS")));
}

// Without the fault module: an object that somebody with the PIN made in the place of ours.
TEST_F(VersionKeysTest, ObjectThatAnotherMadeIsRefused) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(FindRaw(raw, kSealLabel, Id(7)).at(0));
    raw.Create({{CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
                {CKA_KEY_TYPE, RawUlong(CKK_AES)},
                {CKA_TOKEN, RawBool(true)},
                {CKA_LABEL, kSealLabel},
                {CKA_ID, RawId(Id(7))},
                {CKA_ENCRYPT, RawBool(true)},
                {CKA_DECRYPT, RawBool(true)},
                {CKA_VALUE, std::string(32, 'k')}});
  }
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("CKA_LOCAL"), HasSubstr("CKA_NEVER_EXTRACTABLE"),
                             HasSubstr("CKA_ALLOWED_MECHANISMS"))));
}

TEST_F(VersionKeysTest, SecondObjectOfTheSameNameIsRefused) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.GenerateAesKey(
        {{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, kWrapLabel}, {CKA_ID, RawId(Id(7))}});
  }
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("2 such objects")));
  // And what is in the way can be cleared.
  EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  ExpectNothingLeft(Id(7));
}

TEST_F(VersionKeysTest, AttributeThatCannotBeReadIsNoVerification) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue CKR_ATTRIBUTE_TYPE_INVALID call=1-2"));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("reading CKA_")));
}

TEST_F(VersionKeysTest, DestroyedKeysAreGone) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(token().CreateVersionKeys(Id(8), kNoDeadline));
  EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
  ExpectNothingLeft(Id(7));
  EXPECT_OK(token().FindVersionKeys(Id(8), kNoDeadline));
}

TEST_F(VersionKeysTest, DestroyingNothingOrHalfIsOk) {
  EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(FindRaw(raw, kSealLabel, Id(7)).at(0));
  }
  EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  ExpectNothingLeft(Id(7));
}

TEST_F(VersionKeysTest, DestroyThatFailsSaysSo) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR call=1"));
  EXPECT_THAT(token().DestroyVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("C_DestroyObject")));
}

TEST_F(VersionKeysTest, KeysThatAreGoneSealNothing) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_keys,
                       token().CreateVersionKeys(Id(7), kNoDeadline));
  const VersionKeys& keys = new_keys.keys;
  ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  EXPECT_THAT(token().Seal(keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("finding the key again")));
}

TEST_F(VersionKeysTest, OneSearchFindsEveryVersion) {
  for (uint8_t number : {1, 2, 3, 4, 5}) {
    ASSERT_OK(token().CreateVersionKeys(Id(number), kNoDeadline));
  }
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(FindRaw(raw, kWrapLabel, Id(2)).at(0));  // half a version
    raw.GenerateAesKey(                                  // two of a kind
        {{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, kSealLabel}, {CKA_ID, RawId(Id(3))}});
    raw.Destroy(FindRaw(raw, kSealLabel, Id(4)).at(0));  // one that another made
    raw.GenerateAesKey(
        {{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, kSealLabel}, {CKA_ID, RawId(Id(4))}});
    raw.GenerateAesKey(  // nothing of ours
        {{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, kSealLabel}, {CKA_ID, "short"}});
    raw.GenerateAesKey({{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, "x"}, {CKA_ID, RawId(Id(9))}});
  }
  std::map<ObjectId, absl::StatusOr<VersionKeys>> found;
  ASSERT_OK(token().FindAllVersionKeys(
      [&](const ObjectId& id, absl::StatusOr<VersionKeys> keys) {
        EXPECT_TRUE(found.emplace(id, std::move(keys)).second) << "twice";
      },
      kNoDeadline));
  EXPECT_THAT(
      found,
      UnorderedElementsAre(
          Pair(Id(1), IsOk()),
          Pair(Id(2), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("just one"))),
          Pair(Id(3), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("just one"))),
          Pair(Id(4), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("CKA_ALLOWED_MECHANISMS"))),
          Pair(Id(5), IsOk())));
  for (uint8_t number : {1, 5}) {
    const VersionKeys& keys = *found.at(Id(number));
    EXPECT_EQ(keys.id(), Id(number));
    EXPECT_OK(token().Seal(keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  }
}

// Each call is a round trip to a network HSM, and reads files with SoftHSM.
TEST_F(VersionKeysTest, OneSearchAndTwoCallsAnObjectVerifyEveryVersion) {
  constexpr int kVersions = 3;
  for (uint8_t number = 0; number < kVersions; ++number) {
    ASSERT_OK(token().CreateVersionKeys(Id(number), kNoDeadline));
  }
  faults().Reset();
  ASSERT_OK(token().FindAllVersionKeys(
      [](const ObjectId&, absl::StatusOr<VersionKeys> keys) { EXPECT_OK(keys); }, kNoDeadline));
  EXPECT_EQ(faults().Calls("C_FindObjectsInit"), 1u);
  EXPECT_EQ(faults().Calls("C_GetAttributeValue"), 2u * 2 * kVersions);
}

// The one call for all attributes may not be taken at its word.
TEST_F(VersionKeysTest, TokenThatGivesNoAttributesAndSaysThatItDidIsRefused) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_GetAttributeValue 0x0"));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_SENSITIVE")));
}

// Longer than what is expected, so that it does not fit where that would.
TEST_F(VersionKeysTest, LongerValueIsDriftOfItsAttribute) {
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(faults().Apply(
      "attribute strongroom-seal CKA_ALLOWED_MECHANISMS 87100000000000000210000000000000"));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("CKA_ALLOWED_MECHANISMS"), Not(HasSubstr("CKA_LOCAL")))));
}

TEST_F(VersionKeysTest, SearchThatFailsFindsNothing) {
  ASSERT_OK(token().CreateVersionKeys(Id(1), kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_FindObjects CKR_DEVICE_ERROR call=2"));
  EXPECT_THAT(token().FindAllVersionKeys(
                  [](const ObjectId&, absl::StatusOr<VersionKeys>) { ADD_FAILURE(); }, kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable));
}

// A full disk was seen to let a generation succeed and the key vanish.
TEST_F(VersionKeysTest, CreationWhoseObjectVanishesFails) {
  for (const char* directive : {"vanish call=1", "vanish call=2", "vanish"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(token().CreateVersionKeys(Id(7), kNoDeadline), Not(IsOk())) << directive;
    ExpectNothingLeft(Id(7));
  }
}

// The session that made them would show what it remembers, not what was kept.
TEST_F(VersionKeysTest, CreationIsReadBackInANewSession) {
  faults().Reset();
  ASSERT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  EXPECT_EQ(faults().Calls("C_OpenSession"), 1u);
  EXPECT_EQ(faults().Calls("C_CloseSession"), 1u);
}

// Uses of a seal key are counted, and its proof counts as one.
TEST_F(VersionKeysTest, CreationUsesTheSealKeyOnce) {
  faults().Reset();
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys made, token().CreateVersionKeys(Id(7), kNoDeadline));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 1u);
  EXPECT_EQ(made.keys.source(), KeySource::kGenerated);
}

// IV, ciphertext and tag under the seal key, with the version in the AAD: databases keep them.
TEST_F(VersionKeysTest, ProofOpensForItsVersionOnly) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys made, token().CreateVersionKeys(Id(7), kNoDeadline));
  std::string proof = made.proof;
  ASSERT_EQ(proof.size(), 12u + 27u + 16u);
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  const CK_OBJECT_HANDLE seal = FindRaw(raw, kSealLabel, Id(7)).at(0);
  const auto open = [&](const ObjectId& id) {
    std::string aad = absl::StrCat("strongroom proof ", RawId(id));
    CK_GCM_PARAMS gcm = {};
    gcm.iv_ptr = reinterpret_cast<unsigned char*>(proof.data());
    gcm.iv_len = 12;
    gcm.iv_bits = 96;
    gcm.aad_ptr = reinterpret_cast<unsigned char*>(aad.data());
    gcm.aad_len = aad.size();
    gcm.tag_bits = 128;
    CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    EXPECT_EQ(raw.functions().C_DecryptInit(raw.session(), &mechanism, seal), CKR_OK);
    std::string text(proof.size(), '\0');
    CK_ULONG size = text.size();
    const CK_RV rv = raw.functions().C_Decrypt(
        raw.session(), reinterpret_cast<unsigned char*>(&proof[12]), proof.size() - 12,
        reinterpret_cast<unsigned char*>(text.data()), &size);
    return rv == CKR_OK ? text.substr(0, size) : "";
  };
  EXPECT_EQ(open(Id(7)), "strongroom known-good input");
  EXPECT_EQ(open(Id(8)), "");
}

TEST_F(VersionKeysTest, CreationThatFailsAtAnyStepLeavesNothing) {
  for (const char* directive : {
           "fail C_GenerateKey CKR_DEVICE_MEMORY call=1",
           "fail C_GenerateKey CKR_DEVICE_MEMORY call=2",
           // The token made it and its answer was lost.
           "fail C_GenerateKey CKR_DEVICE_ERROR call=1 forwarded",
           "fail C_GenerateKey CKR_DEVICE_ERROR call=2 forwarded",
           "fail C_OpenSession CKR_SESSION_COUNT",
           "fail C_GetAttributeValue CKR_DEVICE_ERROR call=1",
           "fail C_GetAttributeValue CKR_DEVICE_ERROR call=2",
           "attribute strongroom-wrap CKA_EXTRACTABLE 01",
           "attribute strongroom-seal CKA_LOCAL 00",
           "fail C_Encrypt CKR_FUNCTION_FAILED call=1 forwarded",
           "fail C_Decrypt CKR_GENERAL_ERROR call=1 forwarded",
           "fail C_GenerateRandom CKR_DEVICE_ERROR call=1",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(token().CreateVersionKeys(Id(7), kNoDeadline), Not(IsOk())) << directive;
    SCOPED_TRACE(directive);
    ExpectNothingLeft(Id(7));
  }
  faults().Reset();
  EXPECT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
}

TEST_F(VersionKeysTest, CreationOnASessionThatGoesAwayIsDoneOnAnother) {
  for (const char* directive : {
           "fail C_FindObjectsInit CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_GenerateKey CKR_SESSION_HANDLE_INVALID call=1",
           "fail C_GenerateKey CKR_SESSION_HANDLE_INVALID call=2",
           "fail C_GenerateKey CKR_SESSION_CLOSED call=2 forwarded",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_OK(token().CreateVersionKeys(Id(7), kNoDeadline)) << directive;
    EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
    SCOPED_TRACE(directive);
    ExpectNothingLeft(Id(7));
  }
}

// The session is gone for good: the lane cannot clean up, a new session can.
TEST_F(VersionKeysTest, CreationCleansUpOnANewSessionWhenItsOwnIsGone) {
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_SESSION_HANDLE_INVALID call=2-"));
  // The first four searches look whether there is a version already; the next is the cleaning up.
  ASSERT_OK(faults().Apply("fail C_FindObjectsInit CKR_SESSION_HANDLE_INVALID call=5"));
  EXPECT_THAT(token().CreateVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable));
  ExpectNothingLeft(Id(7));
}

TEST_F(VersionKeysTest, OwnerIsReadBackByAnotherOpening) {
  EXPECT_THAT(token().ReadOwner(kNoDeadline), IsOkAndHolds(std::nullopt));
  EXPECT_OK(token().WriteOwner("store 1f3a", kNoDeadline));
  EXPECT_THAT(token().ReadOwner(kNoDeadline),
              IsOkAndHolds(std::optional<std::string>("store 1f3a")));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(token().ReadOwner(kNoDeadline),
              IsOkAndHolds(std::optional<std::string>("store 1f3a")));
}

TEST_F(VersionKeysTest, SecondOwnerIsRefused) {
  ASSERT_OK(token().WriteOwner("store 1f3a", kNoDeadline));
  EXPECT_THAT(token().WriteOwner("store 9b07", kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(token().ReadOwner(kNoDeadline),
              IsOkAndHolds(std::optional<std::string>("store 1f3a")));
}

TEST_F(VersionKeysTest, OwnerThatCannotBeReadIsNotNone) {
  ASSERT_OK(token().WriteOwner("store 1f3a", kNoDeadline));
  ASSERT_OK(faults().Apply("fail C_FindObjects CKR_DEVICE_ERROR"));
  EXPECT_THAT(token().ReadOwner(kNoDeadline), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(token().WriteOwner("store 9b07", kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(VersionKeysTest, OwnerIsAPrivateObjectThatCannotBeChanged) {
  ASSERT_OK(token().WriteOwner("store 1f3a", kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  const std::vector<CK_OBJECT_HANDLE> found = raw.Find({{CKA_LABEL, "strongroom-owner"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(raw.Get(found[0], CKA_CLASS), RawUlong(CKO_DATA));
  EXPECT_EQ(raw.Get(found[0], CKA_TOKEN), RawBool(true));
  EXPECT_EQ(raw.Get(found[0], CKA_PRIVATE), RawBool(true));
  EXPECT_EQ(raw.Get(found[0], CKA_MODIFIABLE), RawBool(false));
}

}  // namespace
}  // namespace strongroom::hsm
