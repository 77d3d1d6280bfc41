#ifndef STRONGROOM_CLIENT_COMMAND_KEY_H_
#define STRONGROOM_CLIENT_COMMAND_KEY_H_

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom key ...`: the life of master keys.

struct KeyArguments {
  std::string key_id = {};
};

// The lists: all pages, or one where --page-size or --page-token is given.
struct ListArguments {
  // For aliases it may be empty; for keys it is unused.
  std::string key_id = {};
  PageRequest page = {};
};

struct CreateKeyArguments {
  std::string description = {};
  // A policy as `key policy put` takes it: a file, or "-"; none if empty.
  std::string policy_file = {};
};

struct DescribeKeyArguments {
  std::string key_id = {};
  std::vector<std::string> grant_token_files = {};
};

absl::StatusOr<Report> CreateKey(const Client& client, std::istream& in,
                                 const CreateKeyArguments& arguments);
absl::StatusOr<Report> DescribeKey(const Client& client, const DescribeKeyArguments& arguments);
absl::StatusOr<Report> ListKeys(const Client& client, const ListArguments& arguments);
absl::StatusOr<Report> RotateKey(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> ListKeyVersions(const Client& client, const ListArguments& arguments);
absl::StatusOr<Report> EnableKey(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> DisableKey(const Client& client, const KeyArguments& arguments);

// `strongroom alias ...`: their names.

absl::StatusOr<Report> CreateAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> UpdateAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> DeleteAlias(const Client& client, const AliasRequest& arguments);
absl::StatusOr<Report> ListAliases(const Client& client, const ListArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_KEY_H_
