#ifndef STRONGROOM_HSM_PAIR_SPEC_H_
#define STRONGROOM_HSM_PAIR_SPEC_H_

#include <cstdint>

namespace strongroom::hsm {

// The kinds of key pairs that are generated. RSA has the public exponent 65537. The numbers stand
// in sealed blobs: do not change them.
enum class PairSpec : uint8_t {
  kRsa2048 = 1,
  kRsa3072 = 2,
  kRsa4096 = 3,
  kEcP256 = 4,   // NIST P-256, secp256r1
  kEcP384 = 5,   // NIST P-384, secp384r1
  kEcP521 = 6,   // NIST P-521, secp521r1
  kEcP256k = 7,  // SECG secp256k1
};

inline constexpr PairSpec kAllPairSpecs[] = {
    PairSpec::kRsa2048, PairSpec::kRsa3072, PairSpec::kRsa4096, PairSpec::kEcP256,
    PairSpec::kEcP384,  PairSpec::kEcP521,  PairSpec::kEcP256k};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_PAIR_SPEC_H_
