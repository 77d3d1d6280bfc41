#include "server/grpc/peer.h"

#include <grpc/grpc_security_constants.h>

#include <chrono>
#include <memory>

namespace strongroom::grpc_server {

gate::Peer TcpPeerOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr) return gate::PlaintextPeer{};
  const auto type = auth->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  if (type.empty() || type.front() != GRPC_SSL_TRANSPORT_SECURITY_TYPE) {
    return gate::PlaintextPeer{};
  }
  gate::TlsPeer tls;
  // The chain is without the certificate itself with one library of TLS, and with it with another.
  for (const char* property :
       {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    for (grpc::string_ref pem : auth->FindPropertyValues(property)) {
      tls.certificate_chain.append(pem.data(), pem.size());
    }
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
