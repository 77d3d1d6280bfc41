#ifndef STRONGROOM_HSM_KEPT_PAIR_H_
#define STRONGROOM_HSM_KEPT_PAIR_H_

#include <memory>
#include <string>
#include <utility>

#include "hsm/pair_spec.h"

namespace strongroom::hsm {

namespace internal {
class Pkcs11Token;
class KeptObject;
}  // namespace internal

// A generated pair whose private key stays in the token, as an object that can be wrapped and does
// nothing else, and that is destroyed when this goes. Only the Token that gave it can use it, and
// outlives it.
//
// There is one of each pair: it moves and is not copied, so that whoever has it has it alone.
class KeptPair {
 public:
  KeptPair(KeptPair&& other) noexcept;
  KeptPair& operator=(KeptPair&& other) noexcept;
  ~KeptPair();

  PairSpec spec() const { return spec_; }
  // X.509 SubjectPublicKeyInfo, DER.
  const std::string& public_key() const { return public_key_; }
  // Whether it is known that the token has lost the private key. Cheap; calls no token.
  bool IsLost() const;

 private:
  friend class internal::Pkcs11Token;
  KeptPair(PairSpec spec, std::string public_key,
           std::unique_ptr<internal::KeptObject> private_key);

  PairSpec spec_;
  std::string public_key_;
  std::unique_ptr<internal::KeptObject> private_key_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_KEPT_PAIR_H_
