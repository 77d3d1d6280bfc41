// Of policies and grants, and of where the audit trail has got to.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
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
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::UnorderedElementsAre;

constexpr int kMany = 100;

// Bytes that no text has, and none at all.
const std::string& AnyBytes() {
  static const std::string* const bytes = new std::string("\0\xff'\x80 policy\0", 11);
  return *bytes;
}

TEST_P(StoreContractTest, KeyBegunWithAPolicyHasIt) {
  ASSERT_THAT(store().BeginKey(NewKey(1), Version(1), AnyBytes()), IsOk());
  ASSERT_THAT(store().CommitVersion(Version(1), "proof"), IsOk());
  MakeKey(2, 2);
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(AnyBytes()));
  EXPECT_THAT(store().GetKeyPolicy(Key(2)), IsOkAndHolds(""));
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(AnyBytes()));
}

TEST_P(StoreContractTest, PutKeyPolicyReplacesItAndNoneTakesItAway) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  EXPECT_THAT(store().PutKeyPolicy(Key(1), "first"), IsOk());
  EXPECT_THAT(store().PutKeyPolicy(Key(2), "other"), IsOk());
  EXPECT_THAT(store().PutKeyPolicy(Key(1), AnyBytes()), IsOk());
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(AnyBytes()));
  EXPECT_THAT(store().PutKeyPolicy(Key(1), ""), IsOk());
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(""));
  EXPECT_THAT(store().PutKeyPolicy(Key(1), absl::string_view()), IsOk());
  EXPECT_THAT(store().GetKeyPolicy(Key(2)), IsOkAndHolds("other"));
}

TEST_P(StoreContractTest, PolicyOfAnUnknownOrBegunKeyIsNotFound) {
  ASSERT_THAT(store().BeginKey(NewKey(2), Version(2), "policy"), IsOk());
  for (const int key : {1, 2}) {
    EXPECT_THAT(store().GetKeyPolicy(Key(key)),
                StatusIs(StatusCode::kNotFound, HasSubstr(Key(key).ToString())));
    EXPECT_THAT(store().PutKeyPolicy(Key(key), "new"), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().PutKeyPolicy(Key(key), ""), StatusIs(StatusCode::kNotFound));
  }
  ASSERT_THAT(store().CommitVersion(Version(2), "proof"), IsOk());
  EXPECT_THAT(store().GetKeyPolicy(Key(2)), IsOkAndHolds("policy"));
}

TEST_P(StoreContractTest, KeyThatIsRefusedLeavesThePolicyOfTheOneThatIsThere) {
  ASSERT_THAT(store().BeginKey(NewKey(1), Version(1), "policy"), IsOk());
  ASSERT_THAT(store().CommitVersion(Version(1), "proof"), IsOk());
  EXPECT_THAT(store().BeginKey(NewKey(1), Version(2), "another"),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(store().BeginKey(NewKey(2), Version(1), "another"),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds("policy"));
  MakeKey(2, 2);
  EXPECT_THAT(store().GetKeyPolicy(Key(2)), IsOkAndHolds(""));
}

TEST_P(StoreContractTest, DroppedKeyTakesItsPolicyWithIt) {
  ASSERT_THAT(store().BeginKey(NewKey(1), Version(1), "policy"), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(1)), IsOk());
  MakeKey(1, 1);
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds(""));
}

TEST_P(StoreContractTest, DroppedVersionLeavesThePolicyOfItsKey) {
  MakeKey(1, 1);
  ASSERT_THAT(store().PutKeyPolicy(Key(1), "policy"), IsOk());
  ASSERT_THAT(store().BeginVersion(Key(1), Version(2), Second(1)), IsOk());
  EXPECT_THAT(store().DropPendingVersion(Version(2)), IsOk());
  EXPECT_THAT(store().GetKeyPolicy(Key(1)), IsOkAndHolds("policy"));
}

TEST_P(StoreContractTest, CreatedGrantComesBackAsItWas) {
  MakeKey(1, 1);
  GrantRecord grant = NewGrant(1, 1, Second(1) + absl::Microseconds(7));
  grant.grantee = "cn=o'brien";
  grant.retiring_principal = "cn=retirer";
  grant.expire_time = Second(100) + absl::Microseconds(9);
  grant.document = AnyBytes();
  EXPECT_THAT(store().CreateGrant(grant, kMany), IsOk());
  const GrantRecord plain = MakeGrant(2, 1);
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetGrant(Grant(1)), IsOkAndHolds(grant));
  EXPECT_THAT(store().GetGrant(Grant(2)), IsOkAndHolds(plain));
  EXPECT_EQ(plain.expire_time, absl::InfiniteFuture());
  EXPECT_THAT(store().GetGrant(Grant(3)),
              StatusIs(StatusCode::kNotFound, HasSubstr(Grant(3).ToString())));
}

TEST_P(StoreContractTest, GrantIsNotEndedWhenCreatedWhateverItsRecordSays) {
  MakeKey(1, 1);
  GrantRecord grant = NewGrant(1, 1);
  grant.ended = true;
  ASSERT_THAT(store().CreateGrant(grant, kMany), IsOk());
  EXPECT_FALSE(store().GetGrant(Grant(1)).value().ended);
}

TEST_P(StoreContractTest, GrantOfAnUnknownOrBegunKeyIsNotFound) {
  ASSERT_THAT(store().BeginKey(NewKey(2), Version(2), ""), IsOk());
  for (const int key : {1, 2}) {
    EXPECT_THAT(store().CreateGrant(NewGrant(1, key), kMany),
                StatusIs(StatusCode::kNotFound, HasSubstr(Key(key).ToString())));
    EXPECT_THAT(store().EndGrant(NewGrant(1, key)), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().ListGrants(Key(key), std::nullopt, std::nullopt, kMany),
                StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store().ListEndedGrants(Key(key)), StatusIs(StatusCode::kNotFound));
  }
  EXPECT_THAT(store().GetGrant(Grant(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().DropPendingVersion(Version(2)), IsOk());
}

TEST_P(StoreContractTest, GrantWithATakenIdIsRefusedAndChangesNothing) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const GrantRecord grant = MakeGrant(1, 1);
  for (const int key : {1, 2}) {
    EXPECT_THAT(store().CreateGrant(NewGrant(1, key, Second(5)), kMany),
                StatusIs(StatusCode::kAlreadyExists, HasSubstr(Grant(1).ToString())));
  }
  EXPECT_THAT(store().GetGrant(Grant(1)), IsOkAndHolds(grant));
  // Else a token that is void would mean something again.
  ASSERT_THAT(store().EndGrant(grant), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(1, 1), kMany), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_TRUE(store().GetGrant(Grant(1)).value().ended);
}

TEST_P(StoreContractTest, GrantBeyondTheMostIsRefusedAndOneThatEndsMakesRoom) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const GrantRecord first = NewGrant(1, 1);
  EXPECT_THAT(store().CreateGrant(first, 2), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(2, 1), 2), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(3, 1), 2),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr(Key(1).ToString())));
  EXPECT_THAT(store().GetGrant(Grant(3)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().CreateGrant(NewGrant(4, 2), 1), IsOk()) << "another key's do not count";

  ASSERT_THAT(store().EndGrant(first), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(3, 1), 2), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(5, 1), 3), IsOk());
  EXPECT_THAT(store().CreateGrant(NewGrant(6, 1), 0), StatusIs(StatusCode::kResourceExhausted));
}

TEST_P(StoreContractTest, ListGrantsIsInTheOrderOfCreationThenId) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const GrantRecord late = MakeGrant(1, 1, Second(9));
  const GrantRecord early = MakeGrant(4, 1, Second(1));
  const GrantRecord tied = MakeGrant(2, 1, Second(5));
  const GrantRecord tied_too = MakeGrant(3, 1, Second(5));
  MakeGrant(5, 2, Second(2));

  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, kMany),
              IsOkAndHolds(ElementsAre(early, tied, tied_too, late)));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, 2),
              IsOkAndHolds(ElementsAre(early, tied)));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, Grant(2), 1),
              IsOkAndHolds(ElementsAre(tied_too)));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, Grant(3), kMany),
              IsOkAndHolds(ElementsAre(late)));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, Grant(1), kMany), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, ListGrantsOfAGranteeShowsNoOthers) {
  MakeKey(1, 1);
  std::vector<GrantRecord> of_alice;
  for (const int number : {1, 2, 3, 4, 5}) {
    GrantRecord grant = NewGrant(number, 1, Second(number));
    grant.grantee = number % 2 == 1 ? "alice" : "ALICE";
    ASSERT_THAT(store().CreateGrant(grant, kMany), IsOk());
    if (number % 2 == 1) of_alice.push_back(grant);
  }
  EXPECT_THAT(store().ListGrants(Key(1), "alice", std::nullopt, kMany),
              IsOkAndHolds(ElementsAre(of_alice[0], of_alice[1], of_alice[2])));
  EXPECT_THAT(store().ListGrants(Key(1), "alice", std::nullopt, 2),
              IsOkAndHolds(ElementsAre(of_alice[0], of_alice[1])));
  // After one of somebody else, too.
  EXPECT_THAT(store().ListGrants(Key(1), "alice", Grant(2), kMany),
              IsOkAndHolds(ElementsAre(of_alice[1], of_alice[2])));
  for (const char* nobody : {"", "alic", "alice ", "%", "*"}) {
    EXPECT_THAT(store().ListGrants(Key(1), nobody, std::nullopt, kMany), IsOkAndHolds(IsEmpty()))
        << nobody;
  }
}

TEST_P(StoreContractTest, ListGrantsAfterNoGrantOfTheKeyIsNotFound) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeGrant(1, 1);
  MakeGrant(2, 2);
  for (const int after : {2, 3}) {
    EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, Grant(after), kMany),
                StatusIs(StatusCode::kNotFound, HasSubstr(Grant(after).ToString())));
  }
}

TEST_P(StoreContractTest, ListGrantsWithALimitBelowOneIsRefused) {
  MakeKey(1, 1);
  for (const int limit : {0, -1}) {
    EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, limit),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("limit")));
  }
}

TEST_P(StoreContractTest, EndedGrantIsListedAsEndedAndNotElsewhere) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  GrantRecord ended = MakeGrant(1, 1, Second(1));
  const GrantRecord live = MakeGrant(2, 1, Second(2));
  const GrantRecord of_other = MakeGrant(3, 2);
  EXPECT_THAT(store().ListEndedGrants(Key(1)), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().EndGrant(ended), IsOk());
  EXPECT_THAT(store().EndGrant(ended), IsOk()) << "again";
  EXPECT_THAT(store().EndGrant(of_other), IsOk());

  ASSERT_NO_FATAL_FAILURE(Reopen());
  ended.ended = true;
  EXPECT_THAT(store().GetGrant(Grant(1)), IsOkAndHolds(ended));
  EXPECT_THAT(store().ListEndedGrants(Key(1)), IsOkAndHolds(ElementsAre(Grant(1))));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, kMany),
              IsOkAndHolds(ElementsAre(live)));
  // A list that stood at it goes on.
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, Grant(1), kMany),
              IsOkAndHolds(ElementsAre(live)));
}

TEST_P(StoreContractTest, EndingAGrantOfAnotherServerKeepsThatItEnded) {
  MakeKey(1, 1);
  GrantRecord foreign = NewGrant(7, 1, Second(3));
  foreign.document = AnyBytes();
  foreign.expire_time = Second(50);
  EXPECT_THAT(store().EndGrant(foreign), IsOk());
  foreign.ended = true;
  EXPECT_THAT(store().GetGrant(Grant(7)), IsOkAndHolds(foreign));
  MakeGrant(8, 1);
  EXPECT_THAT(store().EndGrant(NewGrant(8, 1)), IsOk());
  EXPECT_THAT(store().ListEndedGrants(Key(1)),
              IsOkAndHolds(UnorderedElementsAre(Grant(7), Grant(8))));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, kMany),
              IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store().CreateGrant(NewGrant(9, 1), 1), IsOk()) << "it does not count";
}

TEST_P(StoreContractTest, EndingAGrantDoesNotChangeWhatElseItIs) {
  MakeKey(1, 1);
  GrantRecord grant = MakeGrant(1, 1, Second(1));
  GrantRecord said = grant;
  said.grantee = "another";
  said.document = "another";
  said.expire_time = Second(1);
  EXPECT_THAT(store().EndGrant(said), IsOk());
  grant.ended = true;
  EXPECT_THAT(store().GetGrant(Grant(1)), IsOkAndHolds(grant));
}

TEST_P(StoreContractTest, GrantIsNotEndedInTheNameOfAnotherKey) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  const GrantRecord grant = MakeGrant(1, 1);
  EXPECT_THAT(store().EndGrant(NewGrant(1, 2)), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(store().GetGrant(Grant(1)), IsOkAndHolds(grant));
  EXPECT_THAT(store().ListEndedGrants(Key(2)), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, ExpiredGrantsAreDroppedWhetherOrNotTheyEnded) {
  MakeKey(1, 1);
  for (const int number : {1, 2, 3, 4}) {
    GrantRecord grant = NewGrant(number, 1, Second(number));
    grant.expire_time = Second(100 + number);
    ASSERT_THAT(store().CreateGrant(grant, kMany), IsOk());
    if (number == 2) {
      ASSERT_THAT(store().EndGrant(grant), IsOk());
    }
  }
  const GrantRecord lasting = MakeGrant(5, 1, Second(5));
  GrantRecord lasting_and_ended = MakeGrant(6, 1, Second(6));
  ASSERT_THAT(store().EndGrant(lasting_and_ended), IsOk());

  EXPECT_THAT(store().DropExpiredGrants(Second(101)), IsOkAndHolds(0)) << "not before, but at";
  EXPECT_THAT(store().DropExpiredGrants(Second(103)), IsOkAndHolds(2));
  EXPECT_THAT(store().GetGrant(Grant(1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetGrant(Grant(2)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().GetGrant(Grant(3)), IsOk());
  EXPECT_THAT(store().DropExpiredGrants(absl::InfiniteFuture()), IsOkAndHolds(2));
  EXPECT_THAT(store().ListGrants(Key(1), std::nullopt, std::nullopt, kMany),
              IsOkAndHolds(ElementsAre(lasting)));
  EXPECT_THAT(store().ListEndedGrants(Key(1)), IsOkAndHolds(ElementsAre(Grant(6))));
}

TEST_P(StoreContractTest, AuditHeadIsTheLastOneSet) {
  EXPECT_THAT(store().GetAuditHead(), IsOkAndHolds(Eq(std::nullopt)));
  AuditHead head = {1, {0, 1, 2}};
  EXPECT_THAT(store().SetAuditHead(head), IsOk());
  EXPECT_THAT(store().GetAuditHead(), IsOkAndHolds(Optional(head)));
  head.sequence = int64_t{1} << 40;
  head.hash.fill(0xff);
  EXPECT_THAT(store().SetAuditHead(head), IsOk());
  ASSERT_NO_FATAL_FAILURE(Reopen());
  EXPECT_THAT(store().GetAuditHead(), IsOkAndHolds(Optional(head)));
}

}  // namespace
}  // namespace strongroom::store
