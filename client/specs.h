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

// Names as in the protocol ("AES_256", "EC_P256", "PEM"). Upper case only. Curves have a second
// spelling (ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1), which is understood
// but not given out. A value without a name is given out as its number.
std::string DataKeySpecName(DataKeySpec spec);
std::string DataKeyPairSpecName(DataKeyPairSpec spec);
std::string KeyFormatName(KeyFormat format);
std::optional<DataKeySpec> DataKeySpecFromName(absl::string_view name);
std::optional<DataKeyPairSpec> DataKeyPairSpecFromName(absl::string_view name);
std::optional<KeyFormat> KeyFormatFromName(absl::string_view name);

// All names that the functions above understand, for messages: "A, B, C".
std::string DataKeySpecNames();
std::string DataKeyPairSpecNames();
std::string KeyFormatNames();

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_SPECS_H_
