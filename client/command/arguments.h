#ifndef STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_
#define STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"

namespace strongroom::command {

// Options that several commands share, as they were given.

// Which service does it: --service, --advance.
struct ServiceChoice {
  std::string service = "classic";
  bool advance = false;

  bool instance() const { return service == "instance"; }
};

// What a blob is bound to: --context, --aad, --aad-file.
struct Binding {
  std::vector<std::string> context = {};
  std::string aad = {};
  std::string aad_file = {};
};

// A usage error if --advance is given with the classic service.
absl::Status CheckService(const ServiceChoice& choice);

// A usage error if `value`, given with `flag`, belongs to the other service. `flag` is for the
// message.
absl::Status ClassicOnly(const ServiceChoice& choice, absl::string_view flag, bool given);
absl::Status InstanceOnly(const ServiceChoice& choice, absl::string_view flag, bool given);

// Takes KEY=VALUE apart at the first '='. A usage error if there is none, a key is empty, or one
// comes twice.
absl::StatusOr<EncryptionContext> ContextOf(const Binding& binding);

// The bytes of --aad or of the file of --aad-file.
absl::StatusOr<std::string> AadOf(const Binding& binding);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_
