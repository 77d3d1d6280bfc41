#ifndef STRONGROOM_SERVER_GRPC_LISTENERS_H_
#define STRONGROOM_SERVER_GRPC_LISTENERS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/grpc/acceptor.h"
#include "server/grpc/tls_files.h"
#include "server/log/log.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace strongroom::grpc_server {

struct UnixListener {
  std::string path;
  // Permission bits of the socket: 0600 or 0660.
  int mode = 0600;
};

struct TcpListener {
  // host:port. Port 0 takes a free one.
  std::string address;
};

struct ListenerOptions {
  std::vector<UnixListener> unix_listeners;
  std::vector<TcpListener> tcp_listeners;
  // For all TCP listeners. Without it they speak plaintext, which the configuration allows on
  // loopback in development only. Outlives the listeners.
  const TlsFiles* tls = nullptr;
  bool reflection = true;
  // How many connections are open at a time, over all listeners, and how many calls on each.
  int connections = 1000;
  int streams_per_connection = 100;
};

// The services on one listener.
class Faces {
 public:
  virtual ~Faces() = default;
  // Owned by this.
  virtual std::vector<grpc::Service*> services() const = 0;
};

// gRPC on every listener, and the settings that all have: the one place for them. It knows no
// service but health and reflection.
class Listeners {
 public:
  // Given the path of the listener's unix socket; empty for TCP.
  using MakeFaces = std::function<std::unique_ptr<Faces>(const std::string& socket_path)>;

  // `service_names`: what health checks may ask for, besides the whole. FAILED_PRECONDITION, naming
  // the listener, if a socket is taken by a live server or cannot be bound; a stale socket is
  // replaced. `log` outlives the listeners.
  static absl::StatusOr<std::unique_ptr<Listeners>> Start(const ListenerOptions& options,
                                                          std::vector<std::string> service_names,
                                                          const MakeFaces& make_faces, Log& log);
  // Shuts down at once, if Shutdown was not called.
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Where TCP is listened on, in the order of the options, with the ports that were taken.
  const std::vector<std::string>& tcp_addresses() const { return tcp_addresses_; }

  // Answers "not serving" to health checks, takes no new calls, and waits for those under way;
  // cancels what is left after `patience`. The faces stay.
  void Shutdown(std::chrono::milliseconds patience);

 private:
  class Endpoint;

  Listeners(const ListenerOptions& options, std::vector<std::string> service_names, Log& log);

  const std::vector<std::string> service_names_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  Acceptor acceptor_;
  std::vector<std::string> tcp_addresses_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_LISTENERS_H_
