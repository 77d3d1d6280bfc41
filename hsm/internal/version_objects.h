#ifndef STRONGROOM_HSM_INTERNAL_VERSION_OBJECTS_H_
#define STRONGROOM_HSM_INTERNAL_VERSION_OBJECTS_H_

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "hsm/internal/key_objects.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/proof.h"
#include "hsm/internal/session.h"
#include "hsm/version_keys.h"
#include "platform/mutex.h"

namespace strongroom::hsm::internal {

// Where the two objects of a version are right now. Handles change when a token is reconnected.
struct VersionHandles {
  std::atomic<CK_OBJECT_HANDLE> seal_key = CK_INVALID_HANDLE;
  std::atomic<CK_OBJECT_HANDLE> wrap_key = CK_INVALID_HANDLE;

  Mutex mu;
  // None until it is made, or somebody says what it is.
  std::optional<Proof> proof ABSL_GUARDED_BY(mu);
};

// What an object of a version is for: see KeyUse.
enum class VersionRole { kSeal, kWrap };
inline constexpr VersionRole kVersionRoles[] = {VersionRole::kSeal, VersionRole::kWrap};

// Of versions.
inline constexpr KeySource kKeySources[] = {KeySource::kGenerated, KeySource::kImported};
// Of what seals kept pairs, which is made and verified as a version is and goes by other labels.
inline constexpr KeySource kReserveSources[] = {KeySource::kReserve};

// Generates one object of a version: AES-256, for its role and one mechanism only. See
// GenerateKeyObject.
absl::StatusOr<CK_OBJECT_HANDLE> GenerateVersionObject(Session& session, VersionRole role,
                                                       Residence residence, const ObjectId& id,
                                                       KeySource source = KeySource::kGenerated);

// Derives the same from imported material, an AES-256 key for CKM_AES_ECB_ENCRYPT_DATA. It differs
// for each role and each version, so that material is a key of nothing itself, and two versions of
// the same material are not the same key. See DeriveKeyObject; KeepObject puts it into the token.
absl::StatusOr<CK_OBJECT_HANDLE> DeriveVersionObject(Session& session, VersionRole role,
                                                     const ObjectId& id, CK_OBJECT_HANDLE material);

// Whether it is still as it was made, from this source. See VerifyKeyObject.
absl::Status VerifyVersionObject(Session& session, VersionRole role, KeySource source,
                                 CK_OBJECT_HANDLE object, const ObjectId& id);

// The object of a version in the token. NOT_FOUND if there is none, INTERNAL if there are several.
absl::StatusOr<CK_OBJECT_HANDLE> FindVersionObject(Session& session, VersionRole role,
                                                   KeySource source, const ObjectId& id);

// All objects in the token that go by the name of one object of a version: more than one if
// something went wrong.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindVersionObjects(Session& session, VersionRole role,
                                                                 KeySource source,
                                                                 const ObjectId& id);

// An object that goes by the name of one object of a version.
struct FoundVersionObject {
  VersionRole role;
  KeySource source;
  ObjectId id;
  CK_OBJECT_HANDLE object;
};

// All such objects in the token, of all roles and these sources.
absl::StatusOr<std::vector<FoundVersionObject>> FindVersionObjects(
    Session& session, absl::Span<const KeySource> sources);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_VERSION_OBJECTS_H_
