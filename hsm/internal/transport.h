#ifndef STRONGROOM_HSM_INTERNAL_TRANSPORT_H_
#define STRONGROOM_HSM_INTERNAL_TRANSPORT_H_

#include "absl/status/statusor.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// Takes an extractable key out of the token: wrapped (RFC 5649) under an AES-256 key that is drawn
// for this one use, and opened in locked memory. What comes out is the key's value, or PKCS#8 in
// DER for a private key; a token may have filled it up with zeros to a multiple of 8 bytes.
absl::StatusOr<SecretBytes> ExportKey(Session& session, CK_OBJECT_HANDLE key);

// `pkcs8` without what stands behind its outermost DER element. INVALID_ARGUMENT if it does not
// begin with one.
absl::StatusOr<SecretBytes> CutToDerLength(SecretBytes pkcs8);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_TRANSPORT_H_
