#ifndef STRONGROOM_SERVER_GRPC_LIBRARY_LOG_H_
#define STRONGROOM_SERVER_GRPC_LIBRARY_LOG_H_

#include "server/log/log.h"

namespace strongroom::grpc_server {

// Sends to a log what gRPC and protobuf would write to standard error, in forms of their own, e.g.
// why a TLS handshake failed. While one exists, every line there is one of the log's.
//
// At most one at a time: the libraries have one place for it in a process.
class LibraryLog {
 public:
  // `log` outlives this.
  explicit LibraryLog(Log& log);
  ~LibraryLog();
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_LIBRARY_LOG_H_
