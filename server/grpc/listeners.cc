#include "server/grpc/listeners.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/grpc/listening_socket.h"
#include "server/grpc/tls_credentials.h"

namespace strongroom::grpc_server {
namespace {

constexpr int kMaxRequestBytes = 64 * 1024;
// For TLS and the first HTTP/2 frames.
constexpr int kHandshakeMilliseconds = 10'000;
// A client that says nothing is asked whether it is still there, and its place is given to another
// if it does not answer.
constexpr int kKeepaliveMilliseconds = 120'000;
constexpr int kKeepaliveTimeoutMilliseconds = 20'000;
// A client may ask that often; one that asks oftener is cut off.
constexpr int kClientKeepaliveMilliseconds = 10'000;

// The reflection library, once linked, adds itself to every server; this takes it out of one.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const std::unique_ptr<grpc::ServerBuilderPlugin>& plugin) {
      return plugin->name() == "proto_server_reflection";
    });
  }
};

}  // namespace

// One listener's gRPC server.
class Listeners::Endpoint {
 public:
  explicit Endpoint(std::unique_ptr<Faces> faces) : faces_(std::move(faces)) {}

  // Serves the connections that Take() is given.
  absl::Status Start(const ListenerOptions& options,
                     std::shared_ptr<grpc::ServerCredentials> credentials) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
    // Grant tokens can be metadata.
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxRequestBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.streams_per_connection);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kClientKeepaliveMilliseconds);
    if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
    for (grpc::Service* service : faces_->services()) builder.RegisterService(service);
    connections_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("the gRPC server does not start");
    return absl::OkStatus();
  }

  // Serves one connection, and closes it at its end.
  void Take(int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    connections_->HandleNewConnection(&connection);
  }

  // What health checks are told.
  void SetServing(const std::vector<std::string>& service_names, bool serving) {
    if (server_ == nullptr) return;
    grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
    for (const std::string& name : service_names) health->SetServingStatus(name, serving);
    health->SetServingStatus(serving);
  }

  // Returns when no call is under way any more; those still under way at the deadline are
  // cancelled.
  void Shutdown(std::chrono::system_clock::time_point deadline) {
    if (server_ == nullptr) return;
    server_->Shutdown(deadline);
    server_->Wait();
    server_.reset();
  }

 private:
  const std::unique_ptr<Faces> faces_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::unique_ptr<grpc::Server> server_;
};

Listeners::Listeners(const ListenerOptions& options, std::vector<std::string> service_names,
                     Log& log)
    : service_names_(std::move(service_names)), acceptor_(options.connections, log) {}

Listeners::~Listeners() { Shutdown(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Listeners>> Listeners::Start(const ListenerOptions& options,
                                                            std::vector<std::string> service_names,
                                                            const MakeFaces& make_faces, Log& log) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto listeners =
      std::unique_ptr<Listeners>(new Listeners(options, std::move(service_names), log));
  const auto start =
      [&](const std::string& socket_path,
          std::shared_ptr<grpc::ServerCredentials> credentials) -> absl::StatusOr<Endpoint*> {
    listeners->endpoints_.push_back(std::make_unique<Endpoint>(make_faces(socket_path)));
    Endpoint* const endpoint = listeners->endpoints_.back().get();
    absl::Status started = endpoint->Start(options, std::move(credentials));
    if (!started.ok()) return started;
    endpoint->SetServing(listeners->service_names_, true);
    return endpoint;
  };

  for (const UnixListener& listener : options.unix_listeners) {
    auto socket = ListeningSocket::OnUnix(listener.path, listener.mode);
    if (!socket.ok()) return socket.status();
    auto endpoint = start(listener.path, grpc::InsecureServerCredentials());
    if (!endpoint.ok()) return endpoint.status();
    listeners->acceptor_.Add(*std::move(socket),
                             [endpoint = *endpoint](int fd) { endpoint->Take(fd); });
  }
  for (const TcpListener& listener : options.tcp_listeners) {
    auto sockets = ListeningSocket::OnTcp(listener.address);
    if (!sockets.ok()) return sockets.status();
    const size_t host_end = listener.address.rfind(':') + 1;
    listeners->tcp_addresses_.push_back(
        absl::StrCat(listener.address.substr(0, host_end), sockets->front().port()));
    auto endpoint =
        start("", options.tls == nullptr ? grpc::InsecureServerCredentials()
                                         : std::make_shared<TlsCredentials>(*options.tls));
    if (!endpoint.ok()) return endpoint.status();
    for (ListeningSocket& socket : *sockets) {
      listeners->acceptor_.Add(std::move(socket),
                               [endpoint = *endpoint](int fd) { endpoint->Take(fd); });
    }
  }
  if (absl::Status started = listeners->acceptor_.Start(); !started.ok()) return started;
  return listeners;
}

void Listeners::Shutdown(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::system_clock::now() + patience;
  for (const auto& endpoint : endpoints_) endpoint->SetServing(service_names_, false);
  acceptor_.Stop();
  for (const auto& endpoint : endpoints_) endpoint->Shutdown(deadline);
}

}  // namespace strongroom::grpc_server
