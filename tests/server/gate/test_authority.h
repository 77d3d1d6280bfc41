#ifndef STRONGROOM_TESTS_SERVER_GATE_TEST_AUTHORITY_H_
#define STRONGROOM_TESTS_SERVER_GATE_TEST_AUTHORITY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/gate/x509.h"

namespace strongroom::testing {

// What a test's certificate shall be.
struct TestCertificate {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  absl::Time not_before;
  absl::Time not_after;
  // As in x509v3_config(5).
  std::string extended_key_usage = "clientAuth";
  // Whether its alternative names are bytes that mean nothing.
  bool malformed_names = false;
};

// A certificate authority. Everything it makes is PEM.
class TestAuthority {
 public:
  // Its own certificate, by itself or by `issuer`, has these dates.
  TestAuthority(const std::string& name, absl::Time not_before, absl::Time not_after,
                const TestAuthority* issuer = nullptr);

  std::string certificate() const;
  // Of its own certificate; encrypted if there is a passphrase.
  std::string private_key(const std::string& passphrase = "") const;
  // Each has a number of its own, in the order of the calls, from 1 on.
  std::string Issue(const TestCertificate& wanted);
  std::string RevocationList(const std::vector<int>& revoked, absl::Time last_update,
                             absl::Time next_update) const;

 private:
  struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };

  std::unique_ptr<EVP_PKEY, FreeKey> key_;
  gate::X509Ptr certificate_;
  int issued_ = 0;
};

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_SERVER_GATE_TEST_AUTHORITY_H_
