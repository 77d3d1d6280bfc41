#include "client/command/key.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/command/arguments.h"
#include "client/command/list_pages.h"
#include "client/command/policy.h"

namespace strongroom::command {
namespace {

std::string StateName(KeyState state) {
  switch (state) {
    case KeyState::kEnabled:
      return "ENABLED";
    case KeyState::kDisabled:
      return "DISABLED";
    default:
      return "UNKNOWN";
  }
}

Record ToRecord(const Key& key) {
  Record record;
  record.Text("key_id", key.key_id)
      .Text("state", StateName(key.state))
      .Time("create_time", key.create_time)
      .Text("initial_key_version_id", key.initial_key_version_id)
      .Text("primary_key_version_id", key.primary_key_version_id)
      .Text("description", key.description);
  return record;
}

Record ToRecord(const KeyVersion& version) {
  Record record;
  record.Text("key_version_id", version.key_version_id)
      .Text("key_id", version.key_id)
      .Number("number", version.number)
      .Flag("primary", version.primary)
      .Time("create_time", version.create_time);
  return record;
}

Record ToRecord(const Alias& alias) {
  Record record;
  record.Text("alias_name", alias.alias_name)
      .Text("key_id", alias.key_id)
      .Time("create_time", alias.create_time)
      .Time("update_time", alias.update_time);
  return record;
}

Report ToReport(Record record, const std::string& request_id) {
  Report report{.record = std::move(record)};
  report.record.Text("request_id", request_id);
  return report;
}

absl::StatusOr<Report> ToReport(const absl::StatusOr<KeyResult>& result) {
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->key), result->request_id);
}

absl::StatusOr<Report> ToReport(const absl::StatusOr<AliasResult>& result) {
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->alias), result->request_id);
}

}  // namespace

absl::StatusOr<Report> CreateKey(const Client& client, std::istream& in,
                                 const CreateKeyArguments& arguments) {
  CreateKeyRequest request{.description = arguments.description};
  if (!arguments.policy_file.empty()) {
    absl::StatusOr<KeyPolicy> policy = ReadPolicy(arguments.policy_file, in);
    if (!policy.ok()) return policy.status();
    request.policy = *std::move(policy);
  }
  return ToReport(client.keys().Create(request));
}

absl::StatusOr<Report> DescribeKey(const Client& client, const DescribeKeyArguments& arguments) {
  absl::StatusOr<std::vector<std::string>> tokens = ReadGrantTokens(arguments.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  return ToReport(
      client.keys().Describe({.key_id = arguments.key_id, .grant_tokens = *std::move(tokens)}));
}

absl::StatusOr<Report> ListKeys(const Client& client, const ListArguments& arguments) {
  return ListPages<Key>(
      "keys", arguments.page, [](const Key& item) { return ToRecord(item); },
      [&](const PageRequest& page) { return client.keys().List({.page = page}); });
}

absl::StatusOr<Report> RotateKey(const Client& client, const KeyArguments& arguments) {
  absl::StatusOr<KeyVersionResult> result = client.keys().CreateVersion(arguments.key_id);
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->key_version), result->request_id);
}

absl::StatusOr<Report> ListKeyVersions(const Client& client, const ListArguments& arguments) {
  return ListPages<KeyVersion>(
      "key_versions", arguments.page, [](const KeyVersion& item) { return ToRecord(item); },
      [&](const PageRequest& page) {
        return client.keys().ListVersions({.key_id = arguments.key_id, .page = page});
      });
}

absl::StatusOr<Report> EnableKey(const Client& client, const KeyArguments& arguments) {
  return ToReport(client.keys().Enable(arguments.key_id));
}

absl::StatusOr<Report> DisableKey(const Client& client, const KeyArguments& arguments) {
  return ToReport(client.keys().Disable(arguments.key_id));
}

absl::StatusOr<Report> CreateAlias(const Client& client, const AliasRequest& arguments) {
  return ToReport(client.keys().CreateAlias(arguments));
}

absl::StatusOr<Report> UpdateAlias(const Client& client, const AliasRequest& arguments) {
  return ToReport(client.keys().UpdateAlias(arguments));
}

absl::StatusOr<Report> DeleteAlias(const Client& client, const AliasRequest& arguments) {
  absl::StatusOr<DeleteAliasResult> result = client.keys().DeleteAlias(arguments.alias_name);
  if (!result.ok()) return result.status();
  Record record;
  record.Text("alias_name", arguments.alias_name);
  return ToReport(std::move(record), result->request_id);
}

absl::StatusOr<Report> ListAliases(const Client& client, const ListArguments& arguments) {
  return ListPages<Alias>(
      "aliases", arguments.page, [](const Alias& item) { return ToRecord(item); },
      [&](const PageRequest& page) {
        return client.keys().ListAliases({.key_id = arguments.key_id, .page = page});
      });
}

}  // namespace strongroom::command
