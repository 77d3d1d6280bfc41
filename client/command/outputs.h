#ifndef STRONGROOM_CLIENT_COMMAND_OUTPUTS_H_
#define STRONGROOM_CLIENT_COMMAND_OUTPUTS_H_

#include <string>

#include "absl/status/status.h"
#include "client/command/files.h"
#include "client/command/report.h"
#include "platform/secret_bytes.h"

namespace strongroom::command {

// Where results go: --ciphertext-out, --public-key-out, --signature-out, --plaintext-out,
// --reveal-plaintext, --force.
struct OutputChoice {
  std::string ciphertext_file = {};
  std::string public_key_file = {};
  std::string signature_file = {};
  std::string plaintext_file = {};
  bool reveal_plaintext = false;
  bool force = false;
};

// Puts results where they were asked to go and says so in the report. Key bytes in the clear go
// nowhere else: not to standard output unless that was asked for.
//
// Call Announce() before the service, then one function for each result, then Keep(). Without
// Keep() the files are removed again.
class Outputs {
 public:
  explicit Outputs(const OutputChoice& choice) : choice_(choice), files_(choice.force) {}

  // A usage error if plaintext is to come and has nowhere to go, or has somewhere to go and none
  // is to come; a local error if a file cannot be written.
  absl::Status Announce(bool returns_plaintext);

  absl::Status Ciphertext(const std::string& blob, Record* record);
  absl::Status PublicKey(const std::string& key, bool pem, Record* record);
  absl::Status Signature(const std::string& signature, Record* record);
  absl::Status Plaintext(SecretBytes plaintext, Report* report);

  void Keep() { files_.Keep(); }

 private:
  const OutputChoice choice_;
  OutputFiles files_;
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_OUTPUTS_H_
