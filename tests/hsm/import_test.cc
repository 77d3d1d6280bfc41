// Key material from outside: unwrapped in the token, and two keys derived from it there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/wrapped_material.h"

namespace strongroom::hsm {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using ::testing::Pair;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;
using testing::WrapMaterial;

constexpr ImportAlgorithm kSha1 = ImportAlgorithm::kOaepSha1;
constexpr char kSealLabel[] = "strongroom-imported-seal";
constexpr char kWrapLabel[] = "strongroom-imported-wrap";
constexpr ObjectId kImportKey = Id(100);

std::string RawId(const ObjectId& id) {
  return std::string(reinterpret_cast<const char*>(id.data()), id.size());
}

std::string Material() { return "0123456789abcdef0123456789ABCDEF"; }

// The key of one role that AES-256 under `material` gives a version.
std::string DerivedKey(const std::string& material, const std::string& label, const ObjectId& id) {
  const std::string name = label + RawId(id);
  unsigned char data[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), data);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::string key(48, '\0');
  int size = 0;
  EXPECT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), nullptr,
                               reinterpret_cast<const unsigned char*>(material.data()), nullptr),
            1);
  EXPECT_EQ(EVP_EncryptUpdate(context, reinterpret_cast<unsigned char*>(key.data()), &size, data,
                              sizeof(data)),
            1);
  EVP_CIPHER_CTX_free(context);
  key.resize(32);
  return key;
}

std::string OpenOutside(const std::string& key, const std::string& aad, const std::string& sealed) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  const auto* bytes = reinterpret_cast<const unsigned char*>(sealed.data());
  const int text_size = static_cast<int>(sealed.size()) - 12 - 16;
  std::string text(static_cast<size_t>(text_size), '\0');
  int size = 0;
  EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nullptr,
                     reinterpret_cast<const unsigned char*>(key.data()), bytes);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16,
                      const_cast<unsigned char*>(bytes + 12 + text_size));
  EVP_DecryptUpdate(context, nullptr, &size, reinterpret_cast<const unsigned char*>(aad.data()),
                    static_cast<int>(aad.size()));
  EVP_DecryptUpdate(context, reinterpret_cast<unsigned char*>(text.data()), &size, bytes + 12,
                    text_size);
  unsigned char rest[16];
  const bool authentic = EVP_DecryptFinal_ex(context, rest, &size) == 1;
  EVP_CIPHER_CTX_free(context);
  return authentic ? text : "";
}

class ImportTest : public TokenFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TokenFixture::SetUp());
    ASSERT_OK_AND_ASSIGN(token_, Open());
    ASSERT_OK_AND_ASSIGN(public_key_,
                         token_->CreateImportKey(kImportKey, kSha1, 2048, kNoDeadline));
  }

  Token& token() { return *token_; }
  const std::string& public_key() { return public_key_; }
  void Reopen(int lanes = 1) {
    token_ = nullptr;
    ASSERT_OK_AND_ASSIGN(token_, Open(lanes));
  }

  absl::StatusOr<NewVersionKeys> Import(const ObjectId& version, const std::string& material,
                                        const std::string& proof = "") {
    return ImportWrapped(version, WrapMaterial(public_key_, kSha1, material), proof);
  }
  absl::StatusOr<NewVersionKeys> ImportWrapped(const ObjectId& version, const std::string& wrapped,
                                               const std::string& proof = "") {
    return token().ImportVersionKeys(version, kImportKey, kSha1, wrapped, proof, kNoDeadline);
  }

  // Of the version, nor anything that does not outlive a session.
  void ExpectNothingLeft(const ObjectId& id) {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    EXPECT_EQ(raw.Find({{CKA_ID, RawId(id)}}).size(), 0u);
    EXPECT_EQ(raw.CountSessionObjects(), 0u);
  }

 private:
  std::unique_ptr<Token> token_;
  std::string public_key_;
};

TEST_F(ImportTest, ImportedKeysSealAndWrap) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys made, Import(Id(7), Material()));
  EXPECT_EQ(made.keys.id(), Id(7));
  EXPECT_EQ(made.keys.source(), KeySource::kImported);
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(made.keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const std::string wrapped,
                       token().GenerateWrappedSecret(made.keys, 32, kNoDeadline));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  ASSERT_OK_AND_ASSIGN(const VersionKeys found, token().FindVersionKeys(Id(7), kNoDeadline));
  EXPECT_EQ(found.source(), KeySource::kImported);
  ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                       token().Unseal(found, kIv, Bytes("aad"), sealed, kNoDeadline));
  EXPECT_EQ(opened.ExposeSecretAsText(), "secret");
  EXPECT_OK(token().ExportWrappedSecret(found, wrapped, 32, kNoDeadline));
  EXPECT_OK(token().CheckVersionKeys(found, kNoDeadline));
}

TEST_F(ImportTest, ImportedObjectsHaveTheAttributesOfTheDesign) {
  ASSERT_OK(Import(Id(7), Material()));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountTokenObjects(), 3u);  // and the import key
  EXPECT_EQ(raw.CountSessionObjects(), 0u);
  for (const std::string label : {kSealLabel, kWrapLabel}) {
    SCOPED_TRACE(label);
    const bool seals = label == kSealLabel;
    const std::vector<CK_OBJECT_HANDLE> found =
        raw.Find({{CKA_LABEL, label}, {CKA_ID, RawId(Id(7))}});
    ASSERT_EQ(found.size(), 1u);
    const std::vector<RawAttribute> expected = {
        {CKA_CLASS, RawUlong(CKO_SECRET_KEY)},
        {CKA_KEY_TYPE, RawUlong(CKK_AES)},
        {CKA_VALUE_LEN, RawUlong(32)},
        {CKA_TOKEN, RawBool(true)},
        {CKA_PRIVATE, RawBool(true)},
        {CKA_SENSITIVE, RawBool(true)},
        {CKA_EXTRACTABLE, RawBool(false)},
        {CKA_MODIFIABLE, RawBool(false)},
        {CKA_LOCAL, RawBool(false)},
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

// What docs/adr/0009-import.md says, so that whoever has the material can open without the token.
TEST_F(ImportTest, SealKeyIsWhatTheMaterialDerives) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys made, Import(Id(7), Material()));
  EXPECT_EQ(OpenOutside(DerivedKey(Material(), kSealLabel, Id(7)),
                        absl::StrCat("strongroom proof ", RawId(Id(7))), made.proof),
            "strongroom known-good input");
}

TEST_F(ImportTest, VersionsOfTheSameMaterialHaveDifferentKeys) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys one, Import(Id(7), Material()));
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys other, Import(Id(8), Material()));
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(one.keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  EXPECT_THAT(token().Unseal(other.keys, kIv, Bytes("aad"), sealed, kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// Uses of a seal key are counted.
TEST_F(ImportTest, FirstImportUsesTheSealKeyOnceAndAFurtherOneDoesNot) {
  faults().Reset();
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys first, Import(Id(7), Material()));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 1u);
  ASSERT_OK_AND_ASSIGN(const std::string sealed,
                       token().Seal(first.keys, kIv, Bytes("aad"), Bytes("secret"), kNoDeadline));
  ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  ExpectNothingLeft(Id(7));
  faults().Reset();
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys again, Import(Id(7), Material(), first.proof));
  EXPECT_EQ(again.proof, first.proof);
  EXPECT_OK(token().Unseal(again.keys, kIv, Bytes("aad"), sealed, kNoDeadline));
  EXPECT_THAT(token().Unseal(again.keys, kIv, Bytes("aad"), std::string(32, 'x'), kNoDeadline),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 0u);
}

TEST_F(ImportTest, OtherMaterialThanTheVersionHadIsRefused) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys first, Import(Id(7), Material()));
  ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  EXPECT_THAT(Import(Id(7), std::string(32, 'z'), first.proof),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ExpectNothingLeft(Id(7));
  // Nor does the proof of another version do, though the material is the same.
  EXPECT_THAT(Import(Id(8), Material(), first.proof),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ExpectNothingLeft(Id(8));
  EXPECT_OK(Import(Id(7), Material(), first.proof));
}

TEST_F(ImportTest, MalformedProofIsNotTheCallersFault) {
  EXPECT_THAT(Import(Id(7), Material(), "x"), StatusIs(absl::StatusCode::kInternal));
  ExpectNothingLeft(Id(7));
}

TEST_F(ImportTest, MaterialOfAnotherSizeIsRefused) {
  for (size_t size : {1, 15, 16, 24, 31, 33, 64, 128}) {
    EXPECT_THAT(Import(Id(7), std::string(size, 'm')), StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
    ExpectNothingLeft(Id(7));
  }
}

TEST_F(ImportTest, MaterialThatDoesNotUnwrapIsRefused) {
  const std::string wrapped = WrapMaterial(public_key(), kSha1, Material());
  ASSERT_OK_AND_ASSIGN(const std::string other_key,
                       token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline));
  std::string flipped = wrapped;
  flipped[100] ^= 1;
  for (const std::string& wrong :
       {std::string(), std::string("x"), wrapped.substr(1), wrapped + "x", flipped,
        std::string(256, '\xff'), std::string(4096, 'x'),
        WrapMaterial(other_key, kSha1, Material()),
        WrapMaterial(public_key(), ImportAlgorithm::kOaepSha256, Material())}) {
    EXPECT_THAT(ImportWrapped(Id(7), wrong), StatusIs(absl::StatusCode::kInvalidArgument));
    ExpectNothingLeft(Id(7));
  }
  EXPECT_OK(ImportWrapped(Id(7), wrapped));
}

// To call it the caller's fault would make somebody throw good material away.
TEST_F(ImportTest, FailingTokenIsUnavailableAndNotWrongMaterial) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys first, Import(Id(7), Material()));
  ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  for (const char* directive : {
           "fail C_UnwrapKey CKR_GENERAL_ERROR",
           "fail C_UnwrapKey CKR_DEVICE_ERROR",
           "fail C_UnwrapKey 0x110",  // CKR_WRAPPED_KEY_INVALID
           "fail C_Decrypt CKR_GENERAL_ERROR forwarded",
           "fail C_DecryptInit CKR_DEVICE_ERROR",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(Import(Id(7), Material(), first.proof), StatusIs(absl::StatusCode::kUnavailable))
        << directive;
    ExpectNothingLeft(Id(7));
  }
  for (const char* once : {"fail C_UnwrapKey CKR_GENERAL_ERROR call=1",
                           "fail C_UnwrapKey CKR_GENERAL_ERROR call=1 forwarded",
                           "fail C_Decrypt CKR_GENERAL_ERROR call=1 forwarded",
                           "fail C_UnwrapKey CKR_SESSION_HANDLE_INVALID call=1",
                           "fail C_CopyObject CKR_SESSION_CLOSED call=2"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(once));
    EXPECT_OK(Import(Id(7), Material(), first.proof)) << once;
    ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
    ExpectNothingLeft(Id(7));
  }
}

TEST_F(ImportTest, ImportThatFailsAtAnyStepLeavesNothing) {
  for (const char* directive : {
           "fail C_UnwrapKey CKR_DEVICE_ERROR call=1 forwarded",
           "attribute strongroom-import CKA_EXTRACTABLE 01",
           "fail C_DeriveKey CKR_DEVICE_ERROR call=1 forwarded",
           "fail C_DeriveKey CKR_DEVICE_ERROR call=2 forwarded",
           "fail C_DeriveKey CKR_DEVICE_MEMORY call=2",
           "fail C_CopyObject CKR_DEVICE_MEMORY call=1",
           "fail C_CopyObject CKR_DEVICE_ERROR call=1 forwarded",
           "fail C_CopyObject CKR_DEVICE_ERROR call=2",
           "fail C_CopyObject CKR_DEVICE_ERROR call=2 forwarded",
           // Not to be taken for other material than the version had.
           "fail C_CopyObject CKR_ATTRIBUTE_TYPE_INVALID call=1",
           "fail C_CopyObject 0x10 call=2",  // CKR_ATTRIBUTE_READ_ONLY
           "fail C_DeriveKey 0x20 call=3",   // CKR_DATA_INVALID
           "fail C_OpenSession CKR_SESSION_COUNT call=1",
           "fail C_OpenSession CKR_SESSION_COUNT call=2",
           "attribute strongroom-imported-wrap CKA_EXTRACTABLE 01",
           "attribute strongroom-imported-seal CKA_LOCAL 01",
           "attribute strongroom-imported-seal CKA_MODIFIABLE 01",
           "fail C_GenerateRandom CKR_DEVICE_ERROR call=1",
           "fail C_Encrypt CKR_FUNCTION_FAILED call=1 forwarded",
           "fail C_Decrypt CKR_GENERAL_ERROR call=1 forwarded",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    const absl::Status imported = Import(Id(7), Material()).status();
    EXPECT_THAT(imported, AnyOf(StatusIs(absl::StatusCode::kInternal),
                                StatusIs(absl::StatusCode::kUnavailable),
                                StatusIs(absl::StatusCode::kResourceExhausted)))
        << directive;
    SCOPED_TRACE(directive);
    ExpectNothingLeft(Id(7));
  }
  faults().Reset();
  EXPECT_OK(Import(Id(7), Material()));
}

TEST_F(ImportTest, ImportIsReadBackInANewSession) {
  faults().Reset();
  ASSERT_OK(Import(Id(7), Material()));
  // One for what is unwrapped, and one that sees what the token kept.
  EXPECT_EQ(faults().Calls("C_OpenSession"), 2u);
  EXPECT_EQ(faults().Calls("C_CloseSession"), 2u);
}

TEST_F(ImportTest, ImportingAVersionThatIsThereIsRefusedAndLeavesIt) {
  ASSERT_OK(Import(Id(7), Material()));
  EXPECT_THAT(Import(Id(7), Material()), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(token().CreateVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(token().FindVersionKeys(Id(7), kNoDeadline));
  ASSERT_OK(token().CreateVersionKeys(Id(8), kNoDeadline));
  EXPECT_THAT(Import(Id(8), Material()), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(token().FindVersionKeys(Id(8), kNoDeadline));
}

TEST_F(ImportTest, ImportWithoutItsKeyIsNotFound) {
  ASSERT_OK(token().DestroyImportKey(kImportKey, kNoDeadline));
  EXPECT_THAT(Import(Id(7), Material()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(token().DestroyImportKey(kImportKey, kNoDeadline));
}

TEST_F(ImportTest, VersionWithKeysOfBothSourcesIsRefused) {
  ASSERT_OK(Import(Id(7), Material()));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.GenerateAesKey(
        {{CKA_TOKEN, RawBool(true)}, {CKA_LABEL, "strongroom-seal"}, {CKA_ID, RawId(Id(7))}});
  }
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("both")));
  std::map<ObjectId, absl::StatusOr<VersionKeys>> found;
  ASSERT_OK(token().FindAllVersionKeys(
      [&](const ObjectId& id, absl::StatusOr<VersionKeys> keys) {
        found.emplace(id, std::move(keys));
      },
      kNoDeadline));
  EXPECT_THAT(found,
              UnorderedElementsAre(Pair(Id(7), StatusIs(absl::StatusCode::kFailedPrecondition))));
  EXPECT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
  ExpectNothingLeft(Id(7));
}

// What somebody with the PIN brought in under the label of generated keys, or the reverse.
TEST_F(ImportTest, KeysDoNotPassForThoseOfTheOtherSource) {
  ASSERT_OK(Import(Id(7), Material()));
  ASSERT_OK(faults().Apply("attribute strongroom-imported-seal CKA_LOCAL 01"));
  EXPECT_THAT(token().FindVersionKeys(Id(7), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKA_LOCAL")));
}

TEST_F(ImportTest, OneSearchFindsVersionsOfBothSources) {
  ASSERT_OK(token().CreateVersionKeys(Id(1), kNoDeadline));
  ASSERT_OK(Import(Id(2), Material()));
  ASSERT_OK(Import(Id(3), Material()));
  {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    raw.Destroy(raw.Find({{CKA_LABEL, kWrapLabel}, {CKA_ID, RawId(Id(3))}}).at(0));
  }
  EXPECT_THAT(token().FindVersionKeys(Id(3), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
  std::map<ObjectId, absl::StatusOr<VersionKeys>> found;
  ASSERT_OK(token().FindAllVersionKeys(
      [&](const ObjectId& id, absl::StatusOr<VersionKeys> keys) {
        EXPECT_TRUE(found.emplace(id, std::move(keys)).second) << "twice";
      },
      kNoDeadline));
  EXPECT_THAT(found,
              UnorderedElementsAre(Pair(Id(1), IsOk()), Pair(Id(2), IsOk()),
                                   Pair(Id(3), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                        HasSubstr("just one")))));
  EXPECT_EQ(found.at(Id(1))->source(), KeySource::kGenerated);
  EXPECT_EQ(found.at(Id(2))->source(), KeySource::kImported);
}

// --- Import keys ---------------------------------------------------------------------------------

TEST_F(ImportTest, ImportKeyHasTheAttributesOfTheDesign) {
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountTokenObjects(), 1u);
  EXPECT_EQ(raw.CountSessionObjects(), 0u);
  const std::vector<CK_OBJECT_HANDLE> found = raw.Find({{CKA_LABEL, "strongroom-import"}});
  ASSERT_EQ(found.size(), 1u);
  const std::vector<RawAttribute> expected = {
      {CKA_CLASS, RawUlong(CKO_PRIVATE_KEY)},
      {CKA_KEY_TYPE, RawUlong(CKK_RSA)},
      {CKA_ID, RawId(kImportKey)},
      {CKA_TOKEN, RawBool(true)},
      {CKA_PRIVATE, RawBool(true)},
      {CKA_SENSITIVE, RawBool(true)},
      {CKA_EXTRACTABLE, RawBool(false)},
      {CKA_MODIFIABLE, RawBool(false)},
      {CKA_DECRYPT, RawBool(false)},
      {CKA_SIGN, RawBool(false)},
      {CKA_UNWRAP, RawBool(true)},
      {CKA_DERIVE, RawBool(false)},
      {CKA_ALLOWED_MECHANISMS, RawUlong(CKM_RSA_PKCS_OAEP)},
  };
  for (const RawAttribute& attribute : expected) {
    EXPECT_EQ(raw.Get(found.front(), attribute.type), attribute.value)
        << "attribute 0x" << std::hex << attribute.type;
  }
  // And the token keeps it to that.
  for (CK_MECHANISM_TYPE type : {CKM_RSA_PKCS, CKM_RSA_X_509}) {
    CK_MECHANISM mechanism = {type, nullptr, 0};
    EXPECT_NE(raw.functions().C_DecryptInit(raw.session(), &mechanism, found[0]), CKR_OK);
    EXPECT_NE(raw.functions().C_SignInit(raw.session(), &mechanism, found[0]), CKR_OK);
  }
}

TEST_F(ImportTest, ImportKeyOutlivesTheProcess) {
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_OK(Import(Id(7), Material()));
}

TEST_F(ImportTest, ImportKeyIsAsLongAsAsked) {
  ASSERT_OK_AND_ASSIGN(const std::string key,
                       token().CreateImportKey(Id(101), kSha1, 3072, kNoDeadline));
  EXPECT_EQ(WrapMaterial(key, kSha1, Material()).size(), 384u);
  EXPECT_EQ(WrapMaterial(public_key(), kSha1, Material()).size(), 256u);
  EXPECT_OK(token().ImportVersionKeys(Id(7), Id(101), kSha1, WrapMaterial(key, kSha1, Material()),
                                      "", kNoDeadline));
}

TEST_F(ImportTest, SecondImportKeyOfAnIdIsRefusedAndLeavesTheFirst) {
  EXPECT_THAT(token().CreateImportKey(kImportKey, kSha1, 2048, kNoDeadline),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(Import(Id(7), Material()));
}

TEST_F(ImportTest, DestroyedImportKeyIsGone) {
  ASSERT_OK(token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline));
  EXPECT_OK(token().DestroyImportKey(kImportKey, kNoDeadline));
  ExpectNothingLeft(kImportKey);
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountTokenObjects(), 1u);
}

TEST_F(ImportTest, ImportKeyThatDriftedIsNotUsed) {
  for (const char* drift :
       {"CKA_PRIVATE 00", "CKA_SENSITIVE 00", "CKA_EXTRACTABLE 01", "CKA_MODIFIABLE 01",
        "CKA_DECRYPT 01", "CKA_SIGN 01", "CKA_UNWRAP 00", "CKA_DERIVE 01", "CKA_TOKEN 00",
        "CKA_KEY_TYPE 1f00000000000000", "CKA_CLASS 0400000000000000",
        "CKA_ALLOWED_MECHANISMS 09000000000000000300000000000000"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("attribute strongroom-import ", drift)));
    EXPECT_THAT(Import(Id(7), Material()),
                StatusIs(absl::StatusCode::kInternal,
                         HasSubstr(std::string(drift).substr(0, std::string(drift).find(' ')))));
    ExpectNothingLeft(Id(7));
  }
}

TEST_F(ImportTest, ImportKeyWhoseMakingFailsAtAnyStepLeavesNothing) {
  for (const char* directive : {
           "fail C_GenerateKeyPair CKR_DEVICE_ERROR forwarded",
           "fail C_UnwrapKey CKR_DEVICE_ERROR call=1 forwarded",
           "fail C_UnwrapKey CKR_GENERAL_ERROR call=2",
           "fail C_DeriveKey CKR_DEVICE_ERROR call=2 forwarded",
           "fail C_CopyObject CKR_DEVICE_MEMORY",
           "fail C_CopyObject CKR_DEVICE_ERROR forwarded",
           "fail C_OpenSession CKR_SESSION_COUNT call=1",
           "fail C_OpenSession CKR_SESSION_COUNT call=2",
           "attribute strongroom-import CKA_EXTRACTABLE 01",
           "attribute strongroom-import CKA_DECRYPT 01",
       }) {
    faults().Reset();
    ASSERT_OK(faults().Apply(directive));
    EXPECT_THAT(token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline), Not(IsOk()))
        << directive;
    SCOPED_TRACE(directive);
    ExpectNothingLeft(Id(101));
  }
}

// A key is generated once to find that out, and not again.
TEST_F(ImportTest, AlgorithmThatTheTokenLacksIsUnimplemented) {
  faults().Reset();
  EXPECT_THAT(token().CreateImportKey(Id(101), ImportAlgorithm::kOaepSha256, 2048, kNoDeadline),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_EQ(faults().Calls("C_GenerateKeyPair"), 1u);
  EXPECT_THAT(token().CreateImportKey(Id(101), ImportAlgorithm::kOaepSha256, 4096, kNoDeadline),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_EQ(faults().Calls("C_GenerateKeyPair"), 1u);
  // The list of mechanisms says so of this one.
  EXPECT_THAT(token().CreateImportKey(Id(101), ImportAlgorithm::kRsaAesSha256, 2048, kNoDeadline),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_EQ(faults().Calls("C_GenerateKeyPair"), 1u);
  ExpectNothingLeft(Id(101));
  EXPECT_OK(token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline));
}

TEST_F(ImportTest, MechanismThatIsNotListedIsUnimplemented) {
  for (const char* mechanism : {"0x9", "0x1104"}) {  // CKM_RSA_PKCS_OAEP, CKM_AES_ECB_ENCRYPT_DATA
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("hide ", mechanism)));
    EXPECT_THAT(token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline),
                StatusIs(absl::StatusCode::kUnimplemented));
    EXPECT_EQ(faults().Calls("C_GenerateKeyPair"), 0u);
  }
}

// On a token that has what SoftHSM lacks: the fault module lends it.
TEST_F(ImportTest, OtherAlgorithmsImportTheSameKeys) {
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys first, Import(Id(7), Material()));
  for (ImportAlgorithm algorithm : {ImportAlgorithm::kOaepSha256, ImportAlgorithm::kRsaAesSha256}) {
    SCOPED_TRACE(static_cast<int>(algorithm));
    faults().Reset();
    ASSERT_OK(faults().Apply("lend"));
    ASSERT_OK(faults().Apply("attribute strongroom-import CKA_DECRYPT 00"));
    ASSERT_OK(faults().Apply(absl::StrCat(
        "attribute strongroom-import CKA_ALLOWED_MECHANISMS ",
        algorithm == ImportAlgorithm::kOaepSha256 ? "0900000000000000" : "5410000000000000")));
    const ObjectId id = Id(static_cast<uint8_t>(101 + static_cast<int>(algorithm)));
    ASSERT_OK_AND_ASSIGN(const std::string key,
                         token().CreateImportKey(id, algorithm, 2048, kNoDeadline));
    ASSERT_OK(token().DestroyVersionKeys(Id(7), kNoDeadline));
    const auto import = [&](const std::string& wrapped) {
      return token().ImportVersionKeys(Id(7), id, algorithm, wrapped, first.proof, kNoDeadline);
    };
    for (const std::string& wrong :
         {WrapMaterial(key, algorithm, std::string(16, 'm')),
          WrapMaterial(key, algorithm, std::string(33, 'm')),
          WrapMaterial(key, ImportAlgorithm::kOaepSha1, Material()),
          WrapMaterial(key, algorithm, Material()) + "x", std::string("x")}) {
      EXPECT_THAT(import(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
      ExpectNothingLeft(Id(7));
    }
    EXPECT_THAT(import(WrapMaterial(key, algorithm, std::string(32, 'z'))),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    ExpectNothingLeft(Id(7));
    EXPECT_OK(import(WrapMaterial(key, algorithm, Material())));
  }
}

// It takes long, and others want to find and to make token objects.
TEST_F(ImportTest, OthersMakeTokenObjectsWhileAnImportKeyIsGenerated) {
  ASSERT_NO_FATAL_FAILURE(Reopen(/*lanes=*/2));
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", point.path(), " call=1")));
  absl::Status made;
  std::thread maker(
      [&] { made = token().CreateImportKey(Id(101), kSha1, 2048, kNoDeadline).status(); });
  EXPECT_OK(point.WaitUntilHeld());
  EXPECT_OK(token().CreateVersionKeys(Id(7), kNoDeadline));
  EXPECT_OK(token().FindVersionKeys(Id(7), kNoDeadline));
  point.Release();
  maker.join();
  EXPECT_OK(made);
}

}  // namespace
}  // namespace strongroom::hsm
