// Of the store itself, and of how keys and versions come into it: in two phases.

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::UnorderedElementsAre;

constexpr int kMany = 100;
constexpr absl::Duration kDay = absl::Hours(24);

TEST_P(StoreContractTest, IdIsARandomUuidAndStays) {
  const StoreId id = store().id();
  EXPECT_NE(id, StoreId());
  EXPECT_EQ(id.ToString()[14], '4') << id.ToString();
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_EQ(store().id(), id);
}

TEST_P(StoreContractTest, TwoStoresHaveDifferentIds) {
  const std::unique_ptr<StoreBackend> other = GetParam().make_backend();
  absl::StatusOr<std::unique_ptr<Store>> opened = other->Open();
  ASSERT_THAT(opened, IsOk());
  EXPECT_NE((*opened)->id(), store().id());
}

TEST_P(StoreContractTest, UnboundStoreHasNoTokenSerial) {
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(Eq(std::nullopt)));
}

TEST_P(StoreContractTest, BindTokenKeepsTheSerial) {
  EXPECT_THAT(store().BindToken("a1b2'c3"), IsOk());
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(Optional(std::string("a1b2'c3"))));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(Optional(std::string("a1b2'c3"))));
}

TEST_P(StoreContractTest, BindTokenToTheSameAgainIsOk) {
  EXPECT_THAT(store().BindToken("one"), IsOk());
  EXPECT_THAT(store().BindToken("one"), IsOk());
}

TEST_P(StoreContractTest, BindTokenToAnotherIsRefusedAndChangesNothing) {
  EXPECT_THAT(store().BindToken("one"), IsOk());
  EXPECT_THAT(store().BindToken("two"),
              StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr("one"), HasSubstr("two"))));
  EXPECT_THAT(store().BindToken("ONE"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(store().BindToken("one "), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(store().BindToken(absl::string_view()), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(Optional(std::string("one"))));
}

TEST_P(StoreContractTest, BegunKeyIsShownAsCreatingAndIsNotThereForAnythingElse) {
  KeyRecord key = NewKey(1);
  key.state = KeyState::kPendingImport;
  key.origin = KeyOrigin::kImported;
  key.tags = {{"team", "a"}};
  key.rotation_days = 30;
  ASSERT_THAT(store().BeginKey(key, Version(1), ""), IsOk());
  key.creating = true;

  EXPECT_THAT(store().ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{Version(1), Key(1), true})));
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(key)));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany, key.tags), IsOkAndHolds(ElementsAre(key)));
  EXPECT_THAT(store().ListKeys(Key(1), kMany), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().SetKeyDescription(Key(1), "new"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().SetKeyTags(Key(1), {}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().SetKeyRotation(Key(1), 7), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().DeleteKey(Key(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().ReserveUses(Version(1), 1, 1), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().PutImport({Key(1), Import(1), 1, Second(1)}),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().CommitImport(Version(1), "proof"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetKeyVersion(Version(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, kMany), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(testing::AllKeyVersions(store()), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().BeginVersion(Key(1), Version(2), Second(0)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().CreateAlias({"alias/a", Key(1), Second(0), Second(0)}),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().ListAliases(Key(1), "", kMany), IsOkAndHolds(IsEmpty()));

  // What was refused has left nothing behind.
  EXPECT_THAT(store().GetAlias("alias/a"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetImport(Key(1)), IsOkAndHolds(Eq(std::nullopt)));
  ASSERT_THAT(store().CommitVersion(Version(1), ""), IsOk());
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(IsEmpty()));
  key.creating = false;
  key.initial_version = Version(1);
  key.primary_version = Version(1);
  key.next_rotation = Second(0) + 30 * kDay;
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
}

TEST_P(StoreContractTest, AliasDoesNotMoveToABegunKey) {
  MakeKey(1, 1);
  const AliasRecord alias = MakeAlias("alias/a", 1);
  ASSERT_THAT(store().BeginKey(NewKey(2), Version(2), ""), IsOk());
  EXPECT_THAT(store().UpdateAlias("alias/a", Key(2), Second(1)),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(2).ToString())));
  EXPECT_THAT(store().GetAlias("alias/a"), IsOkAndHolds(alias));
}

TEST_P(StoreContractTest, CommitOfTheFirstVersionShowsTheKey) {
  KeyRecord key = NewKey(1, Second(5));
  key.state = KeyState::kDisabled;
  key.description = "";
  KeyRecord begun = key;
  begun.creating = true;  // this and what follows is ignored
  begun.initial_version = Version(77);
  begun.primary_version = Version(88);
  begun.next_rotation = Second(1);
  begun.deletion_time = Second(1);
  ASSERT_THAT(store().BeginKey(begun, Version(1), ""), IsOk());

  const KeyVersionRecord version = {.id = Version(1),
                                    .key_id = Key(1),
                                    .number = 1,
                                    .create_time = Second(5),
                                    .proof = "proof",
                                    .uses_reserved = 1};
  EXPECT_THAT(store().CommitVersion(Version(1), "proof"), IsOkAndHolds(version));
  key.initial_version = Version(1);
  key.primary_version = Version(1);
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(key)));
  EXPECT_THAT(store().GetKeyVersion(Version(1)), IsOkAndHolds(version));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, kMany), IsOkAndHolds(ElementsAre(version)));
  EXPECT_THAT(testing::AllKeyVersions(store()), IsOkAndHolds(ElementsAre(version)));
}

TEST_P(StoreContractTest, TimesKeepMicroseconds) {
  const absl::Time fine = Second(0) + absl::Microseconds(123456);
  const absl::Time finer = fine + absl::Nanoseconds(999);
  MakeKey(1, 1, finer);
  MakeVersion(1, 2, finer);
  MakeAlias("alias/a", 1, finer);
  EXPECT_EQ(store().GetKey(Key(1)).value().create_time, fine);
  EXPECT_EQ(store().GetKeyVersion(Version(1)).value().create_time, fine);
  EXPECT_EQ(store().GetKeyVersion(Version(2)).value().create_time, fine);
  EXPECT_EQ(store().GetAlias("alias/a").value().create_time, fine);
  EXPECT_EQ(store().GetAlias("alias/a").value().update_time, fine);
}

TEST_P(StoreContractTest, BeginKeyWithATakenKeyIdIsRefusedAndLeavesNothing) {
  const KeyRecord committed = MakeKey(1, 1);
  ASSERT_THAT(store().BeginKey(NewKey(2), Version(2), ""), IsOk());
  for (const int taken : {1, 2}) {
    EXPECT_THAT(store().BeginKey(NewKey(taken, Second(9)), Version(3), ""),
                StatusIs(StatusCode::kAlreadyExists, HasSubstr(Key(taken).ToString())));
  }
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(committed));
  EXPECT_THAT(store().ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{Version(2), Key(2), true})));
  EXPECT_THAT(store().BeginKey(NewKey(3), Version(3), ""), IsOk());
}

TEST_P(StoreContractTest, BeginKeyWithATakenVersionIdIsRefusedAndLeavesNothing) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginKey(NewKey(2), Version(2), ""), IsOk());
  ASSERT_THAT(store().BeginVersion(Key(1), Version(3), Second(0)), IsOk());
  for (const int taken : {1, 2, 3}) {
    EXPECT_THAT(store().BeginKey(NewKey(4), Version(taken), ""),
                StatusIs(StatusCode::kAlreadyExists, HasSubstr(Version(taken).ToString())));
  }
  // The key's own id has not stayed taken.
  EXPECT_THAT(store().BeginKey(NewKey(4), Version(4), ""), IsOk());
}

TEST_P(StoreContractTest, BegunVersionIsSeenByNothingButThePendingList) {
  const KeyRecord key = MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());

  EXPECT_THAT(store().ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{Version(2), Key(1), false})));
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(key)));
  EXPECT_THAT(store().GetKeyVersion(Version(2)), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(store().ListKeyVersions(Key(1), 0, kMany).value().size(), 1u);
  EXPECT_EQ(store().ListKeyVersions(Key(1), -1, kMany).value().size(), 1u);
  EXPECT_THAT(testing::AllKeyVersions(store()),
              IsOkAndHolds(ElementsAre(::testing::Field(&KeyVersionRecord::id, Version(1)))));
}

TEST_P(StoreContractTest, CommitOfAFurtherVersionMakesItPrimary) {
  KeyRecord key = MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  const KeyVersionRecord version = {.id = Version(2),
                                    .key_id = Key(1),
                                    .number = 2,
                                    .create_time = Second(1),
                                    .proof = "proof",
                                    .uses_reserved = 1};
  EXPECT_THAT(store().CommitVersion(Version(2), "proof"), IsOkAndHolds(version));
  EXPECT_THAT(store().GetKeyVersion(Version(2)), IsOkAndHolds(version));

  key.primary_version = Version(2);  // and the initial one as it was
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
}

TEST_P(StoreContractTest, BeginVersionOfAnUnknownKeyIsNotFound) {
  EXPECT_THAT(store().BeginVersion(Key(1), Version(1), Second(0)),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(1).ToString())));
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, BeginVersionWithATakenIdIsRefused) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(3), Second(0)), IsOk());
  for (const int taken : {1, 2, 3}) {
    EXPECT_THAT(store().BeginVersion(Key(1), Version(taken), Second(0)),
                StatusIs(StatusCode::kAlreadyExists, HasSubstr(Version(taken).ToString())));
  }
  EXPECT_EQ(store().GetKeyVersion(Version(2)).value().key_id, Key(2));
}

TEST_P(StoreContractTest, CommitOfWhatIsNotPendingIsNotFound) {
  EXPECT_THAT(store().CommitVersion(Version(1), "proof"), StatusIs(StatusCode::kNotFound));
  MakeKey(1, 1);
  const KeyVersionRecord second = MakeVersion(1, 2);
  EXPECT_THAT(store().CommitVersion(Version(1), "proof"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().CommitVersion(Version(2), "proof"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetKeyVersion(Version(2)), IsOkAndHolds(second));
  EXPECT_EQ(store().GetKey(Key(1)).value().primary_version, Version(2));
}

TEST_P(StoreContractTest, NumbersFollowTheOrderOfCommits) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  ASSERT_THAT(store().BeginVersion(Key(1), Version(3), Second(2)), IsOk());
  EXPECT_EQ(store().CommitVersion(Version(3), "proof").value().number, 2);
  EXPECT_EQ(store().GetKey(Key(1)).value().primary_version, Version(3));
  EXPECT_EQ(store().CommitVersion(Version(2), "proof").value().number, 3);
  EXPECT_EQ(store().GetKey(Key(1)).value().primary_version, Version(2));
}

TEST_P(StoreContractTest, NumbersAreOfEachKey) {
  MakeKey(1, 1);
  MakeVersion(1, 2);
  MakeKey(2, 3);
  EXPECT_EQ(store().GetKeyVersion(Version(3)).value().number, 1);
  EXPECT_EQ(MakeVersion(2, 4).number, 2);
  EXPECT_EQ(MakeVersion(1, 5).number, 3);
}

TEST_P(StoreContractTest, DroppedVersionLeavesNoGapInTheNumbers) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  ASSERT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_EQ(MakeVersion(1, 3).number, 2);
}

TEST_P(StoreContractTest, DropOfTheFirstVersionForgetsTheKey) {
  ASSERT_THAT(store().BeginKey(NewKey(1), Version(1), ""), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(1)), IsOk());
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().CommitVersion(Version(1), "proof"), StatusIs(StatusCode::kNotFound));
  // Both ids are free again.
  const KeyRecord again = MakeKey(1, 1, Second(3));
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(again));
}

TEST_P(StoreContractTest, DropOfAFurtherVersionKeepsTheKeyAndItsOtherVersions) {
  const KeyRecord key = MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  ASSERT_THAT(store().BeginVersion(Key(1), Version(3), Second(1)), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  EXPECT_THAT(store().GetKeyVersion(Version(1)), IsOk());
  EXPECT_THAT(store().ListPendingVersions(),
              IsOkAndHolds(ElementsAre(PendingVersion{Version(3), Key(1), false})));
}

TEST_P(StoreContractTest, DropOfWhatIsNotPendingIsNotFoundAndChangesNothing) {
  EXPECT_THAT(store().DropPendingVersion(Version(1)), StatusIs(StatusCode::kNotFound));
  const KeyRecord key = MakeKey(1, 1);
  EXPECT_THAT(store().DropPendingVersion(Version(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(key));
  EXPECT_THAT(store().GetKeyVersion(Version(1)), IsOk());

  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(2)), StatusIs(StatusCode::kNotFound));
}

TEST_P(StoreContractTest, PendingVersionsOutliveTheirProcess) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  ASSERT_THAT(store().BeginKey(NewKey(2, Second(4)), Version(3), ""), IsOk());
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().ListPendingVersions(),
              IsOkAndHolds(UnorderedElementsAre(PendingVersion{Version(2), Key(1), false},
                                                PendingVersion{Version(3), Key(2), true})));
  EXPECT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_THAT(store().CommitVersion(Version(3), "proof"),
              IsOkAndHolds(KeyVersionRecord{.id = Version(3),
                                            .key_id = Key(2),
                                            .number = 1,
                                            .create_time = Second(4),
                                            .proof = "proof",
                                            .uses_reserved = 1}));
}

}  // namespace
}  // namespace strongroom::store
