#ifndef STRONGROOM_CLIENT_SPECS_H_
#define STRONGROOM_CLIENT_SPECS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace strongroom {

// How long a data key is. The numbers are those of the protocol, as for the other two.
enum class DataKeySpec {
  // 32 bytes, unless a number of bytes is given.
  kUnspecified = 0,
  // 32 bytes.
  kAes256 = 1,
  // 16 bytes.
  kAes128 = 2,
};

// What a data key pair is for, and how large.
enum class DataKeyPairSpec {
  // Not valid in a request.
  kUnspecified = 0,
  // RSA with public exponent 65537 and a modulus of so many bits.
  kRsa2048 = 1,
  kRsa3072 = 2,
  kRsa4096 = 3,
  // NIST P-256, P-384, P-521.
  kEcP256 = 4,
  kEcP384 = 5,
  kEcP521 = 6,
  // SECG secp256k1.
  kEcP256k = 7,
};

// How both halves of a pair are encoded: X.509 SubjectPublicKeyInfo (RFC 5280) and PKCS#8
// PrivateKeyInfo (RFC 5208).
enum class KeyFormat {
  // DER.
  kUnspecified = 0,
  // PEM (RFC 7468).
  kPem = 1,
  kDer = 2,
};

// How to sign with a pair's private key: the padding and the hash.
enum class SigningAlgorithm {
  // Not valid in a request.
  kUnspecified = 0,
  // RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
  kRsassaPkcs1V15Sha256 = 1,
  kRsassaPkcs1V15Sha384 = 2,
  kRsassaPkcs1V15Sha512 = 3,
  // RSASSA-PSS (RFC 8017, section 8.1): MGF1 with the same hash, and a salt as long as the hash.
  kRsassaPssSha256 = 4,
  kRsassaPssSha384 = 5,
  kRsassaPssSha512 = 6,
  // ECDSA (FIPS 186-5), on any of the curves.
  kEcdsaSha256 = 7,
  kEcdsaSha384 = 8,
  kEcdsaSha512 = 9,
};

// What is signed.
enum class MessageType {
  // RAW.
  kUnspecified = 0,
  // The message, which is hashed.
  kRaw = 1,
  // The message's digest, by the algorithm's hash.
  kDigest = 2,
};

// How an ECDSA signature is encoded.
enum class EcdsaSignatureFormat {
  // DER.
  kUnspecified = 0,
  // Ecdsa-Sig-Value (RFC 3279, section 2.2.3), as OpenSSL takes it.
  kDer = 1,
  // r and s, each as long as the curve's order: as in JWS (RFC 7518, section 3.4).
  kFixed = 2,
};

// How to decrypt with a pair's private key.
enum class AsymmetricDecryptionAlgorithm {
  // Not valid in a request.
  kUnspecified = 0,
  // RSAES-OAEP (RFC 8017, section 7.1) with this hash, also for MGF1, and no label.
  kRsaesOaepSha256 = 1,
  // For tokens that know no other.
  kRsaesOaepSha1 = 2,
};

// What a key may do.
enum class KeyState {
  // Not in an answer of a service that this client knows.
  kUnspecified = 0,
  kEnabled = 1,
  // Neither seals nor opens.
  kDisabled = 2,
  // Its objects are being made in the token.
  kCreating = 3,
  // Neither seals nor opens, and will be destroyed.
  kPendingDeletion = 4,
  // Has no material: ImportMaterial brings it.
  kPendingImport = 5,
  // The token lacks the keys of its primary version: opens what other versions sealed.
  kUnavailable = 6,
};

// Where a key's material comes from.
enum class KeyOrigin {
  // The token.
  kUnspecified = 0,
  kToken = 1,
  kExternal = 2,
};

// How key material is wrapped for import.
enum class ImportWrappingAlgorithm {
  // Not valid in a request.
  kUnspecified = 0,
  // RSAES-OAEP (RFC 8017, section 7.1) with this hash, also for MGF1, and no label.
  kRsaesOaepSha256 = 1,
  // For tokens that know no other.
  kRsaesOaepSha1 = 2,
  // An AES-256 key under RSAES-OAEP with SHA-256, and behind it the material under that key by
  // RFC 5649 (CKM_RSA_AES_KEY_WRAP).
  kRsaAesKeyWrapSha256 = 3,
};

// The RSA key that material is wrapped under: bits of its modulus.
enum class ImportWrappingKeySpec {
  // RSA_3072.
  kUnspecified = 0,
  kRsa2048 = 1,
  kRsa3072 = 2,
  kRsa4096 = 3,
};

// Names as in the protocol ("AES_256", "EC_P256", "PEM", "PENDING_DELETION"), of each of the
// enumerations above. Upper case only. Curves have a second spelling (ECC_NIST_P256,
// ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1), which is understood but not given out. A value
// without a name is given out as its number.
template <typename Spec>
std::string SpecName(Spec spec);
template <typename Spec>
std::optional<Spec> SpecFromName(absl::string_view name);
// All names that SpecFromName understands, for messages: "A, B, C".
template <typename Spec>
std::string SpecNames();

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_SPECS_H_
