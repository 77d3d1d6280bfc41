#ifndef STRONGROOM_SERVER_GATE_GATE_H_
#define STRONGROOM_SERVER_GATE_GATE_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "platform/clock.h"
#include "server/gate/identity.h"
#include "server/log/log.h"

namespace strongroom::gate {

// One call on its way through. For one thread at a time.
struct Call {
  // Names this call in its answer, in its error and in the log.
  std::string request_id;
  // Service and method, e.g. "KmsService.GenerateDataKey".
  absl::string_view operation;
  Peer peer;
  // By when the caller wants the answer.
  Deadline deadline = kNoDeadline;
  std::chrono::steady_clock::time_point arrival;

  // Set by the gate.
  std::string principal;
  // Set by the work, once known, for the log.
  std::string key_id;
  std::string key_version_id;
};

// What every call passes, once: identity, deadline, and a line in the log. Thread-safe.
class Gate {
 public:
  // Both outlive the gate.
  Gate(const IdentityPolicy& identities, Log& log) : identities_(identities), log_(log) {}

  // Gives a call its id, and a deadline if it has none.
  Call Begin(absl::string_view operation, Peer peer, Deadline deadline) const;

  // Runs `work` if the call may, and logs how it ended. Returns what `work` returned, or the error
  // why it was not run: Forbidden.NoPermission, DependencyTimeout.
  absl::Status Pass(Call& call, const std::function<absl::Status(Call&)>& work) const;

 private:
  absl::Status Admit(Call& call) const;
  void WriteLine(const Call& call, const absl::Status& outcome) const;

  const IdentityPolicy& identities_;
  Log& log_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_GATE_H_
