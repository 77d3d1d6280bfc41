#include "hsm/internal/import_keys.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "absl/types/span.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_objects.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/version_objects.h"

namespace strongroom::hsm::internal {
namespace {

// Keys are found by it: it is never changed.
constexpr char kLabel[] = "strongroom-import";
constexpr uint8_t kPublicExponent[] = {0x01, 0x00, 0x01};

RsaWrapping WrappingOf(ImportAlgorithm algorithm) {
  switch (algorithm) {
    case ImportAlgorithm::kOaepSha256:
      return {CKM_RSA_PKCS_OAEP, CKM_SHA256, CKG_MGF1_SHA256};
    case ImportAlgorithm::kOaepSha1:
      return {CKM_RSA_PKCS_OAEP, CKM_SHA_1, CKG_MGF1_SHA1};
    case ImportAlgorithm::kRsaAesSha256:
      break;
  }
  return {CKM_RSA_AES_KEY_WRAP, CKM_SHA256, CKG_MGF1_SHA256};
}

Template PrivateTemplate(const ObjectId& id, ImportAlgorithm algorithm, Residence residence) {
  const bool in_token = residence == Residence::kToken;
  return Template()
      .AddBytes(CKA_LABEL, absl::string_view(kLabel))
      .AddBytes(CKA_ID, id)
      .AddBool(CKA_TOKEN, in_token)
      .AddBool(CKA_PRIVATE, true)
      .AddBool(CKA_SENSITIVE, true)
      .AddBool(CKA_EXTRACTABLE, false)
      // Tokens do not let it be copied otherwise.
      .AddBool(CKA_MODIFIABLE, !in_token)
      .AddBool(CKA_DECRYPT, false)
      .AddBool(CKA_SIGN, false)
      .AddBool(CKA_UNWRAP, true)
      .AddBool(CKA_DERIVE, false)
      .AddAllowedMechanism(WrappingOf(algorithm).mechanism);
}

Template Named(const ObjectId& id) {
  return Template()
      .AddBool(CKA_TOKEN, true)
      .AddBytes(CKA_LABEL, absl::string_view(kLabel))
      .AddBytes(CKA_ID, id);
}

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;

std::optional<std::string> EncryptOaep(EVP_PKEY* key, const EVP_MD* hash,
                                       absl::Span<const uint8_t> data) {
  const KeyContext context(EVP_PKEY_CTX_new(key, nullptr));
  size_t size = 0;
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1 ||
      EVP_PKEY_encrypt(context.get(), nullptr, &size, data.data(), data.size()) != 1) {
    return std::nullopt;
  }
  std::string out(size, '\0');
  if (EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                       data.data(), data.size()) != 1) {
    return std::nullopt;
  }
  out.resize(size);
  return out;
}

std::optional<std::string> WrapAes(absl::Span<const uint8_t> key, absl::Span<const uint8_t> data) {
  const CipherContext context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  std::string out(data.size() + 16, '\0');
  int size = 0;
  if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, key.data(), nullptr) !=
          1 ||
      EVP_EncryptUpdate(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                        data.data(), static_cast<int>(data.size())) != 1) {
    return std::nullopt;
  }
  out.resize(static_cast<size_t>(size));
  return out;
}

// So many bytes of no meaning, wrapped as a caller would.
absl::StatusOr<std::string> WrapSomething(const std::string& public_key, ImportAlgorithm algorithm,
                                          size_t size) {
  constexpr std::array<uint8_t, 32> kSomething = {'s', 't', 'r', 'o', 'n', 'g', 'r', 'o', 'o', 'm'};
  const absl::Span<const uint8_t> material = absl::MakeConstSpan(kSomething).subspan(0, size);
  const unsigned char* der = reinterpret_cast<const unsigned char*>(public_key.data());
  const Key key(d2i_PUBKEY(nullptr, &der, static_cast<long>(public_key.size())));
  if (key == nullptr) return absl::InternalError("the import key's public half is none");
  const bool between = algorithm == ImportAlgorithm::kRsaAesSha256;
  const std::optional<std::string> outer =
      EncryptOaep(key.get(), algorithm == ImportAlgorithm::kOaepSha1 ? EVP_sha1() : EVP_sha256(),
                  between ? absl::MakeConstSpan(kSomething) : material);
  const std::optional<std::string> inner = between ? WrapAes(kSomething, material) : "";
  if (!outer.has_value() || !inner.has_value()) {
    return absl::InternalError("cannot wrap under the import key");
  }
  return *outer + *inner;
}

Template SessionSecret(CK_KEY_TYPE type) {
  return Template()
      .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
      .AddUlong(CKA_KEY_TYPE, type)
      .AddBool(CKA_TOKEN, false)
      .AddBool(CKA_PRIVATE, true)
      .AddBool(CKA_SENSITIVE, true)
      .AddBool(CKA_EXTRACTABLE, false)
      .AddBool(CKA_ENCRYPT, false)
      .AddBool(CKA_DECRYPT, false)
      .AddBool(CKA_WRAP, false)
      .AddBool(CKA_UNWRAP, false)
      .AddBool(CKA_VERIFY, false);
}

// For tokens that do not say how long an unwrapped key is (SoftHSM 2.6.1): they know what it is
// good for. What derives as an AES key has 16, 24 or 32 bytes, and HMAC-SHA256 takes no fewer than
// 32 (CKR_KEY_SIZE_RANGE).
absl::Status CheckSizeByUse(Session& session, CK_OBJECT_HANDLE import_key,
                            ImportAlgorithm algorithm, absl::string_view wrapped,
                            CK_OBJECT_HANDLE material) {
  absl::StatusOr<CK_OBJECT_HANDLE> derived =
      DeriveVersionObject(session, VersionRole::kSeal, ObjectId(), material);
  if (!derived.ok()) return derived.status();
  absl::Status status = session.DestroyObject(*derived);
  if (!status.ok()) return status;
  absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
      session.UnwrapKeyRsa(import_key, WrappingOf(algorithm), wrapped,
                           SessionSecret(CKK_GENERIC_SECRET)
                               .AddBool(CKA_SIGN, true)
                               .AddBool(CKA_DERIVE, false)
                               .AddAllowedMechanism(CKM_SHA256_HMAC));
  if (!unwrapped.ok()) return unwrapped.status();
  const ScopedObject same(session, *unwrapped);
  return session.SignHmac(same.get(), kPublicExponent).status();
}

absl::Status CheckSize(Session& session, CK_OBJECT_HANDLE import_key, ImportAlgorithm algorithm,
                       absl::string_view wrapped, CK_OBJECT_HANDLE material) {
  absl::StatusOr<std::string> value = session.GetAttribute(material, CKA_VALUE_LEN);
  if (!value.ok()) return value.status();
  CK_ULONG size = 0;
  if (value->size() == sizeof(size)) std::memcpy(&size, value->data(), sizeof(size));
  if (size == 0) return CheckSizeByUse(session, import_key, algorithm, wrapped, material);
  if (size == kImportedMaterialBytes) return absl::OkStatus();
  return absl::InvalidArgumentError("the material is not an AES-256 key");
}

// How tokens answer parameters that they do not know.
bool MeansUnknown(const absl::Status& status) {
  return absl::IsUnimplemented(status) || CkReturnValue(status) == CKR_ARGUMENTS_BAD;
}

}  // namespace

absl::Status CheckImportMechanisms(const Module& module, CK_SLOT_ID slot,
                                   ImportAlgorithm algorithm) {
  if (!module.HasMechanism(slot, CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR) ||
      !module.HasMechanism(slot, WrappingOf(algorithm).mechanism, CKF_UNWRAP) ||
      !module.HasMechanism(slot, CKM_AES_ECB_ENCRYPT_DATA, CKF_DERIVE)) {
    return absl::UnimplementedError("the token lists no mechanism to import so");
  }
  return absl::OkStatus();
}

absl::StatusOr<KeyPairHandles> GenerateImportKey(Session& session, const ObjectId& id,
                                                 ImportAlgorithm algorithm, int modulus_bits) {
  return session.GenerateKeyPair(
      CKM_RSA_PKCS_KEY_PAIR_GEN,
      Template()
          .AddBool(CKA_TOKEN, false)
          .AddUlong(CKA_MODULUS_BITS, static_cast<CK_ULONG>(modulus_bits))
          .AddBytes(CKA_PUBLIC_EXPONENT, kPublicExponent),
      PrivateTemplate(id, algorithm, Residence::kSession));
}

absl::StatusOr<CK_OBJECT_HANDLE> FindImportKey(Session& session, const ObjectId& id,
                                               ImportAlgorithm algorithm) {
  absl::StatusOr<CK_OBJECT_HANDLE> key = session.FindExactlyOne(Named(id));
  if (!key.ok()) return key;
  absl::Status status = VerifyAttributes(session, kLabel,
                                         PrivateTemplate(id, algorithm, Residence::kToken)
                                             .AddUlong(CKA_CLASS, CKO_PRIVATE_KEY)
                                             .AddUlong(CKA_KEY_TYPE, CKK_RSA),
                                         *key);
  if (!status.ok()) return status;
  return key;
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindImportKeys(Session& session, const ObjectId& id) {
  return session.FindObjects(Named(id));
}

absl::StatusOr<CK_OBJECT_HANDLE> UnwrapMaterial(Session& session, CK_OBJECT_HANDLE import_key,
                                                ImportAlgorithm algorithm,
                                                absl::string_view wrapped) {
  absl::StatusOr<CK_OBJECT_HANDLE> material =
      session.UnwrapKeyRsa(import_key, WrappingOf(algorithm), wrapped,
                           SessionSecret(CKK_AES)
                               .AddBool(CKA_SIGN, false)
                               .AddBool(CKA_DERIVE, true)
                               .AddAllowedMechanism(CKM_AES_ECB_ENCRYPT_DATA));
  if (!material.ok()) return material;
  absl::Status right = CheckSize(session, import_key, algorithm, wrapped, *material);
  if (right.ok()) return material;
  session.DestroyObject(*material).IgnoreError();
  return right;
}

absl::Status TryImportKey(Session& session, CK_OBJECT_HANDLE import_key,
                          ImportAlgorithm algorithm) {
  // The private half knows the public one; which RSA does not matter to the encoding.
  absl::StatusOr<std::string> public_key = EncodePublicKey(session, import_key, PairSpec::kRsa2048);
  if (!public_key.ok()) return public_key.status();
  absl::StatusOr<std::string> right = WrapSomething(*public_key, algorithm, kImportedMaterialBytes);
  if (!right.ok()) return right.status();
  absl::StatusOr<std::string> small =
      WrapSomething(*public_key, algorithm, kImportedMaterialBytes / 2);
  if (!small.ok()) return small.status();

  absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
      UnwrapMaterial(session, import_key, algorithm, *right);
  absl::Status status = unwrapped.status();
  if (status.ok()) {
    const ScopedObject material(session, *unwrapped);
    absl::StatusOr<CK_OBJECT_HANDLE> derived =
        DeriveVersionObject(session, VersionRole::kSeal, ObjectId(), material.get());
    status = derived.status();
    if (derived.ok()) status = session.DestroyObject(*derived);
  }
  if (MeansUnknown(status)) return absl::UnimplementedError(status.message());
  if (!status.ok()) return status;

  unwrapped = UnwrapMaterial(session, import_key, algorithm, *small);
  if (!unwrapped.ok()) return absl::OkStatus();
  session.DestroyObject(*unwrapped).IgnoreError();
  return absl::UnimplementedError("the token does not tell how long the material is");
}

}  // namespace strongroom::hsm::internal
