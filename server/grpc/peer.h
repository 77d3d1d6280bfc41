#ifndef STRONGROOM_SERVER_GRPC_PEER_H_
#define STRONGROOM_SERVER_GRPC_PEER_H_

#include <grpcpp/server_context.h>

#include "platform/clock.h"
#include "server/gate/identity.h"

namespace strongroom::grpc_server {

// What the transport knows of the other end of a call over TCP.
gate::Peer TcpPeerOf(const grpc::CallbackServerContext& context);

// The call's deadline, which gRPC has in wall time, in monotonic time.
Deadline DeadlineOf(const grpc::CallbackServerContext& context);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_PEER_H_
