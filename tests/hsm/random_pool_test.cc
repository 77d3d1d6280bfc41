// What is drawn in blocks: nothing is given out twice, and failures lose nothing.

#include "hsm/internal/random_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using internal::RandomPool;
using testing::StatusIs;

// Draws 1, 2, 3, ... in four bytes each, so that every byte can be told from every other.
class Counter {
 public:
  absl::Status Draw(absl::Span<uint8_t> out) {
    ++draws_;
    for (size_t i = 0; i + 4 <= out.size(); i += 4) {
      const uint32_t number = ++last_;
      for (size_t j = 0; j < 4; ++j) out[i + j] = static_cast<uint8_t>(number >> (8 * j));
    }
    return absl::OkStatus();
  }
  int draws() const { return draws_; }

 private:
  std::atomic<uint32_t> last_ = 0;
  std::atomic<int> draws_ = 0;
};

uint32_t NumberIn(const std::array<uint8_t, 4>& bytes) {
  uint32_t number = 0;
  for (size_t j = 0; j < 4; ++j) number |= uint32_t{bytes[j]} << (8 * j);
  return number;
}

TEST(RandomPoolTest, NothingIsGivenOutTwice) {
  Counter counter;
  RandomPool pool(3);
  std::vector<std::vector<uint32_t>> taken(8);
  std::vector<std::thread> threads;
  for (std::vector<uint32_t>& mine : taken) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        std::array<uint8_t, 4> bytes;
        ASSERT_OK(pool.Take(absl::MakeSpan(bytes),
                            [&](absl::Span<uint8_t> out) { return counter.Draw(out); }));
        mine.push_back(NumberIn(bytes));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint32_t> all;
  for (const std::vector<uint32_t>& mine : taken) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 8u * 5000u);
  EXPECT_FALSE(all.contains(0));
}

TEST(RandomPoolTest, BlockServesManyAndMuchIsDrawnForItself) {
  Counter counter;
  RandomPool pool(1);
  const auto take = [&](size_t bytes) {
    std::vector<uint8_t> out(bytes);
    EXPECT_OK(pool.Take(absl::MakeSpan(out),
                        [&](absl::Span<uint8_t> fill) { return counter.Draw(fill); }));
  };
  for (size_t i = 0; i < RandomPool::kBlockBytes / 44; ++i) take(44);
  EXPECT_EQ(counter.draws(), 1);
  take(44);
  EXPECT_EQ(counter.draws(), 2);
  take(RandomPool::kMostBytes + 1);
  EXPECT_EQ(counter.draws(), 3);
  take(RandomPool::kMostBytes);
  EXPECT_EQ(counter.draws(), 3);
}

TEST(RandomPoolTest, FailedDrawIsToldAndTheNextOneIsTried) {
  Counter counter;
  RandomPool pool(1);
  std::array<uint8_t, 4> bytes = {};
  const auto fail = [](absl::Span<uint8_t>) { return absl::UnavailableError("away"); };
  EXPECT_THAT(pool.Take(absl::MakeSpan(bytes), fail), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(
      pool.Take(absl::MakeSpan(bytes), [&](absl::Span<uint8_t> out) { return counter.Draw(out); }));
  EXPECT_EQ(NumberIn(bytes), 1u);
  EXPECT_OK(pool.Take(absl::MakeSpan(bytes), fail));
  EXPECT_EQ(NumberIn(bytes), 2u);
}

class TakeRandomTest : public TokenFixture {};

TEST_F(TakeRandomTest, MostDataKeysTakeNoDrawOfTheToken) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(1));
  faults().Reset();
  std::set<std::array<uint8_t, 32>> keys;
  for (int i = 0; i < 450; ++i) {
    std::array<uint8_t, 32> key;
    Iv iv;
    ASSERT_OK(token->TakeRandom(absl::MakeSpan(key), kNoDeadline));
    ASSERT_OK(token->TakeRandom(absl::MakeSpan(iv), kNoDeadline));
    keys.insert(key);
  }
  EXPECT_EQ(keys.size(), 450u);
  EXPECT_EQ(faults().Calls("C_GenerateRandom"), 10u);
}

TEST_F(TakeRandomTest, TokenIsTimedWhenItIsOpened) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(1));
  EXPECT_GT(token->info().seal_time, std::chrono::nanoseconds(0));
}

}  // namespace
}  // namespace strongroom::hsm
