#ifndef STRONGROOM_SERVER_GRPC_KEY_MESSAGES_H_
#define STRONGROOM_SERVER_GRPC_KEY_MESSAGES_H_

#include <google/protobuf/map.h>

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/token.h"
#include "server/core/key_ring.h"
#include "server/store/store.h"
#include "strongroom/v1/key_management_service.pb.h"

// Keys, versions and aliases as the contract has them, and as the core has them. Each decoding
// answers InvalidParameter or MissingParameter, naming the field.
namespace strongroom::grpc_server {

void Encode(const core::KeyDescription& key, v1::Key& out);
void Encode(const core::KeyVersionDescription& version, v1::KeyVersion& out);
void Encode(const store::AliasRecord& alias, v1::Alias& out);

absl::StatusOr<core::KeyFilter> DecodeKeyFilter(const v1::ListKeysRequest& request);
absl::StatusOr<store::KeyOrigin> DecodeOrigin(v1::KeyOrigin origin);
// Each tag is checked, not how many there are.
absl::StatusOr<std::map<std::string, std::string>> DecodeTags(
    const google::protobuf::Map<std::string, std::string>& tags);

// How material shall be wrapped for import.
struct ImportWrapping {
  hsm::ImportAlgorithm algorithm;
  int modulus_bits;
  // Both in words, for the record.
  std::string name;
};
absl::StatusOr<ImportWrapping> DecodeWrapping(const v1::GetParametersForImportRequest& request);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_KEY_MESSAGES_H_
