#include "client/command/key.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

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

// Gets pages from `get`, all of them or the one asked for. The request id is the last page's.
template <typename Item>
absl::StatusOr<Report> ListPages(
    const std::string& name, const ListArguments& arguments,
    absl::FunctionRef<absl::StatusOr<Page<Item>>(const PageRequest&)> get) {
  Report report{.list = Report::List{.name = name}};
  PageRequest request = arguments.page;
  while (true) {
    absl::StatusOr<Page<Item>> page = get(request);
    if (!page.ok()) return page.status();
    for (const Item& item : page->items) report.list->items.push_back(ToRecord(item));
    if (page->next_page_token.empty() || arguments.one_page()) {
      report.record.OptionalText("next_page_token", page->next_page_token)
          .Text("request_id", page->request_id);
      return report;
    }
    if (page->next_page_token == request.page_token) {
      return absl::InternalError("the service gave the same page twice");
    }
    request.page_token = page->next_page_token;
  }
}

}  // namespace

absl::StatusOr<Report> CreateKey(const Client& client, const CreateKeyRequest& arguments) {
  return ToReport(client.keys().Create(arguments));
}

absl::StatusOr<Report> DescribeKey(const Client& client, const KeyArguments& arguments) {
  return ToReport(client.keys().Describe({.key_id = arguments.key_id}));
}

absl::StatusOr<Report> ListKeys(const Client& client, const ListArguments& arguments) {
  return ListPages<Key>("keys", arguments,
                        [&](const PageRequest& page) { return client.keys().List(page); });
}

absl::StatusOr<Report> RotateKey(const Client& client, const KeyArguments& arguments) {
  absl::StatusOr<KeyVersionResult> result = client.keys().CreateVersion(arguments.key_id);
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->key_version), result->request_id);
}

absl::StatusOr<Report> ListKeyVersions(const Client& client, const ListArguments& arguments) {
  return ListPages<KeyVersion>("key_versions", arguments, [&](const PageRequest& page) {
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
  return ListPages<Alias>("aliases", arguments, [&](const PageRequest& page) {
    return client.keys().ListAliases({.key_id = arguments.key_id, .page = page});
  });
}

}  // namespace strongroom::command
