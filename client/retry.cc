#include "client/retry.h"

#include <algorithm>

#include "client/error.h"

namespace strongroom {

std::optional<absl::Duration> RetrySchedule::NextDelay(const absl::Status& error, Deadline now,
                                                       double jitter) {
  ++attempts_;
  if (!absl::IsUnavailable(error) || attempts_ >= policy_.max_attempts) return std::nullopt;

  absl::Duration ceiling = std::min(policy_.initial_backoff, policy_.max_backoff);
  for (int i = 1; i < attempts_ && ceiling < policy_.max_backoff; ++i) {
    ceiling = std::min(2 * ceiling, policy_.max_backoff);
  }
  absl::Duration delay = jitter * ceiling;

  const std::optional<ErrorDetail> detail = ErrorDetailOf(error);
  if (detail.has_value() && detail->retry_delay.has_value()) {
    // On top of it: all who were told the same delay would else come back together.
    delay += std::max(*detail->retry_delay, absl::ZeroDuration());
  }
  if (delay >= absl::FromChrono(deadline_ - now)) return std::nullopt;
  return delay;
}

}  // namespace strongroom
