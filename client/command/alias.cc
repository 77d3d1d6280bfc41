#include "client/command/alias.h"

#include <string>
#include <utility>

#include "client/command/list_pages.h"

namespace strongroom::command {
namespace {

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

absl::StatusOr<Report> ToReport(const absl::StatusOr<AliasResult>& result) {
  if (!result.ok()) return result.status();
  return ToReport(ToRecord(result->alias), result->request_id);
}

}  // namespace

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

absl::StatusOr<Report> ListAliases(const Client& client, const ListAliasesRequest& arguments) {
  return ListPages<Alias>(
      "aliases", arguments.page, [](const Alias& item) { return ToRecord(item); },
      [&](const PageRequest& page) {
        return client.keys().ListAliases({.key_id = arguments.key_id, .page = page});
      });
}

}  // namespace strongroom::command
