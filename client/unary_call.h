#ifndef STRONGROOM_CLIENT_UNARY_CALL_H_
#define STRONGROOM_CLIENT_UNARY_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client_options.h"

namespace strongroom {

// How an RPC is to be treated.
enum class CallKind {
  // Sending it twice does no harm.
  kRepeatable,
  // The same, and it generates a pair.
  kRepeatablePair,
  // It changes keys or aliases: sent once. UNAVAILABLE can mean that the change was made and the
  // answer lost; only the caller can tell what to do then.
  kOnce,
};

// The status of an RPC as Abseil's, with its details as payload (see ErrorDetailOf).
absl::Status FromGrpcStatus(const grpc::Status& status);

// Makes `attempt` until it succeeds or RetrySchedule has had enough.
absl::Status CallWithRetries(const ClientOptions& client, CallKind kind, const CallOptions& call,
                             absl::FunctionRef<grpc::Status(grpc::ClientContext*)> attempt);

// Calls the RPCs of one generated `Service`. Thread-safe.
template <typename Service>
class Caller {
 public:
  using Stub = typename Service::StubInterface;

  Caller(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options)
      : stub_(Service::NewStub(channel)), options_(options) {}

  // Sends `request` to `rpc`; what `convert` makes of the answer is the result.
  template <typename Request, typename Response, typename Convert>
  absl::StatusOr<std::invoke_result_t<Convert, Response&>> Call(
      grpc::Status (Stub::*rpc)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, CallKind kind, const CallOptions& call, Convert convert) const {
    Response response;
    absl::Status status = CallWithRetries(options_, kind, call, [&](grpc::ClientContext* context) {
      return (stub_.get()->*rpc)(context, request, &response);
    });
    if (!status.ok()) return status;
    return convert(response);
  }

 private:
  const std::unique_ptr<Stub> stub_;
  const ClientOptions options_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_UNARY_CALL_H_
