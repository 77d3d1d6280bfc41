#ifndef STRONGROOM_CLIENT_KEY_POLICY_H_
#define STRONGROOM_CLIENT_KEY_POLICY_H_

#include <string>
#include <vector>

#include "client/encryption_context.h"

namespace strongroom {

// Who may do what with a key, beside whom the service's configuration lets: what a statement of its
// policy or a grant allows. authority.proto says which principals and operations can be named.

// What an encryption context has to be; no conditions if both are empty.
struct EncryptionContextConditions {
  // The context is this, no more and no less.
  EncryptionContext equals = {};
  // The context has these pairs, and may have more.
  EncryptionContext subset = {};
};

struct PolicyStatement {
  // A name for people, at most 128 bytes; may be empty.
  std::string statement_id = {};
  // 1 to 100, e.g. "spiffe://example.org/billing" or "spiffe://example.org/billing/*".
  std::vector<std::string> principals = {};
  // E.g. "Decrypt", "KmsService.Decrypt", "group:use", "*".
  std::vector<std::string> operations = {};
  EncryptionContextConditions conditions = {};
};

struct KeyPolicy {
  // 1 to 100, together at most 32 KiB; one that allows is enough.
  std::vector<PolicyStatement> statements = {};
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_KEY_POLICY_H_
