#ifndef STRONGROOM_CLIENT_COMMAND_KEY_IMPORT_H_
#define STRONGROOM_CLIENT_COMMAND_KEY_IMPORT_H_

#include <istream>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom key import-parameters` and `strongroom key import`.

// How material is to be wrapped: --algorithm, --wrapping-key-spec.
struct WrappingChoice {
  std::string algorithm = {};
  std::string key_spec = {};
};

struct ImportParametersArguments {
  std::string key_id = {};
  WrappingChoice wrapping = {};
  std::string public_key_file = {};
  std::string token_file = {};
  bool force = false;
};

absl::StatusOr<Report> GetImportParameters(const Client& client,
                                           const ImportParametersArguments& arguments);

struct ImportKeyArguments {
  std::string key_id = {};
  // Either these two, of parameters that were got before: material that is wrapped already.
  std::string token_file = {};
  std::string input = {};
  // Or this: material in the clear, 32 bytes, to be wrapped here.
  std::string material_file = {};
  WrappingChoice wrapping = {};
};

absl::StatusOr<Report> ImportKey(const Client& client, std::istream& in,
                                 const ImportKeyArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_KEY_IMPORT_H_
