#ifndef STRONGROOM_SERVER_GRPC_TLS_CREDENTIALS_H_
#define STRONGROOM_SERVER_GRPC_TLS_CREDENTIALS_H_

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "platform/mutex.h"
#include "server/grpc/tls_files.h"

namespace strongroom::grpc_server {

// TLS of one listener: every handshake uses the newest set of `files`; connections that are open
// stay as they are. Clients need a certificate that one of the client authorities issued.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  // `files` outlives this, and this the server that it is given to.
  explicit TlsCredentials(const TlsFiles& files);
  ~TlsCredentials() override;

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override;

 private:
  int AddPortToServer(const std::string& address, ::grpc_server* server) override;

  // Called by gRPC before each handshake.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  const TlsFiles& files_;
  Mutex mu_;
  // What gRPC was given last.
  std::shared_ptr<const TlsMaterial> given_ ABSL_GUARDED_BY(mu_);
  grpc_server_credentials* credentials_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_TLS_CREDENTIALS_H_
