#include "client/command/data_key.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/files.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

// What is common to the options of keys and pairs.
template <typename Arguments>
absl::Status CheckArguments(const Arguments& arguments) {
  absl::Status status = CheckService(arguments.service);
  const Binding& binding = arguments.binding;
  if (status.ok()) status = ClassicOnly(arguments.service, "--context", !binding.context.empty());
  if (status.ok()) {
    status = InstanceOnly(arguments.service, "--aad or --aad-file",
                          !binding.aad.empty() || !binding.aad_file.empty());
  }
  if (status.ok()) {
    status = InstanceOnly(arguments.service, "--algorithm", !arguments.algorithm.empty());
  }
  if (status.ok() && arguments.service.advance && !arguments.algorithm.empty()) {
    status = UsageError("--algorithm does not go with --advance, which has no choice of it here");
  }
  return status;
}

// What is read before anything is sent.
struct Read {
  EncryptionContext context;
  std::string aad;
  std::vector<std::string> grant_tokens;
};

template <typename Arguments>
absl::StatusOr<Read> ReadArguments(const Arguments& arguments) {
  absl::StatusOr<EncryptionContext> context = ContextOf(arguments.binding);
  if (!context.ok()) return context.status();
  absl::StatusOr<std::string> aad = AadOf(arguments.binding);
  if (!aad.ok()) return aad.status();
  absl::StatusOr<std::vector<std::string>> tokens =
      ReadGrantTokens(arguments.authority.grant_token_files);
  if (!tokens.ok()) return tokens.status();
  return Read{*std::move(context), *std::move(aad), *std::move(tokens)};
}

// A dry run has no results to put anywhere.
template <typename Arguments>
absl::Status Announce(const Arguments& arguments, bool returns_plaintext, Outputs* outputs) {
  return arguments.authority.dry_run ? absl::OkStatus() : outputs->Announce(returns_plaintext);
}

// Of one data key, or of many.
template <typename Request, typename Arguments>
absl::StatusOr<Request> ClassicDataKeyRequest(const Arguments& arguments) {
  absl::StatusOr<Read> read = ReadArguments(arguments);
  if (!read.ok()) return read.status();
  Request request;
  request.key_id = arguments.key_id;
  request.number_of_bytes = arguments.number_of_bytes;
  request.encryption_context = std::move(read->context);
  request.grant_tokens = std::move(read->grant_tokens);
  request.dry_run = arguments.authority.dry_run;
  if (!arguments.key_spec.empty()) {
    const std::optional<DataKeySpec> spec = SpecFromName<DataKeySpec>(arguments.key_spec);
    if (!spec.has_value()) {
      return UsageError(absl::StrCat("--key-spec is one of ", SpecNames<DataKeySpec>(), ", not \"",
                                     arguments.key_spec, "\""));
    }
    request.key_spec = *spec;
  }
  return request;
}

constexpr int32_t kMostInABatch = 1000;

// Where the keys of a batch go: two files each, or one.
struct BatchFiles {
  std::vector<std::string> blobs;
  // Empty names without plaintext.
  std::vector<std::string> plaintexts;
};

BatchFiles NamesOf(const DataKeyBatchArguments& arguments) {
  BatchFiles files;
  const size_t width = absl::StrCat(arguments.count).size();
  for (int32_t i = 1; i <= arguments.count; ++i) {
    const std::string digits = absl::StrCat(i);
    const std::string number = std::string(width - digits.size(), '0') + digits;
    files.blobs.push_back(absl::StrCat(arguments.ciphertext_folder, "/", number, ".blob"));
    files.plaintexts.push_back(arguments.without_plaintext
                                   ? std::string()
                                   : absl::StrCat(arguments.plaintext_folder, "/", number, ".key"));
  }
  return files;
}

absl::Status CheckArguments(const DataKeyBatchArguments& arguments) {
  // The server's own check has the last word; this is for the names of the files.
  if (arguments.count < 1 || arguments.count > kMostInABatch) {
    return UsageError(absl::StrCat("--count takes 1 to ", kMostInABatch));
  }
  if (!arguments.without_plaintext && !arguments.authority.dry_run &&
      arguments.plaintext_folder.empty()) {
    return UsageError(
        "this returns secret bytes in the clear; say where they may go: --plaintext-out-dir FOLDER "
        "(files with mode 0600), or ask for none: --without-plaintext");
  }
  if (arguments.without_plaintext && !arguments.plaintext_folder.empty()) {
    return UsageError("--plaintext-out-dir has no use together with --without-plaintext");
  }
  return absl::OkStatus();
}

absl::Status Announce(const BatchFiles& names, OutputFiles* files) {
  absl::Status status;
  for (size_t i = 0; status.ok() && i < names.blobs.size(); ++i) {
    status = files->Announce("--ciphertext-out-dir", names.blobs[i]);
    if (status.ok()) status = files->Announce("--plaintext-out-dir", names.plaintexts[i]);
  }
  return status;
}

// Those that failed, the same failure of many in one row.
void AddFailures(const DataKeyBatch& batch, Report* report) {
  report->list = Report::List{.name = "failures", .with_record = true};
  size_t last = 0;
  for (size_t first = 1; first <= batch.outcomes.size(); first = last + 1) {
    last = first;
    const auto* error = std::get_if<BatchDataKeyError>(&batch.outcomes[first - 1]);
    if (error == nullptr) continue;
    for (; last < batch.outcomes.size(); ++last) {
      const auto* next = std::get_if<BatchDataKeyError>(&batch.outcomes[last]);
      if (next == nullptr || next->reason_name != error->reason_name ||
          next->message != error->message) {
        break;
      }
    }
    Record row;
    row.Number("first", static_cast<int64_t>(first))
        .Number("last", static_cast<int64_t>(last))
        .Text("reason", error->reason_name)
        .Text("message", error->message);
    report->list->items.push_back(std::move(row));
  }
}

absl::StatusOr<InstanceDataKey> GenerateByInstance(const Client& client,
                                                   const DataKeyArguments& arguments) {
  absl::StatusOr<Read> read = ReadArguments(arguments);
  if (!read.ok()) return read.status();
  if (arguments.service.advance) {
    return client.instance().AdvanceGenerateDataKey({
        .key_id = arguments.key_id,
        .number_of_bytes = arguments.number_of_bytes,
        .aad = std::move(read->aad),
        .grant_tokens = std::move(read->grant_tokens),
        .dry_run = arguments.authority.dry_run,
    });
  }
  return client.instance().GenerateDataKey({
      .key_id = arguments.key_id,
      .number_of_bytes = arguments.number_of_bytes,
      .aad = std::move(read->aad),
      .algorithm = arguments.algorithm,
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  });
}

// The classic answer in the form of the instance one, which has more fields.
absl::StatusOr<InstanceDataKey> GenerateByClassic(const Client& client,
                                                  const DataKeyArguments& arguments) {
  absl::StatusOr<GenerateDataKeyRequest> request =
      ClassicDataKeyRequest<GenerateDataKeyRequest>(arguments);
  if (!request.ok()) return request.status();
  absl::StatusOr<DataKey> key = client.GenerateDataKey(*request);
  if (!key.ok()) return key.status();
  return InstanceDataKey{
      .key_id = std::move(key->key_id),
      .key_version_id = std::move(key->key_version_id),
      .plaintext = std::move(key->plaintext),
      .ciphertext_blob = std::move(key->ciphertext_blob),
      .request_id = std::move(key->request_id),
  };
}

absl::Status CheckPairNames(const DataKeyPairArguments& arguments) {
  if (!SpecFromName<DataKeyPairSpec>(arguments.key_pair_spec).has_value()) {
    return UsageError(absl::StrCat("--spec is one of ", SpecNames<DataKeyPairSpec>(), ", not \"",
                                   arguments.key_pair_spec, "\""));
  }
  if (!SpecFromName<KeyFormat>(arguments.key_format).has_value()) {
    return UsageError(absl::StrCat("--format is one of ", SpecNames<KeyFormat>(), ", not \"",
                                   arguments.key_format, "\""));
  }
  return absl::OkStatus();
}

// As above: the classic answers in the form of the instance ones.
absl::StatusOr<InstanceDataKeyPair> PairByClassic(const Client& client,
                                                  const DataKeyPairArguments& arguments,
                                                  bool without_plaintext) {
  absl::StatusOr<Read> read = ReadArguments(arguments);
  if (!read.ok()) return read.status();
  const GenerateDataKeyPairRequest request{
      .key_id = arguments.key_id,
      .key_pair_spec = *SpecFromName<DataKeyPairSpec>(arguments.key_pair_spec),
      .key_format = *SpecFromName<KeyFormat>(arguments.key_format),
      .encryption_context = std::move(read->context),
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  };
  absl::StatusOr<SealedDataKeyPair> pair = without_plaintext
                                               ? client.GenerateDataKeyPairWithoutPlaintext(request)
                                               : client.GenerateDataKeyPair(request);
  if (!pair.ok()) return pair.status();
  return InstanceDataKeyPair{.sealed = {
                                 .key_id = pair->key_id,
                                 .key_version_id = pair->key_version_id,
                                 .key_pair_spec = SpecName(pair->key_pair_spec),
                                 .public_key = pair->public_key,
                                 .private_key_ciphertext_blob = pair->private_key_ciphertext_blob,
                                 .request_id = pair->request_id,
                             }};
}

absl::StatusOr<InstanceDataKeyPair> SealedOnly(absl::StatusOr<InstanceSealedDataKeyPair> pair) {
  if (!pair.ok()) return pair.status();
  return InstanceDataKeyPair{.sealed = *std::move(pair)};
}

absl::StatusOr<InstanceDataKeyPair> PairByInstance(const Client& client,
                                                   const DataKeyPairArguments& arguments,
                                                   bool without_plaintext) {
  absl::StatusOr<Read> read = ReadArguments(arguments);
  if (!read.ok()) return read.status();
  if (arguments.service.advance) {
    const InstanceAdvanceGenerateDataKeyPairRequest request{
        .key_id = arguments.key_id,
        .key_pair_spec = arguments.key_pair_spec,
        .key_format = arguments.key_format,
        .aad = std::move(read->aad),
        .grant_tokens = std::move(read->grant_tokens),
        .dry_run = arguments.authority.dry_run,
    };
    return without_plaintext
               ? SealedOnly(client.instance().AdvanceGenerateDataKeyPairWithoutPlaintext(request))
               : client.instance().AdvanceGenerateDataKeyPair(request);
  }
  const InstanceGenerateDataKeyPairRequest request{
      .key_id = arguments.key_id,
      .key_pair_spec = arguments.key_pair_spec,
      .key_format = arguments.key_format,
      .aad = std::move(read->aad),
      .algorithm = arguments.algorithm,
      .grant_tokens = std::move(read->grant_tokens),
      .dry_run = arguments.authority.dry_run,
  };
  return without_plaintext
             ? SealedOnly(client.instance().GenerateDataKeyPairWithoutPlaintext(request))
             : client.instance().GenerateDataKeyPair(request);
}

absl::StatusOr<Report> Pair(const Client& client, const DataKeyPairArguments& arguments,
                            bool without_plaintext) {
  absl::Status status = CheckArguments(arguments);
  if (status.ok()) status = CheckPairNames(arguments);
  if (!status.ok()) return status;
  const bool returns_plaintext = arguments.service.instance() && !without_plaintext;
  Outputs outputs(arguments.outputs);
  status = Announce(arguments, returns_plaintext, &outputs);
  if (!status.ok()) return status;

  absl::StatusOr<InstanceDataKeyPair> pair =
      arguments.service.instance() ? PairByInstance(client, arguments, without_plaintext)
                                   : PairByClassic(client, arguments, without_plaintext);
  if (!pair.ok()) return pair.status();

  Report report;
  report.record.Text("key_id", pair->sealed.key_id)
      .OptionalText("key_version_id", pair->sealed.key_version_id)
      .Text("key_pair_spec", pair->sealed.key_pair_spec)
      .Text("key_format", arguments.key_format)
      .OptionalText("algorithm", pair->sealed.algorithm);
  if (!pair->sealed.iv.empty()) report.record.Bytes("iv", pair->sealed.iv);
  status = outputs.Ciphertext(pair->sealed.private_key_ciphertext_blob, &report.record);
  if (status.ok()) {
    status = outputs.PublicKey(pair->sealed.public_key,
                               SpecFromName<KeyFormat>(arguments.key_format) == KeyFormat::kPem,
                               &report.record);
  }
  if (status.ok() && returns_plaintext) {
    status = outputs.Plaintext(std::move(pair->private_key), &report);
  }
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", pair->sealed.request_id);
  return report;
}

}  // namespace

absl::StatusOr<Report> GenerateDataKey(const Client& client, const DataKeyArguments& arguments) {
  absl::Status status = CheckArguments(arguments);
  if (status.ok()) {
    status = ClassicOnly(arguments.service, "--key-spec", !arguments.key_spec.empty());
  }
  if (!status.ok()) return status;
  Outputs outputs(arguments.outputs);
  status = Announce(arguments, /*returns_plaintext=*/true, &outputs);
  if (!status.ok()) return status;

  absl::StatusOr<InstanceDataKey> key = arguments.service.instance()
                                            ? GenerateByInstance(client, arguments)
                                            : GenerateByClassic(client, arguments);
  if (!key.ok()) return key.status();

  Report report;
  report.record.Text("key_id", key->key_id)
      .OptionalText("key_version_id", key->key_version_id)
      .OptionalText("algorithm", key->algorithm);
  if (!key->iv.empty()) report.record.Bytes("iv", key->iv);
  status = outputs.Ciphertext(key->ciphertext_blob, &report.record);
  if (status.ok()) status = outputs.Plaintext(std::move(key->plaintext), &report);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", key->request_id);
  return report;
}

absl::StatusOr<Report> GenerateDataKeyWithoutPlaintext(const Client& client,
                                                       const DataKeyArguments& arguments) {
  if (arguments.service.instance()) {
    return UsageError(
        "the instance service has no data keys without plaintext; leave --service instance out");
  }
  absl::Status status = CheckArguments(arguments);
  if (!status.ok()) return status;
  Outputs outputs(arguments.outputs);
  status = Announce(arguments, /*returns_plaintext=*/false, &outputs);
  if (!status.ok()) return status;
  absl::StatusOr<GenerateDataKeyRequest> request =
      ClassicDataKeyRequest<GenerateDataKeyRequest>(arguments);
  if (!request.ok()) return request.status();

  absl::StatusOr<SealedDataKey> key = client.GenerateDataKeyWithoutPlaintext(*request);
  if (!key.ok()) return key.status();

  Report report;
  report.record.Text("key_id", key->key_id).Text("key_version_id", key->key_version_id);
  status = outputs.Ciphertext(key->ciphertext_blob, &report.record);
  if (!status.ok()) return status;
  outputs.Keep();
  report.record.Text("request_id", key->request_id);
  return report;
}

absl::StatusOr<Report> GenerateDataKeyBatch(const Client& client,
                                            const DataKeyBatchArguments& arguments) {
  absl::Status status = CheckArguments(arguments);
  if (!status.ok()) return status;
  const BatchFiles names = NamesOf(arguments);
  OutputFiles files(arguments.force);
  if (!arguments.authority.dry_run) status = Announce(names, &files);
  if (!status.ok()) return status;
  absl::StatusOr<BatchGenerateDataKeyRequest> request =
      ClassicDataKeyRequest<BatchGenerateDataKeyRequest>(arguments);
  if (!request.ok()) return request.status();
  request->count = arguments.count;
  request->without_plaintext = arguments.without_plaintext;

  absl::StatusOr<DataKeyBatch> batch = client.BatchGenerateDataKey(*request);
  if (!batch.ok()) return batch.status();

  const size_t count = std::min(batch->outcomes.size(), names.blobs.size());
  int64_t made = 0;
  Report report;
  report.record.Text("key_id", batch->key_id);
  for (size_t i = 0; i < count; ++i) {
    const auto* key = std::get_if<BatchDataKey>(&batch->outcomes[i]);
    if (key == nullptr) continue;
    // All have the same: the version is picked once for a batch.
    if (made++ == 0) report.record.Text("key_version_id", key->key_version_id);
    status = files.Write(names.blobs[i], key->ciphertext_blob);
    if (status.ok()) status = files.Write(names.plaintexts[i], key->plaintext);
    if (!status.ok()) return status;
  }
  files.Keep();
  report.record.Number("made", made)
      .Number("failed", arguments.count - made)
      .Text("ciphertext_folder", arguments.ciphertext_folder)
      .OptionalText("plaintext_folder", arguments.plaintext_folder)
      .Text("request_id", batch->request_id);
  if (made < arguments.count) {
    AddFailures(*batch, &report);
    report.exit_code = ExitCode::kPartly;
  }
  return report;
}

absl::StatusOr<Report> GenerateDataKeyPair(const Client& client,
                                           const DataKeyPairArguments& arguments) {
  return Pair(client, arguments, /*without_plaintext=*/false);
}

absl::StatusOr<Report> GenerateDataKeyPairWithoutPlaintext(const Client& client,
                                                           const DataKeyPairArguments& arguments) {
  return Pair(client, arguments, /*without_plaintext=*/true);
}

}  // namespace strongroom::command
