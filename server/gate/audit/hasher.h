#ifndef STRONGROOM_SERVER_GATE_AUDIT_HASHER_H_
#define STRONGROOM_SERVER_GATE_AUDIT_HASHER_H_

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"

namespace strongroom::audit {

// SHA-256, with what OpenSSL 3 otherwise looks up for each use. Thread-compatible.
class Hasher {
 public:
  Hasher() : md_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {}
  ~Hasher() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(md_);
  }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  std::array<uint8_t, 32> Hash(absl::string_view bytes) {
    std::array<uint8_t, 32> hash;
    if (EVP_DigestInit_ex2(context_, md_, nullptr) != 1 ||
        EVP_DigestUpdate(context_, bytes.data(), bytes.size()) != 1 ||
        EVP_DigestFinal_ex(context_, hash.data(), nullptr) != 1) {
      // An OpenSSL without SHA-256, or no memory: there is no trail without a hash.
      abort();
    }
    return hash;
  }

 private:
  EVP_MD* const md_;
  EVP_MD_CTX* const context_;
};

}  // namespace strongroom::audit

#endif  // STRONGROOM_SERVER_GATE_AUDIT_HASHER_H_
