#ifndef STRONGROOM_CLIENT_KEY_POLICY_JSON_H_
#define STRONGROOM_CLIENT_KEY_POLICY_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/key_policy.h"

namespace strongroom {

// A policy in the JSON form of protobuf's KeyPolicy:
//   {"statements": [{"statementId": "...", "principals": ["..."], "operations": ["..."],
//                    "conditions": {"encryptionContextEquals": {"k": "v"}}}]}
// The names may be in snake_case as well.
//
// INVALID_ARGUMENT says where the text is no JSON, or which field is wrong or there twice. What a
// policy has to be beyond that, the service checks.
absl::StatusOr<KeyPolicy> KeyPolicyFromJson(absl::string_view json);

// The same form, indented, without a newline at its end. Text that is not UTF-8 is replaced.
std::string KeyPolicyToJson(const KeyPolicy& policy);

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_KEY_POLICY_JSON_H_
