#include "hsm/internal/key_objects.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hsm/internal/ck_error.h"

namespace strongroom::hsm::internal {
namespace {

constexpr CK_ULONG kKeyBytes = 32;

struct NamedAttribute {
  CK_ATTRIBUTE_TYPE type;
  const char* name;
};

// What is read back.
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

const char* NameOf(CK_ATTRIBUTE_TYPE type) {
  for (const NamedAttribute& attribute : kVerified) {
    if (attribute.type == type) return attribute.name;
  }
  return "an attribute";
}

Template WithId(Template attributes, const KeyObject& key) {
  if (key.id.empty()) return attributes;
  return std::move(attributes).AddBytes(CKA_ID, key.id);
}

Template Named(const KeyObject& key) {
  return WithId(Template()
                    .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                    .AddBool(CKA_TOKEN, true)
                    .AddBytes(CKA_LABEL, absl::string_view(key.label)),
                key);
}

Template AsMade(const KeyObject& key, Residence residence, bool modifiable = false) {
  return WithId(Template()
                    .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                    .AddUlong(CKA_KEY_TYPE, key.type)
                    .AddBytes(CKA_LABEL, absl::string_view(key.label))
                    .AddBool(CKA_TOKEN, residence == Residence::kToken)
                    .AddBool(CKA_PRIVATE, true)
                    .AddBool(CKA_SENSITIVE, true)
                    .AddBool(CKA_EXTRACTABLE, false)
                    .AddBool(CKA_MODIFIABLE, modifiable)
                    .AddBool(CKA_ENCRYPT, key.use == KeyUse::kEncrypt)
                    .AddBool(CKA_DECRYPT, key.use == KeyUse::kEncrypt)
                    .AddBool(CKA_WRAP, key.use == KeyUse::kWrap)
                    .AddBool(CKA_UNWRAP, key.use == KeyUse::kWrap)
                    .AddBool(CKA_SIGN, key.use == KeyUse::kSign)
                    .AddBool(CKA_VERIFY, false)
                    .AddBool(CKA_DERIVE, false)
                    .AddAllowedMechanism(key.allowed)
                    .AddUlong(CKA_VALUE_LEN, kKeyBytes),
                key);
}

Template AsVerified(const KeyObject& key, Residence residence) {
  // Tokens differ in what they call a key that came from outside but is not known there.
  if (key.source == KeySource::kImported) return AsMade(key, residence).AddBool(CKA_LOCAL, false);
  return AsMade(key, residence)
      .AddBool(CKA_ALWAYS_SENSITIVE, true)
      .AddBool(CKA_NEVER_EXTRACTABLE, true)
      .AddBool(CKA_LOCAL, true);
}

}  // namespace

absl::StatusOr<CK_OBJECT_HANDLE> GenerateKeyObject(Session& session, const KeyObject& key,
                                                   Residence residence) {
  return session.GenerateKey(key.generation, AsMade(key, residence));
}

absl::StatusOr<CK_OBJECT_HANDLE> DeriveKeyObject(Session& session, const KeyObject& key,
                                                 CK_OBJECT_HANDLE base,
                                                 absl::Span<const uint8_t> data) {
  return session.DeriveKey(base, data, AsMade(key, Residence::kSession, /*modifiable=*/true));
}

absl::StatusOr<CK_OBJECT_HANDLE> KeepObject(Session& session, CK_OBJECT_HANDLE object) {
  return session.CopyObject(object,
                            Template().AddBool(CKA_TOKEN, true).AddBool(CKA_MODIFIABLE, false));
}

absl::Status VerifyKeyObject(Session& session, const KeyObject& key, Residence residence,
                             CK_OBJECT_HANDLE object) {
  return VerifyAttributes(session, key.label, AsVerified(key, residence), object);
}

absl::Status VerifyAttributes(Session& session, absl::string_view label, const Template& expected,
                              CK_OBJECT_HANDLE object) {
  absl::StatusOr<bool> as_expected = session.AttributesEqual(object, expected);
  if (!as_expected.ok()) return Prefixed("reading attributes: ", as_expected.status());
  if (*as_expected) return absl::OkStatus();
  // One by one, to tell which.
  std::vector<std::string> differing;
  for (CK_ULONG i = 0; i < expected.size(); ++i) {
    const CK_ATTRIBUTE& attribute = expected.data()[i];
    absl::StatusOr<bool> equal = session.AttributeEquals(object, attribute);
    if (!equal.ok()) {
      return Prefixed(absl::StrCat("reading ", NameOf(attribute.type), ": "), equal.status());
    }
    if (!*equal) differing.push_back(NameOf(attribute.type));
  }
  if (differing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the ", label,
                                                    " object is not as it was made; it differs in ",
                                                    absl::StrJoin(differing, ", ")));
}

absl::StatusOr<CK_OBJECT_HANDLE> FindKeyObject(Session& session, const KeyObject& key) {
  return session.FindExactlyOne(Named(key));
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindKeyObjects(Session& session,
                                                             const KeyObject& key) {
  return session.FindObjects(Named(key));
}

}  // namespace strongroom::hsm::internal
