#ifndef STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_
#define STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "client/command/exit_code.h"
#include "client/specs.h"

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

// What lets a call, and whether it is only tried: --grant-token-file, --dry-run.
struct Authority {
  std::vector<std::string> grant_token_files = {};
  bool dry_run = false;
};

// A usage error if --advance is given with the classic service.
absl::Status CheckService(const ServiceChoice& choice);

// A usage error if `value`, given with `flag`, belongs to the other service. `flag` is for the
// message.
absl::Status ClassicOnly(const ServiceChoice& choice, absl::string_view flag, bool given);
absl::Status InstanceOnly(const ServiceChoice& choice, absl::string_view flag, bool given);

// Takes each KEY=VALUE apart at the first '='. A usage error, naming `flag`, if there is none, a
// key is empty, or one comes twice.
absl::StatusOr<EncryptionContext> ParseContext(absl::string_view flag,
                                               const std::vector<std::string>& pairs);
// Of --context.
absl::StatusOr<EncryptionContext> ContextOf(const Binding& binding);

// The bytes of --aad or of the file of --aad-file.
absl::StatusOr<std::string> AadOf(const Binding& binding);

// Understands the name of an enumeration's value (client/specs.h) in any case, and with hyphens for
// underscores: "pending-deletion". A usage error that lists the names.
template <typename Spec>
absl::StatusOr<Spec> ParseName(absl::string_view flag, absl::string_view text) {
  const std::string name = absl::AsciiStrToUpper(absl::StrReplaceAll(text, {{"-", "_"}}));
  const std::optional<Spec> spec = SpecFromName<Spec>(name);
  if (spec.has_value()) return *spec;
  return UsageError(absl::StrCat(flag, " is one of ", SpecNames<Spec>(), ", not \"", text, "\""));
}

// Reads grant tokens, one a file, without the newline at its end. A local error, which does not
// show it, for a file that others may read or that holds no token.
absl::StatusOr<std::string> ReadGrantToken(const std::string& file);
absl::StatusOr<std::vector<std::string>> ReadGrantTokens(const std::vector<std::string>& files);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_ARGUMENTS_H_
