#include "server/core/envelope.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace

absl::StatusOr<KeyId> SealingKeyOf(absl::string_view blob) {
  const std::optional<ParsedBlob> parsed = ParseBlob(blob);
  if (!parsed.has_value()) return InvalidCiphertext();
  return parsed->header.key_id;
}

absl::StatusOr<Sealed> Envelope::Seal(const UsableVersion& version, BlobHeader header,
                                      absl::Span<const uint8_t> content, const Binding& binding,
                                      Deadline deadline) {
  header.key_id = version.key_id;
  header.key_version_id = version.key_version_id;
  absl::Status status = token_.TakeRandom(absl::MakeSpan(header.iv), deadline);
  if (!status.ok()) return FromToken(status);
  status = keys_.TakeUse(version);
  if (!status.ok()) return status;
  std::string blob = header.Encode();
  const std::string aad = absl::StrCat(blob, binding.encoded());
  absl::StatusOr<std::string> ciphertext =
      token_.Seal(version.keys, header.iv, AsBytes(aad), content, deadline);
  if (!ciphertext.ok()) return FromToken(ciphertext.status());
  blob += *ciphertext;
  return Sealed{version.key_id, version.key_version_id, header.iv, std::move(blob)};
}

absl::StatusOr<Unsealed> Envelope::Unseal(absl::string_view blob, const Binding& binding,
                                          const std::optional<hsm::Iv>& iv, Deadline deadline) {
  const std::optional<ParsedBlob> parsed = ParseBlob(blob);
  if (!parsed.has_value()) return InvalidCiphertext();
  const BlobHeader& header = parsed->header;
  absl::StatusOr<UsableVersion> version = keys_.ForOpening(header.key_id, header.key_version_id);
  if (!version.ok()) return version.status();
  if (iv.has_value() && *iv != header.iv) return InvalidCiphertext();
  const std::string aad = absl::StrCat(parsed->header_bytes, binding.encoded());
  absl::StatusOr<SecretBytes> content =
      token_.Unseal(version->keys, header.iv, AsBytes(aad), parsed->ciphertext, deadline);
  if (absl::IsInvalidArgument(content.status())) return InvalidCiphertext();
  if (!content.ok()) return FromToken(content.status());
  return Unsealed{header, *std::move(version), *std::move(content)};
}

}  // namespace strongroom::core
