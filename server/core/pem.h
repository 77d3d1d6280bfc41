#ifndef STRONGROOM_SERVER_CORE_PEM_H_
#define STRONGROOM_SERVER_CORE_PEM_H_

#include <string>

#include "absl/strings/string_view.h"
#include "platform/secret_bytes.h"

namespace strongroom::core {

// PEM (RFC 7468) of a PKCS#8 private key in DER. The text is made in locked memory.
SecretBytes PrivateKeyToPem(const SecretBytes& pkcs8);

// PEM of an X.509 SubjectPublicKeyInfo in DER.
std::string PublicKeyToPem(absl::string_view spki);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PEM_H_
