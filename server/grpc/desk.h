#ifndef STRONGROOM_SERVER_GRPC_DESK_H_
#define STRONGROOM_SERVER_GRPC_DESK_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/core/error.h"
#include "server/gate/gate.h"
#include "server/gate/operation.h"
#include "server/grpc/peer.h"
#include "server/grpc/status.h"
#include "server/grpc/wipe.h"
#include "server/grpc/workers.h"

namespace strongroom::grpc_server {

// Where every call of every service is taken in: decode, pass the gate, work, encode.
//
// Calls come as bytes rather than as messages, so that a request that is not a message gets an
// answer like any other wrong one, and so that the bytes of an answer, which may hold a key, are
// wiped once gRPC has sent them.
//
// Thread-safe.
class Desk {
 public:
  // `socket` is the unix socket whose calls this desk takes in; nothing for those over TCP. The
  // others outlive the desk.
  Desk(const gate::Gate& gate, Workers& workers, std::optional<gate::UnixPeer> socket)
      : gate_(gate), workers_(workers), socket_(std::move(socket)) {}

  // Serves one call. `work` is called as work(const Request&, gate::Call&, Response&) and returns
  // an absl::Status of server/core/error.h. It asks call.Authorize() before it does anything.
  template <typename Request, typename Response, typename Work>
  grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                                  gate::Operation operation, Work work) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const std::shared_ptr<gate::Call> call =
        gate_.Begin(operation, PeerOf(*context), DeadlineOf(*context),
                    socket_.has_value() ? std::string() : context->peer());
    context->AddInitialMetadata("x-request-id", call->request_id);
    absl::Status admitted = gate_.Admit(*call);
    if (admitted.ok()) {
      auto serve = [this, request, response, reactor, context, call, work] {
        Request decoded;
        Response answer;
        const absl::Status status = gate_.Pass(*call, [&](gate::Call& passed) {
          absl::Status parsed = Parse(*request, decoded);
          SetExtras(decoded, *context, passed);
          return parsed.ok() ? work(std::as_const(decoded), passed, answer) : parsed;
        });
        if (status.ok()) {
          SetRequestId(answer, call->request_id);
          Serialize(answer, *response);
        }
        WipeSecrets(decoded);
        WipeSecrets(answer);
        reactor->Finish(ToGrpcStatus(status, call->request_id));
      };
      const bool taken = operation.info().quick
                             ? workers_.RunQuick(call->principal(), std::move(serve))
                             : workers_.Run(call->principal(), std::move(serve));
      if (!taken) admitted = TooManyWaiting();
    }
    if (!admitted.ok()) Refuse(call, std::move(admitted), reactor);
    return reactor;
  }

 private:
  // gRPC does not tell which socket a call came over, so each has a desk of its own.
  gate::Peer PeerOf(const grpc::CallbackServerContext& context) const {
    if (socket_.has_value()) return *socket_;
    return TcpPeerOf(context);
  }

  // Dry runs and grant tokens: fields where the message has them. The instance family's messages
  // are fixed by their vendor; there they come as metadata.
  template <typename Request>
  static void SetExtras(const Request& request, const grpc::CallbackServerContext& context,
                        gate::Call& call) {
    if constexpr (requires { request.dry_run(); }) call.dry_run = request.dry_run();
    if constexpr (requires { request.grant_tokens(); }) {
      call.grant_tokens.assign(request.grant_tokens().begin(), request.grant_tokens().end());
    } else {
      SetExtrasFromMetadata(context, call);
    }
  }
  static void SetExtrasFromMetadata(const grpc::CallbackServerContext& context, gate::Call& call);

  // The services' two spellings of one field.
  template <typename Response>
  static void SetRequestId(Response& answer, const std::string& request_id) {
    if constexpr (requires { answer.set_requestid(request_id); }) {
      answer.set_requestid(request_id);
    } else {
      answer.set_request_id(request_id);
    }
  }

  static absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message);
  static void Serialize(const google::protobuf::MessageLite& message, grpc::ByteBuffer& bytes);
  static absl::Status TooManyWaiting();
  // Ends a call that may not go on to its work.
  void Refuse(std::shared_ptr<gate::Call> call, absl::Status why,
              grpc::ServerUnaryReactor* reactor);

  const gate::Gate& gate_;
  Workers& workers_;
  const std::optional<gate::UnixPeer> socket_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_DESK_H_
