#ifndef STRONGROOM_HSM_INTERNAL_PROOF_H_
#define STRONGROOM_HSM_INTERNAL_PROOF_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/version_keys.h"

namespace strongroom::hsm::internal {

// A text of no meaning under the seal key of a version, known to open: what hsm/token.h calls the
// proof of its keys. The version's id is in the AAD, so that the proof of one version is none for
// another.
struct Proof {
  std::array<uint8_t, 12> iv;
  std::string ciphertext;

  // IV, ciphertext and tag, one behind the other.
  std::string Encode() const;
  // Nothing if `encoded` cannot be a proof.
  static std::optional<Proof> Parse(absl::string_view encoded);
};

// Seals a proof; the one function here that uses the key up (SP 800-38D).
absl::StatusOr<Proof> SealProof(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id);

// OK if it opens: the key is the one that sealed it. A token that fails at this fails at anything.
absl::Status OpenProof(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id,
                       const Proof& proof);

// OpenProof, and checks that another AAD does not open it.
absl::Status TrySealKey(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id,
                        const Proof& proof);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_PROOF_H_
