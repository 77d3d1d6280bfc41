// Master keys whose material comes from outside.

#include "server/core/material_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/wrapped_material.h"

namespace strongroom::core {
namespace {

using ::testing::AllOf;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;
using testing::WrapMaterial;

constexpr hsm::ImportAlgorithm kSha1 = hsm::ImportAlgorithm::kOaepSha1;

std::string Material() { return "0123456789abcdef0123456789ABCDEF"; }

class MaterialImportTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    NewImports();
    key_ = CreateExternalKey();
  }

  void RestartAll() {
    imports_ = nullptr;
    Restart();
    NewImports();
  }

  MaterialImport& imports() { return *imports_; }
  // One that waits for its material.
  const KeyId& key() { return key_; }
  KeyId CreateExternalKey() {
    const absl::StatusOr<KeyDescription> key =
        life().CreateKey({.origin = store::KeyOrigin::kImported}, kNoDeadline);
    EXPECT_OK(key);
    return key.ok() ? key->record.id : KeyId();
  }
  KeyVersionId VersionOf(const KeyId& key) {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key);
    EXPECT_OK(description);
    return description.ok() ? description->record.primary_version : KeyVersionId();
  }
  KeyStatus Status() {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key());
    EXPECT_OK(description);
    return description.ok() ? description->status : KeyStatus::kCreating;
  }

  ImportParameters Parameters(const KeyId& key) {
    absl::StatusOr<ImportParameters> parameters =
        imports().GetParameters(key, kSha1, 2048, kNoDeadline);
    EXPECT_OK(parameters);
    return parameters.ok() ? *std::move(parameters) : ImportParameters();
  }
  absl::StatusOr<KeyDescription> Import(const ImportParameters& with,
                                        const std::string& material = Material()) {
    return imports().Import(key(), with.import_token,
                            WrapMaterial(with.public_key, kSha1, material), kNoDeadline);
  }
  void ImportMaterial() {
    const ImportParameters parameters = Parameters(key());
    ASSERT_OK(Import(parameters));
  }

  // In the store.
  bool HasImport(const KeyId& key) {
    const absl::StatusOr<std::optional<store::ImportRecord>> import = store().GetImport(key);
    EXPECT_OK(import);
    return import.ok() && import->has_value();
  }
  void ExpectTokenHasNoKeys() {
    EXPECT_THAT(token().FindVersionKeys(VersionOf(key()).bytes(), kNoDeadline),
                StatusIs(absl::StatusCode::kNotFound));
  }
  void ExpectTokenHasNoImportKey(const ImportParameters& parameters) {
    hsm::ObjectId id;
    std::copy_n(parameters.import_token.begin() + 1, id.size(), id.begin());
    EXPECT_THAT(token().ImportVersionKeys({9}, id, kSha1, "x", "", kNoDeadline),
                StatusIs(absl::StatusCode::kNotFound));
  }

 private:
  void NewImports() {
    imports_ = std::make_unique<MaterialImport>(ring(), store(), token(), clock());
  }

  std::unique_ptr<MaterialImport> imports_;
  KeyId key_;
};

TEST_F(MaterialImportTest, ImportedMaterialEnablesTheKey) {
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  EXPECT_THAT(ring().ForSealing(key(), SealingVersion::kPrimary), FailsWith(Reason::kUnavailable));
  const ImportParameters parameters = Parameters(key());
  EXPECT_EQ(parameters.expire_time, clock().Now() + absl::Hours(24));
  ASSERT_OK_AND_ASSIGN(const KeyDescription description, Import(parameters));
  EXPECT_EQ(description.status, KeyStatus::kEnabled);
  const Sealed sealed = Seal(key(), "secret");
  ExpectOpens(sealed.blob, {}, "secret");
  ASSERT_NO_FATAL_FAILURE(RestartAll());
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_EQ(Status(), KeyStatus::kEnabled);
  ExpectOpens(sealed.blob, {}, "secret");
  ExpectTokenHasNoImportKey(parameters);
}

TEST_F(MaterialImportTest, DeletedMaterialOpensNothingUntilItIsBack) {
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  const Sealed sealed = Seal(key(), "secret");
  ASSERT_OK_AND_ASSIGN(const KeyDescription description,
                       imports().DeleteMaterial(key(), kNoDeadline));
  EXPECT_EQ(description.status, KeyStatus::kPendingImport);
  ExpectTokenHasNoKeys();
  EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kUnavailable));
  EXPECT_OK(imports().DeleteMaterial(key(), kNoDeadline));

  const ImportParameters parameters = Parameters(key());
  EXPECT_THAT(Import(parameters, std::string(32, 'z')),
              FailsWith(Reason::kInvalidParameter,
                        AllOf(HasSubstr("encrypted_key_material"), HasSubstr("had before"))));
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  ExpectTokenHasNoKeys();
  ASSERT_OK(Import(parameters));
  ExpectOpens(sealed.blob, {}, "secret");
}

// The proof is the first use; importing the same again is none.
TEST_F(MaterialImportTest, ImportCountsAsOneUseOnce) {
  const auto uses = [&] { return store().GetKeyVersion(VersionOf(key()))->uses_reserved; };
  EXPECT_EQ(uses(), 0);
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  EXPECT_EQ(uses(), 1);
  EXPECT_EQ(ring().Describe(key())->primary_uses_left, UseLimits().most - 1);
  ASSERT_OK(imports().DeleteMaterial(key(), kNoDeadline));
  faults().Reset();
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  EXPECT_EQ(uses(), 1);
  EXPECT_EQ(faults().Calls("C_Encrypt"), 0u);
}

TEST_F(MaterialImportTest, MaterialThatDoesNotUnwrapIsRefusedByName) {
  const ImportParameters parameters = Parameters(key());
  for (const std::string& wrong :
       {std::string(), std::string("x"), std::string(256, 'x'),
        WrapMaterial(parameters.public_key, kSha1, std::string(16, 'm')),
        WrapMaterial(parameters.public_key, hsm::ImportAlgorithm::kOaepSha256, Material())}) {
    EXPECT_THAT(imports().Import(key(), parameters.import_token, wrong, kNoDeadline),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(HasSubstr("encrypted_key_material"), HasSubstr("32 bytes"),
                                HasSubstr("RSAES_OAEP_SHA_1"))));
  }
  ExpectTokenHasNoKeys();
  EXPECT_OK(Import(parameters));
}

TEST_F(MaterialImportTest, TokenThatIsNotTheKeysNewestIsRefused) {
  const ImportParameters older = Parameters(key());
  const ImportParameters of_another = Parameters(CreateExternalKey());
  const ImportParameters newest = Parameters(key());
  ExpectTokenHasNoImportKey(older);
  for (const std::string& wrong :
       {std::string(), std::string("x"), older.import_token, of_another.import_token,
        newest.import_token.substr(1), newest.import_token + "x",
        "\x02" + newest.import_token.substr(1)}) {
    ImportParameters parameters = newest;
    parameters.import_token = wrong;
    EXPECT_THAT(Import(parameters), FailsWith(Reason::kInvalidParameter,
                                              AllOf(HasSubstr("import_token"), HasSubstr("newest"),
                                                    HasSubstr("GetParametersForImport"))));
  }
  EXPECT_OK(Import(newest));
}

TEST_F(MaterialImportTest, TokenLastsADay) {
  const ImportParameters parameters = Parameters(key());
  clock().Advance(absl::Hours(24));
  EXPECT_THAT(
      Import(parameters),
      FailsWith(Reason::kInvalidParameter, AllOf(HasSubstr("import_token"), HasSubstr("expired"))));
  clock().Advance(-absl::Seconds(1));
  EXPECT_OK(Import(parameters));
}

TEST_F(MaterialImportTest, TokenServesOnce) {
  const ImportParameters parameters = Parameters(key());
  ASSERT_OK(Import(parameters));
  EXPECT_THAT(Import(parameters),
              FailsWith(Reason::kInvalidParameter, HasSubstr("has its material")));
  ASSERT_OK(imports().DeleteMaterial(key(), kNoDeadline));
  EXPECT_THAT(Import(parameters), FailsWith(Reason::kInvalidParameter, HasSubstr("import_token")));
}

// Nor if its key pair could not be destroyed then, which is made up for.
TEST_F(MaterialImportTest, TokenServesOnceWhateverTheTokenSays) {
  const ImportParameters parameters = Parameters(key());
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  ASSERT_OK(Import(parameters));
  faults().Reset();
  ASSERT_OK(imports().DeleteMaterial(key(), kNoDeadline));
  EXPECT_THAT(Import(parameters), FailsWith(Reason::kInvalidParameter, HasSubstr("import_token")));
  EXPECT_OK(imports().DropExpired(kNoDeadline));
  ExpectTokenHasNoImportKey(parameters);
  EXPECT_FALSE(HasImport(key()));
}

TEST_F(MaterialImportTest, KeyOfTheTokensOwnTakesNoMaterial) {
  const KeyId own = CreateKey();
  EXPECT_THAT(imports().GetParameters(own, kSha1, 2048, kNoDeadline),
              FailsWith(Reason::kUnsupportedOperation, HasSubstr("EXTERNAL")));
  EXPECT_THAT(imports().Import(own, "x", "x", kNoDeadline),
              FailsWith(Reason::kUnsupportedOperation));
  EXPECT_THAT(imports().DeleteMaterial(own, kNoDeadline), FailsWith(Reason::kUnsupportedOperation));
  EXPECT_OK(ring().ForSealing(own, SealingVersion::kPrimary));
}

TEST_F(MaterialImportTest, UnknownKeyIsNotFound) {
  EXPECT_THAT(imports().GetParameters(KeyId(), kSha1, 2048, kNoDeadline),
              FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(imports().Import(KeyId(), "x", "x", kNoDeadline), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(imports().DeleteMaterial(KeyId(), kNoDeadline), FailsWith(Reason::kKeyNotFound));
}

TEST_F(MaterialImportTest, KeyThatIsToBeDeletedTakesNoMaterial) {
  const ImportParameters parameters = Parameters(key());
  ASSERT_OK(life().ScheduleDeletion(key(), 7));
  EXPECT_THAT(Import(parameters), FailsWith(Reason::kPendingDeletion));
  EXPECT_THAT(imports().GetParameters(key(), kSha1, 2048, kNoDeadline),
              FailsWith(Reason::kPendingDeletion));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline), FailsWith(Reason::kPendingDeletion));
  ExpectTokenHasNoKeys();
}

TEST_F(MaterialImportTest, AlgorithmThatTheTokenLacksIsUnsupported) {
  for (hsm::ImportAlgorithm algorithm :
       {hsm::ImportAlgorithm::kOaepSha256, hsm::ImportAlgorithm::kRsaAesSha256}) {
    EXPECT_THAT(imports().GetParameters(key(), algorithm, 2048, kNoDeadline),
                FailsWith(Reason::kUnsupportedOperation, HasSubstr("wrapping_algorithm")));
    EXPECT_FALSE(HasImport(key()));
  }
}

TEST_F(MaterialImportTest, ParametersThatFailLeaveNothing) {
  store().Fail("PutImport", absl::UnavailableError("full"));
  faults().Reset();
  EXPECT_THAT(imports().GetParameters(key(), kSha1, 2048, kNoDeadline), Not(IsOk()));
  // Nothing is made of which the store does not know.
  EXPECT_EQ(faults().Calls("C_GenerateKeyPair"), 0u);
  store().Mend();
  ASSERT_OK(faults().Apply("fail C_CopyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(imports().GetParameters(key(), kSha1, 2048, kNoDeadline),
              FailsWith(Reason::kUnavailable));
  EXPECT_FALSE(HasImport(key()));
}

// --- Crashes and failures ------------------------------------------------------------------------

TEST_F(MaterialImportTest, ImportThatCannotBeRecordedLeavesNothing) {
  const ImportParameters parameters = Parameters(key());
  store().Fail("CommitImport", absl::UnavailableError("full"));
  EXPECT_THAT(Import(parameters), Not(IsOk()));
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  ExpectTokenHasNoKeys();
  store().Mend();
  EXPECT_OK(Import(parameters));
}

TEST_F(MaterialImportTest, ImportThatCannotBeTakenBackIsMadeUpFor) {
  const ImportParameters parameters = Parameters(key());
  store().Fail("CommitImport", absl::UnavailableError("full"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(Import(parameters), Not(IsOk()));
  faults().Reset();
  store().Mend();
  EXPECT_OK(token().FindVersionKeys(VersionOf(key()).bytes(), kNoDeadline));
  EXPECT_OK(Import(parameters));
  EXPECT_EQ(Status(), KeyStatus::kEnabled);
}

// The store has it: to destroy the keys now would lose what is sealed with them.
TEST_F(MaterialImportTest, ImportThatIsRecordedStaysWhateverComesAfter) {
  const ImportParameters parameters = Parameters(key());
  // Not when it is described twice, nor when the change looks at it, but when that reads it back.
  store().Fail("GetKey", absl::UnavailableError("busy"), /*but_for_the_first=*/3);
  EXPECT_THAT(Import(parameters), Not(IsOk()));
  store().Mend();
  EXPECT_OK(token().FindVersionKeys(VersionOf(key()).bytes(), kNoDeadline));
  EXPECT_EQ(Status(), KeyStatus::kEnabled);
}

TEST_F(MaterialImportTest, CrashBeforeAnImportIsRecordedIsTakenBackAtStart) {
  const ImportParameters parameters = Parameters(key());
  hsm::ObjectId id;
  std::copy_n(parameters.import_token.begin() + 1, id.size(), id.begin());
  ASSERT_OK(token().ImportVersionKeys(VersionOf(key()).bytes(), id, kSha1,
                                      WrapMaterial(parameters.public_key, kSha1, Material()), "",
                                      kNoDeadline));
  ASSERT_NO_FATAL_FAILURE(RestartAll());
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  ExpectTokenHasNoKeys();
  EXPECT_OK(Import(parameters));
}

TEST_F(MaterialImportTest, DeletionThatTheTokenRefusesIsMadeUpFor) {
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline), FailsWith(Reason::kUnavailable));
  faults().Reset();
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  EXPECT_OK(imports().DeleteMaterial(key(), kNoDeadline));
  ExpectTokenHasNoKeys();
}

TEST_F(MaterialImportTest, DeletionThatTheTokenRefusedIsDoneLaterOfItself) {
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline), FailsWith(Reason::kUnavailable));
  EXPECT_THAT(imports().DropExpired(kNoDeadline), FailsWith(Reason::kUnavailable));
  faults().Reset();
  // It would come back with CancelKeyDeletion after a start, if it were still there.
  ASSERT_OK(life().ScheduleDeletion(key(), 7));
  EXPECT_OK(imports().DropExpired(kNoDeadline));
  ExpectTokenHasNoKeys();
  ASSERT_NO_FATAL_FAILURE(RestartAll());
  ASSERT_OK(life().CancelDeletion(key()));
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
}

TEST_F(MaterialImportTest, CrashWhileMaterialIsDeletedIsMadeUpForAtStart) {
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline), Not(IsOk()));
  faults().Reset();
  ASSERT_NO_FATAL_FAILURE(RestartAll());
  EXPECT_EQ(Status(), KeyStatus::kPendingImport);
  ExpectTokenHasNoKeys();
}

TEST_F(MaterialImportTest, DeletionThatCannotBeRecordedDeletesNothing) {
  ASSERT_NO_FATAL_FAILURE(ImportMaterial());
  store().Fail("SetKeyState", absl::UnavailableError("full"));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline), Not(IsOk()));
  store().Mend();
  EXPECT_EQ(Status(), KeyStatus::kEnabled);
  ExpectOpens(Seal(key(), "secret").blob, {}, "secret");
}

TEST_F(MaterialImportTest, ExpiredKeyPairsAreDropped) {
  const ImportParameters old = Parameters(key());
  clock().Advance(absl::Hours(23));
  const KeyId other = CreateExternalKey();
  Parameters(other);
  EXPECT_OK(imports().DropExpired(kNoDeadline));
  EXPECT_TRUE(HasImport(key()));
  clock().Advance(absl::Hours(2));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(imports().DropExpired(kNoDeadline), Not(IsOk()));
  faults().Reset();
  EXPECT_TRUE(HasImport(key()));
  EXPECT_OK(imports().DropExpired(kNoDeadline));
  EXPECT_FALSE(HasImport(key()));
  EXPECT_TRUE(HasImport(other));
  ExpectTokenHasNoImportKey(old);
}

// --- At the same time ----------------------------------------------------------------------------

TEST_F(MaterialImportTest, OneCallAtATimeIsAtWorkOnAKey) {
  const ImportParameters parameters = Parameters(key());
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_DeriveKey ", point.path(), " call=1")));
  absl::Status first;
  std::thread importer([&] { first = Import(parameters).status(); });
  EXPECT_OK(point.WaitUntilHeld());
  EXPECT_THAT(Import(parameters),
              FailsWith(Reason::kServiceUnavailableTemporary, HasSubstr("another call")));
  EXPECT_THAT(imports().GetParameters(key(), kSha1, 2048, kNoDeadline),
              FailsWith(Reason::kServiceUnavailableTemporary));
  EXPECT_THAT(imports().DeleteMaterial(key(), kNoDeadline),
              FailsWith(Reason::kServiceUnavailableTemporary));
  clock().Advance(absl::Hours(25));
  EXPECT_OK(imports().DropExpired(kNoDeadline));
  point.Release();
  importer.join();
  EXPECT_OK(first);
  EXPECT_EQ(Status(), KeyStatus::kEnabled);
}

TEST_F(MaterialImportTest, KeyThatIsScheduledForDeletionMeanwhileGetsNoMaterial) {
  const ImportParameters parameters = Parameters(key());
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_CopyObject ", point.path(), " call=1")));
  absl::Status imported;
  std::thread importer([&] { imported = Import(parameters).status(); });
  EXPECT_OK(point.WaitUntilHeld());
  EXPECT_OK(life().ScheduleDeletion(key(), 7));
  point.Release();
  importer.join();
  EXPECT_THAT(imported, FailsWith(Reason::kPendingDeletion));
  ExpectTokenHasNoKeys();
}

}  // namespace
}  // namespace strongroom::core
