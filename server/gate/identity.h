#ifndef STRONGROOM_SERVER_GATE_IDENTITY_H_
#define STRONGROOM_SERVER_GATE_IDENTITY_H_

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace strongroom::gate {

// What a transport knows of the other end.

// A unix socket that is listened on, by its path.
struct UnixPeer {
  std::string socket_path;
};
// TCP without TLS.
struct PlaintextPeer {};
// TCP with a verified client certificate; the names are its subject alternative names.
struct TlsPeer {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
};
using Peer = std::variant<UnixPeer, PlaintextPeer, TlsPeer>;

// Tells who calls. Thread-safe.
class IdentityPolicy {
 public:
  // `socket_principals`: whom each unix socket stands for, by its path. `development`: whether
  // plaintext TCP, which is listened on only on loopback, stands for "local".
  IdentityPolicy(std::map<std::string, std::string> socket_principals, bool development)
      : socket_principals_(std::move(socket_principals)), development_(development) {}

  // A socket's principal; a certificate's SPIFFE id if it has just one, else its first DNS name.
  // The subject's common name is not an identity (RFC 6125, section 6.4.4). Forbidden.NoPermission
  // if there is none.
  absl::StatusOr<std::string> PrincipalOf(const Peer& peer) const;

 private:
  const std::map<std::string, std::string> socket_principals_;
  const bool development_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_IDENTITY_H_
