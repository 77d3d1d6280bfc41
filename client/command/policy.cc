#include "client/command/policy.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"
#include "client/key_policy_json.h"

namespace strongroom::command {

absl::StatusOr<KeyPolicy> ReadPolicy(const std::string& path, std::istream& in) {
  absl::StatusOr<SecretBytes> text = ReadInput(path, in);
  if (!text.ok()) return text.status();
  absl::StatusOr<KeyPolicy> policy = KeyPolicyFromJson(text->ExposeSecretAsText());
  if (policy.ok()) return policy;
  return LocalError(absl::InvalidArgumentError(
      absl::StrCat(path == "-" ? "standard input" : path,
                   " holds no policy in JSON: ", policy.status().message())));
}

absl::StatusOr<Report> GetPolicy(const Client& client, const PolicyArguments& arguments) {
  absl::StatusOr<KeyPolicyResult> result = client.keys().GetPolicy(arguments.key_id);
  if (!result.ok()) return result.status();
  Report report;
  if (result->policy.has_value()) {
    report.text = KeyPolicyToJson(*result->policy);
    report.record.JsonForPrograms("policy", *report.text);
  } else {
    report.text = "none";
  }
  report.record.Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> PutPolicy(const Client& client, std::istream& in,
                                 const PolicyArguments& arguments) {
  absl::StatusOr<KeyPolicy> policy = ReadPolicy(arguments.file, in);
  if (!policy.ok()) return policy.status();
  absl::StatusOr<DoneResult> result =
      client.keys().PutPolicy({.key_id = arguments.key_id, .policy = *std::move(policy)});
  if (!result.ok()) return result.status();
  Report report;
  report.record.Text("request_id", result->request_id);
  return report;
}

}  // namespace strongroom::command
