// Of a key's life after it is made: states, tags, rotation, counted uses, imports, and its end.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/store/store_contract.h"
#include "tests/testing/all_key_versions.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using strongroom::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

using Tags = std::map<std::string, std::string>;

constexpr int kMany = 100;
constexpr absl::Duration kDay = absl::Hours(24);
constexpr int64_t kMostUses = int64_t{1} << 32;

TEST_P(StoreContractTest, KeyKeepsTheStateAndDeletionTimeItIsGiven) {
  KeyRecord key = MakeKey(1, 1);
  const KeyRecord other = MakeKey(2, 2);
  for (const KeyState state :
       {KeyState::kDisabled, KeyState::kPendingDeletion, KeyState::kPendingImport,
        KeyState::kDestroying, KeyState::kEnabled}) {
    for (const absl::Time time : {Second(7) + absl::Microseconds(3), absl::InfiniteFuture()}) {
      EXPECT_THAT(store().SetKeyState(Key(1), state, time), IsOk());
      key.state = state;
      key.deletion_time = time;
      EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
    }
  }
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kPendingDeletion, Second(7)), IsOk());
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_EQ(TheKey(1).deletion_time, Second(7));
  EXPECT_THAT(store().GetKey(Key(2)), IsOkAndHolds(other));
}

TEST_P(StoreContractTest, KeyIsBegunWithItsStateOriginTagsAndRotation) {
  KeyRecord key = NewKey(1);
  key.state = KeyState::kPendingImport;
  key.origin = KeyOrigin::kImported;
  key.tags = {{"team", "payments"}, {"", ""}, {"'; --", "gr\xc3\xbc\xc3\x9f"}};
  key.rotation_days = 365;
  key = MakeKey(key, 1);
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(key)));
}

TEST_P(StoreContractTest, SetKeyDescriptionChangesThatKeyAndNothingElse) {
  KeyRecord key = MakeKey(1, 1);
  const KeyRecord other = MakeKey(2, 2);
  for (const std::string& description : {std::string("new"), std::string()}) {
    EXPECT_THAT(store().SetKeyDescription(Key(1), description), IsOk());
    key.description = description;
    EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  }
  EXPECT_THAT(store().GetKey(Key(2)), IsOkAndHolds(other));
}

TEST_P(StoreContractTest, SetKeyTagsReplacesAllOfThem) {
  KeyRecord key = MakeKey(1, 1);
  KeyRecord other = MakeKey(2, 2);
  ASSERT_THAT(store().SetKeyTags(Key(2), {{"a", "other"}}), IsOk());
  other.tags = {{"a", "other"}};
  for (const Tags& tags : {Tags{{"a", "1"}, {"b", "2"}}, Tags{{"b", "3"}, {"B", "2"}}, Tags{},
                           Tags{{"c", std::string(256, 'x')}}}) {
    EXPECT_THAT(store().SetKeyTags(Key(1), tags), IsOk());
    key.tags = tags;
    EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  }
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(key, other)));
}

TEST_P(StoreContractTest, ChangesOfAnUnknownKeyAreNotFound) {
  MakeKey(2, 2);
  const auto not_found = StatusIs(StatusCode::kNotFound, HasSubstr(Key(1).ToString()));
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kDestroying), not_found);
  EXPECT_THAT(store().SetKeyDescription(Key(1), "new"), not_found);
  EXPECT_THAT(store().SetKeyTags(Key(1), {}), not_found);
  EXPECT_THAT(store().SetKeyTags(Key(1), {{"a", "1"}}), not_found);
  EXPECT_THAT(store().SetKeyRotation(Key(1), 1), not_found);
  EXPECT_THAT(store().DeleteKey(Key(1)), not_found);
}

TEST_P(StoreContractTest, KeysAreListedByAllOfTheTagsAskedFor) {
  KeyRecord a = NewKey(3, Second(1)), b = NewKey(2, Second(2)), c = NewKey(1, Second(3));
  a.tags = {{"team", "x"}, {"stage", "test"}};
  b.tags = {{"team", "x"}, {"stage", "live"}};
  c.tags = {{"team", "x"}, {"stage", "live"}, {"live", "stage"}};
  a = MakeKey(a, 1);
  b = MakeKey(b, 2);
  c = MakeKey(c, 3);
  MakeKey(4, 4, Second(4));
  const auto list = [this](const Tags& tags) {
    return store().ListKeys(std::nullopt, kMany, tags);
  };
  EXPECT_THAT(list({}), IsOkAndHolds(SizeIs(4)));
  EXPECT_THAT(list({{"team", "x"}}), IsOkAndHolds(ElementsAre(a, b, c)));
  EXPECT_THAT(list({{"team", "x"}, {"stage", "live"}}), IsOkAndHolds(ElementsAre(b, c)));
  EXPECT_THAT(list({{"team", "x"}, {"stage", "live"}, {"live", "stage"}}),
              IsOkAndHolds(ElementsAre(c)));
  for (const Tags& none :
       {Tags{{"team", "X"}}, Tags{{"Team", "x"}}, Tags{{"x", "team"}}, Tags{{"team", ""}},
        Tags{{"team", "%"}}, Tags{{"team", "x"}, {"stage", "none"}}}) {
    EXPECT_THAT(list(none), IsOkAndHolds(IsEmpty()));
  }

  // In pages, which go on after a key without the tag as well.
  EXPECT_THAT(store().ListKeys(std::nullopt, 2, {{"team", "x"}}), IsOkAndHolds(ElementsAre(a, b)));
  EXPECT_THAT(store().ListKeys(Key(2), 2, {{"team", "x"}}), IsOkAndHolds(ElementsAre(c)));
  EXPECT_THAT(store().ListKeys(Key(3), 1, {{"stage", "live"}}), IsOkAndHolds(ElementsAre(b)));
  EXPECT_THAT(store().ListKeys(Key(4), kMany, {{"team", "x"}}), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListKeys(Key(5), kMany, {{"team", "x"}}), StatusIs(StatusCode::kNotFound));

  ASSERT_THAT(store().SetKeyTags(Key(2), {{"team", "y"}}), IsOk());
  EXPECT_THAT(list({{"team", "x"}}), IsOkAndHolds(ElementsAre(a, c)));
}

TEST_P(StoreContractTest, NextRotationIsSoManyDaysAfterThePrimaryVersionWasMade) {
  KeyRecord key = NewKey(1, Second(5) + absl::Microseconds(7));
  key.rotation_days = 90;
  key = MakeKey(key, 1);
  EXPECT_EQ(TheKey(1).next_rotation, Second(5) + absl::Microseconds(7) + 90 * kDay);

  MakeVersion(1, 2, Second(100));
  EXPECT_EQ(TheKey(1).next_rotation, Second(100) + 90 * kDay);
  EXPECT_THAT(store().SetKeyRotation(Key(1), 2560), IsOk());
  EXPECT_EQ(TheKey(1).rotation_days, 2560);
  EXPECT_EQ(TheKey(1).next_rotation, Second(100) + 2560 * kDay);

  EXPECT_THAT(store().SetKeyRotation(Key(1), 0), IsOk());
  EXPECT_EQ(TheKey(1).rotation_days, 0);
  EXPECT_EQ(TheKey(1).next_rotation, absl::InfiniteFuture());
  MakeVersion(1, 3, Second(200));
  EXPECT_EQ(TheKey(1).next_rotation, absl::InfiniteFuture());

  EXPECT_THAT(store().SetKeyRotation(Key(1), 1), IsOk());
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_EQ(TheKey(1).next_rotation, Second(200) + kDay);
}

TEST_P(StoreContractTest, KeysToRotateAreTheEnabledOnesOfTheTokenThatAreDue) {
  const auto make = [this](int number, int second, KeyState state, KeyOrigin origin, int days) {
    KeyRecord key = NewKey(number, Second(second));
    key.state = state;
    key.origin = origin;
    key.rotation_days = days;
    MakeKey(key, number);
  };
  make(1, 30, KeyState::kEnabled, KeyOrigin::kToken, 1);
  make(2, 10, KeyState::kEnabled, KeyOrigin::kToken, 1);
  make(3, 20, KeyState::kEnabled, KeyOrigin::kToken, 1);
  make(4, 0, KeyState::kEnabled, KeyOrigin::kToken, 2);  // created first, due last
  make(5, 0, KeyState::kDisabled, KeyOrigin::kToken, 1);
  make(6, 0, KeyState::kPendingDeletion, KeyOrigin::kToken, 1);
  make(7, 0, KeyState::kPendingImport, KeyOrigin::kImported, 1);
  make(8, 0, KeyState::kEnabled, KeyOrigin::kImported, 1);
  make(9, 0, KeyState::kEnabled, KeyOrigin::kToken, 0);
  KeyRecord begun = NewKey(10);
  begun.rotation_days = 1;
  ASSERT_THAT(store().BeginKey(begun, Version(10), ""), IsOk());

  EXPECT_THAT(store().ListKeysToRotate(Second(10) + kDay - absl::Microseconds(1), kMany),
              IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListKeysToRotate(Second(10) + kDay, kMany),
              IsOkAndHolds(ElementsAre(Key(2))));
  EXPECT_THAT(store().ListKeysToRotate(Second(10) + 3 * kDay, kMany),
              IsOkAndHolds(ElementsAre(Key(2), Key(3), Key(1), Key(4))));
  EXPECT_THAT(store().ListKeysToRotate(absl::InfiniteFuture(), 2),
              IsOkAndHolds(ElementsAre(Key(2), Key(3))));

  MakeVersion(2, 20, Second(40));
  ASSERT_THAT(store().SetKeyState(Key(3), KeyState::kDisabled), IsOk());
  ASSERT_THAT(store().SetKeyRotation(Key(4), 0), IsOk());
  EXPECT_THAT(store().ListKeysToRotate(Second(10) + 3 * kDay, kMany),
              IsOkAndHolds(ElementsAre(Key(1), Key(2))));
}

TEST_P(StoreContractTest, KeysToDestroyAreThoseInDestructionAndThoseThatAreDue) {
  for (int number = 1; number <= 5; ++number) MakeKey(number, number);
  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kPendingDeletion, Second(10)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(2), KeyState::kPendingDeletion, Second(20)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(3), KeyState::kDestroying, Second(99)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(4), KeyState::kDisabled, Second(1)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(5), KeyState::kPendingDeletion), IsOk());

  EXPECT_THAT(store().ListKeysToDestroy(Second(10) - absl::Microseconds(1), kMany),
              IsOkAndHolds(ElementsAre(Key(3))));
  EXPECT_THAT(store().ListKeysToDestroy(Second(10), kMany),
              IsOkAndHolds(UnorderedElementsAre(Key(1), Key(3))));
  EXPECT_THAT(store().ListKeysToDestroy(absl::FromUnixSeconds(int64_t{1} << 40), kMany),
              IsOkAndHolds(UnorderedElementsAre(Key(1), Key(2), Key(3))));
  EXPECT_THAT(store().ListKeysToDestroy(Second(20), 2), IsOkAndHolds(SizeIs(2)));

  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), IsOk());
  EXPECT_THAT(store().ListKeysToDestroy(Second(10), kMany), IsOkAndHolds(ElementsAre(Key(3))));
}

TEST_P(StoreContractTest, ListsOfKeysThatAreDueTakeNoLimitBelowOne) {
  for (const int limit : {0, -1}) {
    EXPECT_THAT(store().ListKeysToRotate(Second(0), limit), StatusIs(StatusCode::kInvalidArgument));
    EXPECT_THAT(store().ListKeysToDestroy(Second(0), limit),
                StatusIs(StatusCode::kInvalidArgument));
  }
}

TEST_P(StoreContractTest, DeletedKeyIsForgottenWithAllThatIsItsOwn) {
  KeyRecord doomed = NewKey(1), kept = NewKey(2);
  doomed.tags = kept.tags = {{"a", "1"}};
  MakeKey(doomed, 1);
  kept = MakeKey(kept, 2);
  MakeVersion(1, 3);
  for (const int key : {1, 2}) {
    ASSERT_THAT(store().PutKeyPolicy(Key(key), "policy"), IsOk());
    MakeAlias("alias/" + std::to_string(key), key);
    MakeGrant(10 + key, key);
    ASSERT_THAT(store().EndGrant(NewGrant(20 + key, key)), IsOk());
    MakeImport(key, key);
  }
  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kDestroying), IsOk());
  EXPECT_THAT(store().DeleteKey(Key(1)), IsOk());

  const auto check = [&] {
    EXPECT_THAT(store().GetKey(Key(1)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(kept)));
    EXPECT_THAT(store().ListKeys(std::nullopt, kMany, {{"a", "1"}}),
                IsOkAndHolds(ElementsAre(kept)));
    EXPECT_THAT(store().ListKeysToDestroy(absl::InfiniteFuture(), kMany), IsOkAndHolds(IsEmpty()));
    EXPECT_THAT(store().GetKeyVersion(Version(1)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetKeyVersion(Version(3)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetAlias("alias/1"), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetKeyPolicy(Key(1)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetGrant(Grant(11)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetGrant(Grant(21)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Eq(std::nullopt)));
    EXPECT_THAT(store().DeleteKey(Key(1)), StatusIs(StatusCode::kNotFound));
    // And of the other nothing is missing.
    EXPECT_THAT(store().GetKeyVersion(Version(2)), IsOk());
    EXPECT_THAT(store().GetAlias("alias/2"), IsOk());
    EXPECT_THAT(store().GetKeyPolicy(Key(2)), IsOkAndHolds("policy"));
    EXPECT_THAT(store().GetGrant(Grant(12)), IsOk());
    EXPECT_THAT(store().ListEndedGrants(Key(2)), IsOkAndHolds(ElementsAre(Grant(22))));
    EXPECT_TRUE(store().GetImport(Key(2)).value().has_value());
  };
  check();
  ASSERT_NO_FATAL_FAILURE(Reopen());
  check();
  // All its ids are free again, and nothing of the old key is found under them.
  const KeyRecord again = MakeKey(1, 1, Second(5));
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(again));
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(""));
}

TEST_P(StoreContractTest, KeyThatIsNotBeingDestroyedIsNotDeleted) {
  MakeKey(1, 1);
  MakeAlias("alias/a", 1);
  for (const KeyState state : {KeyState::kEnabled, KeyState::kDisabled, KeyState::kPendingDeletion,
                               KeyState::kPendingImport}) {
    ASSERT_THAT(store().SetKeyState(Key(1), state, Second(0)), IsOk());
    EXPECT_THAT(store().DeleteKey(Key(1)),
                StatusIs(StatusCode::kFailedPrecondition, HasSubstr(Key(1).ToString())));
  }
  EXPECT_THAT(store().GetKeyVersion(Version(1)), IsOk());
  EXPECT_THAT(store().GetAlias("alias/a"), IsOk());
}

TEST_P(StoreContractTest, KeyWithAPendingVersionIsNotDeleted) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(0)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kDestroying), IsOk());
  EXPECT_THAT(store().DeleteKey(Key(1)),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("pending")));
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(SizeIs(1)));
  ASSERT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_THAT(store().DeleteKey(Key(1)), IsOk());
}

TEST_P(StoreContractTest, DroppedKeyTakesItsTagsWithIt) {
  KeyRecord key = NewKey(1);
  key.tags = {{"a", "1"}};
  ASSERT_THAT(store().BeginKey(key, Version(1), ""), IsOk());
  ASSERT_THAT(store().DropPendingVersion(Version(1)), IsOk());
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany, key.tags), IsOkAndHolds(IsEmpty()));
  MakeKey(1, 1);
  EXPECT_THAT(TheKey(1).tags, IsEmpty());
}

TEST_P(StoreContractTest, KeyThatIsRefusedLeavesTheTagsOfTheOneThatIsThere) {
  KeyRecord key = NewKey(1);
  key.tags = {{"a", "1"}};
  MakeKey(key, 1);
  key.tags = {{"b", "2"}};
  EXPECT_THAT(store().BeginKey(key, Version(2), ""), StatusIs(StatusCode::kAlreadyExists));
  key.id = Key(2);
  EXPECT_THAT(store().BeginKey(key, Version(1), ""), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(TheKey(1).tags, Eq(Tags{{"a", "1"}}));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany, {{"b", "2"}}), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, ProofComesBackAsItWasAndCountsAsAUse) {
  const std::string any_bytes("\0\xff'\0", 4);
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(0)), IsOk());
  const absl::StatusOr<KeyVersionRecord> with = store().CommitVersion(Version(2), any_bytes);
  ASSERT_THAT(with, IsOk());
  EXPECT_EQ(with->proof, any_bytes);
  EXPECT_EQ(with->uses_reserved, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(3), Second(0)), IsOk());
  const absl::StatusOr<KeyVersionRecord> without = store().CommitVersion(Version(3), "");
  ASSERT_THAT(without, IsOk());
  EXPECT_EQ(without->proof, "");
  EXPECT_EQ(without->uses_reserved, 0);

  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetKeyVersion(Version(2)), IsOkAndHolds(*with));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 1, kMany),
              IsOkAndHolds(ElementsAre(*with, *without)));
  EXPECT_THAT(testing::AllKeyVersions(store()),
              IsOkAndHolds(UnorderedElementsAre(TheVersion(1), *with, *without)));
}

TEST_P(StoreContractTest, ReservedUsesAddUpToTheLimitAndNoFurther) {
  MakeKey(1, 1);
  MakeVersion(1, 2);
  EXPECT_THAT(store().ReserveUses(Version(1), 100, 250), IsOkAndHolds(UseBlock{100, 101}));
  EXPECT_THAT(store().ReserveUses(Version(1), 100, 250), IsOkAndHolds(UseBlock{100, 201}));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_EQ(TheVersion(1).uses_reserved, 201);
  EXPECT_THAT(store().ReserveUses(Version(1), 100, 250), IsOkAndHolds(UseBlock{49, 250}));
  EXPECT_THAT(store().ReserveUses(Version(1), 100, 250), IsOkAndHolds(UseBlock{0, 250}));
  EXPECT_THAT(store().ReserveUses(Version(1), 1, 250), IsOkAndHolds(UseBlock{0, 250}));
  EXPECT_THAT(store().ReserveUses(Version(1), 1, 251), IsOkAndHolds(UseBlock{1, 251}));
  EXPECT_EQ(TheVersion(2).uses_reserved, 1) << "another version's are its own";
}

TEST_P(StoreContractTest, UsesBeyondALoweredLimitAreKept) {
  MakeKey(1, 1);
  ASSERT_THAT(store().ReserveUses(Version(1), 99, 100), IsOkAndHolds(UseBlock{99, 100}));
  for (const int64_t limit : {int64_t{50}, int64_t{0}, int64_t{-1}}) {
    EXPECT_THAT(store().ReserveUses(Version(1), 10, limit), IsOkAndHolds(UseBlock{0, 100}));
  }
  for (const int64_t count : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
    EXPECT_THAT(store().ReserveUses(Version(1), count, 1000), IsOkAndHolds(UseBlock{0, 100}));
    EXPECT_THAT(store().ReserveUses(Version(1), count, 10), IsOkAndHolds(UseBlock{0, 100}));
  }
  EXPECT_EQ(TheVersion(1).uses_reserved, 100);
}

TEST_P(StoreContractTest, UsesAreCountedBeyondThirtyTwoBits) {
  MakeKey(1, 1);
  EXPECT_THAT(store().ReserveUses(Version(1), kMostUses - 11, kMostUses),
              IsOkAndHolds(UseBlock{kMostUses - 11, kMostUses - 10}));
  EXPECT_THAT(store().ReserveUses(Version(1), int64_t{1} << 20, kMostUses),
              IsOkAndHolds(UseBlock{10, kMostUses}));
  EXPECT_THAT(store().ReserveUses(Version(1), kMostUses, 3 * kMostUses),
              IsOkAndHolds(UseBlock{kMostUses, 2 * kMostUses}));
  EXPECT_EQ(TheVersion(1).uses_reserved, 2 * kMostUses);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(store().ReserveUses(Version(1), kMost, kMost),
              IsOkAndHolds(UseBlock{kMost - 2 * kMostUses, kMost}));
}

TEST_P(StoreContractTest, UsesOfAVersionThatIsNotThereAreNotFound) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(0)), IsOk());
  for (const int version : {2, 3}) {
    EXPECT_THAT(store().ReserveUses(Version(version), 1, kMostUses),
                StatusIs(StatusCode::kNotFound, HasSubstr(Version(version).ToString())));
    EXPECT_THAT(store().ReserveUses(Version(version), 1, 0), StatusIs(StatusCode::kNotFound));
  }
  EXPECT_EQ(store().CommitVersion(Version(2), "proof").value().uses_reserved, 1);
}

TEST_P(StoreContractTest, KeyHasTheImportThatWasPutLast) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Eq(std::nullopt)));
  MakeImport(1, 1, Second(5));
  const ImportRecord second = MakeImport(2, 1, Second(6) + absl::Microseconds(1));
  const ImportRecord other = MakeImport(3, 2, Second(7));
  EXPECT_THAT(store().PutImport(second), IsOk()) << "again";
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Optional(second)));
  EXPECT_THAT(store().GetImport(Key(2)), IsOkAndHolds(Optional(other)));
  EXPECT_THAT(store().GetImport(Key(3)), IsOkAndHolds(Eq(std::nullopt)));
}

TEST_P(StoreContractTest, ImportOfAnUnknownKeyOrWithATakenIdIsRefused) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const ImportRecord first = MakeImport(1, 1);
  const ImportRecord second = MakeImport(2, 2);
  EXPECT_THAT(store().PutImport({Key(3), Import(3), 1, Second(0)}),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(3).ToString())));
  EXPECT_THAT(store().PutImport({Key(2), Import(1), 1, Second(0)}),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr(Import(1).ToString())));
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Optional(first)));
  EXPECT_THAT(store().GetImport(Key(2)), IsOkAndHolds(Optional(second)));
}

TEST_P(StoreContractTest, DroppedImportIsGoneAndOthersStay) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeImport(1, 1);
  const ImportRecord other = MakeImport(2, 2);
  EXPECT_THAT(store().DropImport(Import(1)), IsOk());
  EXPECT_THAT(store().DropImport(Import(1)), IsOk()) << "again";
  EXPECT_THAT(store().DropImport(Import(9)), IsOk());
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Eq(std::nullopt)));
  EXPECT_THAT(store().GetImport(Key(2)), IsOkAndHolds(Optional(other)));
}

TEST_P(StoreContractTest, ExpiredImportsAreThoseThatLastNoLonger) {
  std::vector<ImportRecord> imports;
  for (int number = 1; number <= 3; ++number) {
    MakeKey(number, number);
    imports.push_back(MakeImport(number, number, Second(10 * number)));
  }
  EXPECT_THAT(store().ListExpiredImports(Second(10) - absl::Microseconds(1)),
              IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListExpiredImports(Second(20)),
              IsOkAndHolds(UnorderedElementsAre(imports[0], imports[1])));
  MakeImport(4, 1, Second(99));  // in place of the first
  EXPECT_THAT(store().ListExpiredImports(Second(20)), IsOkAndHolds(ElementsAre(imports[1])));
}

TEST_P(StoreContractTest, CommittedImportEnablesTheKeyAndKeepsTheFirstProof) {
  KeyRecord key = NewKey(1);
  key.state = KeyState::kPendingImport;
  key.origin = KeyOrigin::kImported;
  ASSERT_THAT(store().BeginKey(key, Version(1), ""), IsOk());
  ASSERT_THAT(store().CommitVersion(Version(1), ""), IsOk());
  const ImportRecord import = MakeImport(1, 1);
  EXPECT_EQ(TheKey(1).state, KeyState::kPendingImport);

  EXPECT_THAT(store().CommitImport(Version(1), "first"), IsOk());
  EXPECT_EQ(TheKey(1).state, KeyState::kEnabled);
  EXPECT_EQ(TheVersion(1).proof, "first");
  EXPECT_EQ(TheVersion(1).uses_reserved, 1);
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Optional(import))) << "for DropImport";

  // The same material again, after it was deleted.
  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kPendingImport), IsOk());
  EXPECT_THAT(store().CommitImport(Version(1), "second"), IsOk());
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_EQ(TheKey(1).state, KeyState::kEnabled);
  EXPECT_EQ(TheVersion(1).proof, "first");
  EXPECT_EQ(TheVersion(1).uses_reserved, 1);
}

TEST_P(StoreContractTest, ImportIsCommittedOnlyToAKeyThatWaitsForIt) {
  KeyRecord key = NewKey(1);
  key.origin = KeyOrigin::kImported;
  ASSERT_THAT(store().BeginKey(key, Version(1), ""), IsOk());
  ASSERT_THAT(store().CommitVersion(Version(1), ""), IsOk());
  for (const KeyState state : {KeyState::kEnabled, KeyState::kDisabled, KeyState::kPendingDeletion,
                               KeyState::kDestroying}) {
    ASSERT_THAT(store().SetKeyState(Key(1), state), IsOk());
    EXPECT_THAT(store().CommitImport(Version(1), "proof"),
                StatusIs(StatusCode::kFailedPrecondition, HasSubstr(Key(1).ToString())));
    EXPECT_EQ(TheKey(1).state, state);
  }
  EXPECT_EQ(TheVersion(1).proof, "");
  EXPECT_EQ(TheVersion(1).uses_reserved, 0);
  EXPECT_THAT(store().CommitImport(Version(2), "proof"),
              StatusIs(StatusCode::kNotFound, HasSubstr(Version(2).ToString())));
}

}  // namespace
}  // namespace strongroom::store
