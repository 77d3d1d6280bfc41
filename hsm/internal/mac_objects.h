#ifndef STRONGROOM_HSM_INTERNAL_MAC_OBJECTS_H_
#define STRONGROOM_HSM_INTERNAL_MAC_OBJECTS_H_

#include <array>
#include <atomic>
#include <cstddef>

#include "hsm/internal/key_objects.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/token.h"

namespace strongroom::hsm::internal {

inline constexpr MacPurpose kMacPurposes[] = {MacPurpose::kAuditSeal, MacPurpose::kGrantToken,
                                              MacPurpose::kMetadata};

// Where the keys are right now, CK_INVALID_HANDLE before they were looked for. Handles change when
// a token is reconnected. Thread-safe.
class MacHandles {
 public:
  std::atomic<CK_OBJECT_HANDLE>& operator[](MacPurpose purpose) {
    return handles_[static_cast<size_t>(purpose)];
  }

 private:
  std::array<std::atomic<CK_OBJECT_HANDLE>, std::size(kMacPurposes)> handles_ = {};
};

// The key of a purpose: for CKM_SHA256_HMAC and to sign only.
KeyObject MacKeyObject(MacPurpose purpose);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_MAC_OBJECTS_H_
