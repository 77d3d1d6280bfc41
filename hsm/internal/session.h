#ifndef STRONGROOM_HSM_INTERNAL_SESSION_H_
#define STRONGROOM_HSM_INTERNAL_SESSION_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// The parameters of AES-GCM. The tag is always 128 bits and the IV always 12 bytes: tokens take
// anything here, a tag of no bits included, so nothing else can be expressed. AAD must not be
// empty.
struct GcmParameters {
  std::array<uint8_t, 12> iv;
  absl::Span<const uint8_t> aad;
};
inline constexpr size_t kGcmTagBytes = 16;
inline constexpr size_t kSha256Bytes = 32;

struct KeyPairHandles {
  CK_OBJECT_HANDLE public_key;
  CK_OBJECT_HANDLE private_key;
};

// How a key is wrapped under an RSA key.
struct RsaWrapping {
  CK_MECHANISM_TYPE mechanism;
  CK_MECHANISM_TYPE hash;
  CK_RSA_PKCS_MGF_TYPE mgf;
};

// A PKCS#11 session, read-write. Each member is one operation of the standard (section 5.x of
// PKCS#11 v2.40), begun and ended within it; errors are those of CkStatus().
//
// Movable, closes itself. For one thread at a time.
class Session {
 public:
  // `module` outlives the session.
  static absl::StatusOr<Session> Open(const Module& module, CK_SLOT_ID slot);
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;
  ~Session();

  // CKR_USER_ALREADY_LOGGED_IN counts as success: login is the token's, not the session's.
  absl::Status Login(const SecretBytes& pin);

  absl::Status GenerateRandom(absl::Span<uint8_t> out);

  absl::StatusOr<CK_OBJECT_HANDLE> CreateObject(const Template& attributes);
  absl::Status DestroyObject(CK_OBJECT_HANDLE object);
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindObjects(const Template& attributes);
  // NOT_FOUND if none matches, INTERNAL if several do.
  absl::StatusOr<CK_OBJECT_HANDLE> FindExactlyOne(const Template& attributes);
  absl::StatusOr<std::string> GetAttribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
  // Reads several at once into the room that each has, and sets their sizes. False if the object
  // lacks one, it is secret or there is not room enough for it: its size is then
  // CK_UNAVAILABLE_INFORMATION, and the others were read.
  absl::StatusOr<bool> ReadAttributes(CK_OBJECT_HANDLE object, absl::Span<CK_ATTRIBUTE> attributes);
  // Whether the object's attribute has exactly these bytes.
  absl::StatusOr<bool> AttributeEquals(CK_OBJECT_HANDLE object, const CK_ATTRIBUTE& expected);
  // Whether all of them have; in one call of the token. False, too, if one cannot be read.
  absl::StatusOr<bool> AttributesEqual(CK_OBJECT_HANDLE object, const Template& expected);

  absl::StatusOr<CK_OBJECT_HANDLE> GenerateKey(CK_MECHANISM_TYPE mechanism,
                                               const Template& attributes);
  absl::StatusOr<KeyPairHandles> GenerateKeyPair(CK_MECHANISM_TYPE mechanism,
                                                 const Template& public_attributes,
                                                 const Template& private_attributes);
  // With CKM_AES_KEY_WRAP_PAD (RFC 5649).
  absl::StatusOr<std::string> WrapKey(CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key);
  absl::StatusOr<CK_OBJECT_HANDLE> UnwrapKey(CK_OBJECT_HANDLE unwrapping_key,
                                             absl::string_view wrapped, const Template& attributes);

  // With CKM_AES_GCM: ciphertext and tag.
  absl::StatusOr<std::string> EncryptGcm(CK_OBJECT_HANDLE key, const GcmParameters& parameters,
                                         absl::Span<const uint8_t> plaintext);
  absl::StatusOr<SecretBytes> DecryptGcm(CK_OBJECT_HANDLE key, const GcmParameters& parameters,
                                         absl::string_view ciphertext);

  // With a mechanism that signs its whole input at once; `size` is that of its signatures.
  // UNIMPLEMENTED if the token does not know the mechanism or does not take its parameters.
  absl::StatusOr<std::string> Sign(CK_OBJECT_HANDLE key, CK_MECHANISM mechanism,
                                   absl::Span<const uint8_t> data, size_t size);
  // With a mechanism whose plaintext is not longer than its ciphertext; errors as for Sign().
  absl::StatusOr<SecretBytes> Decrypt(CK_OBJECT_HANDLE key, CK_MECHANISM mechanism,
                                      absl::string_view ciphertext);
  absl::StatusOr<CK_OBJECT_HANDLE> DeriveKey(CK_OBJECT_HANDLE base_key, CK_MECHANISM mechanism,
                                             const Template& attributes);

  // With CKM_SHA256_HMAC (FIPS 198-1): all of the 32 bytes.
  absl::StatusOr<std::array<uint8_t, kSha256Bytes>> SignHmac(CK_OBJECT_HANDLE key,
                                                             absl::Span<const uint8_t> data);

  // With these in place of the object's own.
  absl::StatusOr<CK_OBJECT_HANDLE> CopyObject(CK_OBJECT_HANDLE object, const Template& attributes);
  // With CKM_RSA_PKCS_OAEP or CKM_RSA_AES_KEY_WRAP: MGF1 of the same hash, no label, and an AES-256
  // key between in the latter.
  absl::StatusOr<CK_OBJECT_HANDLE> UnwrapKeyRsa(CK_OBJECT_HANDLE unwrapping_key,
                                                const RsaWrapping& wrapping,
                                                absl::string_view wrapped,
                                                const Template& attributes);
  // With CKM_AES_ECB_ENCRYPT_DATA: the key's value is `data`, whole blocks, encrypted under `base`.
  absl::StatusOr<CK_OBJECT_HANDLE> DeriveKey(CK_OBJECT_HANDLE base, absl::Span<const uint8_t> data,
                                             const Template& attributes);

 private:
  Session(const Module& module, CK_SESSION_HANDLE handle) : module_(&module), handle_(handle) {}
  const CK_FUNCTION_LIST& functions() const { return module_->functions(); }
  void Close();

  const Module* module_ = nullptr;
  CK_SESSION_HANDLE handle_ = CK_INVALID_HANDLE;
};

// A session object that is destroyed on every way out.
class ScopedObject {
 public:
  ScopedObject(Session& session, CK_OBJECT_HANDLE handle) : session_(session), handle_(handle) {}
  ~ScopedObject() { session_.DestroyObject(handle_).IgnoreError(); }
  ScopedObject(const ScopedObject&) = delete;
  ScopedObject& operator=(const ScopedObject&) = delete;
  CK_OBJECT_HANDLE get() const { return handle_; }

 private:
  Session& session_;
  CK_OBJECT_HANDLE handle_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_SESSION_H_
