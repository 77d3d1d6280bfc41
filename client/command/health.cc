#include "client/command/health.h"

#include "client/command/exit_code.h"

namespace strongroom::command {
namespace {

std::string HealthName(Health health) {
  switch (health) {
    case Health::kServing:
      return "SERVING";
    case Health::kNotServing:
      return "NOT_SERVING";
    default:
      return "UNKNOWN";
  }
}

}  // namespace

absl::StatusOr<Report> ShowHealth(const Client& client, const HealthArguments& arguments) {
  absl::StatusOr<Health> health = client.CheckHealth(arguments.service);
  if (!health.ok()) return health.status();
  Report report;
  report.record.OptionalText("service", arguments.service).Text("status", HealthName(*health));
  report.exit_code = *health == Health::kServing ? ExitCode::kOk : ExitCode::kUnavailable;
  return report;
}

}  // namespace strongroom::command
