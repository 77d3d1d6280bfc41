#ifndef STRONGROOM_CLIENT_COMMAND_REENCRYPT_H_
#define STRONGROOM_CLIENT_COMMAND_REENCRYPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/arguments.h"
#include "client/command/report.h"
#include "client/command/streams.h"

namespace strongroom::command {

// `strongroom reencrypt`.
struct ReEncryptArguments {
  std::string destination_key_id = {};
  std::string source_key_id = {};
  // KEY=VALUE each. `binding.context` is for both the old blob and the new one, and excludes the
  // other two; `binding.aad` is the old one's.
  Binding binding = {};
  std::vector<std::string> source_context = {};
  std::vector<std::string> destination_context = {};
  Authority authority = {};
  // Each file is one blob.
  std::vector<std::string> files = {};
  // All files below these.
  std::vector<std::string> folders = {};
  // In place of rewriting the files.
  std::string out_folder = {};
  bool force = false;
  int parallel = 8;
};

// Seals blobs in files again. A file whose blob could not be stays as it was, and is in the report
// with the reason; the others are done. After SIGINT or SIGTERM no further file is begun.
//
// An error, and nothing done, if the arguments are wrong or the destination key cannot be used.
absl::StatusOr<Report> ReEncrypt(const Client& client, const Streams& streams,
                                 const ReEncryptArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_REENCRYPT_H_
