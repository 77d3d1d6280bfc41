#ifndef STRONGROOM_HSM_OPENED_KEY_H_
#define STRONGROOM_HSM_OPENED_KEY_H_

#include <memory>
#include <utility>

#include "hsm/pair_spec.h"

namespace strongroom::hsm {

namespace internal {
class Pkcs11Token;
class OpenedObject;
}  // namespace internal

// A private key that is open in the token, as an object that ends with the last copy of this. Only
// the Token that gave it can use it, and outlives it.
//
// A cheap handle: copies share it. Thread-safe.
class OpenedKey {
 public:
  PairSpec spec() const { return spec_; }

 private:
  friend class internal::Pkcs11Token;
  OpenedKey(PairSpec spec, std::shared_ptr<internal::OpenedObject> object)
      : spec_(spec), object_(std::move(object)) {}

  PairSpec spec_;
  std::shared_ptr<internal::OpenedObject> object_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_OPENED_KEY_H_
