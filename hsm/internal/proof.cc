#include "hsm/internal/proof.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {
namespace {

// Databases keep proofs: neither of the two is ever changed.
constexpr absl::string_view kText = "strongroom known-good input";
constexpr absl::string_view kAadPrefix = "strongroom proof ";

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

std::string AadOf(const ObjectId& id) {
  return absl::StrCat(kAadPrefix,
                      absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

}  // namespace

std::string Proof::Encode() const { return std::string(iv.begin(), iv.end()) + ciphertext; }

std::optional<Proof> Proof::Parse(absl::string_view encoded) {
  Proof proof;
  if (encoded.size() != proof.iv.size() + kText.size() + kGcmTagBytes) return std::nullopt;
  std::copy_n(encoded.begin(), proof.iv.size(), proof.iv.begin());
  proof.ciphertext = std::string(encoded.substr(proof.iv.size()));
  return proof;
}

absl::StatusOr<Proof> SealProof(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id) {
  Proof proof;
  absl::Status status = session.GenerateRandom(absl::MakeSpan(proof.iv));
  if (!status.ok()) return status;
  const std::string aad = AadOf(id);
  absl::StatusOr<std::string> sealed =
      session.EncryptGcm(seal_key, {proof.iv, AsBytes(aad)}, AsBytes(kText));
  if (!sealed.ok()) return sealed.status();
  proof.ciphertext = *std::move(sealed);
  return proof;
}

absl::Status OpenProof(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id,
                       const Proof& proof) {
  const std::string aad = AadOf(id);
  absl::StatusOr<SecretBytes> opened =
      session.DecryptGcm(seal_key, {proof.iv, AsBytes(aad)}, proof.ciphertext);
  if (!opened.ok()) return opened.status();
  if (opened->ExposeSecretAsText() != kText) {
    return absl::InternalError("AES-GCM in the token does not give back what it was given");
  }
  return absl::OkStatus();
}

absl::Status TrySealKey(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id,
                        const Proof& proof) {
  absl::Status status = OpenProof(session, seal_key, id, proof);
  if (!status.ok()) return status;
  const std::string aad = AadOf(id);
  const absl::Span<const uint8_t> other_aad = AsBytes(aad).subspan(1);
  if (session.DecryptGcm(seal_key, {proof.iv, other_aad}, proof.ciphertext).ok()) {
    return absl::InternalError("AES-GCM in the token does not check the AAD");
  }
  return absl::OkStatus();
}

}  // namespace strongroom::hsm::internal
