// A key's life from its creation to its destruction, on a real token, with a clock and a store that
// do as the test says.

#include "server/core/key_life.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "server/core/key_state.h"
#include "server/store/store.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/all_key_versions.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using store::KeyOrigin;
using store::KeyState;
using ::testing::_;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using ::testing::Optional;
using ::testing::Pair;
using ::testing::SizeIs;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kMoment = absl::Microseconds(1);
constexpr auto kRotate = DueWork::Kind::kRotate;
constexpr auto kDestroy = DueWork::Kind::kDestroy;

class KeyLifeTest : public KmsFixture {
 protected:
  KeyDescription Describe(const KeyId& key) {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key);
    EXPECT_OK(description);
    return description.value_or(KeyDescription());
  }
  KeyStatus StatusNow(const KeyId& key) { return Describe(key).status; }

  KeyId CreateImportedKey() {
    const auto key = life().CreateKey({.origin = KeyOrigin::kImported}, kNoDeadline);
    EXPECT_OK(key);
    return key.ok() ? key->record.id : KeyId();
  }

  std::vector<std::pair<DueWork::Kind, KeyId>> Due() {
    const absl::StatusOr<std::vector<DueWork>> due = life().ListDue();
    EXPECT_OK(due);
    std::vector<std::pair<DueWork::Kind, KeyId>> pairs;
    if (!due.ok()) return pairs;
    for (const DueWork& work : *due) pairs.emplace_back(work.kind, work.key);
    return pairs;
  }

  // As the server does. Fails the test where something of it fails.
  void DoWhatIsDue() {
    for (const auto& [kind, key] : Due()) {
      if (kind == kRotate) {
        EXPECT_OK(life().RotateIfDue(key, kNoDeadline));
      } else {
        EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
        EXPECT_OK(life().FinishDestruction(key, kNoDeadline));
      }
    }
  }

  size_t CountVersions(const KeyId& key) {
    const auto versions = ring().ListKeyVersions(key, 0, 1000);
    EXPECT_OK(versions);
    return versions.ok() ? versions->size() : 0;
  }

  std::vector<KeyId> List(const KeyFilter& filter) {
    const absl::StatusOr<KeyPage> page = ring().ListKeys(filter, std::nullopt, 1000);
    EXPECT_OK(page);
    std::vector<KeyId> keys;
    if (!page.ok()) return keys;
    for (const KeyDescription& key : page->keys) keys.push_back(key.record.id);
    EXPECT_EQ(page->next, std::nullopt);
    return keys;
  }

  // The versions of which the token has anything.
  std::set<KeyVersionId> VersionsInTheToken() {
    std::set<KeyVersionId> versions;
    EXPECT_OK(token().FindAllVersionKeys(
        [&](const hsm::ObjectId& id, const absl::StatusOr<hsm::VersionKeys>&) {
          versions.insert(KeyVersionId(id));
        },
        kNoDeadline));
    return versions;
  }
  // Those that the store says are there.
  std::set<KeyVersionId> VersionsInTheStore() {
    std::set<KeyVersionId> versions;
    const auto records = testing::AllKeyVersions(store());
    EXPECT_OK(records);
    if (!records.ok()) return versions;
    for (const store::KeyVersionRecord& record : *records) versions.insert(record.id);
    return versions;
  }

  size_t CountPending() {
    const auto pending = store().ListPendingVersions();
    EXPECT_OK(pending);
    return pending.ok() ? pending->size() : 0;
  }

  // Every call of the token that `work` makes, one after the other, as directives that let it fail
  // in place of the call; those that change something also after it. `work` is done once to find
  // out.
  std::vector<std::string> FaultsIn(const std::function<void()>& work) {
    faults().Reset();
    work();
    std::vector<std::string> directives;
    for (const auto& [function, calls] : faults().Calls()) {
      const bool changes = function == "C_GenerateKey" || function == "C_DestroyObject";
      for (uint64_t call = 1; call <= calls; ++call) {
        const std::string directive =
            absl::StrCat("fail ", function, " CKR_DEVICE_ERROR call=", call);
        directives.push_back(directive);
        if (changes) directives.push_back(directive + " forwarded");
      }
    }
    faults().Reset();
    return directives;
  }

  // A key with two versions whose deletion is due.
  KeyId CreateKeyToDestroy() {
    const KeyId key = CreateKey();
    Rotate(key);
    EXPECT_OK(life().ScheduleDeletion(key, 7));
    return key;
  }
};

// --- Rotation by time ---------------------------------------------------------------------------

TEST_F(KeyLifeTest, NewKeyRotatesAsTheOptionsSayUnlessItSaysOtherwise) {
  const KeyDescription by_default = Describe(CreateKey());
  EXPECT_EQ(by_default.record.rotation_days, 90);
  EXPECT_EQ(by_default.record.next_rotation, clock().Now() + 90 * kDay);
  ASSERT_OK_AND_ASSIGN(const KeyDescription weekly,
                       life().CreateKey({.rotation_days = 7}, kNoDeadline));
  EXPECT_EQ(weekly.record.next_rotation, clock().Now() + 7 * kDay);
  ASSERT_OK_AND_ASSIGN(const KeyDescription never,
                       life().CreateKey({.rotation_days = 0}, kNoDeadline));
  EXPECT_EQ(never.record.next_rotation, absl::InfiniteFuture());

  life_options().rotation_days = 0;
  Restart();
  EXPECT_EQ(Describe(CreateKey()).record.next_rotation, absl::InfiniteFuture());
  life_options().rotation_days = 30;
  Restart();
  EXPECT_EQ(Describe(CreateKey()).record.next_rotation, clock().Now() + 30 * kDay);
}

TEST_F(KeyLifeTest, KeyRotatesAtItsTimeAndNotAMomentBefore) {
  const KeyId key = CreateKey();
  const KeyVersionId first = Describe(key).record.primary_version;
  ASSERT_OK_AND_ASSIGN(const KeyDescription changed, life().UpdateRotationPolicy(key, 30));
  EXPECT_EQ(changed.record.next_rotation, clock().Now() + 30 * kDay);

  clock().Advance(30 * kDay - kMoment);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
  clock().Advance(kMoment);
  EXPECT_THAT(Due(), ElementsAre(Pair(kRotate, key)));
  ASSERT_OK_AND_ASSIGN(const auto rotated, life().RotateIfDue(key, kNoDeadline));
  ASSERT_TRUE(rotated.has_value());
  EXPECT_EQ(rotated->number, 2);
  EXPECT_EQ(rotated->create_time, clock().Now());

  const KeyDescription after = Describe(key);
  EXPECT_EQ(after.record.primary_version, rotated->id);
  EXPECT_EQ(after.record.initial_version, first);
  EXPECT_EQ(after.record.next_rotation, clock().Now() + 30 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
  EXPECT_EQ(CountVersions(key), 2u);
}

TEST_F(KeyLifeTest, RotationsMissedWhileTheServerWasDownAreMadeUpForOnce) {
  const KeyId key = CreateKey();
  const Sealed old = Seal(key, "old");
  Stop();
  clock().Advance(10 * 90 * kDay + absl::Hours(5));
  ASSERT_NO_FATAL_FAILURE(Start());
  DoWhatIsDue();
  DoWhatIsDue();
  EXPECT_EQ(CountVersions(key), 2u);
  EXPECT_EQ(Describe(key).record.next_rotation, clock().Now() + 90 * kDay);
  ExpectOpens(old.blob, Binding(), "old");
}

TEST_F(KeyLifeTest, DisabledKeyRotatesOnceItIsEnabled) {
  const KeyId key = CreateKey();
  Disable(key);
  clock().Advance(3 * 90 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
  Enable(key);
  EXPECT_THAT(Due(), ElementsAre(Pair(kRotate, key)));
  DoWhatIsDue();
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_EQ(CountVersions(key), 2u);
}

TEST_F(KeyLifeTest, KeyThatIsToBeDeletedDoesNotRotate) {
  const KeyId key = CreateKey();
  clock().Advance(89 * kDay);
  ASSERT_OK(life().ScheduleDeletion(key, 30));
  clock().Advance(2 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
}

TEST_F(KeyLifeTest, ZeroDaysStopRotation) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyDescription changed, life().UpdateRotationPolicy(key, 0));
  EXPECT_EQ(changed.record.rotation_days, 0);
  EXPECT_EQ(changed.record.next_rotation, absl::InfiniteFuture());
  clock().Advance(10'000 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
  EXPECT_EQ(CountVersions(key), 1u);
}

TEST_F(KeyLifeTest, ShorterPeriodThatIsPastAlreadyIsDueAtOnce) {
  const KeyId key = CreateKey();
  const absl::Time made = clock().Now();
  clock().Advance(50 * kDay);
  ASSERT_OK_AND_ASSIGN(const KeyDescription changed, life().UpdateRotationPolicy(key, 30));
  EXPECT_EQ(changed.record.next_rotation, made + 30 * kDay);
  EXPECT_THAT(Due(), ElementsAre(Pair(kRotate, key)));
}

TEST_F(KeyLifeTest, RotationByHandBeginsThePeriodAnew) {
  const KeyId key = CreateKey();
  clock().Advance(89 * kDay);
  Rotate(key);
  EXPECT_EQ(Describe(key).record.next_rotation, clock().Now() + 90 * kDay);
  clock().Advance(90 * kDay - kMoment);
  EXPECT_THAT(Due(), IsEmpty());
  clock().Advance(kMoment);
  EXPECT_THAT(Due(), ElementsAre(Pair(kRotate, key)));
}

TEST_F(KeyLifeTest, ImportedKeyDoesNotRotate) {
  const auto unsupported = FailsWith(Reason::kUnsupportedOperation, HasSubstr("imported"));
  EXPECT_THAT(life().CreateKey({.origin = KeyOrigin::kImported, .rotation_days = 30}, kNoDeadline),
              unsupported);
  const KeyId key = CreateImportedKey();
  EXPECT_EQ(Describe(key).record.next_rotation, absl::InfiniteFuture());
  EXPECT_THAT(life().UpdateRotationPolicy(key, 30), unsupported);
  EXPECT_THAT(life().UpdateRotationPolicy(key, 0), unsupported);
  clock().Advance(1000 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), IsOkAndHolds(Not(Optional(_))));
  // With its material it is refused for what it is, and not for its state.
  ASSERT_OK(store().CommitImport(Describe(key).record.primary_version, "proof"));
  Restart();
  EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline), unsupported);
}

TEST_F(KeyLifeTest, RotationThatFailedIsStillDue) {
  const KeyId key = CreateKey();
  clock().Advance(90 * kDay);
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR"));
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), FailsWith(Reason::kUnavailable));
  faults().Reset();
  EXPECT_THAT(Due(), ElementsAre(Pair(kRotate, key)));
  DoWhatIsDue();
  EXPECT_EQ(CountVersions(key), 2u);
}

// --- Deletion -----------------------------------------------------------------------------------

TEST_F(KeyLifeTest, KeyIsDestroyedAtItsTimeAndNotAMomentBefore) {
  const KeyId key = CreateKey();
  const Sealed sealed = Seal(key, "text");
  ASSERT_OK_AND_ASSIGN(const KeyDescription scheduled, life().ScheduleDeletion(key, 7));
  EXPECT_EQ(scheduled.status, KeyStatus::kPendingDeletion);
  EXPECT_EQ(scheduled.record.deletion_time, clock().Now() + 7 * kDay);
  EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kPendingDeletion));

  clock().Advance(7 * kDay - kMoment);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  EXPECT_EQ(Describe(key).record.state, KeyState::kPendingDeletion);
  EXPECT_THAT(life().FinishDestruction(key, kNoDeadline), FailsWith(Reason::kInternalFailure));
  EXPECT_THAT(VersionsInTheToken(), SizeIs(1));

  clock().Advance(kMoment);
  EXPECT_THAT(Due(), ElementsAre(Pair(kDestroy, key)));
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  EXPECT_EQ(StatusNow(key), KeyStatus::kPendingDeletion);
  ASSERT_OK(life().FinishDestruction(key, kNoDeadline));
  EXPECT_THAT(ring().Describe(key), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Due(), IsEmpty());
}

TEST_F(KeyLifeTest, DestructionLeavesNothingOfTheKeyAndAllOfOthers) {
  const KeyId other = CreateKey();
  CreateAlias("alias/other", other);
  const Sealed others = Seal(other, "other's");
  ASSERT_OK_AND_ASSIGN(const KeyDescription created,
                       life().CreateKey({.tags = {{"team", "payments"}}}, kNoDeadline,
                                        [](const KeyId&) { return std::string("policy"); }));
  const KeyId key = created.record.id;
  std::vector<KeyVersionId> versions = {created.record.initial_version, Rotate(key), Rotate(key)};
  const Sealed sealed = Seal(key, "text");
  CreateAlias("alias/a", key);
  CreateAlias("alias/b", key);
  store::GrantRecord grant;
  grant.id = *GrantId::Parse("00000000-0000-4000-8000-000000000009");
  grant.key_id = key;
  grant.grantee = "somebody";
  grant.create_time = clock().Now();
  grant.expire_time = absl::InfiniteFuture();
  ASSERT_OK(store().CreateGrant(grant, 10));

  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(7 * kDay);
  DoWhatIsDue();

  const auto not_found = StatusIs(absl::StatusCode::kNotFound);
  for (const KeyVersionId& version : versions) {
    EXPECT_THAT(token().FindVersionKeys(version.bytes(), kNoDeadline), not_found);
    EXPECT_THAT(store().GetKeyVersion(version), not_found);
  }
  EXPECT_THAT(VersionsInTheToken(), ElementsAre(Describe(other).record.initial_version));
  EXPECT_EQ(VersionsInTheStore(), VersionsInTheToken());
  EXPECT_THAT(store().GetKey(key), not_found);
  EXPECT_THAT(store().GetKeyPolicy(key), not_found);
  EXPECT_THAT(store().GetGrant(grant.id), not_found);
  EXPECT_THAT(store().GetAlias("alias/a"), not_found);
  EXPECT_THAT(ring().Resolve(Alias("alias/a")), FailsWith(Reason::kAliasNotFound));
  EXPECT_THAT(ring().Resolve(Alias("alias/b")), FailsWith(Reason::kAliasNotFound));
  EXPECT_THAT(ring().Resolve(key), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(List({}), ElementsAre(other));
  EXPECT_THAT(ring().ForSealing(key, SealingVersion::kPrimary), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kInvalidCiphertext));
  // The names are free.
  CreateAlias("alias/a", other);
  ExpectOpens(others.blob, Binding(), "other's");

  Restart();
  EXPECT_EQ(report().versions, 1);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(report().unusable, IsEmpty());
  ExpectOpens(others.blob, Binding(), "other's");
  EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kInvalidCiphertext));
}

TEST_F(KeyLifeTest, CancelledDeletionLeavesADisabledKeyThatCanBeEnabled) {
  const KeyId key = CreateKey();
  const Sealed sealed = Seal(key, "text");
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(7 * kDay);
  // Due, and nobody has begun.
  ASSERT_OK_AND_ASSIGN(const KeyDescription kept, life().CancelDeletion(key));
  EXPECT_EQ(kept.status, KeyStatus::kDisabled);
  EXPECT_EQ(kept.record.deletion_time, absl::InfiniteFuture());
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kDisabled));
  clock().Advance(100 * kDay);
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  Enable(key);
  ExpectOpens(sealed.blob, Binding(), "text");
  Restart();
  ExpectOpens(sealed.blob, Binding(), "text");
  ExpectOpens(Seal(key, "new").blob, Binding(), "new");
}

TEST_F(KeyLifeTest, CancelledDeletionOfAKeyWithoutMaterialLetsItWaitForIt) {
  const KeyId key = CreateImportedKey();
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  Restart();
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_EQ(StatusNow(key), KeyStatus::kPendingDeletion);
  ASSERT_OK_AND_ASSIGN(const KeyDescription kept, life().CancelDeletion(key));
  EXPECT_EQ(kept.status, KeyStatus::kPendingImport);
}

TEST_F(KeyLifeTest, KeyWithoutMaterialCanBeDestroyed) {
  const KeyId key = CreateImportedKey();
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(7 * kDay);
  DoWhatIsDue();
  EXPECT_THAT(ring().Describe(key), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(VersionsInTheStore(), IsEmpty());
}

TEST_F(KeyLifeTest, DestructionThatHasBegunCannotBeCancelled) {
  const KeyId key = CreateKeyToDestroy();
  clock().Advance(7 * kDay);
  ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  const auto begun = FailsWith(Reason::kPendingDeletion, HasSubstr("has begun"));
  EXPECT_THAT(life().CancelDeletion(key), begun);
  EXPECT_THAT(life().EnableKey(key), FailsWith(Reason::kPendingDeletion));
  EXPECT_THAT(life().ScheduleDeletion(key, 30), FailsWith(Reason::kPendingDeletion));
  EXPECT_EQ(StatusNow(key), KeyStatus::kPendingDeletion);
  Restart();
  EXPECT_THAT(life().CancelDeletion(key), begun);
  // Not by the clock either.
  clock().Set(clock().Now() - 8 * kDay);
  EXPECT_THAT(life().CancelDeletion(key), begun);
  EXPECT_THAT(Due(), ElementsAre(Pair(kDestroy, key)));
  DoWhatIsDue();
  EXPECT_THAT(VersionsInTheToken(), IsEmpty());
}

TEST_F(KeyLifeTest, DestructionWithAFaultAnywhereIsCompletedWhenRepeated) {
  life_options().rotation_days = 0;
  Restart();
  const KeyId other = CreateKey();
  const KeyId sample = CreateKeyToDestroy();
  clock().Advance(7 * kDay);
  ASSERT_THAT(life().BeginDestruction(sample), IsOkAndHolds(true));
  const std::vector<std::string> directives =
      FaultsIn([&] { EXPECT_OK(life().FinishDestruction(sample, kNoDeadline)); });
  EXPECT_THAT(directives, Not(IsEmpty()));
  int failures = 0;
  for (const std::string& directive : directives) {
    SCOPED_TRACE(directive);
    const KeyId key = CreateKeyToDestroy();
    clock().Advance(7 * kDay);
    ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
    ASSERT_OK(faults().Apply(directive));
    const absl::Status status = life().FinishDestruction(key, kNoDeadline);
    faults().Reset();
    if (!status.ok()) {
      ++failures;
      EXPECT_EQ(StatusNow(key), KeyStatus::kPendingDeletion);
      EXPECT_THAT(Due(), ElementsAre(Pair(kDestroy, key)));
      EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
      ASSERT_OK(life().FinishDestruction(key, kNoDeadline));
    }
    EXPECT_THAT(ring().Describe(key), FailsWith(Reason::kKeyNotFound));
    ASSERT_THAT(VersionsInTheToken(), ElementsAre(Describe(other).record.initial_version));
  }
  EXPECT_GT(failures, 0);
}

TEST_F(KeyLifeTest, DestructionThatTheStoreInterruptedIsCompletedWhenRepeated) {
  const KeyId key = CreateKeyToDestroy();
  clock().Advance(7 * kDay);
  const auto temporary = FailsWith(Reason::kServiceUnavailableTemporary);
  store().Fail("SetKeyState", absl::UnavailableError("busy"));
  EXPECT_THAT(life().BeginDestruction(key), temporary);
  store().Mend();
  EXPECT_EQ(Describe(key).record.state, KeyState::kPendingDeletion);
  ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  for (const char* member : {"GetImport", "ListKeyVersions", "DeleteKey"}) {
    store().Fail(member, absl::UnavailableError("busy"));
    EXPECT_THAT(life().FinishDestruction(key, kNoDeadline), temporary);
    store().Mend();
    EXPECT_THAT(Due(), ElementsAre(Pair(kDestroy, key)));
  }
  ASSERT_OK(life().FinishDestruction(key, kNoDeadline));
  EXPECT_THAT(VersionsInTheToken(), IsEmpty());
  EXPECT_THAT(VersionsInTheStore(), IsEmpty());
}

TEST_F(KeyLifeTest, DestructionThatACrashInterruptedGoesOn) {
  const KeyId key = CreateKeyToDestroy();
  clock().Advance(7 * kDay);
  ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  // The first of the first version's two objects goes, the second does not.
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR call=2-"));
  EXPECT_THAT(life().FinishDestruction(key, kNoDeadline), FailsWith(Reason::kUnavailable));
  faults().Reset();
  EXPECT_THAT(VersionsInTheToken(), SizeIs(2));

  Restart();
  // What is on its way out needs nobody's care.
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_EQ(report().unknown, 0);
  EXPECT_EQ(StatusNow(key), KeyStatus::kPendingDeletion);
  EXPECT_THAT(Due(), ElementsAre(Pair(kDestroy, key)));
  DoWhatIsDue();
  EXPECT_THAT(VersionsInTheToken(), IsEmpty());
  EXPECT_THAT(VersionsInTheStore(), IsEmpty());
}

TEST_F(KeyLifeTest, DestructionWaitsForAVersionThatIsHalfMade) {
  const KeyId key = CreateKey();
  // What a rotation that failed could not take back.
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=2"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline), FailsWith(Reason::kUnavailable));
  faults().Reset();
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(7 * kDay);
  ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  EXPECT_THAT(life().FinishDestruction(key, kNoDeadline), Not(IsOk()));
  EXPECT_THAT(ring().Reap(kNoDeadline), IsOkAndHolds(1));
  ASSERT_OK(life().FinishDestruction(key, kNoDeadline));
  EXPECT_THAT(VersionsInTheToken(), IsEmpty());
  EXPECT_THAT(VersionsInTheStore(), IsEmpty());
}

TEST_F(KeyLifeTest, DeadlineThatPassedLeavesDestructionAndRotationToBeRepeated) {
  token_options().lanes = 1;
  ASSERT_NO_FATAL_FAILURE(Restart());
  const KeyId key = CreateKeyToDestroy();
  const KeyId rotating = CreateKey();
  clock().Advance(90 * kDay);
  ASSERT_THAT(life().BeginDestruction(key), IsOkAndHolds(true));
  const Deadline passed = std::chrono::steady_clock::now();
  {
    // The one lane is busy.
    ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
    ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateRandom ", point.path(), " call=1")));
    std::thread busy([&] { EXPECT_OK(data_keys().GenerateRandom(1, kNoDeadline)); });
    EXPECT_OK(point.WaitUntilHeld());
    const auto timeout = FailsWith(Reason::kDependencyTimeout);
    EXPECT_THAT(life().FinishDestruction(key, passed), timeout);
    EXPECT_THAT(life().RotateIfDue(rotating, passed), timeout);
    EXPECT_THAT(life().CreateKeyVersion(rotating, passed), timeout);
    EXPECT_THAT(life().CreateKey({}, passed), timeout);
    point.Release();
    busy.join();
  }
  EXPECT_EQ(CountPending(), 0u);
  EXPECT_THAT(Due(), UnorderedElementsAre(Pair(kDestroy, key), Pair(kRotate, rotating)));
  DoWhatIsDue();
  EXPECT_THAT(List({}), ElementsAre(rotating));
  EXPECT_EQ(CountVersions(rotating), 2u);
}

// --- The clock ----------------------------------------------------------------------------------

TEST_F(KeyLifeTest, ClockThatIsSetForwardDestroysNothingUntilTheServerIsStartedAnew) {
  const KeyId key = CreateKeyToDestroy();
  clock().Advance(kDay);
  EXPECT_FALSE(life().ClockJumped());
  clock().Set(clock().Now() + absl::Hours(1));
  EXPECT_FALSE(life().ClockJumped());
  clock().Set(clock().Now() + 365 * kDay);
  EXPECT_TRUE(life().ClockJumped());
  EXPECT_THAT(Due(), Not(::testing::Contains(Pair(kDestroy, key))));
  // Whoever found it due before the jump.
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  EXPECT_EQ(Describe(key).record.state, KeyState::kPendingDeletion);
  EXPECT_THAT(VersionsInTheToken(), SizeIs(2));
  // Time that passes does not make the jump smaller.
  clock().Advance(30 * kDay);
  EXPECT_TRUE(life().ClockJumped());
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  EXPECT_OK(life().CancelDeletion(key));
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(8 * kDay);
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));

  // Somebody has looked at the clock.
  Restart();
  EXPECT_FALSE(life().ClockJumped());
  DoWhatIsDue();
  EXPECT_THAT(ring().Describe(key), FailsWith(Reason::kKeyNotFound));
}

TEST_F(KeyLifeTest, ClockThatIsSetBackDestroysNothingEarly) {
  const KeyId key = CreateKeyToDestroy();
  const absl::Time deletion_time = Describe(key).record.deletion_time;
  clock().Set(clock().Now() - 365 * kDay);
  EXPECT_FALSE(life().ClockJumped());
  clock().Advance(8 * kDay);
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  Restart();
  EXPECT_THAT(life().BeginDestruction(key), IsOkAndHolds(false));
  EXPECT_EQ(Describe(key).record.deletion_time, deletion_time);
  // Nor is it rotated early, or late for long.
  const KeyId rotating = CreateKey();
  EXPECT_EQ(Describe(rotating).record.next_rotation, clock().Now() + 90 * kDay);
}

// --- Descriptions, tags and lists ---------------------------------------------------------------

TEST_F(KeyLifeTest, DescriptionAndTagsChange) {
  ASSERT_OK_AND_ASSIGN(
      const KeyDescription created,
      life().CreateKey({.description = "old", .tags = {{"team", "payments"}, {"stage", "test"}}},
                       kNoDeadline));
  const KeyId key = created.record.id;
  EXPECT_THAT(created.record.tags,
              UnorderedElementsAre(Pair("team", "payments"), Pair("stage", "test")));
  ASSERT_OK_AND_ASSIGN(const KeyDescription described, life().UpdateDescription(key, "new"));
  EXPECT_EQ(described.record.description, "new");

  ASSERT_OK_AND_ASSIGN(const KeyDescription tagged,
                       life().TagKey(key, {{"stage", "live"}, {"cost", "7"}}));
  EXPECT_THAT(tagged.record.tags, UnorderedElementsAre(Pair("team", "payments"),
                                                       Pair("stage", "live"), Pair("cost", "7")));
  ASSERT_OK_AND_ASSIGN(const KeyDescription untagged, life().UntagKey(key, {"team", "absent"}));
  EXPECT_THAT(untagged.record.tags, UnorderedElementsAre(Pair("stage", "live"), Pair("cost", "7")));
  Restart();
  EXPECT_EQ(Describe(key).record.description, "new");
  EXPECT_EQ(Describe(key).record.tags, untagged.record.tags);
}

TEST_F(KeyLifeTest, KeyHasFiftyTagsAtMost) {
  std::map<std::string, std::string> tags;
  for (size_t i = 0; i < KeyLife::kMaxTags; ++i) tags[absl::StrCat("tag", i)] = "value";
  ASSERT_OK_AND_ASSIGN(const KeyDescription created, life().CreateKey({.tags = tags}, kNoDeadline));
  const KeyId key = created.record.id;
  const auto too_many = FailsWith(Reason::kLimitExceeded, HasSubstr("51"));
  EXPECT_THAT(life().TagKey(key, {{"one more", ""}}), too_many);
  EXPECT_EQ(Describe(key).record.tags, tags);
  // What it has already counts once.
  EXPECT_THAT(life().TagKey(key, {{"tag0", "other"}}), IsOk());
  EXPECT_THAT(life().UntagKey(key, {"tag1"}), IsOk());
  EXPECT_THAT(life().TagKey(key, {{"one more", ""}}), IsOk());

  tags["one more"] = "";
  EXPECT_THAT(life().CreateKey({.tags = tags}, kNoDeadline), too_many);
  EXPECT_THAT(List({}), ElementsAre(key));
}

TEST_F(KeyLifeTest, ListsGoByTagsAndStates) {
  const auto create = [&](std::map<std::string, std::string> tags) {
    const auto key = life().CreateKey({.tags = std::move(tags)}, kNoDeadline);
    EXPECT_OK(key);
    clock().Advance(absl::Seconds(1));
    return key.ok() ? key->record.id : KeyId();
  };
  const KeyId a = create({{"team", "payments"}, {"stage", "live"}});
  const KeyId b = create({{"team", "payments"}, {"stage", "test"}});
  const KeyId c = create({{"team", "search"}});
  const KeyId imported = CreateImportedKey();
  Disable(b);
  ASSERT_OK(life().ScheduleDeletion(c, 7));

  EXPECT_THAT(List({}), ElementsAre(a, b, c, imported));
  EXPECT_THAT(List({.tags = {{"team", "payments"}}}), ElementsAre(a, b));
  EXPECT_THAT(List({.tags = {{"team", "payments"}, {"stage", "test"}}}), ElementsAre(b));
  EXPECT_THAT(List({.tags = {{"team", "test"}}}), IsEmpty());
  EXPECT_THAT(List({.statuses = {KeyStatus::kEnabled}}), ElementsAre(a));
  EXPECT_THAT(List({.statuses = {KeyStatus::kDisabled, KeyStatus::kPendingDeletion}}),
              ElementsAre(b, c));
  EXPECT_THAT(List({.statuses = {KeyStatus::kPendingImport}}), ElementsAre(imported));
  EXPECT_THAT(List({.statuses = {KeyStatus::kDisabled}, .tags = {{"team", "payments"}}}),
              ElementsAre(b));
  EXPECT_THAT(List({.statuses = {KeyStatus::kUnavailable}}), IsEmpty());

  // By pages.
  const KeyFilter filter = {.statuses = {KeyStatus::kEnabled, KeyStatus::kPendingDeletion}};
  ASSERT_OK_AND_ASSIGN(const KeyPage first, ring().ListKeys(filter, std::nullopt, 1));
  ASSERT_THAT(first.keys, SizeIs(1));
  EXPECT_EQ(first.keys[0].record.id, a);
  ASSERT_OK_AND_ASSIGN(const KeyPage second, ring().ListKeys(filter, first.next, 1));
  ASSERT_THAT(second.keys, SizeIs(1));
  EXPECT_EQ(second.keys[0].record.id, c);
  EXPECT_EQ(second.next, std::nullopt);
}

TEST_F(KeyLifeTest, KeyThatIsBeingCreatedIsListedAsSuch) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKey ", point.path(), " call=1")));
  clock().Advance(absl::Seconds(1));
  std::thread creator([&] {
    EXPECT_OK(life().CreateKey({.description = "new", .tags = {{"a", "1"}}}, kNoDeadline));
  });
  EXPECT_OK(point.WaitUntilHeld());
  const std::vector<KeyId> creating = List({.statuses = {KeyStatus::kCreating}});
  EXPECT_THAT(creating, SizeIs(1));
  EXPECT_THAT(List({.tags = {{"a", "1"}}}), SizeIs(1));
  EXPECT_THAT(List({}), SizeIs(2));
  EXPECT_THAT(List({.statuses = {KeyStatus::kEnabled}}), ElementsAre(key));
  for (const KeyId& id : creating) {
    const KeyDescription described = Describe(id);
    EXPECT_EQ(described.status, KeyStatus::kCreating);
    EXPECT_EQ(described.record.description, "new");
    EXPECT_EQ(described.primary_uses_left, 0);
  }
  point.Release();
  creator.join();
  EXPECT_THAT(List({.statuses = {KeyStatus::kCreating}}), IsEmpty());
  EXPECT_THAT(List({.statuses = {KeyStatus::kEnabled}}), SizeIs(2));
}

// Nobody waits for a page with one key among very many.
TEST_F(KeyLifeTest, PageMayBeEmptyAndYetNotTheLast) {
  store::KeyRecord record;
  record.id = *KeyId::Parse("00000000-0000-4000-8000-000000000000");
  record.create_time = clock().Now();
  ASSERT_OK(
      store().BeginKey(record, *KeyVersionId::Parse("00000000-0000-4000-8000-000000000001"), ""));
  Stop();
  // More than ten thousand like this, faster than by BeginKey.
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(store_path().c_str(), &database), SQLITE_OK);
  std::string sql = "BEGIN; CREATE TEMP TABLE copies AS SELECT * FROM keys;";
  for (int i = 0; i < 14; ++i) {
    absl::StrAppend(&sql,
                    "UPDATE copies SET id = randomblob(16);"
                    "INSERT INTO keys SELECT * FROM copies;"
                    "INSERT INTO copies SELECT * FROM copies;");
  }
  EXPECT_EQ(sqlite3_exec(database, (sql + "COMMIT;").c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
  ASSERT_NO_FATAL_FAILURE(Start());

  clock().Advance(absl::Seconds(1));
  const KeyId key = CreateKey();
  const KeyFilter filter = {.statuses = {KeyStatus::kEnabled}};
  ASSERT_OK_AND_ASSIGN(const KeyPage first, ring().ListKeys(filter, std::nullopt, 10));
  EXPECT_THAT(first.keys, IsEmpty());
  ASSERT_TRUE(first.next.has_value());
  ASSERT_OK_AND_ASSIGN(const KeyPage second, ring().ListKeys(filter, first.next, 10));
  ASSERT_THAT(second.keys, SizeIs(1));
  EXPECT_EQ(second.keys[0].record.id, key);
  EXPECT_EQ(second.next, std::nullopt);
}

// --- Two phases ---------------------------------------------------------------------------------

TEST_F(KeyLifeTest, PolicyIsStoredWithTheKeyOrThereIsNoKey) {
  KeyId asked;
  ASSERT_OK_AND_ASSIGN(const KeyDescription created,
                       life().CreateKey({}, kNoDeadline, [&](const KeyId& id) {
                         asked = id;
                         return std::string("policy");
                       }));
  EXPECT_EQ(created.record.id, asked);
  EXPECT_THAT(store().GetKeyPolicy(asked), IsOkAndHolds(std::string("policy")));
  EXPECT_THAT(life().CreateKey({}, kNoDeadline,
                               [](const KeyId&) -> absl::StatusOr<std::string> {
                                 return MakeError(Reason::kNoPermission, "no");
                               }),
              FailsWith(Reason::kNoPermission));
  EXPECT_THAT(List({}), ElementsAre(asked));
}

// With a fault in any call of the token, creation and rotation either succeed or leave nothing that
// Reap does not take back.
TEST_F(KeyLifeTest, CreationAndRotationWithAFaultAnywhereLeaveNothing) {
  const KeyId key = CreateKey();
  std::set<KeyId> keys = {key};
  const std::vector<std::string> in_creation = FaultsIn([&] { keys.insert(CreateKey()); });
  const std::vector<std::string> in_rotation = FaultsIn([&] { Rotate(key); });
  int failures = 0;
  const auto check = [&](bool ok, const KeyVersionId& primary_before) {
    faults().Reset();
    if (!ok) {
      ++failures;
      EXPECT_EQ(Describe(key).record.primary_version, primary_before);
    }
    EXPECT_OK(ring().Reap(kNoDeadline));
    EXPECT_EQ(CountPending(), 0u);
    EXPECT_EQ(VersionsInTheToken(), VersionsInTheStore());
  };
  for (const std::string& directive : in_creation) {
    SCOPED_TRACE("creation: " + directive);
    const KeyVersionId primary = Describe(key).record.primary_version;
    ASSERT_OK(faults().Apply(directive));
    const auto created = life().CreateKey({}, kNoDeadline);
    if (created.ok()) keys.insert(created->record.id);
    check(created.ok(), primary);
    if (HasFailure()) return;
  }
  for (const std::string& directive : in_rotation) {
    SCOPED_TRACE("rotation, and no cleaning up: " + directive);
    const KeyVersionId primary = Describe(key).record.primary_version;
    ASSERT_OK(faults().Apply(directive));
    ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
    const auto version = life().CreateKeyVersion(key, kNoDeadline);
    check(version.ok(), primary);
    EXPECT_EQ(Describe(key).record.primary_version, version.ok() ? version->id : primary);
    if (HasFailure()) return;
  }
  EXPECT_GT(failures, 0);
  RecordProperty("faults", static_cast<int>(in_creation.size() + in_rotation.size()));
  RecordProperty("failures", failures);
  const std::vector<KeyId> listed = List({.statuses = {KeyStatus::kEnabled}});
  EXPECT_EQ(std::set<KeyId>(listed.begin(), listed.end()), keys);
  Restart();
  EXPECT_EQ(report().reaped, 0);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(report().unusable, IsEmpty());
}

TEST_F(KeyLifeTest, ReapLeavesAloneWhatIsBeingMade) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKey ", point.path(), " call=1")));
  KeyVersionId made;
  std::thread maker([&] { made = Rotate(key); });
  EXPECT_OK(point.WaitUntilHeld());
  EXPECT_EQ(CountPending(), 1u);
  EXPECT_THAT(ring().Reap(kNoDeadline), IsOkAndHolds(0));
  EXPECT_EQ(CountPending(), 1u);
  point.Release();
  maker.join();
  EXPECT_EQ(CountPending(), 0u);
  EXPECT_EQ(Describe(key).record.primary_version, made);
  ExpectOpens(Seal(key, "text").blob, Binding(), "text");
}

// The list of what is pending is old by the time that Reap comes to a version.
TEST_F(KeyLifeTest, ReapLeavesAloneWhatWasMadeSinceItLooked) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKey ", point.path(), " call=1")));
  KeyVersionId made;
  std::thread maker([&] { made = Rotate(key); });
  EXPECT_OK(point.WaitUntilHeld());
  store().AfterListPendingVersions([&] {
    if (!maker.joinable()) return;
    point.Release();
    maker.join();
  });
  EXPECT_THAT(ring().Reap(kNoDeadline), IsOkAndHolds(0));
  if (maker.joinable()) maker.join();
  store().AfterListPendingVersions(nullptr);
  EXPECT_THAT(VersionsInTheToken(), ::testing::Contains(made));
  Restart();
  EXPECT_THAT(report().unusable, IsEmpty());
  ExpectOpens(Seal(key, "text").blob, Binding(), "text");
}

TEST_F(KeyLifeTest, ReapThatFailsCanBeRepeated) {
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=2"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(Reason::kUnavailable));
  EXPECT_THAT(ring().Reap(kNoDeadline), Not(IsOk()));
  EXPECT_EQ(CountPending(), 1u);
  faults().Reset();
  store().Fail("DropPendingVersion", absl::UnavailableError("busy"));
  EXPECT_THAT(ring().Reap(kNoDeadline), Not(IsOk()));
  store().Mend();
  EXPECT_THAT(ring().Reap(kNoDeadline), IsOkAndHolds(1));
  EXPECT_EQ(CountPending(), 0u);
  EXPECT_THAT(VersionsInTheToken(), IsEmpty());
  EXPECT_THAT(List({}), IsEmpty());
}

}  // namespace
}  // namespace strongroom::core
