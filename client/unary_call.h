#ifndef STRONGROOM_CLIENT_UNARY_CALL_H_
#define STRONGROOM_CLIENT_UNARY_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/client_options.h"

namespace strongroom {

// How an RPC is to be treated.
enum class CallKind {
  // Sending it twice does no harm.
  kRepeatable,
  // The same, and it generates a pair.
  kRepeatablePair,
  // It changes keys, aliases, policies or grants: sent once. UNAVAILABLE can mean that the change
  // was made and the answer lost; only the caller can tell what to do then.
  kOnce,
  // The same, and the token generates a pair or uses one for it.
  kOncePair,
};

// What the messages of the instance family have no fields for: it goes beside them, as metadata.
struct CallMetadata {
  // `x-strongroom-grant-token`, one each. The caller's to keep during the call.
  absl::Span<const std::string> grant_tokens = {};
  // `x-strongroom-dry-run: true`
  bool dry_run = false;
};

// The status of an RPC as Abseil's, with its details as payload (see ErrorDetailOf).
absl::Status FromGrpcStatus(const grpc::Status& status);

// Makes `attempt` until it succeeds or RetrySchedule has had enough.
//
// INVALID_ARGUMENT, and nothing is sent, for a grant token of `metadata` that cannot be one: over
// metadata of a wrong form gRPC logs it, token and all, and ends the process. The message does not
// have the token.
absl::Status CallWithRetries(const ClientOptions& client, CallKind kind, const CallOptions& call,
                             absl::FunctionRef<grpc::Status(grpc::ClientContext*)> attempt,
                             const CallMetadata& metadata = {});

// For a dry run that the service answered with OK: it did what it was to try, for it knows no dry
// runs.
absl::Status NoDryRunError();

// Calls the RPCs of one generated `Service`. Thread-safe.
template <typename Service>
class Caller {
 public:
  using Stub = typename Service::StubInterface;

  Caller(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options)
      : stub_(Service::NewStub(channel)), options_(options) {}

  // Sends `request` to `rpc`; what `convert` makes of the answer is the result. A dry run, by the
  // message or by `metadata`, has no result.
  template <typename Request, typename Response, typename Convert>
  absl::StatusOr<std::invoke_result_t<Convert, Response&>> Call(
      grpc::Status (Stub::*rpc)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, CallKind kind, const CallOptions& call, Convert convert,
      const CallMetadata& metadata = {}) const {
    Response response;
    absl::Status status = CallWithRetries(
        options_, kind, call,
        [&](grpc::ClientContext* context) {
          return (stub_.get()->*rpc)(context, request, &response);
        },
        metadata);
    if (!status.ok()) return status;
    // Which also wipes what is secret in it.
    auto result = convert(response);
    if (IsDryRun(request) || metadata.dry_run) return NoDryRunError();
    return result;
  }

 private:
  template <typename Request>
  static bool IsDryRun(const Request& request) {
    if constexpr (requires { request.dry_run(); }) {
      return request.dry_run();
    } else {
      return false;
    }
  }

  const std::unique_ptr<Stub> stub_;
  const ClientOptions options_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_UNARY_CALL_H_
