#ifndef STRONGROOM_HSM_INTERNAL_PRIVATE_KEY_USES_H_
#define STRONGROOM_HSM_INTERNAL_PRIVATE_KEY_USES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/pair_spec.h"
#include "hsm/token.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// What an opened private key does: see the members of Token. What they make in the token is gone
// when they return.

absl::StatusOr<std::string> SignWith(Session& session, CK_OBJECT_HANDLE private_key, PairSpec spec,
                                     Hash hash, RsaPadding padding,
                                     absl::Span<const uint8_t> digest);

// UNAVAILABLE if the token fails at this and at known-good input as well.
absl::StatusOr<SecretBytes> DecryptOaepWith(Session& session, CK_OBJECT_HANDLE private_key,
                                            PairSpec spec, Hash hash, absl::string_view ciphertext);

absl::StatusOr<SecretBytes> DeriveSharedSecretWith(Session& session, CK_OBJECT_HANDLE private_key,
                                                   PairSpec spec, absl::string_view peer_point);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_PRIVATE_KEY_USES_H_
