#include "hsm/internal/transport.h"

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include <memory>
#include <string>
#include <utility>

#include "hsm/internal/attributes.h"

namespace strongroom::hsm::internal {
namespace {

constexpr size_t kTransportKeyBytes = 32;

struct CipherContextFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

absl::StatusOr<SecretBytes> UnwrapOutside(const SecretBytes& key, const std::string& wrapped) {
  std::unique_ptr<EVP_CIPHER_CTX, CipherContextFree> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  SecretBytes value(wrapped.size());
  int size = 0;
  if (EVP_DecryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, key.ExposeSecret().data(),
                         nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), value.MutableSecret().data(), &size,
                        reinterpret_cast<const unsigned char*>(wrapped.data()),
                        static_cast<int>(wrapped.size())) != 1 ||
      size <= 0) {
    return absl::InternalError("what the token wrapped under the transport key does not open");
  }
  value.Truncate(static_cast<size_t>(size));
  return value;
}

}  // namespace

absl::StatusOr<SecretBytes> ExportKey(Session& session, CK_OBJECT_HANDLE key) {
  SecretBytes transport_value(kTransportKeyBytes);
  absl::Status status = session.GenerateRandom(transport_value.MutableSecret());
  if (!status.ok()) return status;
  absl::StatusOr<CK_OBJECT_HANDLE> transport_key =
      session.CreateObject(Template()
                               .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                               .AddUlong(CKA_KEY_TYPE, CKK_AES)
                               .AddBool(CKA_TOKEN, false)
                               .AddBool(CKA_PRIVATE, true)
                               .AddBool(CKA_SENSITIVE, true)
                               .AddBool(CKA_EXTRACTABLE, false)
                               .AddBool(CKA_ENCRYPT, false)
                               .AddBool(CKA_DECRYPT, false)
                               .AddBool(CKA_WRAP, true)
                               .AddBool(CKA_UNWRAP, false)
                               .AddAllowedMechanism(CKM_AES_KEY_WRAP_PAD)
                               .AddReference(CKA_VALUE, transport_value.ExposeSecret()));
  if (!transport_key.ok()) return transport_key.status();
  const ScopedObject transport_object(session, *transport_key);
  absl::StatusOr<std::string> wrapped = session.WrapKey(transport_object.get(), key);
  if (!wrapped.ok()) return wrapped.status();
  return UnwrapOutside(transport_value, *wrapped);
}

absl::StatusOr<SecretBytes> CutToDerLength(SecretBytes pkcs8) {
  const unsigned char* position = pkcs8.ExposeSecret().data();
  long content_size = 0;
  int tag = 0;
  int tag_class = 0;
  const int result =
      ASN1_get_object(&position, &content_size, &tag, &tag_class, static_cast<long>(pkcs8.size()));
  // 0x80 is an error, 0x01 an indefinite length, which DER does not have.
  if ((result & 0x81) != 0 || tag_class != V_ASN1_UNIVERSAL || tag != V_ASN1_SEQUENCE) {
    return absl::InvalidArgumentError("what was unwrapped is not PKCS#8");
  }
  const size_t header = static_cast<size_t>(position - pkcs8.ExposeSecret().data());
  pkcs8.Truncate(header + static_cast<size_t>(content_size));
  return pkcs8;
}

}  // namespace strongroom::hsm::internal
