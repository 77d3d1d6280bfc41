// What Pkcs11Token does with private keys that are opened in the token.
#include "hsm/internal/pkcs11_token.h"

namespace strongroom::hsm::internal {

absl::StatusOr<std::string> Pkcs11Token::Rewrap(const VersionKeys&, const VersionKeys&,
                                                absl::string_view, const WrappedContent&,
                                                Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<OpenedKey> Pkcs11Token::OpenPrivateKey(const VersionKeys&, absl::string_view,
                                                      PairSpec, Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<std::string> Pkcs11Token::SignDigest(const OpenedKey&, Hash, RsaPadding,
                                                    absl::Span<const uint8_t>, Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<SecretBytes> Pkcs11Token::DecryptOaep(const OpenedKey&, Hash, absl::string_view,
                                                     Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<SecretBytes> Pkcs11Token::DeriveSharedSecret(const OpenedKey&, absl::string_view,
                                                            Deadline) {
  return absl::UnimplementedError("not yet");
}

}  // namespace strongroom::hsm::internal
