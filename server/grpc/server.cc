#include "server/grpc/server.h"

#include <grpcpp/impl/service_type.h>

#include <optional>
#include <utility>

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

// Of one principal.
constexpr size_t kMaxWaitingCalls = 4000;

class AllFaces final : public Faces {
 public:
  AllFaces(const Rooms& rooms, Workers& workers, std::optional<gate::UnixPeer> socket)
      : desk_(rooms.gate, workers, std::move(socket)) {
    services_.push_back(MakeKmsService(desk_, rooms.data_keys, rooms.private_keys));
    services_.push_back(MakeKmsInstanceService(desk_, rooms.data_keys));
    services_.push_back(MakeKeyManagementService(desk_, rooms.keys, rooms.key_life,
                                                 rooms.material_import, rooms.authority));
    services_.push_back(MakeAuditService(desk_, rooms.trail));
  }

  std::vector<grpc::Service*> services() const override {
    std::vector<grpc::Service*> services;
    for (const auto& service : services_) services.push_back(service.get());
    return services;
  }

 private:
  Desk desk_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
};

}  // namespace

Server::Server(const ServerOptions& options)
    : workers_(std::make_unique<Workers>(options.workers, kMaxWaitingCalls, options.quick_calls)) {}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Rooms& rooms, Log& log) {
  auto server = std::unique_ptr<Server>(new Server(options));
  Workers& workers = *server->workers_;
  auto listeners = Listeners::Start(
      options.listeners,
      {v1::KmsService::service_full_name(), v1::KmsInstanceService::service_full_name(),
       v1::KeyManagementService::service_full_name(), v1::AuditService::service_full_name()},
      [&](const std::string& socket_path) {
        std::optional<gate::UnixPeer> socket;
        if (!socket_path.empty()) socket = gate::UnixPeer{socket_path};
        return std::make_unique<AllFaces>(rooms, workers, std::move(socket));
      },
      log);
  if (!listeners.ok()) return listeners.status();
  server->listeners_ = *std::move(listeners);
  return server;
}

void Server::Shutdown(std::chrono::milliseconds patience) {
  if (listeners_ != nullptr) listeners_->Shutdown(patience);
  // What they do uses the faces.
  workers_.reset();
  listeners_.reset();
}

}  // namespace strongroom::grpc_server
