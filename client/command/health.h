#ifndef STRONGROOM_CLIENT_COMMAND_HEALTH_H_
#define STRONGROOM_CLIENT_COMMAND_HEALTH_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom health`. `service` is a full name; empty for the server as a whole.
struct HealthArguments {
  std::string service = {};
};

absl::StatusOr<Report> ShowHealth(const Client& client, const HealthArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_HEALTH_H_
