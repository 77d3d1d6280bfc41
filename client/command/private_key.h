#ifndef STRONGROOM_CLIENT_COMMAND_PRIVATE_KEY_H_
#define STRONGROOM_CLIENT_COMMAND_PRIVATE_KEY_H_

#include <istream>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/arguments.h"
#include "client/command/outputs.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom data-key-pair sign`, `decrypt` and `derive`: what a pair's private key is used for
// inside the token. Files are named, or "-" for standard input.
struct PrivateKeyArguments {
  // The sealed private key.
  std::string blob_file = {};
  std::string key_id = {};
  // sign: the message, or its digest; decrypt: the ciphertext; derive: the other side's public key.
  std::string input = {};
  std::string digest = {};
  std::string algorithm = {};
  // sign: of an ECDSA signature.
  std::string format = {};
  Binding binding = {};
  Authority authority = {};
  OutputChoice outputs = {};
};

absl::StatusOr<Report> Sign(const Client& client, std::istream& in,
                            const PrivateKeyArguments& arguments);
absl::StatusOr<Report> DecryptWithPair(const Client& client, std::istream& in,
                                       const PrivateKeyArguments& arguments);
absl::StatusOr<Report> DeriveSecret(const Client& client, std::istream& in,
                                    const PrivateKeyArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_PRIVATE_KEY_H_
