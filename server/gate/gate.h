#ifndef STRONGROOM_SERVER_GATE_GATE_H_
#define STRONGROOM_SERVER_GATE_GATE_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/pair_spec.h"
#include "platform/clock.h"
#include "server/core/data_keys.h"
#include "server/core/parameters.h"
#include "server/gate/audit/trail.h"
#include "server/gate/authority.h"
#include "server/gate/identity.h"
#include "server/gate/operation.h"
#include "server/gate/rate_limiter.h"
#include "server/log/log.h"

namespace strongroom::gate {

class Gate;

// Which keys a re-encryption may use.
struct ReEncryptionPermit {
  // What the caller expects the blob to be sealed under, if it expects a certain key.
  std::optional<KeyId> expected_source;
  KeyId destination;
};

// One call on its way through. For one thread at a time.
class Call {
 public:
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Names this call in its answer, in its error, in the log and in the audit trail.
  const std::string request_id;
  const Operation operation;
  // By when the caller wants the answer.
  const Deadline deadline;

  // Who calls. Set when the call is admitted.
  const std::string& principal() const { return principal_; }

  // --- What the work says of the call, once it knows --------------------------------------------

  // Whether the caller only asks if it would work.
  bool dry_run = false;
  // Grants that the caller shows.
  std::vector<std::string> grant_tokens;
  // What is to be generated, for a dry run to ask the token.
  std::optional<hsm::PairSpec> pair_spec;
  // What the caller binds it to; of a re-encryption, what the source is bound to.
  std::map<std::string, std::string> encryption_context;
  std::string aad;
  // For the record: the key as the caller named it, until Authorize knows its id.
  std::string key_id;
  std::string key_version_id;
  // And what else the call is about (docs/audit.md).
  std::string target;
  // Of a batch, how many it asks for; said before Authorize. 0 for calls that are no batch.
  int64_t count = 0;
  // Of a batch of which a part was done, why the rest was not; for the log.
  absl::Status shortfall;

  // Whether the caller may do this call's operation with `keys`, all of them (none for an operation
  // that needs no key), bound as said above. What the work does with a key, it does with the id
  // that is returned, in the order of `keys`.
  //
  // A batch counts as so many calls: it takes the rest of them from the principal's rate once it is
  // permitted, unless it is a dry run. Rejected.Throttling; InvalidParameter for one that is larger
  // than what may ever come at once.
  //
  // Every call must ask; the answer of one that did not is withheld. Forbidden.NoPermission,
  // InvalidGrantToken; Forbidden.KeyNotFound and Forbidden.AliasNotFound for those who may know.
  absl::StatusOr<Permit> Authorize(absl::Span<const core::KeyReference> keys);
  // The same for operations that open a blob: for the key that it says it is sealed under and, if
  // the caller expects a certain one, for that. Returns the id of the expected key. A blob that
  // names a key that is not there is InvalidCiphertext, for those who may know.
  absl::StatusOr<std::optional<KeyId>> AuthorizeOpening(
      absl::string_view blob, const std::optional<core::KeyReference>& expected);
  // The same for ReEncrypt, whose halves are permitted by themselves: ReEncryptFrom for what
  // AuthorizeOpening asks for, bound as said above, and ReEncryptTo for `destination` with its own
  // context. Both or nothing.
  absl::StatusOr<ReEncryptionPermit> AuthorizeReEncryption(
      absl::string_view blob, const std::optional<core::KeyReference>& expected,
      const core::KeyReference& destination, const EncryptionContext& destination_context);
  // In place of Authorize for RetireGrant, of which the grant itself says who may do it.
  void LeaveToGrant() { stage_ = Stage::kPermitted; }

 private:
  friend class Gate;
  enum class Stage { kBegun, kAsked, kPermitted };

  Call(const Gate& gate, std::string request_id, Operation operation, Peer peer,
       std::string peer_address, Deadline deadline, std::chrono::steady_clock::time_point arrival)
      : request_id(std::move(request_id)),
        operation(operation),
        deadline(deadline),
        gate_(gate),
        peer_(std::move(peer)),
        peer_address_(std::move(peer_address)),
        arrival_(arrival) {}

  // Authorize and AuthorizeOpening, for an operation that need not be this call's, bound to
  // `context` (null if to an Aad, or to nothing).
  absl::StatusOr<Permit> Ask(Operation what, absl::Span<const core::KeyReference> keys,
                             const EncryptionContext* context);
  absl::StatusOr<std::optional<KeyId>> AskForOpening(
      Operation what, absl::string_view blob, const std::optional<core::KeyReference>& expected);
  // What this call is bound to, for permissions.
  const EncryptionContext* context() const;

  const Gate& gate_;
  const Peer peer_;
  const std::string peer_address_;
  const std::chrono::steady_clock::time_point arrival_;
  std::string principal_;
  Stage stage_ = Stage::kBegun;
  // Whether the trail refused the call before it began; the trail counts it then.
  bool refused_by_trail_ = false;
  std::string grant_id_;
  // Of a ReEncrypt, what it binds the new blob to.
  std::map<std::string, std::string> destination_context_;
};

// What every call passes, once: identity, rate limit, deadline, permission, and a record in the
// audit trail without which its answer does not leave. Thread-safe.
class Gate {
 public:
  struct Parts {
    const IdentityPolicy& identities;
    RateLimiter& rate_limiter;
    Authority& authority;
    // Null: no trail is kept (in development); then calls are logged.
    audit::Trail* trail;
    // Tells dry runs what the token can do.
    core::DataKeys& data_keys;
    Log& log;
  };

  // All parts outlive the gate.
  explicit Gate(const Parts& parts) : parts_(parts) {}

  // Gives a call its id, and a deadline if it has none. `peer_address` is for the record.
  std::unique_ptr<Call> Begin(Operation operation, Peer peer, Deadline deadline,
                              std::string peer_address = "") const;

  // Whether a call may go on to its work at all; does not wait. Forbidden.NoPermission for a caller
  // without an identity, Rejected.Throttling, ServiceUnavailableTemporary while the audit trail
  // cannot be written.
  absl::Status Admit(Call& call) const;

  // Runs the work of a call that was admitted, and concludes.
  absl::Status Pass(Call& call, const std::function<absl::Status(Call&)>& work) const;

  // Records how a call ended, and returns what its caller is told: `outcome`, or an error if it
  // could not be recorded.
  absl::Status Conclude(const Call& call, absl::Status outcome) const;

 private:
  friend class Call;

  absl::Status DryRunOutcome(const Call& call, const absl::Status& outcome) const;
  absl::Status Record(const Call& call, const absl::Status& outcome) const;
  void WriteLine(const Call& call, const absl::Status& outcome) const;

  const Parts parts_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_GATE_H_
