// Of many threads at once.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/store/store_contract.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::store {
namespace {

using absl::StatusCode;
using strongroom::testing::IsOk;
using strongroom::testing::IsOkAndHolds;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::IsEmpty;

constexpr int kThreads = 4;
constexpr int kRounds = 20;
constexpr int kMany = 1000;

class Threads {
 public:
  ~Threads() { Join(); }
  void Start(std::function<void()> body) { threads_.emplace_back(std::move(body)); }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::vector<std::thread> threads_;
};

TEST_P(StoreContractTest, ReadersSeeWholeRotationsWhileOthersRotate) {
  MakeKey(1, 1);
  std::atomic<bool> done = false;
  Threads writers, readers;
  for (int thread = 0; thread < kThreads; ++thread) {
    writers.Start([this, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const KeyVersionId kept = Version(100 * (thread + 1) + round);
        const KeyVersionId dropped = Version(1000 + 100 * thread + round);
        EXPECT_THAT(store().BeginVersion(Key(1), kept, Second(round)), IsOk());
        EXPECT_THAT(store().BeginVersion(Key(1), dropped, Second(round)), IsOk());
        EXPECT_THAT(store().DropPendingVersion(dropped), IsOk());
        EXPECT_THAT(store().CommitVersion(kept, "proof"), IsOk());
      }
    });
    readers.Start([this, &done] {
      int32_t last = 0;
      do {
        absl::StatusOr<KeyRecord> key = store().GetKey(Key(1));
        ASSERT_THAT(key, IsOk());
        EXPECT_EQ(key->initial_version, Version(1));
        absl::StatusOr<KeyVersionRecord> primary = store().GetKeyVersion(key->primary_version);
        ASSERT_THAT(primary, IsOk());
        EXPECT_GE(primary->number, last);
        last = primary->number;

        absl::StatusOr<std::vector<KeyVersionRecord>> versions =
            store().ListKeyVersions(Key(1), 0, kMany);
        ASSERT_THAT(versions, IsOk());
        EXPECT_GE(versions->size(), static_cast<size_t>(last));
        for (size_t i = 0; i < versions->size(); ++i) {
          EXPECT_EQ((*versions)[i].number, static_cast<int32_t>(i + 1));
        }
      } while (!done);
    });
  }
  writers.Join();
  done = true;
  readers.Join();

  const std::vector<KeyVersionRecord> versions = store().ListKeyVersions(Key(1), 0, kMany).value();
  EXPECT_EQ(versions.size(), 1u + kThreads * kRounds);
  EXPECT_EQ(store().GetKey(Key(1)).value().primary_version, versions.back().id);
  EXPECT_THAT(store().ListPendingVersions(), IsOkAndHolds(IsEmpty()));
}

TEST_P(StoreContractTest, EveryAliasIsOfOneKeyWhileOthersMoveIt) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  MakeAlias("alias/moving", 1);
  std::atomic<bool> done = false;
  Threads writers, readers;
  for (int thread = 0; thread < kThreads; ++thread) {
    writers.Start([this, thread] {
      const std::string own = "alias/own" + std::to_string(thread);
      for (int round = 0; round < kRounds; ++round) {
        const KeyId target = Key(1 + (thread + round) % 2);
        absl::StatusOr<AliasRecord> moved =
            store().UpdateAlias("alias/moving", target, Second(round));
        ASSERT_THAT(moved, IsOk());
        EXPECT_EQ(moved->key_id, target);
        EXPECT_THAT(store().CreateAlias({own, target, Second(round), Second(round)}), IsOk());
        EXPECT_THAT(store().DeleteAlias(own), IsOk());
      }
    });
    readers.Start([this, &done] {
      do {
        absl::StatusOr<std::vector<AliasRecord>> aliases =
            store().ListAliases(std::nullopt, "", kMany);
        ASSERT_THAT(aliases, IsOk());
        std::set<std::string> names;
        for (const AliasRecord& alias : *aliases) {
          EXPECT_TRUE(names.insert(alias.name).second) << alias.name << " is listed twice";
          EXPECT_THAT(alias.key_id, AnyOf(Eq(Key(1)), Eq(Key(2))));
        }
        EXPECT_EQ(names.count("alias/moving"), 1u);
      } while (!done);
    });
  }
  writers.Join();
  done = true;
  readers.Join();
  EXPECT_EQ(store().ListAliases(std::nullopt, "", kMany).value().size(), 1u);
}

TEST_P(StoreContractTest, OneOfManyThreadsGetsAnId) {
  MakeKey(1, 1);
  MakeKey(2, 2);
  std::atomic<int> keys = 0, versions = 0, aliases = 0, bindings = 0, drops = 0;
  Threads threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.Start([&, thread] {
      const auto count = [](const absl::Status& status, StatusCode loses, std::atomic<int>& wins) {
        if (status.ok()) ++wins;
        EXPECT_THAT(status.code(), AnyOf(Eq(StatusCode::kOk), Eq(loses))) << status;
      };
      count(store().BeginKey(NewKey(3), Version(100 + thread), ""), StatusCode::kAlreadyExists,
            keys);
      count(store().BeginVersion(Key(1 + thread % 2), Version(3), Second(0)),
            StatusCode::kAlreadyExists, versions);
      count(store().CreateAlias({"alias/a", Key(1 + thread % 2), Second(0), Second(0)}),
            StatusCode::kAlreadyExists, aliases);
      count(store().BindToken("token " + std::to_string(thread)), StatusCode::kFailedPrecondition,
            bindings);
    });
  }
  threads.Join();
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.Start([&] {
      const bool committed = store().CommitVersion(Version(3), "proof").ok();
      const bool dropped = store().DropPendingVersion(Version(3)).ok();
      if (committed || dropped) ++drops;
    });
  }
  threads.Join();
  EXPECT_EQ(keys, 1);
  EXPECT_EQ(versions, 1);
  EXPECT_EQ(aliases, 1);
  EXPECT_EQ(bindings, 1);
  EXPECT_EQ(drops, 1) << "a version is either committed or dropped, once";
}

TEST_P(StoreContractTest, ManyThreadsMakeNoMoreGrantsThanTheMost) {
  constexpr int kMost = 3;
  MakeKey(1, 1);
  std::atomic<int> made = 0, refused = 0;
  Threads threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.Start([&, thread] {
      for (int number = 0; number < kMost; ++number) {
        const absl::Status status =
            store().CreateGrant(NewGrant(thread * kMost + number, 1), kMost);
        if (status.ok()) ++made;
        if (absl::IsResourceExhausted(status)) ++refused;
      }
    });
  }
  threads.Join();
  EXPECT_EQ(made, kMost);
  EXPECT_EQ(refused, (kThreads - 1) * kMost);
  EXPECT_EQ(store().ListGrants(Key(1), std::nullopt, std::nullopt, kMany).value().size(),
            size_t{kMost});
}

TEST_P(StoreContractTest, ManyThreadsReserveNoUseTwiceAndNoneBeyondTheLimit) {
  // So near to the limit that the last block is cut, and what a block takes is no divisor.
  constexpr int64_t kLimit = (int64_t{1} << 32) + 7;
  constexpr int64_t kBefore = kLimit - 1000;
  constexpr int64_t kBlock = 37;
  MakeKey(1, 1);
  ASSERT_THAT(store().ReserveUses(Version(1), kBefore - 1, kLimit), IsOk());
  std::vector<std::vector<UseBlock>> blocks(kThreads);
  Threads threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.Start([&, thread] {
      while (true) {
        absl::StatusOr<UseBlock> block = store().ReserveUses(Version(1), kBlock, kLimit);
        ASSERT_THAT(block, IsOk());
        if (block->size == 0) break;
        blocks[thread].push_back(*block);
      }
    });
  }
  threads.Join();

  // Each block is the uses up to its `uses_reserved`: in order, they follow one on the other.
  std::map<int64_t, int64_t> sizes;
  for (const std::vector<UseBlock>& of_thread : blocks) {
    for (const UseBlock& block : of_thread) {
      EXPECT_TRUE(sizes.emplace(block.uses_reserved, block.size).second);
    }
  }
  int64_t reserved = kBefore;
  for (const auto& [end, size] : sizes) {
    EXPECT_EQ(end - size, reserved);
    EXPECT_LE(size, kBlock);
    reserved = end;
  }
  EXPECT_EQ(reserved, kLimit);
  EXPECT_EQ(store().GetKeyVersion(Version(1)).value().uses_reserved, kLimit);
}

}  // namespace
}  // namespace strongroom::store
