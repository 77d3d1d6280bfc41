#include "server/grpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/grpc/audit_service.h"
#include "server/grpc/desk.h"
#include "server/grpc/key_management_service.h"
#include "server/grpc/kms_instance_service.h"
#include "server/grpc/kms_service.h"
#include "server/grpc/listening_socket.h"
#include "server/grpc/tls_credentials.h"
#include "server/grpc/workers.h"
#include "strongroom/v1/audit_service.grpc.pb.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"
#include "strongroom/v1/kms_instance_service.grpc.pb.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::grpc_server {
namespace {

constexpr int kMaxRequestBytes = 64 * 1024;
// Of one principal.
constexpr size_t kMaxWaitingCalls = 4000;
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

// All services on one listener.
class Server::Endpoint {
 public:
  Endpoint(const Rooms& rooms, Workers& workers, std::optional<gate::UnixPeer> socket)
      : desk_(rooms.gate, workers, std::move(socket)) {
    services_.push_back(MakeKmsService(desk_, rooms.data_keys, rooms.private_keys));
    services_.push_back(MakeKmsInstanceService(desk_, rooms.data_keys));
    services_.push_back(MakeKeyManagementService(desk_, rooms.keys, rooms.key_life,
                                                 rooms.material_import, rooms.authority));
    services_.push_back(MakeAuditService(desk_, rooms.trail));
  }

  // Serves the connections that Take() is given.
  absl::Status Start(const ServerOptions& options,
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
    for (const auto& service : services_) builder.RegisterService(service.get());
    connections_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("the gRPC server does not start");
    SetServing(true);
    return absl::OkStatus();
  }

  // Serves one connection, and closes it at its end.
  void Take(int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    connections_->HandleNewConnection(&connection);
  }

  // What health checks are told.
  void SetServing(bool serving) {
    if (server_ == nullptr) return;
    grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
    for (const char* name :
         {v1::KmsService::service_full_name(), v1::KmsInstanceService::service_full_name(),
          v1::KeyManagementService::service_full_name(), v1::AuditService::service_full_name()}) {
      health->SetServingStatus(name, serving);
    }
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
  Desk desk_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::unique_ptr<grpc::Server> server_;
};

Server::Server(const ServerOptions& options, Log& log)
    : workers_(std::make_unique<Workers>(options.workers, kMaxWaitingCalls, options.quick_calls)),
      acceptor_(options.connections, log) {}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Rooms& rooms, Log& log) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto server = std::unique_ptr<Server>(new Server(options, log));

  for (const UnixListener& listener : options.unix_listeners) {
    auto socket = ListeningSocket::OnUnix(listener.path, listener.mode);
    if (!socket.ok()) return socket.status();
    server->endpoints_.push_back(
        std::make_unique<Endpoint>(rooms, *server->workers_, gate::UnixPeer{listener.path}));
    Endpoint* const endpoint = server->endpoints_.back().get();
    absl::Status started = endpoint->Start(options, grpc::InsecureServerCredentials());
    if (!started.ok()) return started;
    server->acceptor_.Add(*std::move(socket), [endpoint](int fd) { endpoint->Take(fd); });
  }
  for (const TcpListener& listener : options.tcp_listeners) {
    auto sockets = ListeningSocket::OnTcp(listener.address);
    if (!sockets.ok()) return sockets.status();
    const size_t host_end = listener.address.rfind(':') + 1;
    server->tcp_addresses_.push_back(
        absl::StrCat(listener.address.substr(0, host_end), sockets->front().port()));
    server->endpoints_.push_back(
        std::make_unique<Endpoint>(rooms, *server->workers_, std::nullopt));
    Endpoint* const endpoint = server->endpoints_.back().get();
    std::shared_ptr<grpc::ServerCredentials> credentials =
        options.tls == nullptr ? grpc::InsecureServerCredentials()
                               : std::make_shared<TlsCredentials>(*options.tls);
    absl::Status started = endpoint->Start(options, std::move(credentials));
    if (!started.ok()) return started;
    for (ListeningSocket& socket : *sockets) {
      server->acceptor_.Add(std::move(socket), [endpoint](int fd) { endpoint->Take(fd); });
    }
  }
  if (absl::Status started = server->acceptor_.Start(); !started.ok()) return started;
  return server;
}

void Server::Shutdown(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::system_clock::now() + patience;
  for (const auto& endpoint : endpoints_) endpoint->SetServing(false);
  acceptor_.Stop();
  for (const auto& endpoint : endpoints_) endpoint->Shutdown(deadline);
  workers_.reset();
  endpoints_.clear();
}

}  // namespace strongroom::grpc_server
