#include "server/core/pem.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace strongroom::core {
namespace {

// A line has 64 characters, which are 48 bytes.
constexpr size_t kBytesPerLine = 48;

size_t PemSize(absl::string_view label, size_t der_size) {
  const size_t lines = (der_size + kBytesPerLine - 1) / kBytesPerLine;
  const size_t base64 = (der_size + 2) / 3 * 4;
  // "-----BEGIN " label "-----\n" ... "-----END " label "-----\n"
  return 17 + label.size() + base64 + lines + 15 + label.size();
}

// Fills `out`, which has PemSize() bytes. OpenSSL's encoder ends each line with a NUL, where the
// newline goes.
void WritePem(absl::string_view label, absl::Span<const uint8_t> der, absl::Span<uint8_t> out) {
  uint8_t* position = out.data();
  const auto write = [&](absl::string_view text) {
    std::memcpy(position, text.data(), text.size());
    position += text.size();
  };
  write("-----BEGIN ");
  write(label);
  write("-----\n");
  for (size_t done = 0; done < der.size(); done += kBytesPerLine) {
    const size_t line = std::min(kBytesPerLine, der.size() - done);
    position += EVP_EncodeBlock(position, der.data() + done, static_cast<int>(line));
    *position++ = '\n';
  }
  write("-----END ");
  write(label);
  write("-----\n");
}

}  // namespace

SecretBytes PrivateKeyToPem(const SecretBytes& pkcs8) {
  constexpr absl::string_view kLabel = "PRIVATE KEY";
  SecretBytes pem(PemSize(kLabel, pkcs8.size()));
  WritePem(kLabel, pkcs8.ExposeSecret(), pem.MutableSecret());
  return pem;
}

std::string PublicKeyToPem(absl::string_view spki) {
  constexpr absl::string_view kLabel = "PUBLIC KEY";
  std::string pem(PemSize(kLabel, spki.size()), '\0');
  WritePem(kLabel, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(spki.data()), spki.size()),
           absl::MakeSpan(reinterpret_cast<uint8_t*>(pem.data()), pem.size()));
  return pem;
}

}  // namespace strongroom::core
