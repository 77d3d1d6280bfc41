#include "server/gate/identity.h"

#include "server/core/error.h"

namespace strongroom::gate {
absl::StatusOr<std::string> IdentityPolicy::PrincipalOf(const Peer& peer) const {
  if (const auto* unix_peer = std::get_if<UnixPeer>(&peer)) {
    const auto it = socket_principals_.find(unix_peer->socket_path);
    if (it != socket_principals_.end()) return it->second;
  } else if (const auto* tls_peer = std::get_if<TlsPeer>(&peer)) {
    if (certificates_ != nullptr && !tls_peer->certificate_chain.empty()) {
      return certificates_->PrincipalOf(tls_peer->certificate_chain);
    }
  } else if (development_) {
    return std::string("local");
  }
  return core::MakeError(
      core::Reason::kNoPermission,
      "the caller has no identity; connect through a unix socket of this service "
      "or with a client certificate that has one SPIFFE id or a DNS name");
}

}  // namespace strongroom::gate
