#ifndef STRONGROOM_PLATFORM_PROCESS_H_
#define STRONGROOM_PLATFORM_PROCESS_H_

#include "absl/strings/string_view.h"

namespace strongroom {

// Keeps this process's memory to itself: no core dumps, no ptrace or /proc/PID/mem by processes of
// the same user (prctl(2) PR_SET_DUMPABLE), files created private (umask 0077). Call it before any
// secret is read.
void HardenProcess();

// Has this thread run only when a processor has nothing else to do (SCHED_IDLE, or else nice 19),
// where the system allows that.
void LowerThreadPriority();

// Tells a service manager about this process's state, e.g. "READY=1" (sd_notify(3)). Does nothing
// if none is listening.
void NotifyServiceManager(absl::string_view state);

}  // namespace strongroom

#endif  // STRONGROOM_PLATFORM_PROCESS_H_
