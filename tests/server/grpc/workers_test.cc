#include "server/grpc/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace strongroom::grpc_server {
namespace {

using ::testing::ElementsAre;

// Work that keeps a worker busy until it is let go.
class Busy {
 public:
  explicit Busy(Workers& workers) {
    EXPECT_TRUE(workers.Run([this] {
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
  Workers workers(1, 1);
  std::promise<std::thread::id> ran;
  ASSERT_TRUE(workers.Run([&] { ran.set_value(std::this_thread::get_id()); }));
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

TEST(WorkersTest, AsManyPiecesOfWorkRunAtATimeAsThereAreThreads) {
  constexpr int kThreads = 4;
  Workers workers(kThreads, 16);
  std::vector<std::unique_ptr<Busy>> busy;
  // Each returns once its work has begun, and none has ended.
  for (int i = 0; i < kThreads; ++i) busy.push_back(std::make_unique<Busy>(workers));
  for (const std::unique_ptr<Busy>& one : busy) one->Release();
}

TEST(WorkersTest, WorkBeyondTheQueueIsRefusedAndNotRun) {
  std::atomic<int> ran = 0;
  bool refused_ran = false;
  {
    Workers workers(1, 2);
    Busy busy(workers);
    EXPECT_TRUE(workers.Run([&] { ++ran; }));
    EXPECT_TRUE(workers.Run([&] { ++ran; }));
    EXPECT_FALSE(workers.Run([&] { refused_ran = true; }));
    EXPECT_FALSE(workers.Run([&] { refused_ran = true; }));
    EXPECT_EQ(ran, 0);
    busy.Release();
  }
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(refused_ran);
}

TEST(WorkersTest, PlaceInTheQueueIsFreeOnceItsWorkHasBegun) {
  Workers workers(1, 1);
  Busy first(workers);
  std::promise<void> begun;
  std::promise<void> released;
  ASSERT_TRUE(workers.Run([&] {
    begun.set_value();
    released.get_future().wait();
  }));
  EXPECT_FALSE(workers.Run([] {}));
  first.Release();
  begun.get_future().wait();
  EXPECT_TRUE(workers.Run([] {}));
  EXPECT_FALSE(workers.Run([] {}));
  released.set_value();
}

TEST(WorkersTest, NoQueueAtAllRefusesAll) {
  Workers workers(1, 0);
  EXPECT_FALSE(workers.Run([] { FAIL(); }));
}

TEST(WorkersTest, WorkIsBegunInItsOrder) {
  std::vector<int> order;
  {
    Workers workers(1, 8);
    Busy busy(workers);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(workers.Run([&order, i] { order.push_back(i); }));
    busy.Release();
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(WorkersTest, EndWaitsForWhatIsWaiting) {
  std::atomic<int> ran = 0;
  auto workers = std::make_unique<Workers>(2, 100);
  Busy one(*workers);
  Busy two(*workers);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(workers->Run([&] { ++ran; }));
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
          if (workers.Run([&] { ++ran; })) ++taken;
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
