#include "hsm/internal/version_objects.h"

#include <algorithm>
#include <string>

namespace strongroom::hsm::internal {
namespace {

KeyObject Describe(VersionRole role, absl::Span<const uint8_t> id) {
  KeyObject key;
  key.type = CKK_AES;
  key.generation = CKM_AES_KEY_GEN;
  key.id = id;
  if (role == VersionRole::kSeal) {
    key.label = "strongroom-seal";
    key.use = KeyUse::kEncrypt;
    key.allowed = CKM_AES_GCM;
  } else {
    key.label = "strongroom-wrap";
    key.use = KeyUse::kWrap;
    key.allowed = CKM_AES_KEY_WRAP_PAD;
  }
  return key;
}

}  // namespace

absl::StatusOr<CK_OBJECT_HANDLE> GenerateVersionObject(Session& session, VersionRole role,
                                                       Residence residence, const ObjectId& id) {
  return GenerateKeyObject(session, Describe(role, id), residence);
}

absl::Status VerifyVersionObject(Session& session, VersionRole role, Residence residence,
                                 CK_OBJECT_HANDLE object, const ObjectId& id) {
  return VerifyKeyObject(session, Describe(role, id), residence, object);
}

absl::StatusOr<CK_OBJECT_HANDLE> FindVersionObject(Session& session, VersionRole role,
                                                   const ObjectId& id) {
  return FindKeyObject(session, Describe(role, id));
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindVersionObjects(Session& session, VersionRole role,
                                                                 const ObjectId& id) {
  return FindKeyObjects(session, Describe(role, id));
}

absl::StatusOr<std::vector<std::pair<ObjectId, CK_OBJECT_HANDLE>>> FindVersionObjects(
    Session& session, VersionRole role) {
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> objects =
      session.FindObjects(LabelledAs(Describe(role, {})));
  if (!objects.ok()) return objects.status();
  std::vector<std::pair<ObjectId, CK_OBJECT_HANDLE>> found;
  found.reserve(objects->size());
  for (CK_OBJECT_HANDLE object : *objects) {
    absl::StatusOr<std::string> id_bytes = session.GetAttribute(object, CKA_ID);
    if (!id_bytes.ok()) return id_bytes.status();
    ObjectId id;
    if (id_bytes->size() != id.size()) continue;  // nothing of ours
    std::copy(id_bytes->begin(), id_bytes->end(), id.begin());
    found.emplace_back(id, object);
  }
  return found;
}

}  // namespace strongroom::hsm::internal
