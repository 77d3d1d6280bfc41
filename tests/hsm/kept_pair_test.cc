// Pairs that wait in the token: what they are there, that they go, and that none is taken for
// another.

#include "hsm/kept_pair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/openssl_keys.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using testing::HoldPoint;
using testing::OpenSslKey;
using testing::StatusIs;

class KeptPairTest : public OpenTokenFixture {
 protected:
  absl::StatusOr<KeptPair> Keep(PairSpec spec = PairSpec::kEcP256) {
    return token().GeneratePairToKeep(spec);
  }
  absl::StatusOr<WrappedKeyPair> Take(KeptPair pair, absl::string_view wrapped = "",
                                      bool with_private_key = false) {
    return token().TakeKeptPair(std::move(pair), keys(), wrapped, with_private_key, kNoDeadline);
  }
  void ExpectSessionObjects(size_t count) {
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    EXPECT_EQ(raw.CountSessionObjects(), count);
  }
  // That the private key in `taken` is the public key's.
  void ExpectIsPair(const WrappedKeyPair& taken, PairSpec spec) {
    ASSERT_OK_AND_ASSIGN(
        const SecretBytes pkcs8,
        token().ExportWrappedPrivateKey(keys(), taken.wrapped_private_key, spec, kNoDeadline));
    const std::string text(pkcs8.ExposeSecretAsText());
    const OpenSslKey key = testing::ParsePrivateKey(text);
    ASSERT_NE(key, nullptr);
    EXPECT_EQ(testing::EncodePublicKey(key.get()), taken.public_key);
    if (taken.private_key.has_value()) {
      EXPECT_EQ(std::string(taken.private_key->ExposeSecretAsText()), text);
    }
  }
};

class KeptPairSpecTest : public KeptPairTest, public ::testing::WithParamInterface<PairSpec> {};

TEST_P(KeptPairSpecTest, PairIsTheSameHoweverItIsTaken) {
  const PairSpec spec = GetParam();
  ASSERT_OK_AND_ASSIGN(const VersionKeys reserve, token().CreateReserveKeys(Id(9), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(KeptPair pair, Keep(spec));
  EXPECT_EQ(pair.spec(), spec);
  ASSERT_OK_AND_ASSIGN(const std::string on_disk, token().WrapKeptPair(pair, reserve));
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, token().WrapKeptPair(pair, keys()));
  for (const bool prepared : {false, true}) {
    for (const bool with_private_key : {false, true}) {
      ASSERT_OK_AND_ASSIGN(KeptPair restored,
                           token().RestoreKeptPair(reserve, on_disk, spec, pair.public_key()));
      ASSERT_OK_AND_ASSIGN(const WrappedKeyPair taken,
                           Take(std::move(restored), prepared ? wrapped : "", with_private_key));
      EXPECT_EQ(taken.private_key.has_value(), with_private_key);
      ASSERT_NO_FATAL_FAILURE(ExpectIsPair(taken, spec));
    }
  }
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair taken, Take(std::move(pair)));
  ASSERT_NO_FATAL_FAILURE(ExpectIsPair(taken, spec));
  ExpectSessionObjects(0);
}

INSTANTIATE_TEST_SUITE_P(Specs, KeptPairSpecTest, ::testing::ValuesIn(kAllPairSpecs),
                         [](const auto& spec) {
                           return absl::StrCat("Spec", static_cast<int>(spec.param));
                         });

TEST_F(KeptPairTest, PrivateKeyCanBeWrappedAndNothingElse) {
  ASSERT_OK_AND_ASSIGN(const VersionKeys reserve, token().CreateReserveKeys(Id(9), kNoDeadline));
  for (const PairSpec spec : {PairSpec::kEcP256, PairSpec::kRsa2048}) {
    ASSERT_OK_AND_ASSIGN(const KeptPair generated, Keep(spec));
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, token().WrapKeptPair(generated, reserve));
    ASSERT_OK_AND_ASSIGN(const KeptPair restored,
                         token().RestoreKeptPair(reserve, wrapped, spec, generated.public_key()));
    ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
    const std::vector<CK_OBJECT_HANDLE> objects = raw.Find({{CKA_TOKEN, RawBool(false)}});
    ASSERT_EQ(objects.size(), 2u);
    for (const CK_OBJECT_HANDLE object : objects) {
      EXPECT_EQ(raw.Get(object, CKA_CLASS), RawUlong(CKO_PRIVATE_KEY));
      for (const CK_ATTRIBUTE_TYPE yes : {CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE}) {
        EXPECT_EQ(raw.Get(object, yes), RawBool(true)) << yes;
      }
      for (const CK_ATTRIBUTE_TYPE no :
           {CKA_SIGN, CKA_SIGN_RECOVER, CKA_DECRYPT, CKA_DERIVE, CKA_UNWRAP}) {
        EXPECT_EQ(raw.Get(object, no), RawBool(false)) << no;
      }
    }
  }
}

TEST_F(KeptPairTest, PreparedPairIsTakenWithoutAnyWorkOfTheToken) {
  ASSERT_OK_AND_ASSIGN(KeptPair pair, Keep());
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, token().WrapKeptPair(pair, keys()));
  faults().Reset();
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair taken, Take(std::move(pair), wrapped));
  // The private key is destroyed.
  uint64_t calls = 0;
  for (const auto& [function, count] : faults().Calls()) calls += count;
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(faults().Calls("C_DestroyObject"), 1u);
  ExpectIsPair(taken, PairSpec::kEcP256);
}

TEST_F(KeptPairTest, FailureAtAnyStepLeavesNoSessionObject) {
  for (const char* function :
       {"C_GenerateKeyPair", "C_GetAttributeValue", "C_WrapKey", "C_CreateObject"}) {
    for (int call = 1; call <= 2; ++call) {
      SCOPED_TRACE(absl::StrCat(function, " ", call));
      faults().Reset();
      ASSERT_OK(faults().Apply(absl::StrCat("fail ", function, " CKR_DEVICE_MEMORY call=", call)));
      absl::StatusOr<KeptPair> pair = Keep();
      if (pair.ok()) Take(*std::move(pair), "", true).IgnoreError();
      pair = absl::UnknownError("gone");
      ExpectSessionObjects(0);
    }
  }
}

TEST_F(KeptPairTest, PairOfASessionThatEndedIsLost) {
  ASSERT_OK_AND_ASSIGN(KeptPair pair, Keep());
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, token().WrapKeptPair(pair, keys()));
  EXPECT_FALSE(pair.IsLost());
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK_AND_ASSIGN(KeptPair other, Keep());
  EXPECT_TRUE(pair.IsLost());
  EXPECT_FALSE(other.IsLost());
  EXPECT_THAT(token().WrapKeptPair(pair, keys()), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Take(std::move(pair)), StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK(Take(std::move(other)));
}

// The pairs are no objects of the lanes'.
TEST_F(KeptPairTest, LaneThatIsReplacedLosesNoPair) {
  ASSERT_OK_AND_ASSIGN(KeptPair pair, Keep());
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_WrapKey CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(token().GenerateWrappedSecret(keys(), 32, kNoDeadline));
  EXPECT_FALSE(pair.IsLost());
  ASSERT_OK_AND_ASSIGN(const WrappedKeyPair taken, Take(std::move(pair)));
  ExpectIsPair(taken, PairSpec::kEcP256);
  ExpectSessionObjects(0);
}

// A token that gave the handle to another object: that one's private key would leave as this one's,
// and two callers would have it.
TEST_F(KeptPairTest, HandleOfAnotherPairIsNotTakenForThisOne) {
  ASSERT_OK_AND_ASSIGN(KeptPair pair, Keep());
  ASSERT_OK(faults().Apply(
      absl::StrCat("attribute strongroom-kept CKA_ID ", "6b6570742d393939")));  // kept-999
  EXPECT_THAT(token().WrapKeptPair(pair, keys()), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Take(std::move(pair)), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(KeptPairTest, GenerationToKeepUsesNoLane) {
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", point.path(), " call=1")));
  std::thread keeper([&] { EXPECT_OK(Keep()); });
  ASSERT_OK(point.WaitUntilHeld());
  // There is one lane.
  EXPECT_OK(token().GenerateWrappedSecret(keys(), 32, kNoDeadline));
  point.Release();
  keeper.join();
}

TEST_F(KeptPairTest, ReserveKeysAreNoVersionAndAreKeptToWhatTheyAreFor) {
  ASSERT_OK_AND_ASSIGN(const VersionKeys reserve, token().CreateReserveKeys(Id(9), kNoDeadline));
  EXPECT_THAT(token().CreateReserveKeys(Id(9), kNoDeadline),
              StatusIs(absl::StatusCode::kAlreadyExists));
  std::vector<ObjectId> versions;
  ASSERT_OK(token().FindAllVersionKeys(
      [&](const ObjectId& id, absl::StatusOr<VersionKeys>) { versions.push_back(id); },
      kNoDeadline));
  EXPECT_THAT(versions, ::testing::ElementsAre(keys().id()));
  EXPECT_THAT(token().FindVersionKeys(Id(9), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(token().CheckVersionKeys(reserve, kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  struct Role {
    const char* label;
    CK_ATTRIBUTE_TYPE may;
    CK_ATTRIBUTE_TYPE may_not;
    CK_MECHANISM_TYPE mechanism;
  };
  for (const Role& role :
       {Role{"strongroom-reserve-seal", CKA_ENCRYPT, CKA_WRAP, CKM_AES_GCM},
        Role{"strongroom-reserve-wrap", CKA_WRAP, CKA_ENCRYPT, CKM_AES_KEY_WRAP_PAD}}) {
    const std::vector<CK_OBJECT_HANDLE> objects = raw.Find({{CKA_LABEL, role.label}});
    ASSERT_EQ(objects.size(), 1u);
    for (const CK_ATTRIBUTE_TYPE yes : {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, role.may}) {
      EXPECT_EQ(raw.Get(objects[0], yes), RawBool(true)) << yes;
    }
    for (const CK_ATTRIBUTE_TYPE no : {CKA_EXTRACTABLE, CKA_MODIFIABLE, role.may_not}) {
      EXPECT_EQ(raw.Get(objects[0], no), RawBool(false)) << no;
    }
    EXPECT_EQ(raw.Get(objects[0], CKA_ALLOWED_MECHANISMS), RawUlong(role.mechanism));
  }
  // Those that drifted are refused.
  ASSERT_OK(faults().Apply("attribute strongroom-reserve-wrap CKA_EXTRACTABLE 01"));
  EXPECT_THAT(token().FindReserveKeys(Id(9), kNoDeadline),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(KeptPairTest, AllReserveKeysButOneAreDestroyed) {
  for (uint8_t id : {7, 8, 9}) ASSERT_OK(token().CreateReserveKeys(Id(id), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const int destroyed, token().DestroyOtherReserveKeys(Id(8), kNoDeadline));
  EXPECT_EQ(destroyed, 4);
  EXPECT_OK(token().FindReserveKeys(Id(8), kNoDeadline));
  EXPECT_THAT(token().FindReserveKeys(Id(7), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(token().FindVersionKeys(keys().id(), kNoDeadline));
  ASSERT_OK(token().DestroyOtherReserveKeys(std::nullopt, kNoDeadline));
  EXPECT_THAT(token().FindReserveKeys(Id(8), kNoDeadline), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace strongroom::hsm
