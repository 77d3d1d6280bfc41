#ifndef STRONGROOM_HSM_INTERNAL_IMPORT_KEYS_H_
#define STRONGROOM_HSM_INTERNAL_IMPORT_KEYS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/token.h"

namespace strongroom::hsm::internal {

// RSA keys of the token that unwrap key material from outside, with one mechanism, and do nothing
// else. Only the private half is kept.

// UNIMPLEMENTED if the token does not list a mechanism that importing so takes. It may list them
// and know other hashes only: TryImportKey.
absl::Status CheckImportMechanisms(const Module& module, CK_SLOT_ID slot,
                                   ImportAlgorithm algorithm);

// Generates such a pair as session objects.
absl::StatusOr<KeyPairHandles> GenerateImportKey(Session& session, const ObjectId& id,
                                                 ImportAlgorithm algorithm, int modulus_bits);

// In the token. NOT_FOUND if there is none; FAILED_PRECONDITION if it is not as it was made;
// INTERNAL if there are several.
absl::StatusOr<CK_OBJECT_HANDLE> FindImportKey(Session& session, const ObjectId& id,
                                               ImportAlgorithm algorithm);
// All that go by this name, whatever they are like.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindImportKeys(Session& session, const ObjectId& id);

// Unwraps key material into a session object that derives (Session::DeriveKey) and does nothing
// else. An error of any kind if it has not kImportedMaterialBytes.
absl::StatusOr<CK_OBJECT_HANDLE> UnwrapMaterial(Session& session, CK_OBJECT_HANDLE import_key,
                                                ImportAlgorithm algorithm,
                                                absl::string_view wrapped);

// Wraps material of no meaning outside, and unwraps it and derives from it in the token, which must
// also refuse material that is too short. What fails at this fails at anything. UNIMPLEMENTED if
// the token cannot.
absl::Status TryImportKey(Session& session, CK_OBJECT_HANDLE import_key, ImportAlgorithm algorithm);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_IMPORT_KEYS_H_
