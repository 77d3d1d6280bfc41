#include "client/command/arguments.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "platform/files.h"
#include "platform/secret_bytes.h"

namespace strongroom::command {
namespace {

// A grant token of the service has fewer characters.
constexpr size_t kLongestGrantToken = 8192;

}  // namespace

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

absl::StatusOr<EncryptionContext> ParseContext(absl::string_view flag,
                                               const std::vector<std::string>& pairs) {
  EncryptionContext context;
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return UsageError(absl::StrCat(flag, " takes KEY=VALUE, not \"", pair, "\""));
    }
    const std::string key = pair.substr(0, equals);
    if (!context.emplace(key, pair.substr(equals + 1)).second) {
      return UsageError(absl::StrCat(flag, " has the key \"", key, "\" twice"));
    }
  }
  return context;
}

absl::StatusOr<EncryptionContext> ContextOf(const Binding& binding) {
  return ParseContext("--context", binding.context);
}

absl::StatusOr<std::string> AadOf(const Binding& binding) {
  if (binding.aad_file.empty()) return binding.aad;
  if (!binding.aad.empty()) return UsageError("give --aad or --aad-file, not both");
  absl::StatusOr<std::string> aad = ReadFile(binding.aad_file);
  if (!aad.ok()) return LocalError(aad.status());
  return aad;
}

absl::StatusOr<std::string> ReadGrantToken(const std::string& file) {
  absl::StatusOr<SecretBytes> content = ReadSecretFile(file);
  if (!content.ok()) return LocalError(content.status());
  const absl::string_view token = content->ExposeSecretAsText();
  if (token.empty() || token.size() > kLongestGrantToken ||
      !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return LocalError(absl::InvalidArgumentError(
        absl::StrCat(file, " holds no grant token, which is one line of 1 to ", kLongestGrantToken,
                     " characters, as `strongroom grant create --token-file` writes it")));
  }
  return std::string(token);
}

absl::StatusOr<std::vector<std::string>> ReadGrantTokens(const std::vector<std::string>& files) {
  std::vector<std::string> tokens;
  for (const std::string& file : files) {
    absl::StatusOr<std::string> token = ReadGrantToken(file);
    if (!token.ok()) return token.status();
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

}  // namespace strongroom::command
