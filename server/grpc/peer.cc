#include "server/grpc/peer.h"

#include <grpc/grpc_security_constants.h>

#include <chrono>
#include <memory>

namespace strongroom::grpc_server {

gate::Peer TcpPeerOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return gate::PlaintextPeer{};
  gate::TlsPeer tls;
  for (grpc::string_ref uri : auth->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
    tls.uris.emplace_back(uri.data(), uri.size());
  }
  for (grpc::string_ref name : auth->FindPropertyValues(GRPC_PEER_DNS_PROPERTY_NAME)) {
    tls.dns_names.emplace_back(name.data(), name.size());
  }
  return tls;
}

Deadline DeadlineOf(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return kNoDeadline;
  const auto left = deadline - std::chrono::system_clock::now();
  // A deadline that far away is none, and must not overflow.
  if (left > std::chrono::hours(24)) return kNoDeadline;
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(left);
}

}  // namespace strongroom::grpc_server
