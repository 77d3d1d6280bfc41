#ifndef STRONGROOM_SERVER_CORE_ENVELOPE_H_
#define STRONGROOM_SERVER_CORE_ENVELOPE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"
#include "server/core/binding.h"
#include "server/core/blob.h"
#include "server/core/key_ring.h"

namespace strongroom::core {

// What sealing gives.
struct Sealed {
  KeyId key_id;
  KeyVersionId key_version_id;
  hsm::Iv iv = {};
  std::string blob;
};

// A blob whose tag was right. `content` is what was sealed; for the wrapped kinds it still is
// wrapped.
struct Unsealed {
  BlobHeader header;
  UsableVersion version;
  SecretBytes content;
};

// The key that a blob says it is sealed under, which nobody has checked. InvalidCiphertext if it is
// no blob.
absl::StatusOr<KeyId> SealingKeyOf(absl::string_view blob);

// Seals contents one after the other under one version of a key, bound to one binding: what the
// blobs have in common is encoded once.
//
// Errors are for the caller. For one thread at a time.
class Sealer {
 public:
  // `header` says what the contents are; its ids and IV are set here. All that is referred to
  // outlives the sealer.
  Sealer(KeyRing& keys, hsm::Token& token, const UsableVersion& version, BlobHeader header,
         const Binding& binding);

  // `iv` is random and never used again. Takes one of the version's uses: Rejected.LimitExceeded.
  absl::StatusOr<Sealed> Seal(const hsm::Iv& iv, absl::Span<const uint8_t> content,
                              Deadline deadline);

 private:
  KeyRing& keys_;
  hsm::Token& token_;
  const UsableVersion& version_;
  // The header, with the IV of the blob that is being sealed, and the binding behind it.
  std::string aad_;
};

// Puts contents into sealed blobs and takes them out, by AES-GCM in the token. The blob's header
// and the binding are authenticated with the content, so that nothing of a blob can be exchanged.
//
// Errors are for the caller. Thread-safe.
class Envelope {
 public:
  // Both outlive the envelope.
  Envelope(KeyRing& keys, hsm::Token& token) : keys_(keys), token_(token) {}

  // `header` says what the content is; its ids and IV are set here. Takes one of the version's
  // uses: Rejected.LimitExceeded.
  absl::StatusOr<Sealed> Seal(const UsableVersion& version, const BlobHeader& header,
                              absl::Span<const uint8_t> content, const Binding& binding,
                              Deadline deadline);
  // For many contents. `version` outlives the sealer.
  Sealer SealerFor(const UsableVersion& version, const BlobHeader& header, const Binding& binding) {
    return Sealer(keys_, token_, version, header, binding);
  }

  // InvalidCiphertext for whatever is not genuine, and for another IV than the blob's, if one is
  // given. Rejected.Disabled.
  absl::StatusOr<Unsealed> Unseal(absl::string_view blob, const Binding& binding,
                                  const std::optional<hsm::Iv>& iv, Deadline deadline);

 private:
  KeyRing& keys_;
  hsm::Token& token_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_ENVELOPE_H_
