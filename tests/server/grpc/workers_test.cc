#include "server/grpc/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace strongroom::grpc_server {
namespace {

using ::testing::ElementsAre;

// Work that keeps a worker busy until it is let go. It outlives the workers, as all that their work
// refers to does.
class Busy {
 public:
  // Returns once the work has begun.
  void Begin(Workers& workers) {
    EXPECT_TRUE(workers.Run("a", [this] {
      begun_.set_value();
      released_.get_future().wait();
    }));
    begun_.get_future().wait();
  }
  void Release() { released_.set_value(); }

 private:
  std::promise<void> begun_;
  std::promise<void> released_;
};

TEST(WorkersTest, WorkIsRunOnceOnAnotherThread) {
  std::promise<std::thread::id> ran;
  Workers workers(1, 1);
  ASSERT_TRUE(workers.Run("a", [&] { ran.set_value(std::this_thread::get_id()); }));
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

TEST(WorkersTest, QuickWorkIsDoneOnItsCallersThread) {
  std::thread::id ran;
  Workers workers(1, 1, /*here=*/1);
  ASSERT_TRUE(workers.RunQuick("a", [&] { ran = std::this_thread::get_id(); }));
  EXPECT_EQ(ran, std::this_thread::get_id());
}

TEST(WorkersTest, QuickWorkIsHandedOverWhereNoneMayBeDoneHere) {
  std::promise<std::thread::id> ran;
  Workers workers(1, 1);
  ASSERT_TRUE(workers.RunQuick("a", [&] { ran.set_value(std::this_thread::get_id()); }));
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

// So that a token that hangs takes no more of gRPC's threads than it may.
TEST(WorkersTest, QuickWorkIsHandedOverWhileOtherQuickWorkIsUnderWay) {
  std::promise<std::thread::id> inner;
  Workers workers(1, 1, /*here=*/1);
  ASSERT_TRUE(workers.RunQuick("a", [&] {
    EXPECT_TRUE(workers.RunQuick("b", [&] { inner.set_value(std::this_thread::get_id()); }));
    EXPECT_NE(inner.get_future().get(), std::this_thread::get_id());
  }));
  std::thread::id after;
  ASSERT_TRUE(workers.RunQuick("a", [&] { after = std::this_thread::get_id(); }));
  EXPECT_EQ(after, std::this_thread::get_id());
}

TEST(WorkersTest, QuickWorkDoesNotOvertakeWhatWaits) {
  std::vector<std::string> order;
  {
    Busy busy;
    Workers workers(1, 2, /*here=*/1);
    busy.Begin(workers);
    EXPECT_TRUE(workers.Run("a", [&] { order.push_back("first"); }));
    EXPECT_TRUE(workers.RunQuick("b", [&] { order.push_back("second"); }));
    EXPECT_TRUE(order.empty());
    busy.Release();
  }
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

TEST(WorkersTest, AsManyPiecesOfWorkRunAtATimeAsThereAreThreads) {
  constexpr int kThreads = 4;
  Busy busy[kThreads];
  Workers workers(kThreads, 16);
  // Each begins while those before it have not ended.
  for (Busy& one : busy) one.Begin(workers);
  for (Busy& one : busy) one.Release();
}

TEST(WorkersTest, WorkBeyondTheQueueIsRefusedAndNotRun) {
  std::atomic<int> ran = 0;
  bool refused_ran = false;
  {
    Busy busy;
    Workers workers(1, 2);
    busy.Begin(workers);
    EXPECT_TRUE(workers.Run("a", [&] { ++ran; }));
    EXPECT_TRUE(workers.Run("a", [&] { ++ran; }));
    EXPECT_FALSE(workers.Run("a", [&] { refused_ran = true; }));
    EXPECT_FALSE(workers.Run("a", [&] { refused_ran = true; }));
    EXPECT_EQ(ran, 0);
    busy.Release();
  }
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(refused_ran);
}

TEST(WorkersTest, PlaceInTheQueueIsFreeOnceItsWorkHasBegun) {
  Busy first;
  std::promise<void> second_begun;
  std::promise<void> second_released;
  Workers workers(1, 1);
  first.Begin(workers);
  ASSERT_TRUE(workers.Run("a", [&] {
    second_begun.set_value();
    second_released.get_future().wait();
  }));
  EXPECT_FALSE(workers.Run("a", [] {}));
  first.Release();
  second_begun.get_future().wait();
  EXPECT_TRUE(workers.Run("a", [] {}));
  EXPECT_FALSE(workers.Run("a", [] {}));
  second_released.set_value();
}

TEST(WorkersTest, NoQueueAtAllRefusesAll) {
  Workers workers(1, 0);
  EXPECT_FALSE(workers.Run("a", [] { FAIL(); }));
}

TEST(WorkersTest, WorkIsBegunInItsOrder) {
  std::vector<int> order;
  {
    Busy busy;
    Workers workers(1, 8);
    busy.Begin(workers);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(workers.Run("a", [&order, i] { order.push_back(i); }));
    busy.Release();
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(WorkersTest, LinesTakeTurns) {
  std::vector<std::string> order;
  {
    Busy busy;
    Workers workers(1, 8);
    busy.Begin(workers);
    for (const char* whose : {"a", "a", "a", "a", "b", "c", "b"}) {
      ASSERT_TRUE(workers.Run(whose, [&order, whose] { order.push_back(whose); }));
    }
    busy.Release();
  }
  EXPECT_THAT(order, ElementsAre("a", "b", "c", "a", "b", "a", "a"));
}

TEST(WorkersTest, FullLineKeepsNobodyElseOut) {
  std::atomic<int> ran = 0;
  {
    Busy busy;
    Workers workers(1, 1);
    busy.Begin(workers);
    EXPECT_TRUE(workers.Run("a", [&] { ++ran; }));
    EXPECT_FALSE(workers.Run("a", [&] { ++ran; }));
    EXPECT_TRUE(workers.Run("b", [&] { ++ran; }));
    busy.Release();
  }
  EXPECT_EQ(ran, 2);
}

TEST(WorkersTest, EndWaitsForWhatIsWaiting) {
  std::atomic<int> ran = 0;
  Busy one;
  Busy two;
  auto workers = std::make_unique<Workers>(2, 100);
  one.Begin(*workers);
  two.Begin(*workers);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(workers->Run("a", [&] { ++ran; }));
  std::thread end([&] { workers = nullptr; });
  EXPECT_EQ(ran, 0);
  one.Release();
  two.Release();
  end.join();
  EXPECT_EQ(ran, 100);
}

TEST(WorkersTest, WorkIsGivenFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kPieces = 500;
  std::atomic<int> taken = 0;
  std::atomic<int> ran = 0;
  {
    Workers workers(2, 8);
    std::vector<std::thread> callers;
    for (int i = 0; i < kThreads; ++i) {
      callers.emplace_back([&] {
        for (int n = 0; n < kPieces; ++n) {
          if (workers.Run("a", [&] { ++ran; })) ++taken;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
  EXPECT_GT(taken, 0);
  EXPECT_EQ(ran, taken);
}

}  // namespace
}  // namespace strongroom::grpc_server
