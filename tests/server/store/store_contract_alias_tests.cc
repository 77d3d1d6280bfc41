// Of aliases.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/store/store_contract.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using strongroom::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kMany = 100;

TEST_P(StoreContractTest, CreatedAliasComesBackAsItWas) {
  MakeKey(1, 1);
  const AliasRecord alias = {"alias/payments", Key(1), Second(1), Second(2)};
  EXPECT_THAT(store().CreateAlias(alias), IsOk());
  EXPECT_THAT(store().GetAlias("alias/payments"), IsOkAndHolds(alias));
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany), IsOkAndHolds(ElementsAre(alias)));
}

TEST_P(StoreContractTest, AliasOfAnUnknownKeyIsNotFound) {
  EXPECT_THAT(store().CreateAlias({"alias/a", Key(1), Second(0), Second(0)}),
              StatusIs(StatusCode::kNotFound, HasSubstr(Key(1).ToString())));
  EXPECT_THAT(store().GetAlias("alias/a"), StatusIs(StatusCode::kNotFound));
}

TEST_P(StoreContractTest, AliasWithATakenNameIsRefusedAndChangesNothing) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const AliasRecord alias = MakeAlias("alias/a", 1);
  for (const int key : {1, 2}) {
    EXPECT_THAT(store().CreateAlias({"alias/a", Key(key), Second(5), Second(5)}),
                StatusIs(StatusCode::kAlreadyExists, HasSubstr("alias/a")));
  }
  EXPECT_THAT(store().GetAlias("alias/a"), IsOkAndHolds(alias));
}

TEST_P(StoreContractTest, AliasNamesAreCaseSensitive) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const AliasRecord lower = MakeAlias("alias/a", 1);
  const AliasRecord upper = MakeAlias("alias/A", 2);
  EXPECT_THAT(store().GetAlias("alias/a"), IsOkAndHolds(lower));
  EXPECT_THAT(store().GetAlias("alias/A"), IsOkAndHolds(upper));
  EXPECT_THAT(store().GetAlias("ALIAS/a"), StatusIs(StatusCode::kNotFound));
}

TEST_P(StoreContractTest, GetAliasTakesTheWholeName) {
  MakeKey(1, 1);
  MakeAlias("alias/abc", 1);
  for (const char* name : {"", "abc", "alias/ab", "alias/abcd", "alias/%", "alias/abc "}) {
    EXPECT_THAT(store().GetAlias(name), StatusIs(StatusCode::kNotFound)) << name;
  }
}

TEST_P(StoreContractTest, UpdateAliasMovesItAndKeepsWhenItWasMade) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeAlias("alias/a", 1, Second(1));
  const AliasRecord other = MakeAlias("alias/b", 1, Second(1));

  const AliasRecord moved = {"alias/a", Key(2), Second(1), Second(9)};
  EXPECT_THAT(store().UpdateAlias("alias/a", Key(2), Second(9)), IsOkAndHolds(moved));
  EXPECT_THAT(store().GetAlias("alias/a"), IsOkAndHolds(moved));
  EXPECT_THAT(store().GetAlias("alias/b"), IsOkAndHolds(other));
  EXPECT_THAT(store().ListAliases(Key(1), "", kMany), IsOkAndHolds(ElementsAre(other)));
  EXPECT_THAT(store().ListAliases(Key(2), "", kMany), IsOkAndHolds(ElementsAre(moved)));
}

TEST_P(StoreContractTest, UpdateAliasToItsOwnKeyIsAnUpdate) {
  MakeKey(1, 1);
  MakeAlias("alias/a", 1, Second(1));
  EXPECT_THAT(store().UpdateAlias("alias/a", Key(1), Second(2)),
              IsOkAndHolds(AliasRecord{"alias/a", Key(1), Second(1), Second(2)}));
}

TEST_P(StoreContractTest, UpdateAliasSaysWhichOfTheTwoIsNotThere) {
  MakeKey(1, 1);
  const AliasRecord alias = MakeAlias("alias/a", 1);
  EXPECT_THAT(store().UpdateAlias("alias/b", Key(1), Second(1)),
              StatusIs(StatusCode::kNotFound,
                       AllOf(HasSubstr("alias/b"), Not(HasSubstr(Key(1).ToString())))));
  EXPECT_THAT(store().UpdateAlias("alias/a", Key(2), Second(1)),
              StatusIs(StatusCode::kNotFound,
                       AllOf(HasSubstr(Key(2).ToString()), Not(HasSubstr("alias/a")))));
  EXPECT_THAT(store().UpdateAlias("alias/b", Key(2), Second(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany), IsOkAndHolds(ElementsAre(alias)));
}

TEST_P(StoreContractTest, DeletedAliasIsGoneAndItsNameIsFree) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeAlias("alias/a", 1);
  const AliasRecord other = MakeAlias("alias/b", 1);
  EXPECT_THAT(store().DeleteAlias("alias/a"), IsOk());
  EXPECT_THAT(store().GetAlias("alias/a"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().ListAliases(Key(1), "", kMany), IsOkAndHolds(ElementsAre(other)));
  EXPECT_THAT(store().GetKey(Key(1)), IsOk());

  const AliasRecord again = MakeAlias("alias/a", 2, Second(5));
  EXPECT_THAT(store().GetAlias("alias/a"), IsOkAndHolds(again));
}

TEST_P(StoreContractTest, DeleteAliasOfAnUnknownNameIsNotFound) {
  MakeKey(1, 1);
  const AliasRecord alias = MakeAlias("alias/a", 1);
  for (const char* name : {"alias/b", "alias/", "", "%", "alias/A"}) {
    EXPECT_THAT(store().DeleteAlias(name), StatusIs(StatusCode::kNotFound)) << name;
  }
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany), IsOkAndHolds(ElementsAre(alias)));
}

// Names in their bytewise order, with what means something to SQL, to patterns and to collations.
std::vector<std::string> NamesInOrder() {
  return {
      "alias/",
      "alias/ ",
      "alias/\"quoted\"",
      "alias/$1",
      "alias/%",
      "alias/' OR '1'='1",
      "alias/'; DROP TABLE aliases; --",
      "alias/*",
      "alias/?",
      "alias/B",
      "alias/Z",
      "alias/[a-z]",
      "alias/\\",
      "alias/_",
      "alias/a",
      "alias/a/b",
      "alias/aa",
      "alias/" + std::string(256, 'b'),
      "alias/\xc3\xa4",
      "alias/\xe2\x82\xac",
      "alias/\xf0\x9f\x94\x91",
  };
}

TEST_P(StoreContractTest, AliasesAreListedInTheBytewiseOrderOfTheirNames) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const std::vector<std::string> names = NamesInOrder();
  std::vector<AliasRecord> all, of_first;
  // Made from the last to the first, the keys in turn.
  for (size_t i = names.size(); i-- > 0;) {
    const int key = i % 2 == 0 ? 1 : 2;
    const AliasRecord alias = MakeAlias(names[i], key, Second(static_cast<int>(i)));
    all.insert(all.begin(), alias);
    if (key == 1) of_first.insert(of_first.begin(), alias);
  }
  EXPECT_THAT(store().ListAliases(std::nullopt, "", kMany), IsOkAndHolds(ElementsAreArray(all)));
  EXPECT_THAT(store().ListAliases(std::nullopt, absl::string_view(), kMany),
              IsOkAndHolds(ElementsAreArray(all)));
  EXPECT_THAT(store().ListAliases(Key(1), "", kMany), IsOkAndHolds(ElementsAreArray(of_first)));
}

TEST_P(StoreContractTest, AliasNamesMeanNothingButThemselves) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const std::vector<std::string> names = NamesInOrder();
  for (const std::string& name : names) MakeAlias(name, 1);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    EXPECT_THAT(store().UpdateAlias(name, Key(2), Second(3)),
                IsOkAndHolds(AliasRecord{name, Key(2), Second(0), Second(3)}));
    EXPECT_EQ(store().GetAlias(name).value().key_id, Key(2));
    EXPECT_THAT(store().DeleteAlias(name), IsOk());
    EXPECT_THAT(store().GetAlias(name), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().ListAliases(Key(2), "", kMany), IsOkAndHolds(IsEmpty()));
  }
}

TEST_P(StoreContractTest, PagesOfAliasesMeetWithoutGapOrOverlap) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  std::vector<AliasRecord> all, of_second;
  for (int i = 0; i < 9; ++i) {
    const int key = i % 3 == 0 ? 2 : 1;
    all.push_back(MakeAlias("alias/" + std::to_string(i), key));
    if (key == 2) of_second.push_back(all.back());
  }
  for (int limit = 1; limit <= 10; ++limit) {
    for (const bool only_second : {false, true}) {
      SCOPED_TRACE(limit);
      const std::optional<KeyId> filter = only_second ? std::optional(Key(2)) : std::nullopt;
      const std::vector<AliasRecord>& expected = only_second ? of_second : all;
      std::vector<AliasRecord> listed;
      std::string after;
      while (true) {
        absl::StatusOr<std::vector<AliasRecord>> page = store().ListAliases(filter, after, limit);
        ASSERT_THAT(page, IsOk());
        ASSERT_LE(page->size(), static_cast<size_t>(limit));
        if (page->empty()) break;
        EXPECT_TRUE(page->size() == static_cast<size_t>(limit) || page->back() == expected.back());
        listed.insert(listed.end(), page->begin(), page->end());
        ASSERT_LE(listed.size(), expected.size());
        after = listed.back().name;
      }
      EXPECT_THAT(listed, ElementsAreArray(expected));
    }
  }
}

TEST_P(StoreContractTest, ListAliasesGoesOnAfterANameThatIsNotThere) {
  MakeKey(1, 1);
  MakeAlias("alias/a", 1);
  const AliasRecord c = MakeAlias("alias/c", 1);
  EXPECT_THAT(store().ListAliases(std::nullopt, "alias/b", kMany), IsOkAndHolds(ElementsAre(c)));
  EXPECT_THAT(store().ListAliases(Key(1), "alias/b", kMany), IsOkAndHolds(ElementsAre(c)));
  EXPECT_THAT(store().ListAliases(std::nullopt, "alias/d", kMany), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, UnknownKeyHasNoAliases) {
  MakeKey(1, 1);
  MakeAlias("alias/a", 1);
  EXPECT_THAT(store().ListAliases(Key(2), "", kMany), IsOkAndHolds(IsEmpty()));
}

}  // namespace
}  // namespace strongroom::store
