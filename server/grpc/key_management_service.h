#ifndef STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_SERVICE_H_
#define STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/material_import.h"
#include "server/gate/authority.h"
#include "server/grpc/desk.h"

namespace strongroom::grpc_server {

// The face of strongroom.v1.KeyManagementService. All outlive it.
std::unique_ptr<grpc::Service> MakeKeyManagementService(Desk& desk, core::KeyRing& keys,
                                                        core::KeyLife& life,
                                                        core::MaterialImport& material,
                                                        gate::Authority& authority);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_SERVICE_H_
