#ifndef STRONGROOM_SERVER_CORE_PEER_KEY_H_
#define STRONGROOM_SERVER_CORE_PEER_KEY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/pair_spec.h"

namespace strongroom::core {

// The point of the other side's public key (X.509 SubjectPublicKeyInfo, DER or PEM), uncompressed
// (SEC 1). It is on the curve of `spec`: a point that is not would give the private key away.
//
// InvalidParameter with the name of the field if it is no such key, or of another curve.
absl::StatusOr<std::string> ParsePeerKey(absl::string_view field, absl::string_view public_key,
                                         hsm::PairSpec spec);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PEER_KEY_H_
