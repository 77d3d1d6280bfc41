#ifndef STRONGROOM_CLIENT_SECRET_FIELDS_H_
#define STRONGROOM_CLIENT_SECRET_FIELDS_H_

#include <string>

#include "platform/secret_bytes.h"

namespace strongroom {

// Moves a secret out of a message's field, which is wiped.
//
// What gRPC's own buffers held of it on the way is out of reach: it is overwritten only when that
// memory is used again.
inline SecretBytes TakeSecret(std::string* field) {
  SecretBytes secret = SecretBytes::CopyOf(*field);
  Wipe(field);
  return secret;
}

// Wipes a message's field when it goes out of scope.
class ScopedWipe {
 public:
  explicit ScopedWipe(std::string* field) : field_(field) {}
  ~ScopedWipe() { Wipe(field_); }
  ScopedWipe(const ScopedWipe&) = delete;
  ScopedWipe& operator=(const ScopedWipe&) = delete;

 private:
  std::string* field_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_SECRET_FIELDS_H_
