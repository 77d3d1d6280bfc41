#ifndef STRONGROOM_CLIENT_COMMAND_AUDIT_H_
#define STRONGROOM_CLIENT_COMMAND_AUDIT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom audit verify`.
struct VerifyAuditArguments {
  std::string directory = {};
  int64_t first_record = 1;
  // Ask the service nothing: seals and the newest record are not checked.
  bool offline = false;
};

// A damaged trail is no error but a report, with ExitCode::kDamaged.
absl::StatusOr<Report> VerifyAudit(const Client& client, const VerifyAuditArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_AUDIT_H_
