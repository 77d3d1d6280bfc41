#ifndef STRONGROOM_CLIENT_CHANNEL_H_
#define STRONGROOM_CLIENT_CHANNEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/client_options.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace strongroom {

// A channel to `options.address`, secured as ClientOptions says. Connects with the first call.
//
// INVALID_ARGUMENT names the option that is wrong; other codes are about a TLS file and name it.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ClientOptions& options);

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_CHANNEL_H_
