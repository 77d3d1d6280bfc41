#ifndef STRONGROOM_PLATFORM_PROCESS_H_
#define STRONGROOM_PLATFORM_PROCESS_H_

#include <ctime>

#include "absl/strings/string_view.h"

namespace strongroom {

// Keeps this process's memory to itself: no core dumps, no ptrace or /proc/PID/mem by processes of
// the same user (prctl(2) PR_SET_DUMPABLE), files created private (umask 0077). Call it before any
// secret is read.
void HardenProcess();

// Has this thread give way to others (nice 19). It is not SCHED_IDLE, under which a thread gets
// next to no time while others spin for a lock that it holds, as glibc's pthread_rwlock_wrlock
// does.
void LowerThreadPriority();

// While this lives, the thread that made it sleeps for a moment 3,000 times a second, in the
// handler of a signal (SIGRTMIN), whatever it computes. Even a thread of low priority is in others'
// way if it never sleeps: Linux gives threads that wait to a processor when it falls idle, and its
// processor never does. At least 0.15 ms of work lie between two breaks, however late its turn
// comes. Only for work whose system calls may be interrupted (SA_RESTART is set). Without effect
// where the system has no timer for it.
class ShortBreaks {
 public:
  ShortBreaks();
  ~ShortBreaks();
  ShortBreaks(const ShortBreaks&) = delete;
  ShortBreaks& operator=(const ShortBreaks&) = delete;

 private:
  bool has_timer_ = false;
  timer_t timer_ = {};
};

// Tells a service manager about this process's state, e.g. "READY=1" (sd_notify(3)). Does nothing
// if none is listening.
void NotifyServiceManager(absl::string_view state);

}  // namespace strongroom

#endif  // STRONGROOM_PLATFORM_PROCESS_H_
