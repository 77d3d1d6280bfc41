#ifndef STRONGROOM_SERVER_GATE_IDENTITY_H_
#define STRONGROOM_SERVER_GATE_IDENTITY_H_

#include <map>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "server/gate/client_certificates.h"

namespace strongroom::gate {

// What a transport knows of the other end.

// A unix socket that is listened on, by its path.
struct UnixPeer {
  std::string socket_path;
};
// TCP without TLS.
struct PlaintextPeer {};
// TCP with TLS.
struct TlsPeer {
  // PEM, the client's own certificate first. Empty if it has none.
  std::string certificate_chain;
};
using Peer = std::variant<UnixPeer, PlaintextPeer, TlsPeer>;

// Tells who calls. Thread-safe.
class IdentityPolicy {
 public:
  // `socket_principals`: whom each unix socket stands for, by its path. `development`: whether
  // plaintext TCP, which is listened on only on loopback, stands for "local". `certificates` judges
  // those of TLS clients, and outlives the policy; without it they are all refused.
  IdentityPolicy(std::map<std::string, std::string> socket_principals, bool development,
                 const ClientCertificates* certificates = nullptr)
      : socket_principals_(std::move(socket_principals)),
        development_(development),
        certificates_(certificates) {}

  // A socket's principal, or whom a certificate stands for (client_certificates.h).
  // Forbidden.NoPermission if there is none.
  absl::StatusOr<std::string> PrincipalOf(const Peer& peer) const;

 private:
  const std::map<std::string, std::string> socket_principals_;
  const bool development_;
  const ClientCertificates* const certificates_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_IDENTITY_H_
