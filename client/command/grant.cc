#include "client/command/grant.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/command/arguments.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"
#include "client/command/list_pages.h"

namespace strongroom::command {
namespace {

std::string ForPeople(const EncryptionContextConditions& constraints) {
  std::vector<std::string> texts;
  const auto formatter = absl::PairFormatter("=");
  if (!constraints.equals.empty()) {
    texts.push_back(
        absl::StrCat("context is ", absl::StrJoin(constraints.equals, ", ", formatter)));
  }
  if (!constraints.subset.empty()) {
    texts.push_back(
        absl::StrCat("context has ", absl::StrJoin(constraints.subset, ", ", formatter)));
  }
  return texts.empty() ? "none" : absl::StrJoin(texts, "; ");
}

// The columns of a list are those that `in_list` leaves.
Record ToRecord(const Grant& grant, bool in_list) {
  Record record;
  const auto unless_in_list = [&] {
    if (in_list) record.ForPrograms();
  };
  record.Text("grant_id", grant.grant_id).Text("key_id", grant.key_id);
  unless_in_list();
  record.Text("grantee_principal", grant.grantee_principal).List("operations", grant.operations);
  record.Text("constraints", ForPeople(grant.constraints)).ForPeople();
  if (!grant.constraints.equals.empty()) {
    record.Map("encryption_context_equals", grant.constraints.equals).ForPrograms();
  }
  if (!grant.constraints.subset.empty()) {
    record.Map("encryption_context_subset", grant.constraints.subset).ForPrograms();
  }
  if (grant.expire_time.has_value()) {
    record.Time("expire_time", *grant.expire_time);
  } else {
    record.Text("expire_time", "never").ForPeople();
  }
  if (!grant.retiring_principal.empty()) {
    record.Text("retiring_principal", grant.retiring_principal);
    unless_in_list();
  }
  record.Text("issuing_principal", grant.issuing_principal);
  unless_in_list();
  record.Time("create_time", grant.create_time);
  unless_in_list();
  if (!grant.parent_grant_id.empty()) {
    record.Text("parent_grant_id", grant.parent_grant_id);
    unless_in_list();
  }
  return record;
}

// Unlike Abseil's parsers it knows no infinite times: what never comes is not given.
absl::StatusOr<std::optional<absl::Time>> ExpiryOf(const std::string& text) {
  if (text.empty()) return std::nullopt;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) && time != absl::InfiniteFuture() &&
      time != absl::InfinitePast()) {
    return time;
  }
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration > absl::ZeroDuration() &&
      duration != absl::InfiniteDuration()) {
    return absl::Now() + duration;
  }
  return UsageError(
      absl::StrCat("--expires takes a time like 2030-01-31T12:00:00Z, or how long from now, like "
                   "90m or 24h, not \"",
                   text, "\""));
}

absl::StatusOr<Report> ToReport(const EndGrantArguments& arguments,
                                const absl::StatusOr<DoneResult>& result) {
  if (!result.ok()) return result.status();
  Report report;
  report.record.OptionalText("grant_id", arguments.grant_id).Text("request_id", result->request_id);
  return report;
}

}  // namespace

absl::StatusOr<Report> CreateGrant(const Client& client, const CreateGrantArguments& arguments) {
  absl::StatusOr<EncryptionContext> equals =
      ParseContext("--context-equals", arguments.context_equals);
  if (!equals.ok()) return equals.status();
  absl::StatusOr<EncryptionContext> subset =
      ParseContext("--context-subset", arguments.context_subset);
  if (!subset.ok()) return subset.status();
  absl::StatusOr<std::optional<absl::Time>> expiry = ExpiryOf(arguments.expires);
  if (!expiry.ok()) return expiry.status();
  OutputFiles files(arguments.force);
  absl::Status status = files.Announce("--token-file", arguments.token_file);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<std::string>> tokens = ReadGrantTokens(arguments.grant_token_files);
  if (!tokens.ok()) return tokens.status();

  absl::StatusOr<CreateGrantResult> result = client.keys().CreateGrant({
      .key_id = arguments.key_id,
      .grantee_principal = arguments.grantee_principal,
      .operations = arguments.operations,
      .constraints = {.equals = *std::move(equals), .subset = *std::move(subset)},
      .expire_time = *expiry,
      .retiring_principal = arguments.retiring_principal,
      .grant_tokens = *std::move(tokens),
  });
  if (!result.ok()) return result.status();

  Report report{.record = ToRecord(result->grant, /*in_list=*/false)};
  status = files.Write(arguments.token_file, result->grant_token.ExposeSecret());
  if (!status.ok()) {
    // The grant is made, which a second try would not know.
    return LocalError(absl::Status(
        status.code(), absl::StrCat(status.message(), "; the grant ", result->grant.grant_id,
                                    " was made: use it without its token, or revoke it")));
  }
  files.Keep();
  report.record.OptionalText("token_file", arguments.token_file)
      .Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> ListGrants(const Client& client, const ListGrantsArguments& arguments) {
  return ListPages<Grant>(
      "grants", arguments.page,
      [](const Grant& grant) { return ToRecord(grant, /*in_list=*/true); },
      [&](const PageRequest& page) {
        return client.keys().ListGrants({.key_id = arguments.key_id,
                                         .grantee_principal = arguments.grantee_principal,
                                         .page = page});
      });
}

absl::StatusOr<Report> RetireGrant(const Client& client, const EndGrantArguments& arguments) {
  const bool by_token = !arguments.token_file.empty();
  const bool by_id = !arguments.key_id.empty() && !arguments.grant_id.empty();
  if (by_token ? !arguments.key_id.empty() : !by_id) {
    return UsageError("name the grant by KEY and GRANT_ID, or by --token-file FILE");
  }
  RetireGrantRequest request{.key_id = arguments.key_id, .grant_id = arguments.grant_id};
  if (by_token) {
    absl::StatusOr<std::string> token = ReadGrantToken(arguments.token_file);
    if (!token.ok()) return token.status();
    request.grant_token = *std::move(token);
  }
  return ToReport(arguments, client.keys().RetireGrant(request));
}

absl::StatusOr<Report> RevokeGrant(const Client& client, const EndGrantArguments& arguments) {
  return ToReport(arguments, client.keys().RevokeGrant(
                                 {.key_id = arguments.key_id, .grant_id = arguments.grant_id}));
}

}  // namespace strongroom::command
