// What Pkcs11Token does to bring in key material from outside.
#include "hsm/internal/pkcs11_token.h"

namespace strongroom::hsm::internal {

absl::StatusOr<std::string> Pkcs11Token::CreateImportKey(const ObjectId&, ImportAlgorithm, int,
                                                         Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::Status Pkcs11Token::DestroyImportKey(const ObjectId&, Deadline) {
  return absl::UnimplementedError("not yet");
}

absl::StatusOr<NewVersionKeys> Pkcs11Token::ImportVersionKeys(const ObjectId&, const ObjectId&,
                                                              ImportAlgorithm, absl::string_view,
                                                              absl::string_view, Deadline) {
  return absl::UnimplementedError("not yet");
}

}  // namespace strongroom::hsm::internal
