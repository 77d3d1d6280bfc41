#include "client/command/private_key.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

// What is read before anything is sent.
struct Read {
  std::string blob;
  SecretBytes input;
  EncryptionContext context;
  std::string aad;
  std::vector<std::string> grant_tokens;
};

absl::StatusOr<Read> ReadArguments(const PrivateKeyArguments& arguments, const std::string& input,
                                   std::istream& in) {
  if (arguments.blob_file == "-" && input == "-") {
    return UsageError(
        "only one of the private key's blob and what it is used on can be standard "
        "input");
  }
  absl::StatusOr<EncryptionContext> context = ContextOf(arguments.binding);
  if (!context.ok()) return context.status();
  absl::StatusOr<std::string> aad = AadOf(arguments.binding);
  if (!aad.ok()) return aad.status();
  absl::StatusOr<std::vector<std::string>> tokens =
      ReadGrantTokens(arguments.authority.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  absl::StatusOr<SecretBytes> blob = ReadInput(arguments.blob_file, in);
  if (!blob.ok()) return blob.status();
  absl::StatusOr<SecretBytes> content = ReadInput(input, in);
  if (!content.ok()) return content.status();
  return Read{std::string(blob->ExposeSecretAsText()), *std::move(content), *std::move(context),
              *std::move(aad), *std::move(tokens)};
}

// A dry run has no results to put anywhere.
absl::Status Announce(const PrivateKeyArguments& arguments, bool returns_plaintext,
                      Outputs* outputs) {
  return arguments.authority.dry_run ? absl::OkStatus() : outputs->Announce(returns_plaintext);
}

template <typename Result>
Report ReportOf(const Result& result) {
  Report report;
  report.record.Text("key_id", result.key_id).Text("key_version_id", result.key_version_id);
  return report;
}

}  // namespace

absl::StatusOr<Report> Sign(const Client& client, std::istream& in,
                            const PrivateKeyArguments& arguments) {
  if (arguments.input.empty() == arguments.digest.empty()) {
    return UsageError("give --in, of a message, or --digest-in, of its digest");
  }
  absl::StatusOr<SigningAlgorithm> algorithm =
      ParseName<SigningAlgorithm>("--algorithm", arguments.algorithm);
  if (!algorithm.ok()) return algorithm.status();
  EcdsaSignatureFormat format = EcdsaSignatureFormat::kUnspecified;
  if (!arguments.format.empty()) {
    absl::StatusOr<EcdsaSignatureFormat> named =
        ParseName<EcdsaSignatureFormat>("--format", arguments.format);
    if (!named.ok()) return named.status();
    format = *named;
  }
  Outputs outputs(arguments.outputs);
  absl::Status status = Announce(arguments, /*returns_plaintext=*/false, &outputs);
  if (!status.ok()) return status;
  const bool is_digest = arguments.input.empty();
  absl::StatusOr<Read> read =
      ReadArguments(arguments, is_digest ? arguments.digest : arguments.input, in);
  if (!read.ok()) return read.status();

  absl::StatusOr<SignWithDataKeyPairResult> result = client.SignWithDataKeyPair({
      .private_key_ciphertext_blob = std::move(read->blob),
      .key_id = arguments.key_id,
      .encryption_context = std::move(read->context),
      .aad = std::move(read->aad),
      .message = read->input.ExposeSecret(),
      .message_type = is_digest ? MessageType::kDigest : MessageType::kRaw,
      .signing_algorithm = *algorithm,
      .ecdsa_signature_format = format,
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
  if (!result.ok()) return result.status();

  Report report = ReportOf(*result);
  report.record.Text("key_pair_spec", SpecName(result->key_pair_spec))
      .Text("signing_algorithm", SpecName(result->signing_algorithm));
  status = outputs.Signature(result->signature, &report.record);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> DecryptWithPair(const Client& client, std::istream& in,
                                       const PrivateKeyArguments& arguments) {
  absl::StatusOr<AsymmetricDecryptionAlgorithm> algorithm =
      ParseName<AsymmetricDecryptionAlgorithm>("--algorithm", arguments.algorithm);
  if (!algorithm.ok()) return algorithm.status();
  Outputs outputs(arguments.outputs);
  absl::Status status = Announce(arguments, /*returns_plaintext=*/true, &outputs);
  if (!status.ok()) return status;
  absl::StatusOr<Read> read = ReadArguments(arguments, arguments.input, in);
  if (!read.ok()) return read.status();

  absl::StatusOr<DecryptWithDataKeyPairResult> result = client.DecryptWithDataKeyPair({
      .private_key_ciphertext_blob = std::move(read->blob),
      .key_id = arguments.key_id,
      .encryption_context = std::move(read->context),
      .aad = std::move(read->aad),
      .ciphertext = std::string(read->input.ExposeSecretAsText()),
      .decryption_algorithm = *algorithm,
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
  if (!result.ok()) return result.status();

  Report report = ReportOf(*result);
  report.record.Text("decryption_algorithm", SpecName(result->decryption_algorithm));
  status = outputs.Plaintext(std::move(result->plaintext), &report);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", result->request_id);
  return report;
}

absl::StatusOr<Report> DeriveSecret(const Client& client, std::istream& in,
                                    const PrivateKeyArguments& arguments) {
  Outputs outputs(arguments.outputs);
  absl::Status status = Announce(arguments, /*returns_plaintext=*/true, &outputs);
  if (!status.ok()) return status;
  absl::StatusOr<Read> read = ReadArguments(arguments, arguments.input, in);
  if (!read.ok()) return read.status();

  absl::StatusOr<DeriveSharedSecretResult> result = client.DeriveSharedSecret({
      .private_key_ciphertext_blob = std::move(read->blob),
      .key_id = arguments.key_id,
      .encryption_context = std::move(read->context),
      .aad = std::move(read->aad),
      .public_key = std::string(read->input.ExposeSecretAsText()),
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
  if (!result.ok()) return result.status();

  Report report = ReportOf(*result);
  status = outputs.Plaintext(std::move(result->shared_secret), &report);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", result->request_id);
  return report;
}

}  // namespace strongroom::command
