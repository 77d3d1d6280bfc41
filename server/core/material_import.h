#ifndef STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_
#define STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_ring.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::core {

// How to bring material in.
struct ImportParameters {
  // X.509 SubjectPublicKeyInfo, DER.
  std::string public_key;
  std::string import_token;
  absl::Time expire_time;
};

// Master keys whose material comes from outside (BYOK): it is wrapped under a key pair of the token
// and unwrapped in the token (docs/adr/0009-import.md).
//
// A crash at any moment leaves a key either with its material or waiting for it, and nothing else
// in the token: KeyRing::Open sees to it.
//
// Errors are for the caller (server/core/error.h); in which states what is allowed,
// server/core/key_state.h says. All but DropExpired: UnsupportedOperation for a key whose material
// comes from the token; ServiceUnavailableTemporary while another of them is at work on the key.
// Thread-safe.
class MaterialImport {
 public:
  static constexpr absl::Duration kParametersLast = absl::Hours(24);

  // All outlive this.
  MaterialImport(KeyRing& ring, store::Store& store, hsm::Token& token, const Clock& clock)
      : ring_(ring), store_(store), token_(token), clock_(clock) {}

  // `modulus_bits` is 2048, 3072 or 4096. UnsupportedOperation if the token cannot unwrap so. What
  // was returned for the key before becomes void.
  absl::StatusOr<ImportParameters> GetParameters(const KeyId& key, hsm::ImportAlgorithm algorithm,
                                                 int modulus_bits, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  // InvalidParameter, naming `import_token` or `encrypted_key_material`, for a token that is not
  // the key's newest or has expired, for what does not unwrap, and for other material than the key
  // had. A token serves once.
  absl::StatusOr<KeyDescription> Import(const KeyId& key, absl::string_view import_token,
                                        absl::string_view encrypted_key_material, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<KeyDescription> DeleteMaterial(const KeyId& key, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Destroys the key pairs of parameters that have expired, and material that could not be
  // destroyed when it was deleted. To be called now and then.
  absl::Status DropExpired(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Turn;

  // OK if its material is imported and its state allows this.
  absl::Status Check(KeyAction action, const KeyId& key);
  // Destroys the key pair and forgets it.
  absl::Status Drop(const store::ImportRecord& import, Deadline deadline);
  // Destroys a version's keys in the token, now or, if that fails, by DropExpired.
  absl::Status Destroy(const KeyId& key, const KeyVersionId& version, Deadline deadline);
  absl::StatusOr<hsm::NewVersionKeys> Unwrap(const KeyVersionId& version,
                                             const store::ImportRecord& import,
                                             absl::string_view material, Deadline deadline);

  KeyRing& ring_;
  store::Store& store_;
  hsm::Token& token_;
  const Clock& clock_;

  Mutex mu_;
  // Keys that a call is at work on: what it does in the token and what it says of it in the store
  // belong together.
  absl::flat_hash_set<KeyId> busy_ ABSL_GUARDED_BY(mu_);
  // Versions without material whose keys may still be in the token, and whose they are. The start
  // of a server finds those of keys that wait for their material by itself.
  absl::flat_hash_map<KeyVersionId, KeyId> leftovers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_
