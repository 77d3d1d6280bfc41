#ifndef STRONGROOM_CLIENT_COMMAND_DATA_KEY_H_
#define STRONGROOM_CLIENT_COMMAND_DATA_KEY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/arguments.h"
#include "client/command/outputs.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom data-key ...` and `strongroom data-key-pair ...`.

struct DataKeyArguments {
  ServiceChoice service = {};
  std::string key_id = {};
  std::optional<int32_t> number_of_bytes = std::nullopt;
  std::string key_spec = {};
  std::string algorithm = {};
  Binding binding = {};
  Authority authority = {};
  OutputChoice outputs = {};
};

absl::StatusOr<Report> GenerateDataKey(const Client& client, const DataKeyArguments& arguments);
absl::StatusOr<Report> GenerateDataKeyWithoutPlaintext(const Client& client,
                                                       const DataKeyArguments& arguments);

struct DataKeyBatchArguments {
  std::string key_id = {};
  int32_t count = 0;
  std::optional<int32_t> number_of_bytes = std::nullopt;
  std::string key_spec = {};
  bool without_plaintext = false;
  Binding binding = {};
  Authority authority = {};
  // Folders that are there. The files are 1.blob, 1.key, 2.blob, ..., with zeros in front so that
  // all names are of one length.
  std::string ciphertext_folder = {};
  std::string plaintext_folder = {};
  bool force = false;
};

absl::StatusOr<Report> GenerateDataKeyBatch(const Client& client,
                                            const DataKeyBatchArguments& arguments);

struct DataKeyPairArguments {
  ServiceChoice service = {};
  std::string key_id = {};
  std::string key_pair_spec = {};
  std::string key_format = "DER";
  std::string algorithm = {};
  Binding binding = {};
  Authority authority = {};
  OutputChoice outputs = {};
};

absl::StatusOr<Report> GenerateDataKeyPair(const Client& client,
                                           const DataKeyPairArguments& arguments);
absl::StatusOr<Report> GenerateDataKeyPairWithoutPlaintext(const Client& client,
                                                           const DataKeyPairArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_DATA_KEY_H_
