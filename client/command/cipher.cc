#include "client/command/cipher.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"

namespace strongroom::command {
namespace {

bool HasAad(const Binding& binding) { return !binding.aad.empty() || !binding.aad_file.empty(); }

absl::Status CheckArguments(const CipherArguments& arguments) {
  absl::Status status = CheckService(arguments.service);
  if (status.ok()) {
    status = ClassicOnly(arguments.service, "--context", !arguments.binding.context.empty());
  }
  if (status.ok()) {
    status = InstanceOnly(arguments.service, "--algorithm", !arguments.algorithm.empty());
  }
  return status;
}

absl::StatusOr<std::string> IvOf(const CipherArguments& arguments) {
  if (arguments.iv.size() % 2 != 0 ||
      !std::all_of(arguments.iv.begin(), arguments.iv.end(), absl::ascii_isxdigit)) {
    return UsageError(
        absl::StrCat("--iv-hex takes pairs of hexadecimal digits, not \"", arguments.iv, "\""));
  }
  return absl::HexStringToBytes(arguments.iv);
}

// The classic answers in the form of the instance ones, which have more fields.

absl::StatusOr<InstanceEncryptResult> EncryptByClassic(const Client& client,
                                                       const CipherArguments& arguments,
                                                       EncryptionContext context,
                                                       std::vector<std::string> grant_tokens,
                                                       const SecretBytes& plaintext) {
  absl::StatusOr<EncryptResult> result = client.Encrypt({
      .key_id = arguments.key_id,
      .plaintext = plaintext.ExposeSecret(),
      .encryption_context = std::move(context),
      .grant_tokens = std::move(grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
  if (!result.ok()) return result.status();
  return InstanceEncryptResult{
      .key_id = result->key_id,
      .key_version_id = result->key_version_id,
      .ciphertext_blob = result->ciphertext_blob,
      .request_id = result->request_id,
  };
}

absl::StatusOr<InstanceDecryptResult> DecryptByClassic(const Client& client,
                                                       const CipherArguments& arguments,
                                                       EncryptionContext context, std::string aad,
                                                       std::vector<std::string> grant_tokens,
                                                       std::string blob) {
  absl::StatusOr<DecryptResult> result = client.Decrypt({
      .ciphertext_blob = std::move(blob),
      .key_id = arguments.key_id,
      .encryption_context = std::move(context),
      .aad = std::move(aad),
      .grant_tokens = std::move(grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
  if (!result.ok()) return result.status();
  return InstanceDecryptResult{
      .key_id = result->key_id,
      .key_version_id = result->key_version_id,
      .plaintext = std::move(result->plaintext),
      .request_id = result->request_id,
  };
}

}  // namespace

absl::StatusOr<Report> Encrypt(const Client& client, std::istream& in,
                               const CipherArguments& arguments) {
  absl::Status status = CheckArguments(arguments);
  if (status.ok()) {
    status = InstanceOnly(arguments.service, "--aad or --aad-file", HasAad(arguments.binding));
  }
  if (!status.ok()) return status;
  Outputs outputs(arguments.outputs);
  if (!arguments.authority.dry_run) status = outputs.Announce(/*returns_plaintext=*/false);
  if (!status.ok()) return status;
  absl::StatusOr<EncryptionContext> context = ContextOf(arguments.binding);
  if (!context.ok()) return context.status();
  absl::StatusOr<std::string> aad = AadOf(arguments.binding);
  if (!aad.ok()) return aad.status();
  absl::StatusOr<std::vector<std::string>> tokens =
      ReadGrantTokens(arguments.authority.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  absl::StatusOr<SecretBytes> plaintext = ReadInput(arguments.input, in);
  if (!plaintext.ok()) return plaintext.status();

  const InstanceEncryptRequest request{
      .key_id = arguments.key_id,
      .plaintext = plaintext->ExposeSecret(),
      .aad = *std::move(aad),
      .algorithm = arguments.algorithm,
      .grant_tokens = *tokens,
      .dry_run = arguments.authority.dry_run,
  };
  absl::StatusOr<InstanceEncryptResult> result =
      !arguments.service.instance()
          ? EncryptByClassic(client, arguments, *std::move(context), *tokens, *plaintext)
      : arguments.service.advance ? client.instance().AdvanceEncrypt(request)
                                  : client.instance().Encrypt(request);
  if (!result.ok()) return result.status();

  Report report;
  report.record.Text("key_id", result->key_id)
      .OptionalText("key_version_id", result->key_version_id)
      .OptionalText("algorithm", result->algorithm);
  if (!result->iv.empty()) report.record.Bytes("iv", result->iv);
  status = outputs.Ciphertext(result->ciphertext_blob, &report.record);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> Decrypt(const Client& client, std::istream& in,
                               const CipherArguments& arguments) {
  absl::Status status = CheckArguments(arguments);
  if (status.ok()) status = InstanceOnly(arguments.service, "--iv-hex", !arguments.iv.empty());
  if (!status.ok()) return status;
  Outputs outputs(arguments.outputs);
  if (!arguments.authority.dry_run) status = outputs.Announce(/*returns_plaintext=*/true);
  if (!status.ok()) return status;
  absl::StatusOr<EncryptionContext> context = ContextOf(arguments.binding);
  if (!context.ok()) return context.status();
  absl::StatusOr<std::string> aad = AadOf(arguments.binding);
  if (!aad.ok()) return aad.status();
  absl::StatusOr<std::vector<std::string>> tokens =
      ReadGrantTokens(arguments.authority.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  absl::StatusOr<std::string> iv = IvOf(arguments);
  if (!iv.ok()) return iv.status();
  absl::StatusOr<SecretBytes> input = ReadInput(arguments.input, in);
  if (!input.ok()) return input.status();
  std::string blob(input->ExposeSecretAsText());

  absl::StatusOr<InstanceDecryptResult> result;
  if (arguments.service.instance()) {
    const InstanceDecryptRequest request{
        .key_id = arguments.key_id,
        .ciphertext_blob = std::move(blob),
        .aad = *std::move(aad),
        .iv = *std::move(iv),
        .algorithm = arguments.algorithm,
        .grant_tokens = *std::move(tokens),
        .dry_run = arguments.authority.dry_run,
    };
    result = arguments.service.advance ? client.instance().AdvanceDecrypt(request)
                                       : client.instance().Decrypt(request);
  } else {
    result = DecryptByClassic(client, arguments, *std::move(context), *std::move(aad),
                              *std::move(tokens), std::move(blob));
  }
  if (!result.ok()) return result.status();

  Report report;
  report.record.Text("key_id", result->key_id)
      .OptionalText("key_version_id", result->key_version_id)
      .OptionalText("algorithm", result->algorithm);
  status = outputs.Plaintext(std::move(result->plaintext), &report);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> Random(const Client& client, const RandomArguments& arguments) {
  Outputs outputs(arguments.outputs);
  absl::Status status = outputs.Announce(/*returns_plaintext=*/true);
  if (!status.ok()) return status;

  absl::StatusOr<InstanceRandom> random;
  if (arguments.service.instance()) {
    random = client.instance().GenerateRandom(arguments.number_of_bytes);
  } else {
    absl::StatusOr<RandomResult> classic = client.GenerateRandom(arguments.number_of_bytes);
    random = classic.ok() ? absl::StatusOr<InstanceRandom>(
                                InstanceRandom{.random = std::move(classic->random),
                                               .request_id = std::move(classic->request_id)})
                          : classic.status();
  }
  if (!random.ok()) return random.status();

  Report report;
  status = outputs.Plaintext(std::move(random->random), &report);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", random->request_id);
  return report;
}

}  // namespace strongroom::command
