#ifndef STRONGROOM_CLIENT_COMMAND_POLICY_H_
#define STRONGROOM_CLIENT_COMMAND_POLICY_H_

#include <istream>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom key policy ...`.

// A policy in the JSON form of KeyPolicyFromJson, from a file or, for "-", from `in`. A local error
// names the file, and the line or the field that is wrong.
absl::StatusOr<KeyPolicy> ReadPolicy(const std::string& path, std::istream& in);

struct PolicyArguments {
  std::string key_id = {};
  // Of put.
  std::string file = {};
};

// Tables have the policy in the form that PutPolicy reads, and nothing else.
absl::StatusOr<Report> GetPolicy(const Client& client, const PolicyArguments& arguments);
absl::StatusOr<Report> PutPolicy(const Client& client, std::istream& in,
                                 const PolicyArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_POLICY_H_
