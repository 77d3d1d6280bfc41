#ifndef STRONGROOM_SERVER_GRPC_STATUS_H_
#define STRONGROOM_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace strongroom::grpc_server {

// What a caller is told of an error of server/core/error.h: code and message, and as details a
// google.rpc.ErrorInfo (reason, domain "strongroom", metadata "http_status" and "request_id") and,
// where waiting helps, a google.rpc.RetryInfo. The error's detail for the log is left out; of a
// status that is not of server/core/error.h nothing is told but InternalFailure.
grpc::Status ToGrpcStatus(const absl::Status& error, const std::string& request_id);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_STATUS_H_
