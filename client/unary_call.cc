#include "client/unary_call.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

#include "absl/strings/cord.h"
#include "client/error.h"
#include "client/retry.h"
#include "platform/clock.h"

namespace strongroom {
namespace {

// Keeps arithmetic on deadlines from overflowing.
constexpr absl::Duration kLongestTimeout = absl::Hours(24);

double Jitter() {
  // Spreads load; nothing secret depends on it.
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

absl::Duration TimeoutOf(const ClientOptions& client, CallKind kind, const CallOptions& call) {
  if (call.timeout.has_value()) return *call.timeout;
  return kind == CallKind::kRepeatablePair ? client.pair_timeout : client.timeout;
}

// In monotonic time: setting the machine's clock does not end a call.
gpr_timespec GrpcDeadline(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
      deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  // Both number the canonical codes alike.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.ok() && !status.error_details().empty()) {
    result.SetPayload(kRpcStatusPayload, absl::Cord(status.error_details()));
  }
  return result;
}

absl::Status CallWithRetries(const ClientOptions& client, CallKind kind, const CallOptions& call,
                             absl::FunctionRef<grpc::Status(grpc::ClientContext*)> attempt) {
  const absl::Duration timeout = std::min(TimeoutOf(client, kind, call), kLongestTimeout);
  if (timeout <= absl::ZeroDuration()) {
    return absl::DeadlineExceededError("no time is left for the call; nothing was sent");
  }
  const Deadline deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  RetrySchedule schedule(client.retry, deadline);
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(deadline));
    absl::Status status = FromGrpcStatus(attempt(&context));
    if (status.ok() || kind == CallKind::kOnce) return status;
    const std::optional<absl::Duration> delay =
        schedule.NextDelay(status, std::chrono::steady_clock::now(), Jitter());
    if (!delay.has_value()) return status;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(*delay));
  }
}

}  // namespace strongroom
