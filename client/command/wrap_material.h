#ifndef STRONGROOM_CLIENT_COMMAND_WRAP_MATERIAL_H_
#define STRONGROOM_CLIENT_COMMAND_WRAP_MATERIAL_H_

#include <istream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/specs.h"
#include "platform/secret_bytes.h"

namespace strongroom::command {

// What an external key is made of.
inline constexpr size_t kMaterialBytes = 32;

// Reads key material in the clear, from a file or, if `path` is "-", from `in`, into locked memory
// only. A local error, which does not show it, if it is not of kMaterialBytes, or if others than
// the file's owner and group may read it.
absl::StatusOr<SecretBytes> ReadMaterial(const std::string& path, std::istream& in);

// Wraps `material` under an RSA public key (X.509 SubjectPublicKeyInfo, DER) of at least 2,048
// bits. INTERNAL if the key, which is the service's, is none.
absl::StatusOr<std::string> WrapMaterial(absl::string_view public_key,
                                         ImportWrappingAlgorithm algorithm,
                                         const SecretBytes& material);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_WRAP_MATERIAL_H_
