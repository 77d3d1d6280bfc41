#ifndef STRONGROOM_PLATFORM_CLOCK_H_
#define STRONGROOM_PLATFORM_CLOCK_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace strongroom {

// Wall time, injected so that tests choose it. Deadlines do not use it: they are monotonic.
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // Monotonic time, to tell how much of it has really passed.
  virtual std::chrono::steady_clock::time_point MonotonicNow() const {
    return std::chrono::steady_clock::now();
  }
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

// The moment by which a call must be done, in monotonic time.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kNoDeadline = Deadline::max();

}  // namespace strongroom

#endif  // STRONGROOM_PLATFORM_CLOCK_H_
