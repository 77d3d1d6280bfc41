#ifndef STRONGROOM_CLIENT_COMMAND_GRANT_H_
#define STRONGROOM_CLIENT_COMMAND_GRANT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom grant ...`. Grant tokens are read from files and written to files, never shown.

struct CreateGrantArguments {
  std::string key_id = {};
  std::string grantee_principal = {};
  std::vector<std::string> operations = {};
  // KEY=VALUE each.
  std::vector<std::string> context_equals = {};
  std::vector<std::string> context_subset = {};
  // A time as in RFC 3339, or how long from now (1h30m); never if empty.
  std::string expires = {};
  std::string retiring_principal = {};
  std::vector<std::string> grant_token_files = {};
  // Where the token goes; nowhere if empty.
  std::string token_file = {};
  bool force = false;
};

struct ListGrantsArguments {
  std::string key_id = {};
  std::string grantee_principal = {};
  PageRequest page = {};
};

struct EndGrantArguments {
  std::string key_id = {};
  std::string grant_id = {};
  // Of retire, in place of both.
  std::string token_file = {};
};

absl::StatusOr<Report> CreateGrant(const Client& client, const CreateGrantArguments& arguments);
absl::StatusOr<Report> ListGrants(const Client& client, const ListGrantsArguments& arguments);
absl::StatusOr<Report> RetireGrant(const Client& client, const EndGrantArguments& arguments);
absl::StatusOr<Report> RevokeGrant(const Client& client, const EndGrantArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_GRANT_H_
