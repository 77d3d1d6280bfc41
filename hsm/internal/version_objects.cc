#include "hsm/internal/version_objects.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <string>

namespace strongroom::hsm::internal {
namespace {

// Keys are found by these, and imported ones are derived by them: they are never changed. They
// differ by source, so that what somebody brought into the token does not pass for generated there.
const char* LabelOf(VersionRole role, KeySource source) {
  if (source == KeySource::kReserve) {
    return role == VersionRole::kSeal ? "strongroom-reserve-seal" : "strongroom-reserve-wrap";
  }
  const bool imported = source == KeySource::kImported;
  if (role == VersionRole::kSeal) {
    return imported ? "strongroom-imported-seal" : "strongroom-seal";
  }
  return imported ? "strongroom-imported-wrap" : "strongroom-wrap";
}

KeyObject Describe(VersionRole role, KeySource source, absl::Span<const uint8_t> id) {
  KeyObject key;
  key.type = CKK_AES;
  key.label = LabelOf(role, source);
  key.generation = CKM_AES_KEY_GEN;
  key.id = id;
  key.source = source;
  if (role == VersionRole::kSeal) {
    key.use = KeyUse::kEncrypt;
    key.allowed = CKM_AES_GCM;
  } else {
    key.use = KeyUse::kWrap;
    key.allowed = CKM_AES_KEY_WRAP_PAD;
  }
  return key;
}

}  // namespace

absl::StatusOr<CK_OBJECT_HANDLE> GenerateVersionObject(Session& session, VersionRole role,
                                                       Residence residence, const ObjectId& id,
                                                       KeySource source) {
  return GenerateKeyObject(session, Describe(role, source, id), residence);
}

absl::StatusOr<CK_OBJECT_HANDLE> DeriveVersionObject(Session& session, VersionRole role,
                                                     const ObjectId& id,
                                                     CK_OBJECT_HANDLE material) {
  // Two blocks that are not those of any other role or version.
  std::string name = LabelOf(role, KeySource::kImported);
  name.append(id.begin(), id.end());
  std::array<uint8_t, SHA256_DIGEST_LENGTH> data;
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), data.data());
  return DeriveKeyObject(session, Describe(role, KeySource::kImported, id), material, data);
}

absl::Status VerifyVersionObject(Session& session, VersionRole role, KeySource source,
                                 CK_OBJECT_HANDLE object, const ObjectId& id) {
  return VerifyKeyObject(session, Describe(role, source, id), Residence::kToken, object);
}

absl::StatusOr<CK_OBJECT_HANDLE> FindVersionObject(Session& session, VersionRole role,
                                                   KeySource source, const ObjectId& id) {
  return FindKeyObject(session, Describe(role, source, id));
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindVersionObjects(Session& session, VersionRole role,
                                                                 KeySource source,
                                                                 const ObjectId& id) {
  return FindKeyObjects(session, Describe(role, source, id));
}

absl::StatusOr<std::vector<FoundVersionObject>> FindVersionObjects(
    Session& session, absl::Span<const KeySource> sources) {
  // One search for whatever may be ours, and a look at each: a search costs SoftHSM as much as
  // reading all objects, and there would be one for each role and source.
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> objects =
      session.FindObjects(Template().AddUlong(CKA_CLASS, CKO_SECRET_KEY).AddBool(CKA_TOKEN, true));
  if (!objects.ok()) return objects.status();
  std::vector<FoundVersionObject> found;
  found.reserve(objects->size());
  for (CK_OBJECT_HANDLE object : *objects) {
    // A longer one is none of ours.
    std::array<char, 32> label;
    ObjectId id;
    CK_ATTRIBUTE name[] = {{CKA_LABEL, label.data(), label.size()}, {CKA_ID, id.data(), id.size()}};
    absl::StatusOr<bool> read = session.ReadAttributes(object, absl::MakeSpan(name));
    if (!read.ok()) return read.status();
    if (!*read || name[0].ulValueLen > label.size() || name[1].ulValueLen != id.size()) continue;
    const absl::string_view its_label(label.data(), name[0].ulValueLen);
    for (KeySource source : sources) {
      for (VersionRole role : kVersionRoles) {
        if (its_label == LabelOf(role, source)) found.push_back({role, source, id, object});
      }
    }
  }
  return found;
}

}  // namespace strongroom::hsm::internal
