#include "server/grpc/tls_version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>

#include "server/gate/x509.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::grpc_server {
namespace {

TEST(TlsVersionTest, EveryContextMadeAfterwardsIsHeldToIt) {
  ASSERT_OK(RequireTls13());
  const std::unique_ptr<SSL_CTX, gate::FreeWith<SSL_CTX_free>> context(SSL_CTX_new(TLS_method()));
  // What gRPC does.
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION);
  const uint64_t options = SSL_CTX_get_options(context.get());
  EXPECT_NE(options & SSL_OP_NO_TLSv1_2, 0u);
  EXPECT_EQ(options & SSL_OP_NO_TLSv1_3, 0u);
  EXPECT_EQ(SSL_CTX_get_num_tickets(context.get()), 0u);
  // Debian's default is kept.
  EXPECT_GE(SSL_CTX_get_security_level(context.get()), 2);
}

}  // namespace
}  // namespace strongroom::grpc_server
