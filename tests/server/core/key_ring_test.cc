#include "server/core/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/store/store.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using store::KeyRecord;
using store::KeyState;
using store::KeyVersionRecord;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr auto kInitial = SealingVersion::kInitial;
constexpr auto kPrimary = SealingVersion::kPrimary;

KeyId UnknownKey() { return *KeyId::Parse("00000000-0000-4000-8000-000000000000"); }
KeyVersionId UnknownVersion() {
  return *KeyVersionId::Parse("00000000-0000-4000-8000-000000000001");
}

class KeyRingTest : public KmsFixture {
 protected:
  // The version that would seal.
  absl::StatusOr<KeyVersionId> Sealing(const KeyReference& key, SealingVersion which) {
    const absl::StatusOr<KeyId> id = ring().Resolve(key);
    if (!id.ok()) return id.status();
    const absl::StatusOr<UsableVersion> version = ring().ForSealing(*id, which);
    if (!version.ok()) return version.status();
    return version->key_version_id;
  }

  std::vector<store::PendingVersion> Pending() {
    const auto pending = store().ListPendingVersions();
    EXPECT_OK(pending);
    return pending.value_or(std::vector<store::PendingVersion>());
  }
};

// --- Keys and versions --------------------------------------------------------------------------

TEST_F(KeyRingTest, NewKeyIsEnabledAndHasOneVersion) {
  ASSERT_OK_AND_ASSIGN(const KeyDescription created,
                       life().CreateKey({.description = "for orders"}, kNoDeadline));
  EXPECT_EQ(created.record.state, KeyState::kEnabled);
  EXPECT_EQ(created.record.description, "for orders");
  EXPECT_EQ(created.record.create_time, clock().Now());
  EXPECT_EQ(created.record.initial_version, created.record.primary_version);

  ASSERT_OK_AND_ASSIGN(const KeyDescription described, ring().Describe(created.record.id));
  EXPECT_EQ(described.record.id, created.record.id);
  EXPECT_EQ(described.record.primary_version, created.record.primary_version);
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(created.record.id, 0, 10));
  ASSERT_THAT(versions, SizeIs(1));
  EXPECT_EQ(versions[0].record.id, created.record.initial_version);
  EXPECT_EQ(versions[0].record.number, 1);
}

TEST_F(KeyRingTest, RotationMakesANewPrimaryAndKeepsTheInitialVersion) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId first, Sealing(key, kPrimary));
  clock().Advance(absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const KeyVersionRecord second, life().CreateKeyVersion(key, kNoDeadline));
  EXPECT_EQ(second.key_id, key);
  EXPECT_EQ(second.number, 2);
  EXPECT_EQ(second.create_time, clock().Now());
  EXPECT_NE(second.id, first);
  const KeyVersionId third = Rotate(key);

  EXPECT_THAT(Sealing(key, kInitial), IsOkAndHolds(first));
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(third));
  ASSERT_OK_AND_ASSIGN(const KeyDescription described, ring().Describe(key));
  EXPECT_EQ(described.record.initial_version, first);
  EXPECT_EQ(described.record.primary_version, third);
  for (const KeyVersionId& version : {first, second.id, third}) {
    ASSERT_OK_AND_ASSIGN(const UsableVersion usable, ring().ForOpening(key, version));
    EXPECT_EQ(usable.key_id, key);
    EXPECT_EQ(usable.key_version_id, version);
    EXPECT_EQ(usable.keys.id(), version.bytes());
  }
}

TEST_F(KeyRingTest, UnknownKeyIsNotFound) {
  const KeyId unknown = UnknownKey();
  const auto not_found =
      FailsWith(Reason::kKeyNotFound, HasSubstr("00000000-0000-4000-8000-000000000000"));
  EXPECT_THAT(ring().ForSealing(unknown, kPrimary), not_found);
  EXPECT_THAT(ring().Resolve(unknown), not_found);
  EXPECT_THAT(ring().Describe(unknown), not_found);
  EXPECT_THAT(life().CreateKeyVersion(unknown, kNoDeadline), not_found);
  EXPECT_THAT(life().DisableKey(unknown), not_found);
  EXPECT_THAT(ring().CreateAlias({"alias/a"}, unknown), not_found);
  EXPECT_THAT(ring().ListKeys({}, UnknownKey(), 10), not_found);
  EXPECT_THAT(ring().ListKeyVersions(UnknownKey(), 0, 10), not_found);
  CreateAlias("alias/a", CreateKey());
  ASSERT_OK_AND_ASSIGN(const KeyId named, ring().Resolve(Alias("alias/a")));
  EXPECT_THAT(ring().UpdateAlias({"alias/a"}, named, unknown), not_found);
}

TEST_F(KeyRingTest, UnknownAliasIsNotFound) {
  const KeyReference unknown = Alias("alias/unknown");
  const auto not_found = FailsWith(Reason::kAliasNotFound, HasSubstr("alias/unknown"));
  EXPECT_THAT(ring().Resolve(unknown), not_found);
  const KeyId key = CreateKey();
  EXPECT_THAT(ring().DeleteAlias({"alias/unknown"}, key), not_found);
  EXPECT_THAT(ring().UpdateAlias({"alias/unknown"}, key, key), not_found);
}

TEST_F(KeyRingTest, DisabledKeyIsOfNoUseUntilItIsEnabled) {
  const KeyId key = CreateKey();
  const KeyId other = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(key, kPrimary));
  ASSERT_OK_AND_ASSIGN(const KeyDescription disabled, life().DisableKey(key));
  EXPECT_EQ(disabled.record.state, KeyState::kDisabled);

  EXPECT_THAT(Sealing(key, kPrimary), FailsWith(Reason::kDisabled, HasSubstr(key.ToString())));
  EXPECT_THAT(Sealing(key, kInitial), FailsWith(Reason::kDisabled));
  EXPECT_THAT(ring().ForOpening(key, version), FailsWith(Reason::kDisabled));
  EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline), FailsWith(Reason::kDisabled));
  // All else of it stays, and other keys do not care.
  EXPECT_THAT(ring().Resolve(key), IsOkAndHolds(key));
  ASSERT_OK_AND_ASSIGN(const KeyDescription described, ring().Describe(key));
  EXPECT_EQ(described.record.state, KeyState::kDisabled);
  EXPECT_THAT(Sealing(other, kPrimary), IsOk());

  Enable(key);
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
  EXPECT_THAT(ring().ForOpening(key, version), IsOk());
}

TEST_F(KeyRingTest, VersionThatIsNotTheKeysIsAnInvalidCiphertext) {
  const KeyId key = CreateKey();
  const KeyId other = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId others_version, Sealing(other, kPrimary));
  const auto invalid = FailsWith(Reason::kInvalidCiphertext);
  EXPECT_THAT(ring().ForOpening(UnknownKey(), others_version), invalid);
  EXPECT_THAT(ring().ForOpening(key, UnknownVersion()), invalid);
  EXPECT_THAT(ring().ForOpening(key, others_version), invalid);
}

TEST_F(KeyRingTest, KeysAndVersionsAreListedByPages) {
  std::vector<KeyId> keys;
  for (int i = 0; i < 3; ++i) {
    keys.push_back(CreateKey());
    clock().Advance(absl::Seconds(1));
  }
  ASSERT_OK_AND_ASSIGN(const auto first, ring().ListKeys({}, std::nullopt, 2));
  ASSERT_THAT(first.keys, SizeIs(2));
  EXPECT_EQ(first.keys[0].record.id, keys[0]);
  EXPECT_EQ(first.keys[1].record.id, keys[1]);
  ASSERT_EQ(first.next, keys[1]);
  ASSERT_OK_AND_ASSIGN(const auto second, ring().ListKeys({}, first.next, 2));
  ASSERT_THAT(second.keys, SizeIs(1));
  EXPECT_EQ(second.keys[0].record.id, keys[2]);
  EXPECT_EQ(second.next, std::nullopt);

  const KeyVersionId rotated = Rotate(keys[0]);
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(keys[0], 1, 10));
  ASSERT_THAT(versions, SizeIs(1));
  EXPECT_EQ(versions[0].record.id, rotated);
}

// --- Aliases ------------------------------------------------------------------------------------

TEST_F(KeyRingTest, AliasStandsForItsKeyAndMoves) {
  const KeyId a = CreateKey();
  const KeyId b = CreateKey();
  ASSERT_OK_AND_ASSIGN(const store::AliasRecord created, ring().CreateAlias({"alias/orders"}, a));
  EXPECT_EQ(created.name, "alias/orders");
  EXPECT_EQ(created.key_id, a);
  EXPECT_EQ(created.create_time, clock().Now());
  EXPECT_THAT(ring().Resolve(Alias("alias/orders")), IsOkAndHolds(a));
  EXPECT_THAT(ring().CreateAlias({"alias/orders"}, b),
              FailsWith(Reason::kInvalidParameter, HasSubstr("UpdateAlias")));

  clock().Advance(absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const store::AliasRecord moved, ring().UpdateAlias({"alias/orders"}, a, b));
  EXPECT_EQ(moved.key_id, b);
  EXPECT_EQ(moved.create_time, created.create_time);
  EXPECT_EQ(moved.update_time, clock().Now());
  EXPECT_THAT(ring().Resolve(Alias("alias/orders")), IsOkAndHolds(b));

  ASSERT_OK(ring().DeleteAlias({"alias/orders"}, b));
  EXPECT_THAT(ring().Resolve(Alias("alias/orders")), FailsWith(Reason::kAliasNotFound));
  ASSERT_OK(ring().CreateAlias({"alias/orders"}, a));
  EXPECT_THAT(ring().Resolve(Alias("alias/orders")), IsOkAndHolds(a));
}

// Who may change it was decided by the key that it named.
TEST_F(KeyRingTest, AliasThatWasMovedMeanwhileIsNotChanged) {
  const KeyId a = CreateKey();
  const KeyId b = CreateKey();
  CreateAlias("alias/orders", b);
  const auto moved = FailsWith(Reason::kServiceUnavailableTemporary, HasSubstr("moved"));
  EXPECT_THAT(ring().UpdateAlias({"alias/orders"}, a, a), moved);
  EXPECT_THAT(ring().DeleteAlias({"alias/orders"}, a), moved);
  EXPECT_THAT(ring().Resolve(Alias("alias/orders")), IsOkAndHolds(b));
}

TEST_F(KeyRingTest, AliasesAreListedOfOneKeyOrOfAll) {
  const KeyId a = CreateKey();
  const KeyId b = CreateKey();
  CreateAlias("alias/1", a);
  CreateAlias("alias/2", b);
  ASSERT_OK(ring().CreateAlias({"alias/3"}, a));
  const auto names = [](const std::vector<store::AliasRecord>& aliases) {
    std::vector<std::string> names;
    for (const store::AliasRecord& alias : aliases) names.push_back(alias.name);
    return names;
  };
  ASSERT_OK_AND_ASSIGN(const auto all, ring().ListAliases(std::nullopt, "", 10));
  EXPECT_THAT(names(all), ElementsAre("alias/1", "alias/2", "alias/3"));
  ASSERT_OK_AND_ASSIGN(const auto of_a, ring().ListAliases(a, "", 10));
  EXPECT_THAT(names(of_a), ElementsAre("alias/1", "alias/3"));
  ASSERT_OK_AND_ASSIGN(const auto page, ring().ListAliases(std::nullopt, "alias/1", 1));
  EXPECT_THAT(names(page), ElementsAre("alias/2"));
}

// --- Starting -----------------------------------------------------------------------------------

TEST_F(KeyRingTest, RestartLosesNothing) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId first, Sealing(key, kPrimary));
  const KeyVersionId second = Rotate(key);
  const KeyId disabled = CreateKey();
  Disable(disabled);
  CreateAlias("alias/orders", key);

  Restart();
  EXPECT_EQ(report().versions, 3);
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_EQ(report().reaped, 0);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(Sealing(Alias("alias/orders"), kInitial), IsOkAndHolds(first));
  EXPECT_THAT(Sealing(Alias("alias/orders"), kPrimary), IsOkAndHolds(second));
  EXPECT_THAT(ring().ForOpening(key, first), IsOk());
  EXPECT_THAT(Sealing(disabled, kPrimary), FailsWith(Reason::kDisabled));
}

TEST_F(KeyRingTest, TokenOfAnotherStoreIsRefused) {
  const KeyId key = CreateKey();
  const std::string owner = store().id().ToString();
  Stop();
  const std::string own_store = store_path();
  store_path() = softhsm().directory() + "/other.db";
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  EXPECT_THAT(OpenRing(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   AllOf(HasSubstr(absl::StrCat("store with id ", owner)),
                                         HasSubstr(store().id().ToString()),
                                         HasSubstr("configure that store"))));
  // The other store was not bound: it can still get a token of its own.
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(std::nullopt));

  Stop();
  store_path() = own_store;
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_THAT(Sealing(key, kPrimary), IsOk());
}

TEST_F(KeyRingTest, AnotherTokenThanTheStoresIsRefused) {
  const std::string serial = token().info().serial;
  Stop();
  ASSERT_OK(softhsm().AddToken("other"));
  token_options().token = "other";
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  EXPECT_THAT(OpenRing(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   AllOf(HasSubstr(absl::StrCat("serial ", serial)),
                                         HasSubstr(token().info().serial), HasSubstr("\"other\""),
                                         HasSubstr("configure the store's own token"))));
  // The other token was not claimed.
  EXPECT_THAT(token().ReadOwner(kNoDeadline), IsOkAndHolds(std::nullopt));
}

TEST_F(KeyRingTest, ClaimThatACrashLeftHalfDoneIsCompleted) {
  Stop();
  ASSERT_OK(softhsm().AddToken("fresh"));
  token_options().token = "fresh";
  store_path() = softhsm().directory() + "/fresh.db";
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  // The token is claimed before the store is bound.
  store().Fail("BindToken", absl::UnavailableError("crash"));
  EXPECT_THAT(OpenRing(), StatusIs(absl::StatusCode::kUnavailable));
  Stop();
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_THAT(store().GetTokenSerial(), IsOkAndHolds(token().info().serial));
  EXPECT_THAT(token().ReadOwner(kNoDeadline), IsOkAndHolds(store().id().ToString()));
}

TEST_F(KeyRingTest, WhatACrashLeftHalfMadeIsTakenBack) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(key, kPrimary));
  // A key and a version whose keys were made in the token, and a version whose were not.
  KeyRecord half_key;
  half_key.id = UnknownKey();
  const KeyVersionId of_half_key = UnknownVersion();
  const auto half_version = *KeyVersionId::Parse("00000000-0000-4000-8000-000000000002");
  const auto begun_version = *KeyVersionId::Parse("00000000-0000-4000-8000-000000000003");
  ASSERT_OK(store().BeginKey(half_key, of_half_key, ""));
  ASSERT_OK(token().CreateVersionKeys(of_half_key.bytes(), kNoDeadline));
  ASSERT_OK(store().BeginVersion(key, half_version, clock().Now()));
  ASSERT_OK(token().CreateVersionKeys(half_version.bytes(), kNoDeadline));
  ASSERT_OK(store().BeginVersion(key, begun_version, clock().Now()));

  Restart();
  EXPECT_EQ(report().reaped, 3);
  EXPECT_EQ(report().versions, 1);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_THAT(Pending(), IsEmpty());
  for (const KeyVersionId& reaped : {of_half_key, half_version, begun_version}) {
    EXPECT_THAT(token().FindVersionKeys(reaped.bytes(), kNoDeadline),
                StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_THAT(ring().Describe(half_key.id), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
}

TEST_F(KeyRingTest, WhatCannotBeTakenBackIsNotForgotten) {
  KeyRecord half_key;
  half_key.id = UnknownKey();
  ASSERT_OK(store().BeginKey(half_key, UnknownVersion(), ""));
  ASSERT_OK(token().CreateVersionKeys(UnknownVersion().bytes(), kNoDeadline));
  Stop();
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(OpenRing(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Pending(), SizeIs(1));
  faults().Reset();
  EXPECT_THAT(OpenRing(), IsOk());
  EXPECT_EQ(report().reaped, 1);
  EXPECT_THAT(Pending(), IsEmpty());
}

TEST_F(KeyRingTest, VersionsThatTheStoreDoesNotKnowAreLeftAlone) {
  ASSERT_OK(token().CreateVersionKeys(UnknownVersion().bytes(), kNoDeadline));
  Restart();
  EXPECT_EQ(report().unknown, 1);
  EXPECT_EQ(report().reaped, 0);
  EXPECT_THAT(token().FindVersionKeys(UnknownVersion().bytes(), kNoDeadline), IsOk());
}

TEST_F(KeyRingTest, VersionMissingInTheTokenIsReportedAndUnavailable) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId first, Sealing(key, kPrimary));
  const KeyVersionId second = Rotate(key);
  ASSERT_OK(token().DestroyVersionKeys(first.bytes(), kNoDeadline));
  Restart();
  EXPECT_EQ(report().versions, 2);
  EXPECT_THAT(report().unusable,
              ElementsAre(AllOf(HasSubstr(key.ToString()), HasSubstr(first.ToString()),
                                HasSubstr("has no keys"))));
  const auto unavailable = FailsWith(Reason::kUnavailable, HasSubstr(first.ToString()));
  EXPECT_THAT(Sealing(key, kInitial), unavailable);
  EXPECT_THAT(ring().ForOpening(key, first), unavailable);
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(second));
  EXPECT_THAT(ring().ForOpening(key, second), IsOk());
  // That the key lacks a version does not make another one its own.
  EXPECT_THAT(ring().ForOpening(key, UnknownVersion()), FailsWith(Reason::kInvalidCiphertext));
  EXPECT_THAT(ring().ForOpening(CreateKey(), first), FailsWith(Reason::kInvalidCiphertext));
}

TEST_F(KeyRingTest, VersionThatDriftedIsReportedAndUnavailable) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(key, kPrimary));
  ASSERT_OK(faults().Apply("attribute strongroom-seal CKA_EXTRACTABLE 01"));
  Restart();
  EXPECT_THAT(report().unusable,
              ElementsAre(AllOf(HasSubstr(key.ToString()), HasSubstr(version.ToString()),
                                HasSubstr("CKA_EXTRACTABLE"))));
  EXPECT_THAT(Sealing(key, kPrimary), FailsWith(Reason::kUnavailable));
  EXPECT_THAT(ring().ForOpening(key, version), FailsWith(Reason::kUnavailable));

  faults().Reset();
  Restart();
  EXPECT_THAT(report().unusable, IsEmpty());
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
}

// --- Failures -----------------------------------------------------------------------------------

TEST_F(KeyRingTest, TokenThatDoesNotMakeKeysLeavesNothing) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(key, kPrimary));
  struct Case {
    const char* fault;
    Reason reason;
  };
  constexpr Case kCases[] = {
      {"fail C_GenerateKey CKR_DEVICE_ERROR", Reason::kUnavailable},
      {"fail C_GenerateKey CKR_DEVICE_MEMORY", Reason::kThrottling},
      {"fail C_GenerateKey CKR_GENERAL_ERROR call=2", Reason::kInternalFailure},
      {"fail C_GenerateRandom CKR_DEVICE_ERROR", Reason::kUnavailable},
      {"attribute strongroom-wrap CKA_LOCAL 00", Reason::kInternalFailure},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.fault);
    ASSERT_OK(faults().Apply(c.fault));
    EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(c.reason));
    faults().Reset();
    ASSERT_OK(faults().Apply(c.fault));
    EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline), FailsWith(c.reason));
    faults().Reset();
    EXPECT_THAT(Pending(), IsEmpty());
  }
  ASSERT_OK_AND_ASSIGN(const auto keys, ring().ListKeys({}, std::nullopt, 10));
  EXPECT_THAT(keys.keys, SizeIs(1));
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
  Restart();
  EXPECT_EQ(report().unknown, 0);
}

TEST_F(KeyRingTest, TokenThatCannotCleanUpLeavesItToTheNextStart) {
  // Never the seal key without the wrap key: destroying what there is fails too.
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=2"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(Reason::kUnavailable));
  EXPECT_THAT(Pending(), SizeIs(1));
  faults().Reset();
  Restart();
  EXPECT_EQ(report().reaped, 1);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(Pending(), IsEmpty());
}

TEST_F(KeyRingTest, KeysThatWereInTheTokenBeforeAreNotDestroyed) {
  // An id that repeats: a token whose random numbers do.
  KeyVersionId taken;
  store().OnBeginKey([&](const KeyVersionId& version) {
    taken = version;
    ASSERT_OK(token().CreateVersionKeys(version.bytes(), kNoDeadline));
  });
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(Reason::kInternalFailure));
  EXPECT_THAT(token().FindVersionKeys(taken.bytes(), kNoDeadline), IsOk());
  EXPECT_THAT(Pending(), IsEmpty());
  Restart();
  EXPECT_THAT(token().FindVersionKeys(taken.bytes(), kNoDeadline), IsOk());
}

TEST_F(KeyRingTest, DeadlineThatPassedStopsCreation) {
  const Deadline passed = std::chrono::steady_clock::now();
  token_options().lanes = 1;
  ASSERT_NO_FATAL_FAILURE(Restart());
  // The one lane is busy.
  ASSERT_OK_AND_ASSIGN(testing::HoldPoint point, testing::HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateRandom ", point.path(), " call=1")));
  std::thread busy([&] { EXPECT_OK(data_keys().GenerateRandom(1, kNoDeadline)); });
  ASSERT_OK(point.WaitUntilHeld());
  EXPECT_THAT(life().CreateKey({}, passed), FailsWith(Reason::kDependencyTimeout));
  point.Release();
  busy.join();
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), IsOk());
}

TEST_F(KeyRingTest, StoreThatIsAwayIsATemporaryFailure) {
  const KeyId key = CreateKey();
  CreateAlias("alias/a", key);
  Restart();  // Nothing is in memory.
  const absl::Status away = absl::UnavailableError("sqlite: database is locked");
  for (const char* member :
       {"GetKey", "GetAlias", "SetKeyState", "BeginKey", "BeginVersion", "CreateAlias",
        "UpdateAlias", "DeleteAlias", "ListKeys", "ListKeyVersions", "ListAliases"}) {
    store().Fail(member, away);
  }
  const auto temporary = FailsWith(Reason::kServiceUnavailableTemporary, Not(HasSubstr("sqlite")));
  const absl::Status error = ring().Describe(key).status();
  EXPECT_THAT(error, temporary);
  EXPECT_TRUE(RetryDelayOf(error).has_value());
  EXPECT_EQ(DetailOf(error), "sqlite: database is locked");
  EXPECT_THAT(ring().Resolve(Alias("alias/a")), temporary);
  EXPECT_THAT(Sealing(key, kPrimary), temporary);
  EXPECT_THAT(ring().ForOpening(key, UnknownVersion()), temporary);
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), temporary);
  EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline), temporary);
  EXPECT_THAT(life().DisableKey(key), temporary);
  EXPECT_THAT(ring().CreateAlias({"alias/b"}, key), temporary);
  EXPECT_THAT(ring().UpdateAlias({"alias/a"}, key, key), temporary);
  EXPECT_THAT(ring().DeleteAlias({"alias/a"}, key), temporary);
  EXPECT_THAT(ring().ListKeys({}, std::nullopt, 1), temporary);
  EXPECT_THAT(ring().ListKeyVersions(key, 0, 1), temporary);
  EXPECT_THAT(ring().ListAliases(std::nullopt, "", 1), temporary);

  store().Mend();
  EXPECT_THAT(Sealing(Alias("alias/a"), kPrimary), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto keys, ring().ListKeys({}, std::nullopt, 10));
  EXPECT_THAT(keys.keys, SizeIs(1));
}

TEST_F(KeyRingTest, KeysInUseDoNotNeedTheStore) {
  const KeyId key = CreateKey();
  CreateAlias("alias/a", key);
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(Alias("alias/a"), kPrimary));
  for (const char* member : {"GetKey", "GetAlias", "GetKeyVersion"}) {
    store().Fail(member, absl::UnavailableError("away"));
  }
  EXPECT_THAT(Sealing(Alias("alias/a"), kPrimary), IsOkAndHolds(version));
  EXPECT_THAT(ring().ForOpening(key, version), IsOk());
  EXPECT_THAT(ring().ForOpening(key, UnknownVersion()), FailsWith(Reason::kInvalidCiphertext));
}

TEST_F(KeyRingTest, DamagedStoreIsAnInternalFailure) {
  const KeyId key = CreateKey();
  store().Fail("SetKeyState", absl::InternalError("sqlite: malformed"));
  const absl::Status error = life().DisableKey(key).status();
  EXPECT_THAT(error, FailsWith(Reason::kInternalFailure, Not(HasSubstr("sqlite"))));
  EXPECT_EQ(DetailOf(error), "sqlite: malformed");
  EXPECT_THAT(Sealing(key, kPrimary), IsOk());
}

TEST_F(KeyRingTest, VersionThatIsNotCommittedIsNeverUsed) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const KeyVersionId version, Sealing(key, kPrimary));
  store().Fail("CommitVersion", absl::UnavailableError("full"));
  EXPECT_THAT(life().CreateKeyVersion(key, kNoDeadline),
              FailsWith(Reason::kServiceUnavailableTemporary));
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(Reason::kServiceUnavailableTemporary));
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
  EXPECT_THAT(Pending(), SizeIs(2));
  Restart();
  EXPECT_EQ(report().reaped, 2);
  EXPECT_EQ(report().unknown, 0);
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(version));
}

TEST_F(KeyRingTest, CommittedVersionIsUsedThoughItCouldNotBeReadBack) {
  const KeyId key = CreateKey();
  // Not when the rotation looks at the key.
  store().Fail("GetKey", absl::UnavailableError("busy"), /*but_for_the_first=*/1);
  ASSERT_OK_AND_ASSIGN(const KeyVersionRecord second, life().CreateKeyVersion(key, kNoDeadline));
  // Rather no answer than the old version.
  EXPECT_THAT(Sealing(key, kPrimary), FailsWith(Reason::kServiceUnavailableTemporary));
  store().Mend();
  EXPECT_THAT(Sealing(key, kPrimary), IsOkAndHolds(second.id));
}

TEST_F(KeyRingTest, StateThatCouldNotBeReadBackIsNotTheOldOne) {
  const KeyId key = CreateKey();
  ASSERT_THAT(Sealing(key, kPrimary), IsOk());
  // Not when the change looks at the key, but when it reads it back.
  store().Fail("GetKey", absl::UnavailableError("busy"), 1);
  EXPECT_THAT(life().DisableKey(key), FailsWith(Reason::kServiceUnavailableTemporary));
  EXPECT_THAT(Sealing(key, kPrimary), FailsWith(Reason::kServiceUnavailableTemporary));
  store().Mend();
  EXPECT_THAT(Sealing(key, kPrimary), FailsWith(Reason::kDisabled));
}

}  // namespace
}  // namespace strongroom::core
