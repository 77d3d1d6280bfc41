#include "server/gate/gate.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "server/core/error.h"
#include "server/store/ids.h"

namespace strongroom::gate {
namespace {

// How long a call may take that says nothing of it. RSA-4096 pairs take seconds.
constexpr std::chrono::seconds kLongestCall(120);

std::string NewRequestId() {
  std::array<uint8_t, 16> random = {};
  RAND_bytes(random.data(), static_cast<int>(random.size()));
  return Id<struct RequestTag>::FromRandom(random).ToString();
}

// A key as the caller named it may be as long as a message. More than any alias has is cut, not
// within a character (UTF-8).
absl::string_view Cut(absl::string_view text) {
  constexpr size_t kMost = 256;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

Call Gate::Begin(absl::string_view operation, Peer peer, Deadline deadline) const {
  Call call;
  call.request_id = NewRequestId();
  call.operation = operation;
  call.peer = std::move(peer);
  call.arrival = std::chrono::steady_clock::now();
  call.deadline = std::min(deadline, call.arrival + kLongestCall);
  return call;
}

absl::Status Gate::Admit(Call& call) const {
  absl::StatusOr<std::string> principal = identities_.PrincipalOf(call.peer);
  if (!principal.ok()) return principal.status();
  call.principal = *std::move(principal);
  if (std::chrono::steady_clock::now() >= call.deadline) {
    return core::MakeError(core::Reason::kDependencyTimeout,
                           "the call's deadline passed before its work began; allow more time");
  }
  return absl::OkStatus();
}

absl::Status Gate::Pass(Call& call, const std::function<absl::Status(Call&)>& work) const {
  absl::Status outcome = Admit(call);
  if (outcome.ok()) outcome = work(call);
  WriteLine(call, outcome);
  return outcome;
}

void Gate::WriteLine(const Call& call, const absl::Status& outcome) const {
  const int64_t duration = std::chrono::duration_cast<std::chrono::microseconds>(
                               std::chrono::steady_clock::now() - call.arrival)
                               .count();
  if (outcome.ok()) {
    log_.Write(LogLevel::kInfo, "call",
               {{"request_id", call.request_id},
                {"principal", call.principal},
                {"operation", call.operation},
                {"key_id", Cut(call.key_id)},
                {"key_version_id", call.key_version_id},
                {"outcome", "OK"},
                {"duration_us", duration}});
    return;
  }
  const core::ReasonInfo& reason = core::InfoOf(core::ReasonOf(outcome));
  const std::string detail = core::DetailOf(outcome);
  // The message is left out: it may repeat what the caller sent.
  log_.Write(reason.http_status >= 500 ? LogLevel::kError : LogLevel::kInfo, "call",
             {{"request_id", call.request_id},
              {"principal", call.principal},
              {"operation", call.operation},
              {"key_id", Cut(call.key_id)},
              {"key_version_id", call.key_version_id},
              {"outcome", reason.name},
              {"detail", detail},
              {"duration_us", duration}});
}

}  // namespace strongroom::gate
