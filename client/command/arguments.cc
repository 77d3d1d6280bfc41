#include "client/command/arguments.h"

#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "platform/files.h"

namespace strongroom::command {

absl::Status CheckService(const ServiceChoice& choice) {
  if (choice.advance && !choice.instance()) {
    return UsageError(
        "--advance goes with --service instance; the classic service always seals with the "
        "primary version");
  }
  return absl::OkStatus();
}

absl::Status ClassicOnly(const ServiceChoice& choice, absl::string_view flag, bool given) {
  if (!given || !choice.instance()) return absl::OkStatus();
  return UsageError(absl::StrCat(flag, " goes with --service classic"));
}

absl::Status InstanceOnly(const ServiceChoice& choice, absl::string_view flag, bool given) {
  if (!given || choice.instance()) return absl::OkStatus();
  return UsageError(absl::StrCat(flag, " goes with --service instance"));
}

absl::StatusOr<EncryptionContext> ContextOf(const Binding& binding) {
  EncryptionContext context;
  for (const std::string& pair : binding.context) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return UsageError(absl::StrCat("--context takes KEY=VALUE, not \"", pair, "\""));
    }
    const std::string key = pair.substr(0, equals);
    if (!context.emplace(key, pair.substr(equals + 1)).second) {
      return UsageError(absl::StrCat("--context has the key \"", key, "\" twice"));
    }
  }
  return context;
}

absl::StatusOr<std::string> AadOf(const Binding& binding) {
  if (binding.aad_file.empty()) return binding.aad;
  if (!binding.aad.empty()) return UsageError("give --aad or --aad-file, not both");
  absl::StatusOr<std::string> aad = ReadFile(binding.aad_file);
  if (!aad.ok()) return LocalError(aad.status());
  return aad;
}

}  // namespace strongroom::command
