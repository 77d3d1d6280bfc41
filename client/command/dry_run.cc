#include "client/command/dry_run.h"

#include "client/error.h"

namespace strongroom::command {

absl::StatusOr<Report> DryRunReport(absl::StatusOr<Report> result) {
  if (result.ok() || !WouldHaveWorked(result.status())) return result;
  const ErrorDetail detail = *ErrorDetailOf(result.status());
  Report report;
  report.record.Text("dry_run", "would work")
      .OptionalText("token", detail.dry_run.value_or(DryRunDetail{}).token)
      .Text("request_id", detail.request_id);
  return report;
}

}  // namespace strongroom::command
