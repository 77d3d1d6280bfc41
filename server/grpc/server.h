#ifndef STRONGROOM_SERVER_GRPC_SERVER_H_
#define STRONGROOM_SERVER_GRPC_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/core/data_keys.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/material_import.h"
#include "server/core/private_keys.h"
#include "server/gate/audit/trail.h"
#include "server/gate/authority.h"
#include "server/gate/gate.h"
#include "server/grpc/listeners.h"
#include "server/log/log.h"

namespace strongroom::grpc_server {

class Workers;

struct ServerOptions {
  ListenerOptions listeners;
  // How many calls work at a time; the token's lanes, for a call mostly waits for one.
  int workers = 1;
  // How many quick calls (gate::OperationInfo::quick) may work on gRPC's own threads at a time, in
  // place of a worker: none, unless the token computes in this process.
  int quick_calls = 0;
};

// What the services are faces of.
struct Rooms {
  const gate::Gate& gate;
  gate::Authority& authority;
  core::DataKeys& data_keys;
  core::PrivateKeys& private_keys;
  core::KeyRing& keys;
  core::KeyLife& key_life;
  core::MaterialImport& material_import;
  // Null if no audit trail is kept.
  audit::Trail* trail;
};

// The gRPC server: the services, health and reflection, on every listener.
class Server {
 public:
  // The rooms outlive the server. FAILED_PRECONDITION, naming the listener, if a socket is
  // taken by a live server or cannot be bound; a stale socket is replaced.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Rooms& rooms, Log& log);
  // Shuts down at once, if Shutdown was not called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where TCP is listened on, in the order of the options, with the ports that were taken. Not
  // after Shutdown().
  const std::vector<std::string>& tcp_addresses() const { return listeners_->tcp_addresses(); }

  // As Listeners::Shutdown.
  void Shutdown(std::chrono::milliseconds patience);

 private:
  explicit Server(const ServerOptions& options);

  std::unique_ptr<Workers> workers_;
  // Null once it is shut down.
  std::unique_ptr<Listeners> listeners_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_SERVER_H_
