#ifndef STRONGROOM_TESTS_TESTING_OPENSSL_KEYS_H_
#define STRONGROOM_TESTS_TESTING_OPENSSL_KEYS_H_

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// What OpenSSL says to keys of the code under test. A key that is null fails the test that has it.
namespace strongroom::testing {

struct OpenSslKeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using OpenSslKey = std::unique_ptr<EVP_PKEY, OpenSslKeyFree>;

// Null if it is not all of one: X.509 SubjectPublicKeyInfo and PKCS#8, both DER.
OpenSslKey ParsePublicKey(absl::string_view der);
OpenSslKey ParsePrivateKey(absl::string_view der);

// A new pair; `group` as OpenSSL calls it, "prime256v1".
OpenSslKey GenerateCurveKey(const char* group);

std::string EncodePublicKey(EVP_PKEY* key);
std::string EncodePublicKeyAsPem(EVP_PKEY* key);
// The uncompressed point of a curve's key (SEC 1).
std::string PointOf(EVP_PKEY* key);
// The numbers that are the private key, big-endian: each alone gives it away.
std::vector<std::string> PrivateNumbers(EVP_PKEY* key);

// `hash` as OpenSSL calls it, "SHA256".
std::string DigestOf(const char* hash, absl::string_view message);
// An ECDSA signature of two numbers of the same length, as DER.
std::string EcdsaToDer(absl::string_view fixed);

enum class RsaScheme { kNone, kPkcs1V15, kPss };
// Whether the signature is the key's of this digest; of ECDSA it is DER. The salt of PSS is as long
// as the digest.
bool Verifies(EVP_PKEY* key, RsaScheme scheme, const char* hash, absl::string_view digest,
              absl::string_view signature);
std::string EncryptOaep(EVP_PKEY* key, const char* hash, absl::string_view text);
// ECDH.
std::string Agree(EVP_PKEY* own, EVP_PKEY* peer);

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_OPENSSL_KEYS_H_
