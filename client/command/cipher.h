#ifndef STRONGROOM_CLIENT_COMMAND_CIPHER_H_
#define STRONGROOM_CLIENT_COMMAND_CIPHER_H_

#include <cstdint>
#include <istream>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/arguments.h"
#include "client/command/outputs.h"
#include "client/command/report.h"

namespace strongroom::command {

// `strongroom encrypt` and `strongroom decrypt`.
struct CipherArguments {
  ServiceChoice service = {};
  std::string key_id = {};
  // A file, or "-" for standard input.
  std::string input = {};
  std::string algorithm = {};
  // In hexadecimal; decrypt only.
  std::string iv = {};
  Binding binding = {};
  Authority authority = {};
  OutputChoice outputs = {};
};

absl::StatusOr<Report> Encrypt(const Client& client, std::istream& in,
                               const CipherArguments& arguments);
absl::StatusOr<Report> Decrypt(const Client& client, std::istream& in,
                               const CipherArguments& arguments);

// `strongroom random`.
struct RandomArguments {
  ServiceChoice service = {};
  int32_t number_of_bytes = 0;
  OutputChoice outputs = {};
};

absl::StatusOr<Report> Random(const Client& client, const RandomArguments& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_CIPHER_H_
