// Of keys and their versions once they are committed.

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
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
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr int kMany = 100;
constexpr int kMost = std::numeric_limits<int>::max();

TEST_P(StoreContractTest, GetKeyOfAnUnknownIdIsNotFound) {
  MakeKey(1, 1);
  EXPECT_THAT(store().GetKey(Key(2)),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(2).ToString())));
}

TEST_P(StoreContractTest, DescriptionsComeBackByteForByte) {
  const std::vector<std::string> descriptions = {
      "",
      "'; DROP TABLE keys; --",
      "\"double\" `back` [square] %_*? \\ \\' \n\t\r",
      "$1 ?1 :name @name",
      "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91",
      std::string(8192, 'x'),
  };
  int number = 0;
  for (const std::string& description : descriptions) {
    KeyRecord key = NewKey(++number);
    key.description = description;
    ASSERT_THAT(store().BeginKey(key, Version(number), ""), IsOk());
    ASSERT_THAT(store().CommitVersion(Version(number), "proof"), IsOk());
    EXPECT_EQ(store().GetKey(Key(number)).value().description, description);
  }
  EXPECT_EQ(store().ListKeys(std::nullopt, kMany).value().size(), descriptions.size());
}

TEST_P(StoreContractTest, SetKeyStateChangesThatKeyAndNothingElse) {
  KeyRecord first = MakeKey(1, 1);
  const KeyRecord second = MakeKey(2, 2);
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), IsOk());
  first.state = KeyState::kDisabled;
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(first));
  EXPECT_THAT(store().GetKey(Key(2)), IsOkAndHolds(second));

  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), IsOk());
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kEnabled), IsOk());
  first.state = KeyState::kEnabled;
  EXPECT_THAT(store().GetKey(Key(1)), IsOkAndHolds(first));
}

TEST_P(StoreContractTest, SetKeyStateOfAnUnknownKeyIsNotFound) {
  EXPECT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), StatusIs(StatusCode::kNotFound));
}

TEST_P(StoreContractTest, CommitKeepsTheStateThatAKeyHasByThen) {
  MakeKey(1, 1);
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(0)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(1), KeyState::kDisabled), IsOk());
  ASSERT_THAT(store().CommitVersion(Version(2), "proof"), IsOk());
  EXPECT_EQ(store().GetKey(Key(1)).value().state, KeyState::kDisabled);
}

TEST_P(StoreContractTest, EmptyStoreListsNothing) {
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(testing::AllKeyVersions(store()), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, KeysAreListedByTimeOfCreationThenById) {
  // Neither in the order in which they are made, nor in that of their ids alone. 200 has a byte
  // that would be negative if it were signed.
  const KeyRecord d = MakeKey(1, 1, Second(3));
  const KeyRecord c = MakeKey(200, 2, Second(2));
  const KeyRecord a = MakeKey(9, 3, absl::FromUnixSeconds(-5));
  const KeyRecord b = MakeKey(2, 4, Second(2));
  const KeyRecord e = MakeKey(3, 5, Second(3) + absl::Microseconds(1));
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAre(a, b, c, d, e)));
}

TEST_P(StoreContractTest, PagesOfKeysMeetWithoutGapOrOverlap) {
  std::vector<KeyRecord> keys;
  // Twos of the same time, so that pages also part between those.
  for (int i = 0; i < 7; ++i) keys.push_back(MakeKey(i, i, Second(i / 2)));

  for (int limit = 1; limit <= 8; ++limit) {
    SCOPED_TRACE(limit);
    std::vector<KeyRecord> listed;
    std::optional<KeyId> after;
    while (true) {
      absl::StatusOr<std::vector<KeyRecord>> page = store().ListKeys(after, limit);
      ASSERT_THAT(page, IsOk());
      ASSERT_LE(page->size(), static_cast<size_t>(limit));
      if (page->empty()) break;
      EXPECT_TRUE(page->size() == static_cast<size_t>(limit) || page->back() == keys.back());
      listed.insert(listed.end(), page->begin(), page->end());
      ASSERT_LE(listed.size(), keys.size());
      after = listed.back().id;
    }
    EXPECT_THAT(listed, ElementsAreArray(keys));
  }
  EXPECT_THAT(store().ListKeys(std::nullopt, kMost), IsOkAndHolds(ElementsAreArray(keys)));
  EXPECT_THAT(store().ListKeys(Key(6), kMost), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, PagesOfKeysShowThoseThatAreBeingCreated) {
  const KeyRecord first = MakeKey(1, 1);
  KeyRecord second = NewKey(2);
  ASSERT_THAT(store().BeginKey(second, Version(2), ""), IsOk());
  second.creating = true;
  const KeyRecord third = MakeKey(3, 3);
  EXPECT_THAT(store().ListKeys(std::nullopt, 2), IsOkAndHolds(ElementsAre(first, second)));
  EXPECT_THAT(store().ListKeys(Key(2), 2), IsOkAndHolds(ElementsAre(third)));
}

TEST_P(StoreContractTest, ListKeysAfterAnUnknownKeyIsNotFound) {
  MakeKey(1, 1);
  EXPECT_THAT(store().ListKeys(Key(2), kMany),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(2).ToString())));
}

TEST_P(StoreContractTest, LimitBelowOneIsInvalid) {
  MakeKey(1, 1);
  for (const int limit : {0, -1, std::numeric_limits<int>::min()}) {
    EXPECT_THAT(store().ListKeys(std::nullopt, limit), StatusIs(StatusCode::kInvalidArgument));
    EXPECT_THAT(store().ListKeyVersions(Key(1), 0, limit), StatusIs(StatusCode::kInvalidArgument));
    EXPECT_THAT(store().ListAliases(std::nullopt, "", limit),
                StatusIs(StatusCode::kInvalidArgument));
    EXPECT_THAT(store().ListAliases(Key(1), "", limit), StatusIs(StatusCode::kInvalidArgument));
  }
}

TEST_P(StoreContractTest, GetKeyVersionOfAnUnknownIdIsNotFound) {
  MakeKey(1, 1);
  EXPECT_THAT(store().GetKeyVersion(Version(2)),
              StatusIs(StatusCode::kNotFound, HasSubstr(Version(2).ToString())));
}

TEST_P(StoreContractTest, VersionsAreListedByNumberInPages) {
  MakeKey(1, 50);
  MakeKey(2, 60);
  // Ids and times fall where numbers rise.
  std::vector<KeyVersionRecord> versions = {store().GetKeyVersion(Version(50)).value()};
  for (int i = 1; i < 5; ++i) {
    versions.push_back(MakeVersion(1, 50 - i, Second(-i)));
    MakeVersion(2, 60 - i);
  }
  ASSERT_THAT(store().BeginVersion(Key(1), Version(7), Second(9)), IsOk());

  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, kMost), IsOkAndHolds(ElementsAreArray(versions)));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, 5), IsOkAndHolds(ElementsAreArray(versions)));
  EXPECT_THAT(store().ListKeyVersions(Key(1), std::numeric_limits<int32_t>::min(), kMany),
              IsOkAndHolds(ElementsAreArray(versions)));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, 2),
              IsOkAndHolds(ElementsAre(versions[0], versions[1])));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 2, 2),
              IsOkAndHolds(ElementsAre(versions[2], versions[3])));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 4, 2), IsOkAndHolds(ElementsAre(versions[4])));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 5, 2), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().ListKeyVersions(Key(1), std::numeric_limits<int32_t>::max(), 2),
              IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, ListKeyVersionsOfAnUnknownKeyIsNotFound) {
  MakeKey(1, 1);
  EXPECT_THAT(store().ListKeyVersions(Key(2), 0, kMany),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(2).ToString())));
}

TEST_P(StoreContractTest, AllVersionsAreThoseOfEveryKey) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeVersion(1, 3);
  ASSERT_THAT(store().BeginVersion(Key(2), Version(4), Second(0)), IsOk());
  ASSERT_THAT(store().SetKeyState(Key(2), KeyState::kDisabled), IsOk());
  EXPECT_THAT(
      testing::AllKeyVersions(store()),
      IsOkAndHolds(UnorderedElementsAre(::testing::Field(&KeyVersionRecord::id, Version(1)),
                                        ::testing::Field(&KeyVersionRecord::id, Version(2)),
                                        ::testing::Field(&KeyVersionRecord::id, Version(3)))));
}

TEST_P(StoreContractTest, VersionsAreVisitedWithTheirKeysStateAndOrigin) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeVersion(2, 3);
  ASSERT_THAT(store().SetKeyState(Key(2), KeyState::kDisabled), IsOk());
  KeyRecord imported = NewKey(3);
  imported.origin = KeyOrigin::kImported;
  imported.state = KeyState::kPendingImport;
  MakeKey(imported, 4);
  std::map<KeyVersionId, std::pair<KeyState, KeyOrigin>> visited;
  ASSERT_THAT(store().VisitKeyVersions([&](const VersionOfKey& version) {
    visited[version.version.id] = {version.key_state, version.key_origin};
  }),
              IsOk());
  EXPECT_THAT(visited,
              ElementsAre(Pair(Version(1), Pair(KeyState::kEnabled, KeyOrigin::kToken)),
                          Pair(Version(2), Pair(KeyState::kDisabled, KeyOrigin::kToken)),
                          Pair(Version(3), Pair(KeyState::kDisabled, KeyOrigin::kToken)),
                          Pair(Version(4), Pair(KeyState::kPendingImport, KeyOrigin::kImported))));
}

TEST_P(StoreContractTest, ReopenedStoreHasEverything) {
  MakeKey(1, 1, Second(1));
  MakeVersion(1, 3, Second(2));
  MakeKey(2, 2, Second(3));
  MakeAlias("alias/a", 1);
  MakeAlias("alias/b", 2);
  ASSERT_THAT(store().SetKeyState(Key(2), KeyState::kDisabled), IsOk());
  ASSERT_THAT(store().UpdateAlias("alias/b", Key(1), Second(7)), IsOk());
  ASSERT_THAT(store().DeleteAlias("alias/a"), IsOk());
  const std::vector<KeyRecord> keys = store().ListKeys(std::nullopt, kMany).value();
  const std::vector<KeyVersionRecord> versions = store().ListKeyVersions(Key(1), 0, kMany).value();
  const std::vector<AliasRecord> aliases = store().ListAliases(std::nullopt, "", kMany).value();
  ASSERT_EQ(keys.size(), 2u);
  ASSERT_EQ(versions.size(), 2u);
  ASSERT_EQ(aliases.size(), 1u);

  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().ListKeys(std::nullopt, kMany), IsOkAndHolds(ElementsAreArray(keys)));
  EXPECT_THAT(store().ListKeyVersions(Key(1), 0, kMany), IsOkAndHolds(ElementsAreArray(versions)));
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany),
              IsOkAndHolds(ElementsAreArray(aliases)));
  // And goes on from there.
  EXPECT_EQ(MakeVersion(1, 4).number, 3);
}

}  // namespace
}  // namespace strongroom::store
