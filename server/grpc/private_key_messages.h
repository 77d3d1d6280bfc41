#ifndef STRONGROOM_SERVER_GRPC_PRIVATE_KEY_MESSAGES_H_
#define STRONGROOM_SERVER_GRPC_PRIVATE_KEY_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "hsm/token.h"
#include "server/core/private_keys.h"
#include "strongroom/v1/kms_service.pb.h"

// How a private key shall be used, as the contract has it, and as the core has it. Each decoding
// answers InvalidParameter or MissingParameter, naming the field.
namespace strongroom::grpc_server {

// Refers to the request's message.
absl::StatusOr<core::SigningRequest> DecodeSigning(const v1::SignWithDataKeyPairRequest& request);
absl::StatusOr<hsm::Hash> DecodeOaepHash(v1::AsymmetricDecryptionAlgorithm algorithm);

// For the record, without what all have in front: "RSASSA_PSS_SHA_256".
std::string NameOf(v1::SigningAlgorithm algorithm);
std::string NameOf(v1::AsymmetricDecryptionAlgorithm algorithm);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_PRIVATE_KEY_MESSAGES_H_
