#include "hsm/internal/secrets.h"

#include "absl/strings/str_cat.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/transport.h"

namespace strongroom::hsm::internal {

absl::StatusOr<CK_OBJECT_HANDLE> GenerateSecret(Session& session, size_t size) {
  return session.GenerateKey(CKM_GENERIC_SECRET_KEY_GEN,
                             Template()
                                 .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                                 .AddUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                                 .AddBool(CKA_TOKEN, false)
                                 .AddBool(CKA_PRIVATE, true)
                                 .AddBool(CKA_SENSITIVE, true)
                                 .AddBool(CKA_EXTRACTABLE, true)
                                 .AddUlong(CKA_VALUE_LEN, size));
}

absl::StatusOr<CK_OBJECT_HANDLE> UnwrapSecret(Session& session, CK_OBJECT_HANDLE wrap_key,
                                              absl::string_view wrapped) {
  return session.UnwrapKey(wrap_key, wrapped,
                           Template()
                               .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                               .AddUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                               .AddBool(CKA_TOKEN, false)
                               .AddBool(CKA_PRIVATE, true)
                               .AddBool(CKA_SENSITIVE, true)
                               .AddBool(CKA_EXTRACTABLE, true)
                               .AddBool(CKA_SIGN, false)
                               .AddBool(CKA_VERIFY, false)
                               .AddBool(CKA_DERIVE, false));
}

absl::StatusOr<SecretBytes> UnwrapAndExportSecret(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                  absl::string_view wrapped, size_t size) {
  absl::StatusOr<CK_OBJECT_HANDLE> unwrapped = UnwrapSecret(session, wrap_key, wrapped);
  if (!unwrapped.ok()) return unwrapped.status();
  const ScopedObject secret(session, *unwrapped);
  absl::StatusOr<SecretBytes> value = ExportKey(session, secret.get());
  if (!value.ok()) return value.status();
  // SoftHSM fills a secret up with zeros to a multiple of 8 bytes before it wraps it.
  if (value->size() < size || value->size() >= size + 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("unwrapped ", value->size(), " bytes where ", size, " were expected"));
  }
  value->Truncate(size);
  return value;
}

}  // namespace strongroom::hsm::internal
