#include "client/command/audit.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/audit_verifier.h"
#include "client/command/exit_code.h"

namespace strongroom::command {
namespace {

constexpr char kIntact[] = "intact";
constexpr char kChainIntact[] = "chain intact, seals not checked";
constexpr char kDamaged[] = "damaged";

Report ToReport(const AuditReport& trail, const AuditVerification& verification) {
  const bool online = verification.head.has_value();
  Report report;
  Record& record = report.record;
  record.Text("verdict", trail.bad.has_value() ? kDamaged
                         : online              ? kIntact
                                               : kChainIntact)
      .Number("records", trail.records)
      .Number("files", trail.files)
      .Number("first_sequence", trail.first_sequence)
      .Number("last_sequence", trail.last_sequence)
      .OptionalText("first_time", trail.first_time)
      .OptionalText("last_time", trail.last_time)
      .Number("seals", trail.seals)
      .Flag("seals_checked", online);
  if (online) {
    record.Number("confirmed_seals", trail.confirmed_seals)
        .Number("head_sequence", verification.head->sequence);
  }
  record.Number("unsealed_records", trail.unsealed_records)
      .Flag("being_written", trail.being_written);
  if (trail.bad.has_value()) {
    record.Number("first_bad_sequence", trail.bad->sequence)
        .OptionalText("first_bad_file", trail.bad->file)
        .Number("first_bad_line", trail.bad->line)
        .Text("finding", trail.bad->what);
    report.exit_code = ExitCode::kDamaged;
  }
  return report;
}

}  // namespace

absl::StatusOr<Report> VerifyAudit(const Client& client, const VerifyAuditArguments& arguments) {
  if (arguments.first_record < 1) {
    return UsageError("--first-record is a record's number, from 1");
  }
  AuditVerification verification;
  verification.first_record = arguments.first_record;
  // To tell what the service answered from what the files did.
  absl::Status service_error;
  if (!arguments.offline) {
    // Before the files are read: whatever the service has written by now has to be in them.
    absl::StatusOr<VerifyAuditSealsResult> head = client.audit().VerifyAuditSeals({});
    if (!head.ok()) return head.status();
    verification.head = head->head;
    verification.check_seals =
        [&](const std::vector<AuditSeal>& seals) -> absl::StatusOr<std::vector<bool>> {
      absl::StatusOr<VerifyAuditSealsResult> answer = client.audit().VerifyAuditSeals(seals);
      if (answer.ok()) return std::move(answer->genuine);
      service_error = answer.status();
      return service_error;
    };
  }
  absl::StatusOr<AuditReport> trail = VerifyAuditTrail(arguments.directory, verification);
  if (!service_error.ok()) return service_error;
  if (!trail.ok()) return LocalError(trail.status());
  if (trail->files == 0 && !trail->bad.has_value()) {
    return LocalError(absl::NotFoundError(absl::StrCat(
        arguments.directory, " has no audit files (audit-*.jsonl); name the trail's folder")));
  }
  return ToReport(*trail, verification);
}

}  // namespace strongroom::command
