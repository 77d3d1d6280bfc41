#include "hsm/internal/private_key_uses.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/transport.h"

namespace strongroom::hsm::internal {
namespace {

struct HashInfo {
  size_t bytes;
  CK_MECHANISM_TYPE mechanism;
  CK_RSA_PKCS_MGF_TYPE mgf;
  const char* openssl_name;
  // What stands before the digest in a DigestInfo (RFC 8017, section 9.2, note 1).
  absl::string_view digest_info;
};

const HashInfo& InfoOf(Hash hash) {
  static constexpr HashInfo kSha1 = {
      20,
      CKM_SHA_1,
      CKG_MGF1_SHA1,
      "SHA1",
      {"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14", 15}};
  static constexpr HashInfo kSha256 = {
      32,
      CKM_SHA256,
      CKG_MGF1_SHA256,
      "SHA256",
      {"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19}};
  static constexpr HashInfo kSha384 = {
      48,
      CKM_SHA384,
      CKG_MGF1_SHA384,
      "SHA384",
      {"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30", 19}};
  static constexpr HashInfo kSha512 = {
      64,
      CKM_SHA512,
      CKG_MGF1_SHA512,
      "SHA512",
      {"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40", 19}};
  switch (hash) {
    case Hash::kSha1:
      return kSha1;
    case Hash::kSha256:
      return kSha256;
    case Hash::kSha384:
      return kSha384;
    case Hash::kSha512:
      break;
  }
  return kSha512;
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

// What tokens answer to a ciphertext that does not decrypt; the first two stand for other faults as
// well.
bool MayMeanWrongCiphertext(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

absl::StatusOr<SecretBytes> DecryptOaepOnce(Session& session, CK_OBJECT_HANDLE private_key,
                                            const HashInfo& hash, absl::string_view ciphertext) {
  CK_RSA_PKCS_OAEP_PARAMS oaep = {};
  oaep.hash_alg = hash.mechanism;
  oaep.mgf = hash.mgf;
  oaep.source = CKZ_DATA_SPECIFIED;
  return session.Decrypt(private_key, {CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)}, ciphertext);
}

// OK if the token decrypts what was encrypted with this pair's own public key just now.
absl::Status TryOaep(Session& session, CK_OBJECT_HANDLE private_key, PairSpec spec,
                     const HashInfo& hash) {
  // Private keys of RSA have the public numbers too.
  absl::StatusOr<std::string> encoded = EncodePublicKey(session, private_key, spec);
  if (!encoded.ok()) return encoded.status();
  const auto* position = reinterpret_cast<const unsigned char*>(encoded->data());
  const Key public_key(d2i_PUBKEY(nullptr, &position, static_cast<long>(encoded->size())));
  const KeyContext context(EVP_PKEY_CTX_new(public_key.get(), nullptr));
  constexpr unsigned char kText[] = "known to be good";
  std::string ciphertext(ModulusBytes(spec), '\0');
  size_t size = ciphertext.size();
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), hash.openssl_name, nullptr) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md_name(context.get(), hash.openssl_name, nullptr) != 1 ||
      EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(ciphertext.data()), &size,
                       kText, sizeof(kText)) != 1) {
    return absl::InternalError("cannot encrypt with the pair's public key");
  }
  absl::StatusOr<SecretBytes> decrypted = DecryptOaepOnce(session, private_key, hash, ciphertext);
  if (!decrypted.ok()) return decrypted.status();
  if (!(*decrypted == SecretBytes::CopyOf(absl::MakeConstSpan(kText)))) {
    return absl::InternalError("C_Decrypt: gave another text");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SignWith(Session& session, CK_OBJECT_HANDLE private_key, PairSpec spec,
                                     Hash hash, RsaPadding padding,
                                     absl::Span<const uint8_t> digest) {
  const HashInfo& info = InfoOf(hash);
  if (digest.size() != info.bytes) {
    return absl::InvalidArgumentError(absl::StrCat("a digest of ", digest.size(), " bytes"));
  }
  if (IsCurve(spec)) {
    // The leftmost bits, as many as the order has; the only order whose bits do not fill its bytes
    // is longer than any digest.
    const size_t order = OrderBytes(spec);
    return session.Sign(private_key, {CKM_ECDSA, nullptr, 0}, digest.subspan(0, order), 2 * order);
  }
  if (padding == RsaPadding::kPss) {
    CK_RSA_PKCS_PSS_PARAMS pss = {info.mechanism, info.mgf, info.bytes};
    return session.Sign(private_key, {CKM_RSA_PKCS_PSS, &pss, sizeof(pss)}, digest,
                        ModulusBytes(spec));
  }
  std::vector<uint8_t> digest_info(info.digest_info.begin(), info.digest_info.end());
  digest_info.insert(digest_info.end(), digest.begin(), digest.end());
  return session.Sign(private_key, {CKM_RSA_PKCS, nullptr, 0}, digest_info, ModulusBytes(spec));
}

absl::StatusOr<SecretBytes> DecryptOaepWith(Session& session, CK_OBJECT_HANDLE private_key,
                                            PairSpec spec, Hash hash,
                                            absl::string_view ciphertext) {
  if (IsCurve(spec)) return absl::InvalidArgumentError("the key is of a curve");
  if (ciphertext.size() != ModulusBytes(spec)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ciphertext of ", ciphertext.size(), " bytes"));
  }
  const HashInfo& info = InfoOf(hash);
  absl::StatusOr<SecretBytes> plaintext = DecryptOaepOnce(session, private_key, info, ciphertext);
  if (plaintext.ok() || !MayMeanWrongCiphertext(plaintext.status())) return plaintext;
  // The token may say the same of its own failure, and nobody should throw good data away for it:
  // something known to be good decides.
  if (absl::Status known_good = TryOaep(session, private_key, spec, info); !known_good.ok()) {
    if (known_good.code() != absl::StatusCode::kInternal &&
        known_good.code() != absl::StatusCode::kInvalidArgument) {
      return known_good;
    }
    return absl::UnavailableError(
        absl::StrCat("the token fails at known-good input: ", known_good.message()));
  }
  // The failure may have been the token's and over by now.
  plaintext = DecryptOaepOnce(session, private_key, info, ciphertext);
  if (plaintext.ok() || !MayMeanWrongCiphertext(plaintext.status())) return plaintext;
  return absl::InvalidArgumentError(
      absl::StrCat("the ciphertext does not decrypt (", plaintext.status().message(), ")"));
}

absl::StatusOr<SecretBytes> DeriveSharedSecretWith(Session& session, CK_OBJECT_HANDLE private_key,
                                                   PairSpec spec, absl::string_view peer_point) {
  if (!IsCurve(spec)) return absl::InvalidArgumentError("the key is of no curve");
  const size_t field = OrderBytes(spec);
  std::string point(peer_point);
  CK_ECDH1_DERIVE_PARAMS ecdh = {};
  ecdh.kdf = CKD_NULL;
  ecdh.public_data = reinterpret_cast<unsigned char*>(point.data());
  ecdh.public_data_len = point.size();
  absl::StatusOr<CK_OBJECT_HANDLE> derived =
      session.DeriveKey(private_key, {CKM_ECDH1_DERIVE, &ecdh, sizeof(ecdh)},
                        Template()
                            .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                            .AddUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                            .AddBool(CKA_TOKEN, false)
                            .AddBool(CKA_PRIVATE, true)
                            .AddBool(CKA_SENSITIVE, true)
                            .AddBool(CKA_EXTRACTABLE, true)
                            .AddBool(CKA_SIGN, false)
                            .AddBool(CKA_VERIFY, false)
                            .AddBool(CKA_DERIVE, false)
                            .AddUlong(CKA_VALUE_LEN, field));
  if (!derived.ok()) return derived.status();
  const ScopedObject object(session, *derived);
  absl::StatusOr<SecretBytes> secret = ExportKey(session, object.get());
  if (!secret.ok()) return secret.status();
  // SoftHSM fills a secret up with zeros to a multiple of 8 bytes before it wraps it.
  if (secret->size() < field || secret->size() >= field + 8) {
    return absl::InternalError(
        absl::StrCat("C_DeriveKey: gave ", secret->size(), " bytes where the field has ", field));
  }
  secret->Truncate(field);
  return secret;
}

}  // namespace strongroom::hsm::internal
