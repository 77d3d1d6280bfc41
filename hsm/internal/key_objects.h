#ifndef STRONGROOM_HSM_INTERNAL_KEY_OBJECTS_H_
#define STRONGROOM_HSM_INTERNAL_KEY_OBJECTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/version_keys.h"

namespace strongroom::hsm::internal {

// Whether an object outlives its session.
enum class Residence { kToken, kSession };

// The one thing that a key of the token may be used for: never two, for a key that wraps and
// decrypts gives away what it wrapped (Clulow, "On the Security of PKCS#11").
enum class KeyUse {
  kEncrypt,  // and decrypt
  kWrap,     // and unwrap
  kSign,     // and not verify: what is to be verified is signed again and compared
};

// A secret key of 32 bytes, as the token is asked for it.
struct KeyObject {
  const char* label;
  CK_KEY_TYPE type;
  KeyUse use;
  // None if it is derived.
  CK_MECHANISM_TYPE generation;
  CK_MECHANISM_TYPE allowed;
  // None if the label says it all. Outlives this.
  absl::Span<const uint8_t> id;
  KeySource source = KeySource::kGenerated;
};

// Generates such a key: for its use and mechanism only; private, sensitive, neither extractable nor
// modifiable.
absl::StatusOr<CK_OBJECT_HANDLE> GenerateKeyObject(Session& session, const KeyObject& key,
                                                   Residence residence);

// Derives such a key from another (Session::DeriveKey), as a session object; its one difference is
// that it can be changed, for tokens do not let it be copied otherwise.
absl::StatusOr<CK_OBJECT_HANDLE> DeriveKeyObject(Session& session, const KeyObject& key,
                                                 CK_OBJECT_HANDLE base,
                                                 absl::Span<const uint8_t> data);

// Copies a session object into the token, where it cannot be changed.
absl::StatusOr<CK_OBJECT_HANDLE> KeepObject(Session& session, CK_OBJECT_HANDLE object);

// Compares every attribute that matters with what the object was made as. FAILED_PRECONDITION names
// the attributes that differ.
absl::Status VerifyKeyObject(Session& session, const KeyObject& key, Residence residence,
                             CK_OBJECT_HANDLE object);

// The same for any object: compares its attributes with these.
absl::Status VerifyAttributes(Session& session, absl::string_view label, const Template& expected,
                              CK_OBJECT_HANDLE object);

// The key in the token. NOT_FOUND if there is none, INTERNAL if there are several.
absl::StatusOr<CK_OBJECT_HANDLE> FindKeyObject(Session& session, const KeyObject& key);

// All objects in the token that go by the name of this key: more than one if something went wrong.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindKeyObjects(Session& session,
                                                             const KeyObject& key);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_KEY_OBJECTS_H_
