#include "hsm/internal/session.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "hsm/internal/ck_error.h"

namespace strongroom::hsm::internal {
namespace {

// Room for any key of ours, wrapped: an RSA-4096 private key as PKCS#8 takes 2.4 KB. A token that
// wants more is given it once.
constexpr size_t kWrappedBytes = 4096;
constexpr size_t kMostWrappedBytes = 65536;

// PKCS#11 takes what it only reads as pointers to non-const.
unsigned char* Mutable(const uint8_t* bytes) { return const_cast<unsigned char*>(bytes); }
unsigned char* Mutable(absl::string_view bytes) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
}

CK_GCM_PARAMS ToCk(const GcmParameters& parameters) {
  CK_GCM_PARAMS ck = {};
  ck.iv_ptr = Mutable(parameters.iv.data());
  ck.iv_len = parameters.iv.size();
  ck.iv_bits = parameters.iv.size() * 8;
  ck.aad_ptr = Mutable(parameters.aad.data());
  ck.aad_len = parameters.aad.size();
  ck.tag_bits = kGcmTagBytes * 8;
  return ck;
}

// What came of beginning with a mechanism that has parameters. Some tokens call those that they do
// not know bad arguments.
absl::Status BeginStatus(CK_RV rv, absl::string_view function) {
  if (rv != CKR_ARGUMENTS_BAD) return CkStatus(rv, function);
  return absl::UnimplementedError(
      absl::StrCat(function, ": ", ReturnValueName(rv), " for the mechanism's parameters"));
}

}  // namespace

absl::StatusOr<Session> Session::Open(const Module& module, CK_SLOT_ID slot) {
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(module.functions().C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                                nullptr, &handle),
               "C_OpenSession");
  if (!status.ok()) return status;
  return Session(module, handle);
}

Session::Session(Session&& other) noexcept
    : module_(other.module_), handle_(std::exchange(other.handle_, CK_INVALID_HANDLE)) {}

Session& Session::operator=(Session&& other) noexcept {
  if (this != &other) {
    Close();
    module_ = other.module_;
    handle_ = std::exchange(other.handle_, CK_INVALID_HANDLE);
  }
  return *this;
}

Session::~Session() { Close(); }

void Session::Close() {
  if (handle_ != CK_INVALID_HANDLE) functions().C_CloseSession(handle_);
  handle_ = CK_INVALID_HANDLE;
}

absl::Status Session::Login(const SecretBytes& pin) {
  const absl::Span<const uint8_t> bytes = pin.ExposeSecret();
  const CK_RV rv = functions().C_Login(handle_, CKU_USER, Mutable(bytes.data()), bytes.size());
  if (rv == CKR_USER_ALREADY_LOGGED_IN) return absl::OkStatus();
  return CkStatus(rv, "C_Login");
}

absl::Status Session::GenerateRandom(absl::Span<uint8_t> out) {
  return CkStatus(functions().C_GenerateRandom(handle_, out.data(), out.size()),
                  "C_GenerateRandom");
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::CreateObject(const Template& attributes) {
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(functions().C_CreateObject(handle_, attributes.data(), attributes.size(), &object),
               "C_CreateObject");
  if (!status.ok()) return status;
  return object;
}

absl::Status Session::DestroyObject(CK_OBJECT_HANDLE object) {
  return CkStatus(functions().C_DestroyObject(handle_, object), "C_DestroyObject");
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> Session::FindObjects(const Template& attributes) {
  absl::Status status =
      CkStatus(functions().C_FindObjectsInit(handle_, attributes.data(), attributes.size()),
               "C_FindObjectsInit");
  if (!status.ok()) return status;
  std::vector<CK_OBJECT_HANDLE> found;
  std::array<CK_OBJECT_HANDLE, 256> batch;
  CK_ULONG count = 0;
  do {
    status = CkStatus(functions().C_FindObjects(handle_, batch.data(), batch.size(), &count),
                      "C_FindObjects");
    if (status.ok()) found.insert(found.end(), batch.begin(), batch.begin() + count);
  } while (status.ok() && count > 0);
  status.Update(CkStatus(functions().C_FindObjectsFinal(handle_), "C_FindObjectsFinal"));
  if (!status.ok()) return status;
  return found;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::FindExactlyOne(const Template& attributes) {
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> found = FindObjects(attributes);
  if (!found.ok()) return found.status();
  if (found->empty()) return absl::NotFoundError("the token has no such object");
  if (found->size() > 1) {
    return absl::InternalError(
        absl::StrCat("the token has ", found->size(), " such objects where one is right"));
  }
  return found->front();
}

absl::StatusOr<std::string> Session::GetAttribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ATTRIBUTE attribute = {type, nullptr, 0};
  absl::Status status = CkStatus(functions().C_GetAttributeValue(handle_, object, &attribute, 1),
                                 "C_GetAttributeValue");
  if (!status.ok()) return status;
  if (attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION) {
    return absl::FailedPreconditionError("the token does not give this attribute");
  }
  std::string value(attribute.ulValueLen, '\0');
  attribute.pValue = value.data();
  status = CkStatus(functions().C_GetAttributeValue(handle_, object, &attribute, 1),
                    "C_GetAttributeValue");
  if (!status.ok()) return status;
  value.resize(attribute.ulValueLen);
  return value;
}

absl::StatusOr<bool> Session::ReadAttributes(CK_OBJECT_HANDLE object,
                                             absl::Span<CK_ATTRIBUTE> attributes) {
  const CK_RV rv =
      functions().C_GetAttributeValue(handle_, object, attributes.data(), attributes.size());
  // One of them cannot be read, and the token has gone on to the others (PKCS#11 v2.40, 5.7).
  if (rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
      rv == CKR_BUFFER_TOO_SMALL) {
    return false;
  }
  absl::Status status = CkStatus(rv, "C_GetAttributeValue");
  if (!status.ok()) return status;
  return true;
}

absl::StatusOr<bool> Session::AttributesEqual(CK_OBJECT_HANDLE object, const Template& expected) {
  const absl::Span<const CK_ATTRIBUTE> wanted(expected.data(), expected.size());
  std::string room;
  for (const CK_ATTRIBUTE& attribute : wanted) {
    // A token that says it gave a value and did not must not have given the right one.
    const auto* value = static_cast<const char*>(attribute.pValue);
    for (CK_ULONG i = 0; i < attribute.ulValueLen; ++i)
      room.push_back(static_cast<char>(~value[i]));
  }
  std::vector<CK_ATTRIBUTE> actual(wanted.begin(), wanted.end());
  size_t begin = 0;
  for (CK_ATTRIBUTE& attribute : actual) {
    attribute.pValue = room.data() + begin;
    begin += attribute.ulValueLen;
  }
  absl::StatusOr<bool> equal = ReadAttributes(object, absl::MakeSpan(actual));
  for (size_t i = 0; i < wanted.size() && equal.ok() && *equal; ++i) {
    equal = actual[i].ulValueLen == wanted[i].ulValueLen &&
            std::memcmp(actual[i].pValue, wanted[i].pValue, wanted[i].ulValueLen) == 0;
  }
  return equal;
}

absl::StatusOr<bool> Session::AttributeEquals(CK_OBJECT_HANDLE object,
                                              const CK_ATTRIBUTE& expected) {
  absl::StatusOr<std::string> actual = GetAttribute(object, expected.type);
  if (!actual.ok()) return actual.status();
  return *actual ==
         absl::string_view(static_cast<const char*>(expected.pValue), expected.ulValueLen);
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::GenerateKey(CK_MECHANISM_TYPE mechanism,
                                                      const Template& attributes) {
  CK_MECHANISM ck_mechanism = {mechanism, nullptr, 0};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  absl::Status status = CkStatus(
      functions().C_GenerateKey(handle_, &ck_mechanism, attributes.data(), attributes.size(), &key),
      "C_GenerateKey");
  if (!status.ok()) return status;
  return key;
}

absl::StatusOr<KeyPairHandles> Session::GenerateKeyPair(CK_MECHANISM_TYPE mechanism,
                                                        const Template& public_attributes,
                                                        const Template& private_attributes) {
  CK_MECHANISM ck_mechanism = {mechanism, nullptr, 0};
  KeyPairHandles pair = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
  absl::Status status = CkStatus(
      functions().C_GenerateKeyPair(handle_, &ck_mechanism, public_attributes.data(),
                                    public_attributes.size(), private_attributes.data(),
                                    private_attributes.size(), &pair.public_key, &pair.private_key),
      "C_GenerateKeyPair");
  if (!status.ok()) return status;
  return pair;
}

absl::StatusOr<std::string> Session::WrapKey(CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key) {
  CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  // To ask for the size costs tokens as much as to wrap.
  std::string wrapped(kWrappedBytes, '\0');
  CK_ULONG size = wrapped.size();
  CK_RV rv = functions().C_WrapKey(handle_, &mechanism, wrapping_key, key, Mutable(wrapped), &size);
  if (rv == CKR_BUFFER_TOO_SMALL && size > wrapped.size() && size <= kMostWrappedBytes) {
    wrapped.resize(size);
    rv = functions().C_WrapKey(handle_, &mechanism, wrapping_key, key, Mutable(wrapped), &size);
  }
  absl::Status status = CkStatus(rv, "C_WrapKey");
  if (!status.ok()) return status;
  if (size > wrapped.size()) {
    return absl::InternalError(
        absl::StrCat("C_WrapKey: gave ", size, " bytes in room for ", wrapped.size()));
  }
  wrapped.resize(size);
  return wrapped;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::UnwrapKey(CK_OBJECT_HANDLE unwrapping_key,
                                                    absl::string_view wrapped,
                                                    const Template& attributes) {
  CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(functions().C_UnwrapKey(handle_, &mechanism, unwrapping_key, Mutable(wrapped),
                                       wrapped.size(), attributes.data(), attributes.size(), &key),
               "C_UnwrapKey");
  if (!status.ok()) return status;
  return key;
}

absl::StatusOr<std::string> Session::EncryptGcm(CK_OBJECT_HANDLE key,
                                                const GcmParameters& parameters,
                                                absl::Span<const uint8_t> plaintext) {
  CK_GCM_PARAMS gcm = ToCk(parameters);
  CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
  absl::Status status =
      CkStatus(functions().C_EncryptInit(handle_, &mechanism, key), "C_EncryptInit");
  if (!status.ok()) return status;
  std::string ciphertext(plaintext.size() + kGcmTagBytes, '\0');
  CK_ULONG size = ciphertext.size();
  // No bytes are well at no address, but not to every token.
  const uint8_t* const data = plaintext.empty() ? parameters.iv.data() : plaintext.data();
  status = CkStatus(
      functions().C_Encrypt(handle_, Mutable(data), plaintext.size(), Mutable(ciphertext), &size),
      "C_Encrypt");
  if (!status.ok()) return status;
  if (size != ciphertext.size()) {
    return absl::InternalError(absl::StrCat(
        "C_Encrypt: gave ", size, " bytes where ciphertext and ", "tag are ", ciphertext.size()));
  }
  return ciphertext;
}

absl::StatusOr<SecretBytes> Session::DecryptGcm(CK_OBJECT_HANDLE key,
                                                const GcmParameters& parameters,
                                                absl::string_view ciphertext) {
  // C_Decrypt would take no room for the plaintext as a question for its size, and stay begun.
  if (ciphertext.size() < kGcmTagBytes) {
    return absl::InvalidArgumentError("the ciphertext is shorter than its tag");
  }
  CK_GCM_PARAMS gcm = ToCk(parameters);
  CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
  absl::Status status =
      CkStatus(functions().C_DecryptInit(handle_, &mechanism, key), "C_DecryptInit");
  if (!status.ok()) return status;
  // Tokens ask for room for the tag too, and do not fill it.
  SecretBytes plaintext(ciphertext.size());
  CK_ULONG size = plaintext.size();
  status = CkStatus(functions().C_Decrypt(handle_, Mutable(ciphertext), ciphertext.size(),
                                          plaintext.MutableSecret().data(), &size),
                    "C_Decrypt");
  if (!status.ok()) return status;
  if (size + kGcmTagBytes != ciphertext.size()) {
    return absl::InternalError(
        absl::StrCat("C_Decrypt: gave ", size, " bytes for a ciphertext of ", ciphertext.size()));
  }
  plaintext.Truncate(size);
  return plaintext;
}

absl::StatusOr<std::string> Session::Sign(CK_OBJECT_HANDLE key, CK_MECHANISM mechanism,
                                          absl::Span<const uint8_t> data, size_t size) {
  absl::Status status = BeginStatus(functions().C_SignInit(handle_, &mechanism, key), "C_SignInit");
  if (!status.ok()) return status;
  std::string signature(size, '\0');
  CK_ULONG given = size;
  status = CkStatus(
      functions().C_Sign(handle_, Mutable(data.data()), data.size(), Mutable(signature), &given),
      "C_Sign");
  if (!status.ok()) return status;
  if (given != size) {
    return absl::InternalError(
        absl::StrCat("C_Sign: gave ", given, " bytes where a signature has ", size));
  }
  return signature;
}

absl::StatusOr<SecretBytes> Session::Decrypt(CK_OBJECT_HANDLE key, CK_MECHANISM mechanism,
                                             absl::string_view ciphertext) {
  absl::Status status =
      BeginStatus(functions().C_DecryptInit(handle_, &mechanism, key), "C_DecryptInit");
  if (!status.ok()) return status;
  SecretBytes plaintext(ciphertext.size());
  CK_ULONG size = plaintext.size();
  status = CkStatus(functions().C_Decrypt(handle_, Mutable(ciphertext), ciphertext.size(),
                                          plaintext.MutableSecret().data(), &size),
                    "C_Decrypt");
  if (!status.ok()) return status;
  plaintext.Truncate(std::min<size_t>(size, plaintext.size()));
  return plaintext;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::DeriveKey(CK_OBJECT_HANDLE base_key,
                                                    CK_MECHANISM mechanism,
                                                    const Template& attributes) {
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(functions().C_DeriveKey(handle_, &mechanism, base_key, attributes.data(),
                                       attributes.size(), &key),
               "C_DeriveKey");
  if (!status.ok()) return status;
  return key;
}

absl::StatusOr<std::array<uint8_t, kSha256Bytes>> Session::SignHmac(
    CK_OBJECT_HANDLE key, absl::Span<const uint8_t> data) {
  CK_MECHANISM mechanism = {CKM_SHA256_HMAC, nullptr, 0};
  absl::Status status = CkStatus(functions().C_SignInit(handle_, &mechanism, key), "C_SignInit");
  if (!status.ok()) return status;
  std::array<uint8_t, kSha256Bytes> mac = {};
  CK_ULONG size = mac.size();
  // No bytes are well at no address, but not to every token.
  const uint8_t* const bytes = data.empty() ? mac.data() : data.data();
  status = CkStatus(functions().C_Sign(handle_, Mutable(bytes), data.size(), mac.data(), &size),
                    "C_Sign");
  if (!status.ok()) return status;
  if (size != mac.size()) {
    return absl::InternalError(
        absl::StrCat("C_Sign: gave ", size, " bytes where a MAC has ", mac.size()));
  }
  return mac;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::CopyObject(CK_OBJECT_HANDLE object,
                                                     const Template& attributes) {
  CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
  absl::Status status = CkStatus(
      functions().C_CopyObject(handle_, object, attributes.data(), attributes.size(), &copy),
      "C_CopyObject");
  if (!status.ok()) return status;
  return copy;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::UnwrapKeyRsa(CK_OBJECT_HANDLE unwrapping_key,
                                                       const RsaWrapping& wrapping,
                                                       absl::string_view wrapped,
                                                       const Template& attributes) {
  CK_RSA_PKCS_OAEP_PARAMS oaep = {};
  oaep.hash_alg = wrapping.hash;
  oaep.mgf = wrapping.mgf;
  oaep.source = CKZ_DATA_SPECIFIED;
  CK_RSA_AES_KEY_WRAP_PARAMS rsa_aes = {256, &oaep};
  CK_MECHANISM mechanism = {wrapping.mechanism, &oaep, sizeof(oaep)};
  if (wrapping.mechanism == CKM_RSA_AES_KEY_WRAP) {
    mechanism = {wrapping.mechanism, &rsa_aes, sizeof(rsa_aes)};
  }
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(functions().C_UnwrapKey(handle_, &mechanism, unwrapping_key, Mutable(wrapped),
                                       wrapped.size(), attributes.data(), attributes.size(), &key),
               "C_UnwrapKey");
  if (!status.ok()) return status;
  return key;
}

absl::StatusOr<CK_OBJECT_HANDLE> Session::DeriveKey(CK_OBJECT_HANDLE base,
                                                    absl::Span<const uint8_t> data,
                                                    const Template& attributes) {
  CK_KEY_DERIVATION_STRING_DATA string = {Mutable(data.data()), data.size()};
  CK_MECHANISM mechanism = {CKM_AES_ECB_ENCRYPT_DATA, &string, sizeof(string)};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  absl::Status status =
      CkStatus(functions().C_DeriveKey(handle_, &mechanism, base, attributes.data(),
                                       attributes.size(), &key),
               "C_DeriveKey");
  if (!status.ok()) return status;
  return key;
}

}  // namespace strongroom::hsm::internal
