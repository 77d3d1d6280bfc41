#include "server/core/private_keys.h"

#include "server/core/error.h"

namespace strongroom::core {

absl::StatusOr<Signed> PrivateKeys::Sign(const SealedPrivateKey&, const SigningRequest&, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<UsedResult> PrivateKeys::Decrypt(const SealedPrivateKey&, hsm::Hash,
                                                absl::string_view, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<UsedResult> PrivateKeys::DeriveSharedSecret(const SealedPrivateKey&,
                                                           absl::string_view, Deadline) {
  return MakeInternalFailure("not yet");
}

void PrivateKeys::CloseExpired() {}

}  // namespace strongroom::core
