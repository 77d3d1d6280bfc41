#ifndef STRONGROOM_HSM_INTERNAL_KEY_PAIRS_H_
#define STRONGROOM_HSM_INTERNAL_KEY_PAIRS_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/pair_spec.h"

namespace strongroom::hsm::internal {

// The mechanism that generates pairs of this kind.
CK_MECHANISM_TYPE PairGenerationMechanism(PairSpec spec);

// Generates a pair as session objects; the private key is sensitive and extractable, so that it can
// leave wrapped and in no other way.
absl::StatusOr<KeyPairHandles> GeneratePair(Session& session, PairSpec spec);

// The same of a pair that waits: the private key can leave wrapped and is of no other use. `id` is
// its CKA_ID.
absl::StatusOr<KeyPairHandles> GeneratePairToKeep(Session& session, PairSpec spec,
                                                  absl::string_view id);

// The public key as X.509 SubjectPublicKeyInfo, DER (RFC 5280).
absl::StatusOr<std::string> EncodePublicKey(Session& session, CK_OBJECT_HANDLE public_key,
                                            PairSpec spec);

// Both unwrap a PKCS#8 private key into a session object, which is sensitive.
//
// One that can leave wrapped, and that is of no other use. `id` is its CKA_ID.
absl::StatusOr<CK_OBJECT_HANDLE> UnwrapPrivateKeyToMove(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                        absl::string_view wrapped, PairSpec spec,
                                                        absl::string_view id = "");
// One that signs, and decrypts (RSA) or derives (curves), and that does not leave. `id` is its
// CKA_ID.
absl::StatusOr<CK_OBJECT_HANDLE> UnwrapPrivateKeyToUse(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                       absl::string_view wrapped, PairSpec spec,
                                                       absl::string_view id);

// Bytes of the modulus, or of the order of the curve: of a signature, and half of one.
size_t ModulusBytes(PairSpec spec);
size_t OrderBytes(PairSpec spec);
// Whether it is a pair of a curve and not of RSA.
bool IsCurve(PairSpec spec);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_KEY_PAIRS_H_
