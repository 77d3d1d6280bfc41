#include "client/command/key.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/command/arguments.h"
#include "client/command/exit_code.h"
#include "client/command/key_record.h"
#include "client/command/list_pages.h"
#include "client/command/policy.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

Record ToRecord(const KeyVersion& version) {
  Record record;
  record.Text("key_version_id", version.key_version_id)
      .Text("key_id", version.key_id)
      .Number("number", version.number)
      .Flag("primary", version.primary)
      .Number("uses_left", version.uses_left)
      .Time("create_time", version.create_time);
  return record;
}

Report ToReport(Record record, const std::string& request_id) {
  Report report{.record = std::move(record)};
  report.record.Text("request_id", request_id);
  return report;
}

}  // namespace

absl::StatusOr<Report> CreateKey(const Client& client, std::istream& in,
                                 const CreateKeyArguments& arguments) {
  CreateKeyRequest request{
      .description = arguments.description,
      .rotation_period_days = arguments.rotation_days,
  };
  if (!arguments.origin.empty()) {
    absl::StatusOr<KeyOrigin> origin = ParseName<KeyOrigin>("--origin", arguments.origin);
    if (!origin.ok()) return origin.status();
    request.origin = *origin;
  }
  absl::StatusOr<std::map<std::string, std::string>> tags = ParseContext("--tag", arguments.tags);
  if (!tags.ok()) return tags.status();
  request.tags = *std::move(tags);
  if (!arguments.policy_file.empty()) {
    absl::StatusOr<KeyPolicy> policy = ReadPolicy(arguments.policy_file, in);
    if (!policy.ok()) return policy.status();
    request.policy = *std::move(policy);
  }
  return KeyReport(client.keys().Create(request));
}

absl::StatusOr<Report> DescribeKey(const Client& client, const DescribeKeyArguments& arguments) {
  absl::StatusOr<std::vector<std::string>> tokens = ReadGrantTokens(arguments.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  return KeyReport(
      client.keys().Describe({.key_id = arguments.key_id, .grant_tokens = *std::move(tokens)}));
}

absl::StatusOr<Report> ListKeys(const Client& client, const ListKeysArguments& arguments) {
  ListKeysRequest request;
  for (const std::string& name : arguments.states) {
    absl::StatusOr<KeyState> state = ParseName<KeyState>("--state", name);
    if (!state.ok()) return state.status();
    request.states.push_back(*state);
  }
  absl::StatusOr<std::map<std::string, std::string>> tags = ParseContext("--tag", arguments.tags);
  if (!tags.ok()) return tags.status();
  request.tags = *std::move(tags);
  return ListPages<Key>("keys", arguments.page, KeyRecordInList, [&](const PageRequest& page) {
    request.page = page;
    return client.keys().List(request);
  });
}

absl::StatusOr<Report> RotateKey(const Client& client, const KeyArguments& arguments) {
  absl::StatusOr<KeyVersionResult> result = client.keys().CreateVersion(arguments.key_id);
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->key_version), result->request_id);
}

absl::StatusOr<Report> ListKeyVersions(const Client& client,
                                       const ListKeyVersionsArguments& arguments) {
  return ListPages<KeyVersion>(
      "key_versions", arguments.page, [](const KeyVersion& item) { return ToRecord(item); },
      [&](const PageRequest& page) {
        return client.keys().ListVersions({.key_id = arguments.key_id, .page = page});
      });
}

absl::StatusOr<Report> EnableKey(const Client& client, const KeyArguments& arguments) {
  return KeyReport(client.keys().Enable(arguments.key_id));
}

absl::StatusOr<Report> DisableKey(const Client& client, const KeyArguments& arguments) {
  return KeyReport(client.keys().Disable(arguments.key_id));
}

absl::StatusOr<Report> UpdateKey(const Client& client, const UpdateKeyArguments& arguments) {
  return KeyReport(client.keys().UpdateDescription(
      {.key_id = arguments.key_id, .description = arguments.description}));
}

absl::StatusOr<Report> TagKey(const Client& client, const TagArguments& arguments) {
  absl::StatusOr<std::map<std::string, std::string>> tags = ParseContext("--tag", arguments.tags);
  if (!tags.ok()) return tags.status();
  return KeyReport(client.keys().Tag({.key_id = arguments.key_id, .tags = *std::move(tags)}));
}

absl::StatusOr<Report> UntagKey(const Client& client, const TagArguments& arguments) {
  for (const std::string& name : arguments.tags) {
    // The service would find no tag of this name, and all would seem well.
    if (name.find('=') != std::string::npos) {
      return UsageError(absl::StrCat("--tag takes a tag's NAME alone here, not \"", name, "\""));
    }
  }
  return KeyReport(client.keys().Untag({.key_id = arguments.key_id, .tag_names = arguments.tags}));
}

absl::StatusOr<Report> SetRotation(const Client& client, const RotationArguments& arguments) {
  if (arguments.days.has_value() == arguments.off) {
    return UsageError("give --days or --off");
  }
  if (arguments.days == 0) return UsageError("--days takes 1 to 2560; for no rotation give --off");
  return KeyReport(client.keys().UpdateRotationPolicy(
      {.key_id = arguments.key_id, .rotation_period_days = arguments.days.value_or(0)}));
}

absl::StatusOr<Report> DeleteKey(const Client& client, const DeleteKeyArguments& arguments) {
  return KeyReport(client.keys().ScheduleDeletion(
      {.key_id = arguments.key_id, .pending_window_days = arguments.window_days}));
}

absl::StatusOr<Report> CancelKeyDeletion(const Client& client, const KeyArguments& arguments) {
  return KeyReport(client.keys().CancelDeletion(arguments.key_id));
}

absl::StatusOr<Report> DeleteKeyMaterial(const Client& client, const KeyArguments& arguments) {
  return KeyReport(client.keys().DeleteMaterial(arguments.key_id));
}

}  // namespace strongroom::command
