#include "hsm/token.h"

#include "hsm/internal/pkcs11_token.h"

namespace strongroom::hsm {

absl::StatusOr<std::unique_ptr<Token>> Token::Open(const TokenOptions& options) {
  return internal::Pkcs11Token::Open(options);
}

}  // namespace strongroom::hsm
