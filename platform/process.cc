#include "platform/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace strongroom {
namespace {

// Two thirds of the time are work. With longer times between breaks, others wait longer.
constexpr timespec kBetweenBreaks = {0, 300'000};
constexpr timespec kBreak = {0, 100'000};
constexpr int64_t kLeastWorkNanoseconds = 150'000;

int64_t ProcessorTimeOfThisThread() {
  timespec used = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

thread_local int64_t work_before_break = 0;

// Only calls that are safe in a handler (signal-safety(7)).
void TakeBreak(int) {
  const int saved = errno;
  // A thread that waits for a processor longer than for the next signal would only ever take
  // breaks, and what it holds would never be let go.
  if (ProcessorTimeOfThisThread() - work_before_break >= kLeastWorkNanoseconds) {
    nanosleep(&kBreak, nullptr);
    work_before_break = ProcessorTimeOfThisThread();
  }
  errno = saved;
}

// Once in the process: a handler is all threads'.
bool HandleBreaks() {
  struct sigaction action = {};
  action.sa_handler = &TakeBreak;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGRTMIN, &action, nullptr) == 0;
}

}  // namespace

void HardenProcess() {
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  umask(0077);
  // A file at its size limit is an error of write(2), and not the end of the process.
  signal(SIGXFSZ, SIG_IGN);
}

void LowerThreadPriority() {
  // Of the calling thread alone (sched(7)).
  (void)!setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
  // So that a short sleep is one; a thread's default is to oversleep by 50 us.
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

ShortBreaks::ShortBreaks() {
  static const bool handled = HandleBreaks();
  if (!handled) return;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGRTMIN;
  event._sigev_un._tid = gettid();
  if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return;
  has_timer_ = true;
  work_before_break = ProcessorTimeOfThisThread();
  const itimerspec times = {kBetweenBreaks, kBetweenBreaks};
  timer_settime(timer_, 0, &times, nullptr);
}

ShortBreaks::~ShortBreaks() {
  if (has_timer_) timer_delete(timer_);
}

void NotifyServiceManager(absl::string_view state) {
  const char* path = getenv("NOTIFY_SOCKET");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path == nullptr || strlen(path) >= sizeof(address.sun_path)) return;
  memcpy(address.sun_path, path, strlen(path));
  // A leading @ stands for the NUL of an abstract socket.
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)!sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&address),
                static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(path)));
  close(fd);
}

}  // namespace strongroom
