#ifndef STRONGROOM_SERVER_GRPC_AUDIT_SERVICE_H_
#define STRONGROOM_SERVER_GRPC_AUDIT_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "server/gate/audit/trail.h"
#include "server/grpc/desk.h"

namespace strongroom::grpc_server {

// strongroom.v1.AuditService over a trail; without one (null) every call is answered
// UnsupportedOperation. Both outlive the service.
std::unique_ptr<grpc::Service> MakeAuditService(Desk& desk, audit::Trail* trail);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_AUDIT_SERVICE_H_
