#include "hsm/internal/version_objects.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/ck_error.h"

namespace strongroom::hsm::internal {
namespace {

constexpr CK_ULONG kKeyBytes = 32;

struct NamedAttribute {
  CK_ATTRIBUTE_TYPE type;
  const char* name;
};

// What VerifyVersionObject reads back, in the order of AsVerified().
constexpr NamedAttribute kVerified[] = {
    {CKA_CLASS, "CKA_CLASS"},
    {CKA_KEY_TYPE, "CKA_KEY_TYPE"},
    {CKA_LABEL, "CKA_LABEL"},
    {CKA_ID, "CKA_ID"},
    {CKA_TOKEN, "CKA_TOKEN"},
    {CKA_PRIVATE, "CKA_PRIVATE"},
    {CKA_SENSITIVE, "CKA_SENSITIVE"},
    {CKA_EXTRACTABLE, "CKA_EXTRACTABLE"},
    {CKA_MODIFIABLE, "CKA_MODIFIABLE"},
    {CKA_ENCRYPT, "CKA_ENCRYPT"},
    {CKA_DECRYPT, "CKA_DECRYPT"},
    {CKA_WRAP, "CKA_WRAP"},
    {CKA_UNWRAP, "CKA_UNWRAP"},
    {CKA_SIGN, "CKA_SIGN"},
    {CKA_VERIFY, "CKA_VERIFY"},
    {CKA_DERIVE, "CKA_DERIVE"},
    {CKA_ALLOWED_MECHANISMS, "CKA_ALLOWED_MECHANISMS"},
    {CKA_VALUE_LEN, "CKA_VALUE_LEN"},
    {CKA_ALWAYS_SENSITIVE, "CKA_ALWAYS_SENSITIVE"},
    {CKA_NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE"},
    {CKA_LOCAL, "CKA_LOCAL"},
};

const char* LabelOf(VersionRole role) {
  return role == VersionRole::kSeal ? "strongroom-seal" : "strongroom-wrap";
}

Template AsGenerated(VersionRole role, Residence residence, const ObjectId& id) {
  const bool seals = role == VersionRole::kSeal;
  return Template()
      .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
      .AddUlong(CKA_KEY_TYPE, CKK_AES)
      .AddBytes(CKA_LABEL, absl::string_view(LabelOf(role)))
      .AddBytes(CKA_ID, absl::MakeConstSpan(id))
      .AddBool(CKA_TOKEN, residence == Residence::kToken)
      .AddBool(CKA_PRIVATE, true)
      .AddBool(CKA_SENSITIVE, true)
      .AddBool(CKA_EXTRACTABLE, false)
      .AddBool(CKA_MODIFIABLE, false)
      .AddBool(CKA_ENCRYPT, seals)
      .AddBool(CKA_DECRYPT, seals)
      .AddBool(CKA_WRAP, !seals)
      .AddBool(CKA_UNWRAP, !seals)
      .AddBool(CKA_SIGN, false)
      .AddBool(CKA_VERIFY, false)
      .AddBool(CKA_DERIVE, false)
      .AddAllowedMechanism(seals ? CKM_AES_GCM : CKM_AES_KEY_WRAP_PAD)
      .AddUlong(CKA_VALUE_LEN, kKeyBytes);
}

Template AsVerified(VersionRole role, Residence residence, const ObjectId& id) {
  return AsGenerated(role, residence, id)
      .AddBool(CKA_ALWAYS_SENSITIVE, true)
      .AddBool(CKA_NEVER_EXTRACTABLE, true)
      .AddBool(CKA_LOCAL, true);
}

Template AsSearched(VersionRole role) {
  return Template()
      .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
      .AddBool(CKA_TOKEN, true)
      .AddBytes(CKA_LABEL, absl::string_view(LabelOf(role)));
}

}  // namespace

absl::StatusOr<CK_OBJECT_HANDLE> GenerateVersionObject(Session& session, VersionRole role,
                                                       Residence residence, const ObjectId& id) {
  return session.GenerateKey(CKM_AES_KEY_GEN, AsGenerated(role, residence, id));
}

absl::Status VerifyVersionObject(Session& session, VersionRole role, Residence residence,
                                 CK_OBJECT_HANDLE object, const ObjectId& id) {
  const Template expected = AsVerified(role, residence, id);
  std::vector<std::string> differing;
  for (CK_ULONG i = 0; i < expected.size(); ++i) {
    absl::StatusOr<bool> equal = session.AttributeEquals(object, expected.data()[i]);
    if (!equal.ok()) {
      return Prefixed(absl::StrCat("reading ", kVerified[i].name, ": "), equal.status());
    }
    if (!*equal) differing.push_back(kVerified[i].name);
  }
  if (differing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the ", LabelOf(role),
                                                    " object is not as it was made; it differs in ",
                                                    absl::StrJoin(differing, ", ")));
}

absl::StatusOr<CK_OBJECT_HANDLE> FindVersionObject(Session& session, VersionRole role,
                                                   const ObjectId& id) {
  return session.FindExactlyOne(AsSearched(role).AddBytes(CKA_ID, absl::MakeConstSpan(id)));
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindVersionObjects(Session& session, VersionRole role,
                                                                 const ObjectId& id) {
  return session.FindObjects(AsSearched(role).AddBytes(CKA_ID, absl::MakeConstSpan(id)));
}

absl::StatusOr<std::vector<std::pair<ObjectId, CK_OBJECT_HANDLE>>> FindVersionObjects(
    Session& session, VersionRole role) {
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> objects = session.FindObjects(AsSearched(role));
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
