#include "hsm/internal/mac_objects.h"

namespace strongroom::hsm::internal {
namespace {

// Keys are found by these: they are never changed.
const char* LabelOf(MacPurpose purpose) {
  switch (purpose) {
    case MacPurpose::kAuditSeal:
      return "strongroom-mac-audit-seal";
    case MacPurpose::kGrantToken:
      return "strongroom-mac-grant-token";
    case MacPurpose::kMetadata:
      return "strongroom-mac-metadata";
  }
  return "strongroom-mac-unknown";
}

}  // namespace

KeyObject MacKeyObject(MacPurpose purpose) {
  KeyObject key;
  key.label = LabelOf(purpose);
  key.type = CKK_GENERIC_SECRET;
  key.use = KeyUse::kSign;
  key.generation = CKM_GENERIC_SECRET_KEY_GEN;
  key.allowed = CKM_SHA256_HMAC;
  return key;
}

}  // namespace strongroom::hsm::internal
