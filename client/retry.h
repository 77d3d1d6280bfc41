#ifndef STRONGROOM_CLIENT_RETRY_H_
#define STRONGROOM_CLIENT_RETRY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client_options.h"
#include "platform/clock.h"

namespace strongroom {

// Decides whether, and after what wait, one call is tried again. Knows no clock and no chance of
// its own, so that it can be tested. Thread-compatible.
class RetrySchedule {
 public:
  RetrySchedule(const RetryPolicy& policy, Deadline deadline)
      : policy_(policy), deadline_(deadline) {}

  // How long to wait after an attempt that failed with `error`. `jitter` is in [0, 1).
  //
  // nullopt: do not try again, because the error is not UNAVAILABLE, because the attempts are used
  // up, or because the wait would not end before the deadline: the error at hand says more than a
  // DEADLINE_EXCEEDED would.
  std::optional<absl::Duration> NextDelay(const absl::Status& error, Deadline now, double jitter);

 private:
  const RetryPolicy policy_;
  const Deadline deadline_;
  int attempts_ = 0;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_RETRY_H_
