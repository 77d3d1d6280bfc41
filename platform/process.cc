#include "platform/process.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace strongroom {
namespace {

// Seven tenths of the time are work, for sleeping takes half as long again as it should (timer
// slack). With a break a millisecond, others still wait noticeably longer.
constexpr timespec kBetweenBreaks = {0, 500'000};
constexpr timespec kBreak = {0, 100'000};

void TakeBreak(int) {
  const int saved = errno;
  nanosleep(&kBreak, nullptr);
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
  // Of the calling thread alone (sched(7)). A thread that is merely nice keeps a processor for
  // milliseconds from those that wake up.
  const sched_param parameters = {};
  if (sched_setscheduler(0, SCHED_IDLE, &parameters) == 0) return;
  (void)!setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
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
