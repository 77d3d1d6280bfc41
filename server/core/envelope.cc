#include "server/core/envelope.h"

#include <algorithm>
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

Sealer::Sealer(KeyRing& keys, hsm::Token& token, const UsableVersion& version, BlobHeader header,
               const Binding& binding)
    : keys_(keys), token_(token), version_(version) {
  header.key_id = version.key_id;
  header.key_version_id = version.key_version_id;
  aad_ = absl::StrCat(header.Encode(), binding.encoded());
}

absl::StatusOr<Sealed> Sealer::Seal(const hsm::Iv& iv, absl::Span<const uint8_t> content,
                                    Deadline deadline) {
  absl::Status status = keys_.TakeUse(version_);
  if (!status.ok()) return status;
  std::copy(iv.begin(), iv.end(), aad_.begin() + BlobHeader::kIvOffset);
  absl::StatusOr<std::string> ciphertext =
      token_.Seal(version_.keys, iv, AsBytes(aad_), content, deadline);
  if (!ciphertext.ok()) return FromToken(ciphertext.status());
  Sealed sealed{version_.key_id, version_.key_version_id, iv, {}};
  sealed.blob.reserve(BlobHeader::kBytes + ciphertext->size());
  sealed.blob.append(aad_, 0, BlobHeader::kBytes).append(*ciphertext);
  return sealed;
}

absl::StatusOr<Sealed> Envelope::Seal(const UsableVersion& version, const BlobHeader& header,
                                      absl::Span<const uint8_t> content, const Binding& binding,
                                      Deadline deadline) {
  hsm::Iv iv;
  absl::Status status = token_.GenerateRandom(absl::MakeSpan(iv), deadline);
  if (!status.ok()) return FromToken(status);
  return SealerFor(version, header, binding).Seal(iv, content, deadline);
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
