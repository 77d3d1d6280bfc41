#ifndef STRONGROOM_SERVER_GATE_GRANT_H_
#define STRONGROOM_SERVER_GATE_GRANT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token.h"
#include "server/gate/operation.h"
#include "server/gate/policy.h"
#include "server/store/ids.h"

namespace strongroom::gate {

// A grant as a caller asks for it.
struct GrantText {
  // A principal, by its exact name.
  std::string grantee = {};
  // Who may give the grant up, besides those whom policies let; optional.
  std::string retiring_principal = {};
  // As OperationSet::Parse() takes them; only what a grant may allow.
  std::vector<std::string> operations = {};
  // Of the calls that take an encryption context; the others are allowed whatever this says.
  ContextConditions constraints = {};
  // Microseconds count.
  absl::Time expire_time = absl::InfiniteFuture();
};

// One principal's leave to use one key, until it expires or is ended. Whoever has leave to grant
// may pass on what they have, or less: such a grant is void if one that it comes from is.
struct Grant {
  static constexpr size_t kMaxAncestors = 8;

  GrantId id;
  KeyId key_id;
  GrantText text;
  OperationSet operations;  // those that text.operations names
  // The grants that this one was made under: the nearest is last. None if a policy let it be made.
  std::vector<GrantId> ancestors;
  // Who made it.
  std::string issuer;
  absl::Time create_time;

  // Whether it allows this to its grantee while it is in force.
  bool Allows(Operation operation, const CallContext& context) const;
};

// Checks what was asked for and makes `operations` of it; the other fields are left alone.
// MissingParameter, InvalidParameter.
absl::StatusOr<Grant> ParseGrant(GrantText text, absl::Time now);

// Whether `child` allows nothing that `parent` does not: the same key, at most its operations, no
// later expiry, and constraints that are at least as tight. InvalidParameter, naming the field that
// is too wide.
absl::Status CheckNarrows(const Grant& child, const Grant& parent);

// A grant as JSON: different grants have different documents.
std::string ToDocument(const Grant& grant);
// INVALID_ARGUMENT, for the log, if it is not what ToDocument() gives.
absl::StatusOr<Grant> GrantFromDocument(absl::string_view document);

// What a grant token is: a document and the MAC that the token (the HSM) made over it, in the
// purpose hsm::MacPurpose::kGrantToken. It says all there is to know of a grant but whether it was
// ended, so that a server that shares the HSM and has not heard of the grant yet can check it.
struct SignedGrant {
  std::string document;
  hsm::Mac mac;
};

inline constexpr size_t kMaxGrantTokenLength = 8192;

// What the MAC is over.
std::string GrantMacInput(absl::string_view document);
// "srg1." and the MAC and the document in base64url (RFC 4648, section 5) without padding.
std::string ToGrantToken(const SignedGrant& grant);
// Nothing if ToGrantToken() never gives this. Whether the MAC is right is not looked at.
std::optional<SignedGrant> ParseGrantToken(absl::string_view token);
// InvalidParameter if the token of a grant with this document would be too long.
absl::Status CheckGrantTokenLength(absl::string_view document);

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_GRANT_H_
