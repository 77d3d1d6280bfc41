#ifndef STRONGROOM_CLIENT_COMMAND_KEY_H_
#define STRONGROOM_CLIENT_COMMAND_KEY_H_

#include <cstdint>
#include <istream>
#include <optional>
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
struct ListKeyVersionsArguments {
  std::string key_id = {};
  PageRequest page = {};
};

struct ListKeysArguments {
  std::vector<std::string> states = {};
  // NAME=VALUE each.
  std::vector<std::string> tags = {};
  PageRequest page = {};
};

struct CreateKeyArguments {
  std::string description = {};
  // A policy as `key policy put` takes it: a file, or "-"; none if empty.
  std::string policy_file = {};
  std::string origin = {};
  // NAME=VALUE each.
  std::vector<std::string> tags = {};
  std::optional<int32_t> rotation_days = std::nullopt;
};

struct UpdateKeyArguments {
  std::string key_id = {};
  std::string description = {};
};

struct TagArguments {
  std::string key_id = {};
  // NAME=VALUE each; to take them away, NAME.
  std::vector<std::string> tags = {};
};

struct RotationArguments {
  std::string key_id = {};
  std::optional<int32_t> days = std::nullopt;
  bool off = false;
};

struct DeleteKeyArguments {
  std::string key_id = {};
  // 0 leaves it to the service.
  int32_t window_days = 0;
};

struct DescribeKeyArguments {
  std::string key_id = {};
  std::vector<std::string> grant_token_files = {};
};

absl::StatusOr<Report> CreateKey(const Client& client, std::istream& in,
                                 const CreateKeyArguments& arguments);
absl::StatusOr<Report> DescribeKey(const Client& client, const DescribeKeyArguments& arguments);
absl::StatusOr<Report> ListKeys(const Client& client, const ListKeysArguments& arguments);
absl::StatusOr<Report> RotateKey(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> ListKeyVersions(const Client& client,
                                       const ListKeyVersionsArguments& arguments);
absl::StatusOr<Report> EnableKey(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> DisableKey(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> UpdateKey(const Client& client, const UpdateKeyArguments& arguments);
absl::StatusOr<Report> TagKey(const Client& client, const TagArguments& arguments);
absl::StatusOr<Report> UntagKey(const Client& client, const TagArguments& arguments);
absl::StatusOr<Report> SetRotation(const Client& client, const RotationArguments& arguments);
absl::StatusOr<Report> DeleteKey(const Client& client, const DeleteKeyArguments& arguments);
absl::StatusOr<Report> CancelKeyDeletion(const Client& client, const KeyArguments& arguments);
absl::StatusOr<Report> DeleteKeyMaterial(const Client& client, const KeyArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_KEY_H_
