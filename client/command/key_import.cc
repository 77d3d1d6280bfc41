#include "client/command/key_import.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/command/arguments.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"
#include "client/command/key_record.h"
#include "client/command/wrap_material.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

absl::StatusOr<GetParametersForImportRequest> ParametersRequest(const std::string& key_id,
                                                                const WrappingChoice& choice) {
  GetParametersForImportRequest request{
      .key_id = key_id,
      .wrapping_algorithm = ImportWrappingAlgorithm::kRsaesOaepSha256,
  };
  if (!choice.algorithm.empty()) {
    absl::StatusOr<ImportWrappingAlgorithm> algorithm =
        ParseName<ImportWrappingAlgorithm>("--algorithm", choice.algorithm);
    if (!algorithm.ok()) return algorithm.status();
    request.wrapping_algorithm = *algorithm;
  }
  if (!choice.key_spec.empty()) {
    absl::StatusOr<ImportWrappingKeySpec> spec =
        ParseName<ImportWrappingKeySpec>("--wrapping-key-spec", choice.key_spec);
    if (!spec.ok()) return spec.status();
    request.wrapping_key_spec = *spec;
  }
  return request;
}

absl::StatusOr<Report> ImportWrapped(const Client& client, std::istream& in,
                                     const ImportKeyArguments& arguments) {
  absl::StatusOr<SecretBytes> token = ReadInput(arguments.token_file, in);
  if (!token.ok()) return token.status();
  absl::StatusOr<SecretBytes> wrapped = ReadInput(arguments.input, in);
  if (!wrapped.ok()) return wrapped.status();
  return KeyReport(client.keys().ImportMaterial({
      .key_id = arguments.key_id,
      .import_token = std::string(token->ExposeSecretAsText()),
      .encrypted_key_material = std::string(wrapped->ExposeSecretAsText()),
  }));
}

// Gets parameters, wraps, imports.
absl::StatusOr<Report> ImportInTheClear(const Client& client, std::istream& in,
                                        const ImportKeyArguments& arguments) {
  absl::StatusOr<GetParametersForImportRequest> request =
      ParametersRequest(arguments.key_id, arguments.wrapping);
  if (!request.ok()) return request.status();
  // Before anything is sent.
  absl::StatusOr<SecretBytes> material = ReadMaterial(arguments.material_file, in);
  if (!material.ok()) return material.status();

  absl::StatusOr<ImportParameters> parameters = client.keys().GetParametersForImport(*request);
  if (absl::IsUnimplemented(parameters.status()) && arguments.wrapping.algorithm.empty()) {
    // SoftHSM 2.6.1 knows OAEP with SHA-1 only, which is as good for this.
    request->wrapping_algorithm = ImportWrappingAlgorithm::kRsaesOaepSha1;
    parameters = client.keys().GetParametersForImport(*request);
  }
  if (!parameters.ok()) return parameters.status();
  absl::StatusOr<std::string> wrapped =
      WrapMaterial(parameters->public_key, request->wrapping_algorithm, *material);
  if (!wrapped.ok()) return wrapped.status();
  return KeyReport(client.keys().ImportMaterial({
      .key_id = arguments.key_id,
      .import_token = std::move(parameters->import_token),
      .encrypted_key_material = *std::move(wrapped),
  }));
}

}  // namespace

absl::StatusOr<Report> GetImportParameters(const Client& client,
                                           const ImportParametersArguments& arguments) {
  absl::StatusOr<GetParametersForImportRequest> request =
      ParametersRequest(arguments.key_id, arguments.wrapping);
  if (!request.ok()) return request.status();
  OutputFiles files(arguments.force);
  absl::Status status = files.Announce("--public-key-out", arguments.public_key_file);
  if (status.ok()) status = files.Announce("--token-out", arguments.token_file);
  if (!status.ok()) return status;

  absl::StatusOr<ImportParameters> parameters = client.keys().GetParametersForImport(*request);
  if (!parameters.ok()) return parameters.status();
  status = files.Write(arguments.public_key_file, parameters->public_key);
  if (status.ok()) status = files.Write(arguments.token_file, parameters->import_token);
  if (!status.ok()) return status;
  files.Keep();

  Report report;
  report.record.Text("key_id", parameters->key_id)
      .Text("wrapping_algorithm", SpecName(request->wrapping_algorithm))
      .Text("public_key_file", arguments.public_key_file)
      .Text("token_file", arguments.token_file)
      .Time("expire_time", parameters->expire_time)
      .Text("request_id", parameters->request_id);
  return report;
}

absl::StatusOr<Report> ImportKey(const Client& client, std::istream& in,
                                 const ImportKeyArguments& arguments) {
  const bool wrapped = !arguments.token_file.empty() && !arguments.input.empty();
  const bool any_wrapped = !arguments.token_file.empty() || !arguments.input.empty();
  if (arguments.material_file.empty() ? !wrapped : any_wrapped) {
    return UsageError(
        "give --token and --in, of material that is wrapped, or --material-in, of material that "
        "is to be wrapped here");
  }
  if (wrapped && (!arguments.wrapping.algorithm.empty() || !arguments.wrapping.key_spec.empty())) {
    return UsageError(
        "--algorithm and --wrapping-key-spec go with --material-in; with --token they were chosen "
        "by `key import-parameters`");
  }
  if (arguments.token_file == "-" && arguments.input == "-") {
    return UsageError("only one of --token and --in can be standard input");
  }
  return wrapped ? ImportWrapped(client, in, arguments) : ImportInTheClear(client, in, arguments);
}

}  // namespace strongroom::command
