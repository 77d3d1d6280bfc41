#ifndef STRONGROOM_SERVER_GRPC_TLS_VERSION_H_
#define STRONGROOM_SERVER_GRPC_TLS_VERSION_H_

#include "absl/status/status.h"

namespace strongroom::grpc_server {

// From now on, TLS in this process is 1.3 without resumption, whoever speaks it. gRPC 1.51 has no
// setting for it and allows 1.2; what OpenSSL's configuration says of all its contexts (the section
// `system_default`, config(5)) it leaves alone. The rest of what the system's own openssl.cnf says
// there is kept.
//
// INTERNAL if OpenSSL does not obey. Call it before the first use of TLS.
absl::Status RequireTls13();

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_TLS_VERSION_H_
