#include "platform/process.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom {
namespace {

TEST(HardenProcessTest, NoCoreNoDumpAndPrivateFiles) {
  ASSERT_EQ(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
  umask(0022);
  HardenProcess();
  EXPECT_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
  rlimit core = {1, 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &core), 0);
  EXPECT_EQ(core.rlim_cur, 0u);
  EXPECT_EQ(core.rlim_max, 0u);
  EXPECT_EQ(umask(0077), 0077u);
  // LeakSanitizer looks at the process when it ends, and could not.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

// What a service manager has: a datagram socket whose name is in $NOTIFY_SOCKET.
class ServiceManager {
 public:
  // `name` is a path, or begins with @ for an abstract socket (unix(7)).
  explicit ServiceManager(const std::string& name) {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0)
        << strerror(errno);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~ServiceManager() {
    close(fd_);
    unsetenv("NOTIFY_SOCKET");
  }
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // What has come, or nothing. A datagram on a unix socket is there once it is sent.
  std::string Receive() {
    char text[256];
    const ssize_t size = recv(fd_, text, sizeof(text), MSG_DONTWAIT);
    return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
  }

 private:
  int fd_;
};

class NotifyServiceManagerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, testing::MakeTestDirectory());
    // A socket's path is at most 107 bytes and the directory's may be longer.
    ASSERT_EQ(chdir(directory_.c_str()), 0);
  }

  std::string directory_;
};

TEST_F(NotifyServiceManagerTest, SocketWithAPathGetsTheState) {
  ServiceManager manager("notify");
  NotifyServiceManager("READY=1");
  EXPECT_EQ(manager.Receive(), "READY=1");
  NotifyServiceManager("STOPPING=1\nSTATUS=draining");
  EXPECT_EQ(manager.Receive(), "STOPPING=1\nSTATUS=draining");
  EXPECT_EQ(manager.Receive(), "");
}

TEST_F(NotifyServiceManagerTest, AbstractSocketGetsTheState) {
  ServiceManager manager(absl::StrCat("@strongroom-process-test-", getpid()));
  NotifyServiceManager("READY=1");
  EXPECT_EQ(manager.Receive(), "READY=1");
}

TEST_F(NotifyServiceManagerTest, NobodyListeningIsNoMatter) {
  unsetenv("NOTIFY_SOCKET");
  NotifyServiceManager("READY=1");
  setenv("NOTIFY_SOCKET", "", 1);
  NotifyServiceManager("READY=1");
  setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
  NotifyServiceManager("READY=1");
  setenv("NOTIFY_SOCKET", std::string(200, 'x').c_str(), 1);
  NotifyServiceManager("READY=1");
  unsetenv("NOTIFY_SOCKET");
}

TEST(LowerThreadPriorityTest, OnlyTheCallersThreadGivesWay) {
  const auto nice_of_this_thread = [] {
    return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid()));
  };
  const int before = nice_of_this_thread();
  int lowered = -1;
  int policy = -1;
  std::thread([&] {
    LowerThreadPriority();
    lowered = nice_of_this_thread();
    policy = sched_getscheduler(0);
  }).join();
  EXPECT_EQ(lowered, 19);
  EXPECT_EQ(policy, SCHED_OTHER);
  EXPECT_EQ(nice_of_this_thread(), before);
}

// How often the calling thread has gone to sleep by itself.
int64_t SleepsOfThisThread() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// Processor time of all threads, in seconds. (ThreadSanitizer keeps signals until a thread calls
// something that it knows, as clock_gettime; clock() it does not.)
double ProcessorSeconds() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

TEST(ShortBreaksTest, AThreadThatOnlyComputesSleepsNowAndThen) {
  constexpr int64_t kSleeps = 5;
  // Of processor time, and far more than it takes.
  constexpr double kLongest = 20;
  const double begin = ProcessorSeconds();
  const int64_t before = SleepsOfThisThread();
  errno = E2BIG;
  {
    const ShortBreaks breaks;
    while (SleepsOfThisThread() < before + kSleeps && ProcessorSeconds() - begin < kLongest) {
    }
  }
  EXPECT_GE(SleepsOfThisThread(), before + kSleeps);
  EXPECT_EQ(errno, E2BIG);
}

TEST(ShortBreaksTest, OtherThreadsAreLeftAlone) {
  std::atomic<bool> has_breaks = false;
  std::atomic<bool> done = false;
  std::thread other([&] {
    const ShortBreaks breaks;
    const int64_t before = SleepsOfThisThread();
    while (SleepsOfThisThread() == before) ProcessorSeconds();
    has_breaks = true;
    while (!done) ProcessorSeconds();
  });
  while (!has_breaks) {
  }
  const int64_t before = SleepsOfThisThread();
  // Some breaks of the other thread's.
  const double begin = ProcessorSeconds();
  while (ProcessorSeconds() - begin < 0.02) {
  }
  EXPECT_EQ(SleepsOfThisThread(), before);
  done = true;
  other.join();
}

TEST(ShortBreaksTest, AThreadThatIsSeldomScheduledWorksBetweenBreaks) {
  // What the timer does to a thread that waits for a processor: a signal is there whenever its turn
  // comes. It must not sleep each time.
  const ShortBreaks breaks;
  const int64_t before = SleepsOfThisThread();
  constexpr int kSignals = 1000;
  const double begin = ProcessorSeconds();
  for (int i = 0; i < kSignals; ++i) pthread_kill(pthread_self(), SIGRTMIN);
  const double worked = ProcessorSeconds() - begin;
  EXPECT_LE(static_cast<double>(SleepsOfThisThread() - before), 1 + worked / 0.000'150);
}

}  // namespace
}  // namespace strongroom
