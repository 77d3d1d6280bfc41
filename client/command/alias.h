#ifndef STRONGROOM_CLIENT_COMMAND_ALIAS_H_
#define STRONGROOM_CLIENT_COMMAND_ALIAS_H_

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom alias ...`: names of master keys.

absl::StatusOr<Report> CreateAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> UpdateAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> DeleteAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> ListAliases(const Client& client, const ListAliasesRequest& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_ALIAS_H_
