#include "server/grpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/grpc/audit_service.h"
#include "server/grpc/desk.h"
#include "server/grpc/key_management_service.h"
#include "server/grpc/kms_instance_service.h"
#include "server/grpc/kms_service.h"
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
constexpr int kMaxStreamsPerConnection = 1000;

// Whether somebody listens on a unix socket.
bool IsLive(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const bool live =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      (errno != ECONNREFUSED && errno != ENOENT);
  close(fd);
  return live;
}

// Makes way for a socket at `path`. gRPC would remove whatever socket is there, a live one too.
absl::Status ReplaceStaleSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::FailedPreconditionError(absl::StrCat("the path of the unix socket ", path,
                                                      " is longer than ",
                                                      sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there already and is not a socket; remove it or choose another"));
  }
  if (IsLive(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("another server listens on ", path, "; stop it, or configure another socket"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

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

std::shared_ptr<grpc::ServerCredentials> TcpCredentials(const std::optional<TlsFiles>& tls) {
  if (!tls.has_value()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls->client_ca;
  options.pem_key_cert_pairs.push_back({tls->private_key, tls->certificate_chain});
  return grpc::SslServerCredentials(options);
}

}  // namespace

// All services on one listener.
class Server::Endpoint {
 public:
  Endpoint(const Rooms& rooms, Workers& workers, std::optional<gate::UnixPeer> socket)
      : socket_(socket), desk_(rooms.gate, workers, std::move(socket)) {
    services_.push_back(MakeKmsService(desk_, rooms.data_keys));
    services_.push_back(MakeKmsInstanceService(desk_, rooms.data_keys));
    services_.push_back(MakeKeyManagementService(desk_, rooms.keys, rooms.authority));
    services_.push_back(MakeAuditService(desk_, rooms.trail));
  }

  // Returns the port, which means something for TCP only.
  absl::StatusOr<int> Listen(const std::string& address,
                             const std::shared_ptr<grpc::ServerCredentials>& credentials,
                             bool reflection) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
    // Otherwise a second server on the same port would share it, silently.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    if (!reflection) builder.SetOption(std::make_unique<WithoutReflection>());
    for (const auto& service : services_) builder.RegisterService(service.get());
    int port = 0;
    builder.AddListeningPort(address, credentials, &port);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          "cannot listen on ", address,
          "; is the address taken, its folder missing, or a certificate or key not valid PEM?"));
    }
    SetServing(true);
    return port;
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
    if (socket_.has_value()) unlink(socket_->socket_path.c_str());
  }

 private:
  const std::optional<gate::UnixPeer> socket_;
  Desk desk_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
};

Server::Server(int workers) : workers_(std::make_unique<Workers>(workers, kMaxWaitingCalls)) {}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Rooms& rooms) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto server = std::unique_ptr<Server>(new Server(options.workers));

  for (const UnixListener& listener : options.unix_listeners) {
    if (absl::Status status = ReplaceStaleSocket(listener.path); !status.ok()) return status;
    server->endpoints_.push_back(
        std::make_unique<Endpoint>(rooms, *server->workers_, gate::UnixPeer{listener.path}));
    // Nobody else may connect in the moment before the mode is set.
    const mode_t old_umask = umask(0177);
    const absl::StatusOr<int> listening =
        server->endpoints_.back()->Listen(absl::StrCat("unix:", listener.path),
                                          grpc::InsecureServerCredentials(), options.reflection);
    umask(old_umask);
    if (!listening.ok()) return listening.status();
    if (chmod(listener.path.c_str(), static_cast<mode_t>(listener.mode)) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot set the mode of ", listener.path, ": ", strerror(errno)));
    }
  }
  for (const TcpListener& listener : options.tcp_listeners) {
    server->endpoints_.push_back(
        std::make_unique<Endpoint>(rooms, *server->workers_, std::nullopt));
    const absl::StatusOr<int> port = server->endpoints_.back()->Listen(
        listener.address, TcpCredentials(options.tls), options.reflection);
    if (!port.ok()) return port.status();
    const size_t host_end = listener.address.rfind(':') + 1;
    server->tcp_addresses_.push_back(absl::StrCat(listener.address.substr(0, host_end), *port));
  }
  return server;
}

void Server::Shutdown(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::system_clock::now() + patience;
  for (const auto& endpoint : endpoints_) endpoint->SetServing(false);
  for (const auto& endpoint : endpoints_) endpoint->Shutdown(deadline);
  workers_.reset();
  endpoints_.clear();
}

}  // namespace strongroom::grpc_server
