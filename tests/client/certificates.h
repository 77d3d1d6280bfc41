#ifndef STRONGROOM_TESTS_CLIENT_CERTIFICATES_H_
#define STRONGROOM_TESTS_CLIENT_CERTIFICATES_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace strongroom::testing {

// A private key and its certificate, in PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

// A certificate authority for one test. Its certificates are valid for an hour around now.
class Authority {
 public:
  explicit Authority(const std::string& name);
  ~Authority();

  const std::string& certificate() const { return certificate_; }

  // An identity for a server whose DNS name, or a client whose common name, is `name`.
  Identity Issue(const std::string& name) const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
  std::string certificate_;
};

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_CLIENT_CERTIFICATES_H_
