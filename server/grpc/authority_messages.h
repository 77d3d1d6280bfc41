#ifndef STRONGROOM_SERVER_GRPC_AUTHORITY_MESSAGES_H_
#define STRONGROOM_SERVER_GRPC_AUTHORITY_MESSAGES_H_

#include <google/protobuf/timestamp.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/gate/grant.h"
#include "server/gate/policy.h"
#include "strongroom/v1/authority.pb.h"
#include "strongroom/v1/key_management_service.pb.h"

// Policies and grants as the contract has them, and as the gate has them.
namespace strongroom::grpc_server {

// `field` is where the policy stands in its request. InvalidParameter, MissingParameter.
absl::StatusOr<gate::Policy> DecodePolicy(absl::string_view field, const v1::KeyPolicy& policy);
void EncodePolicy(const gate::Policy& policy, v1::KeyPolicy& out);

// Checked when the grant is made. InvalidParameter for a time that is none.
absl::StatusOr<gate::GrantText> DecodeGrant(const v1::CreateGrantRequest& request);
void EncodeGrant(const gate::Grant& grant, v1::Grant& out);

void EncodeTime(absl::Time time, google::protobuf::Timestamp& out);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_AUTHORITY_MESSAGES_H_
