#include "client/unary_call.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/retry.h"
#include "platform/clock.h"

namespace strongroom {
namespace {

// Keeps arithmetic on deadlines from overflowing.
constexpr absl::Duration kLongestTimeout = absl::Hours(24);

constexpr char kGrantTokenHeader[] = "x-strongroom-grant-token";
constexpr char kDryRunHeader[] = "x-strongroom-dry-run";

double Jitter() {
  // Spreads load; nothing secret depends on it.
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

absl::Duration TimeoutOf(const ClientOptions& client, CallKind kind, const CallOptions& call) {
  if (call.timeout.has_value()) return *call.timeout;
  const bool pair = kind == CallKind::kRepeatablePair || kind == CallKind::kOncePair;
  return pair ? client.pair_timeout : client.timeout;
}

// In monotonic time: setting the machine's clock does not end a call.
gpr_timespec GrpcDeadline(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
      deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

absl::Status CheckMetadata(const CallMetadata& metadata) {
  for (size_t i = 0; i < metadata.grant_tokens.size(); ++i) {
    const std::string& token = metadata.grant_tokens[i];
    if (token.empty() || !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
      return absl::InvalidArgumentError(
          absl::StrCat("grant_tokens[", i, "] is no grant token: it is empty, or has characters ",
                       "other than ASCII's printable ones; pass it as CreateGrant returned it"));
    }
  }
  return absl::OkStatus();
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
                             absl::FunctionRef<grpc::Status(grpc::ClientContext*)> attempt,
                             const CallMetadata& metadata) {
  absl::Status valid = CheckMetadata(metadata);
  if (!valid.ok()) return valid;
  const absl::Duration timeout = std::min(TimeoutOf(client, kind, call), kLongestTimeout);
  if (timeout <= absl::ZeroDuration()) {
    return absl::DeadlineExceededError("no time is left for the call; nothing was sent");
  }
  const Deadline deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  RetrySchedule schedule(client.retry, deadline);
  const bool once = kind == CallKind::kOnce || kind == CallKind::kOncePair;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(GrpcDeadline(deadline));
    for (const std::string& token : metadata.grant_tokens) {
      context.AddMetadata(kGrantTokenHeader, token);
    }
    if (metadata.dry_run) context.AddMetadata(kDryRunHeader, "true");
    absl::Status status = FromGrpcStatus(attempt(&context));
    if (status.ok() || once) return status;
    const std::optional<absl::Duration> delay =
        schedule.NextDelay(status, std::chrono::steady_clock::now(), Jitter());
    if (!delay.has_value()) return status;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(*delay));
  }
}

absl::Status NoDryRunError() {
  return absl::InternalError(
      "the service did the operation that it was only to try: it knows no dry runs; what it "
      "returned was dropped");
}

}  // namespace strongroom
