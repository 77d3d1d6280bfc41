#include "server/grpc/tls_credentials.h"

#include <grpc/grpc.h>

#include <utility>

#include "platform/secret_bytes.h"

namespace strongroom::grpc_server {

TlsCredentials::TlsCredentials(const TlsFiles& files)
    : files_(files),
      credentials_(grpc_ssl_server_credentials_create_with_options(
          grpc_ssl_server_credentials_create_options_using_config_fetcher(
              GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, &TlsCredentials::Fetch,
              this))) {}

TlsCredentials::~TlsCredentials() { grpc_server_credentials_release(credentials_); }

void TlsCredentials::SetAuthMetadataProcessor(
    const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) {}

int TlsCredentials::AddPortToServer(const std::string& address, ::grpc_server* server) {
  return grpc_server_add_http2_port(server, address.c_str(), credentials_);
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto* credentials = static_cast<TlsCredentials*>(self);
  std::shared_ptr<const TlsMaterial> newest = credentials->files_.current();
  const MutexLock lock(credentials->mu_);
  if (newest == credentials->given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  // gRPC wants the key as a text that ends with NUL, and keeps a copy of its own.
  std::string private_key(newest->private_key.ExposeSecretAsText());
  grpc_ssl_pem_key_cert_pair pair = {private_key.c_str(), newest->certificate_chain.c_str()};
  *config = grpc_ssl_server_certificate_config_create(newest->client_ca.c_str(), &pair, 1);
  Wipe(&private_key);
  credentials->given_ = std::move(newest);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace strongroom::grpc_server
