// How often a key version seals: on a real token, whose calls are counted.

#include "server/core/use_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "platform/mutex.h"
#include "server/core/blob.h"
#include "server/core/error.h"
#include "server/store/store.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr int64_t kMost = 1000;
constexpr int64_t kRotateAt = 500;
// A hundredth of kMost is what is reserved at a time.
constexpr int64_t kBlock = 10;
// The proof of a version, which is sealed when it is made, is its first use.
constexpr int64_t kProof = 1;
constexpr int kThreads = 4;

class UseBudgetTest : public KmsFixture {
 protected:
  void SetUp() override {
    use_limits() = {.rotate_at = kRotateAt, .most = kMost, .block = 4096};
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    encrypts_before_ = faults().Calls("C_Encrypt");
  }

  absl::StatusOr<Sealed> TrySeal(const KeyId& key,
                                 SealingVersion version = SealingVersion::kPrimary) {
    return data_keys().Encrypt({.key = key, .version = version}, "text", kNoDeadline);
  }

  // Seals so often. Fails the test where sealing does.
  void SealTimes(const KeyId& key, int64_t times,
                 SealingVersion version = SealingVersion::kPrimary) {
    for (int64_t i = 0; i < times; ++i) {
      const absl::StatusOr<Sealed> sealed = TrySeal(key, version);
      ASSERT_OK(sealed);
      Keep(*sealed);
    }
  }

  // Several threads at once, until each was refused. Fails the test if for another reason.
  void SealUntilRefused(const KeyId& key) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        while (true) {
          const absl::StatusOr<Sealed> sealed = TrySeal(key);
          if (!sealed.ok()) {
            EXPECT_THAT(sealed, FailsWith(Reason::kLimitExceeded));
            return;
          }
          Keep(*sealed);
          if (seals() > 2 * kMost) {
            ADD_FAILURE() << "nobody counts";
            return;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // An IV that another blob has fails the test.
  void Keep(const Sealed& sealed) {
    const std::optional<ParsedBlob> parsed = ParseBlob(sealed.blob);
    MutexLock lock(mu_);
    ++seals_;
    EXPECT_TRUE(parsed.has_value() && parsed->header.iv == sealed.iv);
    EXPECT_TRUE(ivs_.insert(sealed.iv).second);
  }

  int64_t seals() {
    MutexLock lock(mu_);
    return seals_;
  }

  // All that the token sealed since SetUp, whoever wanted it. A start of the token seals too, for
  // it tries what the token can do, on keys of the session: see RestartAsAfterACrash.
  int64_t Encrypts() {
    return static_cast<int64_t>(faults().Calls("C_Encrypt") - encrypts_before_);
  }

  // Nothing is told to the store at the end: what is left of a block is lost, as with kill -9.
  void RestartAsAfterACrash() {
    const uint64_t before = faults().Calls("C_Encrypt");
    ASSERT_NO_FATAL_FAILURE(Restart());
    encrypts_before_ += faults().Calls("C_Encrypt") - before;
  }

  KeyDescription Describe(const KeyId& key) {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key);
    EXPECT_OK(description);
    return description.value_or(KeyDescription());
  }
  int64_t LeftOf(const KeyId& key) { return Describe(key).primary_uses_left; }

  // What the store has durably, of the primary version.
  int64_t Reserved(const KeyId& key) {
    const auto version = store().GetKeyVersion(Describe(key).record.primary_version);
    EXPECT_OK(version);
    return version.ok() ? version->uses_reserved : -1;
  }

 private:
  uint64_t encrypts_before_ = 0;
  Mutex mu_;
  int64_t seals_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<hsm::Iv> ivs_ ABSL_GUARDED_BY(mu_);
};

// --- The limit ----------------------------------------------------------------------------------

TEST_F(UseBudgetTest, VersionSealsAsOftenAsItMayAndThenRefuses) {
  const KeyId key = CreateKey();
  EXPECT_EQ(LeftOf(key), kMost - kProof);
  SealUntilRefused(key);
  EXPECT_EQ(seals(), kMost - kProof);
  EXPECT_EQ(Encrypts(), kMost);
  EXPECT_EQ(LeftOf(key), 0);
  EXPECT_EQ(Reserved(key), kMost);

  // For good, whatever seals and however often it is asked.
  const auto refused = FailsWith(Reason::kLimitExceeded,
                                 AllOf(HasSubstr("1000 times"), HasSubstr("CreateKeyVersion"),
                                       HasSubstr(Describe(key).record.primary_version.ToString())));
  EXPECT_THAT(TrySeal(key), refused);
  EXPECT_THAT(data_keys().GenerateDataKey({.key = key}, 32, Plaintext::kReturned, kNoDeadline),
              refused);
  EXPECT_THAT(data_keys().GenerateDataKey({.key = key}, 32, Plaintext::kNotReturned, kNoDeadline),
              refused);
  EXPECT_THAT(data_keys().GenerateKeyPair({.key = key}, hsm::PairSpec::kEcP256, KeyFormat::kDer,
                                          Plaintext::kNotReturned, kNoDeadline),
              refused);
  EXPECT_THAT(data_keys().RehearseSealing(key, SealingVersion::kPrimary, std::nullopt, kNoDeadline),
              refused);
  ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  EXPECT_THAT(TrySeal(key), refused);
  EXPECT_EQ(Encrypts(), kMost);
  EXPECT_EQ(LeftOf(key), 0);
}

TEST_F(UseBudgetTest, WhatIsSealedStillOpensAtTheLimit) {
  const KeyId key = CreateKey();
  const Sealed sealed = Seal(key, "text");
  SealUntilRefused(key);
  ExpectOpens(sealed.blob, Binding(), "text");
}

TEST_F(UseBudgetTest, LeftGoesDownByOneWithEverySeal) {
  const KeyId key = CreateKey();
  for (int64_t i = 1; i <= 3 * kBlock; ++i) {
    ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
    ASSERT_EQ(LeftOf(key), kMost - kProof - i);
  }
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(key, 0, 10));
  ASSERT_THAT(versions, SizeIs(1));
  EXPECT_EQ(versions[0].uses_left, LeftOf(key));
}

TEST_F(UseBudgetTest, LeftIsNeverBelowZeroNorAboveTheLimitWhileThreadsSeal) {
  const KeyId key = CreateKey();
  std::atomic<bool> done = false;
  std::thread looker([&] {
    while (!done) {
      const int64_t left = LeftOf(key);
      EXPECT_GE(left, 0);
      EXPECT_LT(left, kMost);
    }
  });
  SealUntilRefused(key);
  done = true;
  looker.join();
  EXPECT_EQ(LeftOf(key), 0);
}

// --- Crashes ------------------------------------------------------------------------------------

TEST_F(UseBudgetTest, CrashLosesWhatWasLeftOfABlockAndNothingIsUsedTwice) {
  const KeyId key = CreateKey();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kBlock / 2));
  EXPECT_EQ(Reserved(key), kProof + kBlock);
  EXPECT_EQ(LeftOf(key), kMost - kProof - kBlock / 2);

  ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  EXPECT_EQ(LeftOf(key), kMost - kProof - kBlock);
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  EXPECT_EQ(Reserved(key), kProof + 2 * kBlock);

  ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  SealUntilRefused(key);
  // Two blocks were cut short, and the limit holds.
  EXPECT_EQ(seals(), kMost - kProof - kBlock / 2 - (kBlock - 1));
  EXPECT_EQ(Encrypts(), kProof + seals());
}

TEST_F(UseBudgetTest, ManyCrashesDoNotMakeMoreUses) {
  const KeyId key = CreateKey();
  int64_t starts = 0;
  while (true) {
    const absl::StatusOr<Sealed> sealed = TrySeal(key);
    if (!sealed.ok()) {
      EXPECT_THAT(sealed, FailsWith(Reason::kLimitExceeded));
      break;
    }
    Keep(*sealed);
    ASSERT_LT(++starts, 2 * kMost / kBlock);
    ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  }
  // One seal a block.
  EXPECT_EQ(seals(), (kMost - kProof + kBlock - 1) / kBlock);
  EXPECT_EQ(Encrypts(), kProof + seals());
  EXPECT_EQ(LeftOf(key), 0);
}

TEST_F(UseBudgetTest, SealThatTheTokenRefusesIsAUseAllTheSame) {
  const KeyId key = CreateKey();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  const int64_t left = LeftOf(key);
  ASSERT_OK(faults().Apply("fail C_Encrypt CKR_DEVICE_ERROR call=1 forwarded"));
  EXPECT_THAT(TrySeal(key), Not(testing::IsOk()));
  EXPECT_EQ(LeftOf(key), left - 1);
}

TEST_F(UseBudgetTest, StoreThatFailsLetsNothingBeSealed) {
  const KeyId key = CreateKey();
  const int64_t encrypts = Encrypts();
  store().Fail("ReserveUses", absl::UnavailableError("sqlite: disk full"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(TrySeal(key),
                FailsWith(Reason::kServiceUnavailableTemporary, Not(HasSubstr("sqlite"))));
  }
  EXPECT_EQ(Encrypts(), encrypts);
  EXPECT_EQ(LeftOf(key), kMost - kProof);
  EXPECT_EQ(Reserved(key), kProof);

  store().Mend();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  // What is reserved already needs no store.
  store().Fail("ReserveUses", absl::UnavailableError("sqlite: disk full"));
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kBlock - 1));
  EXPECT_THAT(TrySeal(key), FailsWith(Reason::kServiceUnavailableTemporary));
}

// --- Rotation because of use --------------------------------------------------------------------

TEST_F(UseBudgetTest, KeyIsToldOnceThatItShouldRotate) {
  const KeyId key = CreateKey();
  const KeyId other = CreateKey();
  EXPECT_THAT(ring().TakeKeysToRotate(), IsEmpty());
  std::thread waiter([&] { ring().WaitForKeysToRotate(kNoDeadline); });
  // The block with which so many are reserved is what asks.
  const int64_t blocks = (kRotateAt - kProof + kBlock - 1) / kBlock;
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, (blocks - 1) * kBlock));
  EXPECT_FALSE(ring().PrimaryIsWorn(Describe(key).record));
  EXPECT_THAT(ring().TakeKeysToRotate(), IsEmpty());
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  EXPECT_TRUE(ring().PrimaryIsWorn(Describe(key).record));
  EXPECT_FALSE(ring().PrimaryIsWorn(Describe(other).record));
  waiter.join();
  EXPECT_THAT(ring().TakeKeysToRotate(), ElementsAre(key));
  EXPECT_THAT(ring().TakeKeysToRotate(), IsEmpty());
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kBlock - 1));
  EXPECT_THAT(ring().TakeKeysToRotate(), IsEmpty());
  // Nobody has rotated it: it is told again with the next block.
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  EXPECT_THAT(ring().TakeKeysToRotate(), ElementsAre(key));
}

TEST_F(UseBudgetTest, WaitingForKeysToRotateEnds) {
  // At its deadline, and when it is woken, even before it waits.
  ring().WaitForKeysToRotate(std::chrono::steady_clock::now());
  ring().WakeUp();
  ring().WaitForKeysToRotate(kNoDeadline);
  std::thread waiter([&] { ring().WaitForKeysToRotate(kNoDeadline); });
  ring().WakeUp();
  waiter.join();
}

TEST_F(UseBudgetTest, WornKeyRotatesOnceThoughManyAsk) {
  const KeyId key = CreateKey();
  EXPECT_EQ(Describe(key).record.next_rotation,
            Describe(key).record.create_time + absl::Hours(24) * 90);
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kRotateAt));
  std::vector<std::thread> threads;
  std::atomic<int> made = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto version = life().RotateIfDue(key, kNoDeadline);
      EXPECT_OK(version);
      if (version.ok() && version->has_value()) ++made;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(key, 0, 10));
  EXPECT_THAT(versions, SizeIs(2));
  EXPECT_FALSE(ring().PrimaryIsWorn(Describe(key).record));
}

TEST_F(UseBudgetTest, NewPrimaryVersionHasABudgetOfItsOwn) {
  const KeyId key = CreateKey();
  SealUntilRefused(key);
  ASSERT_OK_AND_ASSIGN(const auto rotated, life().RotateIfDue(key, kNoDeadline));
  ASSERT_TRUE(rotated.has_value());
  EXPECT_EQ(Describe(key).primary_uses_left, kMost - kProof);
  EXPECT_EQ(Describe(key).initial_uses_left, 0);
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, 1));
  EXPECT_EQ(Describe(key).primary_uses_left, kMost - kProof - 1);
  // The initial one stays at its limit, for which no rotation is made: it would not help.
  ring().TakeKeysToRotate();
  EXPECT_THAT(TrySeal(key, SealingVersion::kInitial), FailsWith(Reason::kLimitExceeded));
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), testing::IsOkAndHolds(Not(Optional(_))));
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(key, 0, 10));
  ASSERT_THAT(versions, SizeIs(2));
  EXPECT_EQ(versions[0].uses_left, 0);
  EXPECT_EQ(versions[1].uses_left, kMost - kProof - 1);

  ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  EXPECT_THAT(TrySeal(key, SealingVersion::kInitial), FailsWith(Reason::kLimitExceeded));
  EXPECT_EQ(Describe(key).primary_uses_left, kMost - kProof - kBlock);
}

TEST_F(UseBudgetTest, WornKeyIsFoundDueAfterARestart) {
  const KeyId key = CreateKey();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kRotateAt));
  ASSERT_NO_FATAL_FAILURE(RestartAsAfterACrash());
  ASSERT_OK_AND_ASSIGN(const std::vector<DueWork> due, life().ListDue());
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].kind, DueWork::Kind::kRotate);
  EXPECT_EQ(due[0].key, key);
}

// A store that fails must not make the server forget what is due.
TEST_F(UseBudgetTest, WornKeyIsStillDueAfterTheStoreFailed) {
  const KeyId key = CreateKey();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kRotateAt));
  for (const char* member : {"ListKeysToRotate", "ListKeysToDestroy"}) {
    store().Fail(member, absl::UnavailableError("busy"));
    EXPECT_THAT(life().ListDue(), FailsWith(Reason::kServiceUnavailableTemporary));
    store().Mend();
  }
  EXPECT_THAT(life().ListDue(), testing::IsOkAndHolds(SizeIs(1)));
}

TEST_F(UseBudgetTest, WornKeyThatIsDisabledRotatesOnceItIsEnabled) {
  const KeyId key = CreateKey();
  ASSERT_NO_FATAL_FAILURE(SealTimes(key, kRotateAt));
  Disable(key);
  EXPECT_THAT(life().RotateIfDue(key, kNoDeadline), testing::IsOkAndHolds(Not(Optional(_))));
  Enable(key);
  ASSERT_OK_AND_ASSIGN(const auto rotated, life().RotateIfDue(key, kNoDeadline));
  EXPECT_TRUE(rotated.has_value());
}

// --- Without the token --------------------------------------------------------------------------

TEST_F(UseBudgetTest, BlockIsSmallWhereTheLimitIs) {
  const KeyId key = CreateKey();
  const KeyVersionId version = Describe(key).record.primary_version;
  struct Case {
    UseLimits limits;
    int64_t block;
  };
  const Case cases[] = {
      {{.rotate_at = 50, .most = 99, .block = 4096}, 1},
      {{.rotate_at = 50'000, .most = 100'000, .block = 4096}, 1000},
      {{.rotate_at = int64_t{1} << 31, .most = int64_t{1} << 32, .block = 4096}, 4096},
      {{.rotate_at = int64_t{1} << 31, .most = int64_t{1} << 32, .block = 1}, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.limits.most);
    const int64_t before = Reserved(key);
    UseBudget budget(store(), c.limits, version, before);
    ASSERT_OK(budget.Take());
    EXPECT_EQ(budget.reserved(), before + c.block);
    EXPECT_EQ(Reserved(key), before + c.block);
    EXPECT_EQ(budget.Left(), c.limits.most - before - 1);
  }
}

TEST_F(UseBudgetTest, UseThatIsKnownToBeTheLastDoesNotAskTheStoreAgain) {
  const KeyId key = CreateKey();
  SealUntilRefused(key);
  // Who goes on asking does not keep the store busy.
  store().Fail("ReserveUses", absl::UnavailableError("asked"));
  EXPECT_THAT(TrySeal(key), FailsWith(Reason::kLimitExceeded));
}

class UseBlockTest : public KmsFixture {};

// So that nobody waits for the disk but the one who reserves.
TEST_F(UseBlockTest, NextBlockIsThereBeforeTheLastOneIsUsedUp) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const UsableVersion version,
                       ring().ForSealing(key, SealingVersion::kPrimary));
  const UseLimits limits = {.block = 100};
  UseBudget budget(store(), limits, version.key_version_id, kProof);
  for (int taken = 1; taken <= 500; ++taken) {
    ASSERT_OK(budget.Take());
    // The first block begins with the first use, and each half of one brings another.
    const int blocks = 1 + (taken + 50) / 100;
    ASSERT_EQ(budget.reserved(), kProof + 100 * blocks) << taken;
  }
}

TEST_F(UseBlockTest, StoreThatFailsMeanwhileIsAskedAgainWhenTheBlockIsUsedUp) {
  const KeyId key = CreateKey();
  ASSERT_OK_AND_ASSIGN(const UsableVersion version,
                       ring().ForSealing(key, SealingVersion::kPrimary));
  const UseLimits limits = {.block = 100};
  UseBudget budget(store(), limits, version.key_version_id, kProof);
  for (int taken = 1; taken < 50; ++taken) ASSERT_OK(budget.Take());
  store().Fail("ReserveUses", absl::UnavailableError("no disk"));
  for (int taken = 50; taken <= 100; ++taken) ASSERT_OK(budget.Take());
  EXPECT_EQ(budget.reserved(), kProof + 100);
  EXPECT_THAT(budget.Take(), FailsWith(Reason::kServiceUnavailableTemporary));
  store().Mend();
  ASSERT_OK(budget.Take());
  EXPECT_EQ(budget.reserved(), kProof + 200);
}

}  // namespace
}  // namespace strongroom::core
