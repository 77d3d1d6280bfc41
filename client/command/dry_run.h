#ifndef STRONGROOM_CLIENT_COMMAND_DRY_RUN_H_
#define STRONGROOM_CLIENT_COMMAND_DRY_RUN_H_

#include "absl/status/statusor.h"
#include "client/command/report.h"

namespace strongroom::command {

// What a dry run has to say, of what the operation returned: that it would have worked is no error
// to people. Any other error stays one.
absl::StatusOr<Report> DryRunReport(absl::StatusOr<Report> result);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_DRY_RUN_H_
