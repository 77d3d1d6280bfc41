#ifndef STRONGROOM_HSM_INTERNAL_SECRETS_H_
#define STRONGROOM_HSM_INTERNAL_SECRETS_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// Generates a generic secret of `size` bytes as a session object, sensitive and extractable, so
// that it can leave wrapped and in no other way.
absl::StatusOr<CK_OBJECT_HANDLE> GenerateSecret(Session& session, size_t size);

// Unwraps such a secret into a session object that can leave wrapped, and that is of no other use.
absl::StatusOr<CK_OBJECT_HANDLE> UnwrapSecret(Session& session, CK_OBJECT_HANDLE wrap_key,
                                              absl::string_view wrapped);

// Unwraps such a secret into a session object and exports it. INVALID_ARGUMENT if it has another
// size.
absl::StatusOr<SecretBytes> UnwrapAndExportSecret(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                  absl::string_view wrapped, size_t size);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_SECRETS_H_
