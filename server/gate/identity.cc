#include "server/gate/identity.h"

#include <optional>

#include "absl/strings/match.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

std::optional<std::string> NameIn(const TlsPeer& peer) {
  std::optional<std::string> spiffe;
  for (const std::string& uri : peer.uris) {
    if (!absl::StartsWith(uri, "spiffe://")) continue;
    // The SPIFFE standard allows one id in a certificate; with two, whose it is cannot be told.
    if (spiffe.has_value()) return std::nullopt;
    spiffe = uri;
  }
  if (spiffe.has_value()) return spiffe;
  // An empty name is nobody's.
  if (!peer.dns_names.empty() && !peer.dns_names.front().empty()) return peer.dns_names.front();
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> IdentityPolicy::PrincipalOf(const Peer& peer) const {
  if (const auto* unix_peer = std::get_if<UnixPeer>(&peer)) {
    const auto it = socket_principals_.find(unix_peer->socket_path);
    if (it != socket_principals_.end()) return it->second;
  } else if (const auto* tls_peer = std::get_if<TlsPeer>(&peer)) {
    std::optional<std::string> name = NameIn(*tls_peer);
    if (name.has_value()) return *std::move(name);
  } else if (development_) {
    return std::string("local");
  }
  return core::MakeError(
      core::Reason::kNoPermission,
      "the caller has no identity; connect through a unix socket of this service "
      "or with a client certificate that has a SPIFFE URI or a DNS name");
}

}  // namespace strongroom::gate
