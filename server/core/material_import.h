#ifndef STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_
#define STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token.h"
#include "platform/clock.h"
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
// comes from the token. Thread-safe.
class MaterialImport {
 public:
  static constexpr absl::Duration kParametersLast = absl::Hours(24);

  // All outlive this.
  MaterialImport(KeyRing& ring, store::Store& store, hsm::Token& token, const Clock& clock)
      : ring_(ring), store_(store), token_(token), clock_(clock) {}

  // `modulus_bits` is 2048, 3072 or 4096. UnsupportedOperation if the token cannot unwrap so. What
  // was returned for the key before becomes void.
  absl::StatusOr<ImportParameters> GetParameters(const KeyId& key, hsm::ImportAlgorithm algorithm,
                                                 int modulus_bits, Deadline deadline);
  // InvalidParameter, naming `import_token` or `encrypted_key_material`, for a token that is not
  // the key's newest or has expired, for what does not unwrap, and for other material than the key
  // had.
  absl::StatusOr<KeyDescription> Import(const KeyId& key, absl::string_view import_token,
                                        absl::string_view encrypted_key_material,
                                        Deadline deadline);
  absl::StatusOr<KeyDescription> DeleteMaterial(const KeyId& key, Deadline deadline);

  // Destroys the key pairs of parameters that have expired. To be called now and then.
  absl::Status DropExpired(Deadline deadline);

 private:
  KeyRing& ring_;
  store::Store& store_;
  hsm::Token& token_;
  const Clock& clock_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_MATERIAL_IMPORT_H_
