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
  absl::StatusOr<Sealed> Seal(const UsableVersion& version, BlobHeader header,
                              absl::Span<const uint8_t> content, const Binding& binding,
                              Deadline deadline);

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
