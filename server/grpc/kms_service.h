#ifndef STRONGROOM_SERVER_GRPC_KMS_SERVICE_H_
#define STRONGROOM_SERVER_GRPC_KMS_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "server/core/data_keys.h"
#include "server/core/private_keys.h"
#include "server/grpc/desk.h"

namespace strongroom::grpc_server {

// The face of strongroom.v1.KmsService. All outlive it.
std::unique_ptr<grpc::Service> MakeKmsService(Desk& desk, core::DataKeys& data_keys,
                                              core::PrivateKeys& private_keys);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_KMS_SERVICE_H_
