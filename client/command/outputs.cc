#include "client/command/outputs.h"

#include <cstdint>
#include <utility>

namespace strongroom::command {

absl::Status Outputs::Announce(bool returns_plaintext) {
  const bool has_somewhere = !choice_.plaintext_file.empty() || choice_.reveal_plaintext;
  if (returns_plaintext && !has_somewhere) {
    return UsageError(
        "this returns secret bytes in the clear; say where they may go: --plaintext-out FILE (made "
        "with mode 0600) or --reveal-plaintext (standard output, base64)");
  }
  if (!returns_plaintext && has_somewhere) {
    return UsageError(
        "this returns no plaintext, so --plaintext-out and --reveal-plaintext have no use; "
        "`strongroom decrypt` opens the ciphertext");
  }
  absl::Status status = files_.Announce("--ciphertext-out", choice_.ciphertext_file);
  if (status.ok()) status = files_.Announce("--public-key-out", choice_.public_key_file);
  if (status.ok()) status = files_.Announce("--signature-out", choice_.signature_file);
  if (status.ok()) status = files_.Announce("--plaintext-out", choice_.plaintext_file);
  return status;
}

absl::Status Outputs::Ciphertext(const std::string& blob, Record* record) {
  if (choice_.ciphertext_file.empty()) {
    record->Bytes("ciphertext_blob", blob);
  } else {
    record->BytesForPrograms("ciphertext_blob", blob)
        .Text("ciphertext_file", choice_.ciphertext_file);
  }
  record->Number("ciphertext_bytes", static_cast<int64_t>(blob.size()));
  return files_.Write(choice_.ciphertext_file, blob);
}

absl::Status Outputs::PublicKey(const std::string& key, bool pem, Record* record) {
  if (!choice_.public_key_file.empty()) {
    record->BytesForPrograms("public_key", key).Text("public_key_file", choice_.public_key_file);
  } else if (pem) {
    record->TextForPeople("public_key", key);
  } else {
    record->Bytes("public_key", key);
  }
  return files_.Write(choice_.public_key_file, key);
}

absl::Status Outputs::Signature(const std::string& signature, Record* record) {
  if (choice_.signature_file.empty()) {
    record->Bytes("signature", signature);
  } else {
    record->BytesForPrograms("signature", signature).Text("signature_file", choice_.signature_file);
  }
  return files_.Write(choice_.signature_file, signature);
}

absl::Status Outputs::Plaintext(SecretBytes plaintext, Report* report) {
  report->record.Number("plaintext_bytes", static_cast<int64_t>(plaintext.size()))
      .OptionalText("plaintext_file", choice_.plaintext_file);
  absl::Status status = files_.Write(choice_.plaintext_file, plaintext.ExposeSecret());
  if (choice_.reveal_plaintext) report->revealed = std::move(plaintext);
  return status;
}

}  // namespace strongroom::command
