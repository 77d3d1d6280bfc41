// Addresses and TLS.

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "tests/client/certificates.h"
#include "tests/client/client_fixture.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::strongroom::testing::Authority;
using ::strongroom::testing::ClientTest;
using ::strongroom::testing::FakeServer;
using ::strongroom::testing::Identity;
using ::strongroom::testing::IsOk;
using ::strongroom::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// What connecting to an address says, without TLS options.
absl::Status ConnectTo(const std::string& address, bool allow_plaintext_loopback = true) {
  return Client::Connect({.address = address, .allow_plaintext_loopback = allow_plaintext_loopback})
      .status();
}

TEST(ClientConnectTest, MalformedAddressIsRefusedWithTheFormsThatAreRight) {
  for (const char* address :
       {"", "unix:", "unix://host/path", "localhost", "localhost:", "localhost:0",
        "localhost:65536", "localhost:http", ":7443", "::1:7443", "[localhost]:7443", "[::1]",
        "dns:///kms:7443", "ipv4:127.0.0.1:7443", "a/b:7443", "a,b:7443", "http://kms:7443"}) {
    EXPECT_THAT(ConnectTo(address),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unix:/PATH")))
        << address;
  }
  EXPECT_THAT(ConnectTo("unix:/" + std::string(107, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too long")));
}

TEST(ClientConnectTest, PlaintextBeyondThisMachineIsRefused) {
  for (const char* address :
       {"kms.example:7443", "10.0.0.1:7443", "128.0.0.1:7443", "[2001:db8::1]:7443",
        "[::ffff:10.0.0.1]:7443", "0.0.0.0:7443", "localhost.example:7443", "127.1:7443"}) {
    EXPECT_THAT(ConnectTo(address), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr(address), HasSubstr("TLS"))))
        << address;
  }
}

TEST(ClientConnectTest, PlaintextOnLoopbackTakesPermission) {
  for (const char* address : {"127.0.0.1:7443", "127.9.9.9:7443", "[::1]:7443", "localhost:7443"}) {
    EXPECT_OK(ConnectTo(address)) << address;
    EXPECT_THAT(ConnectTo(address, /*allow_plaintext_loopback=*/false),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed explicitly")))
        << address;
  }
}

TEST(ClientConnectTest, TimeoutsAndAttemptsMustBePositive) {
  EXPECT_THAT(Client::Connect({.timeout = absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("timeout")));
  EXPECT_THAT(Client::Connect({.pair_timeout = -absl::Seconds(1)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("timeout")));
  EXPECT_THAT(Client::Connect({.retry = {.max_attempts = 0}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_attempts")));
}

TEST_F(ClientTest, AbstractSocketIsReached) {
  const std::string name = absl::StrCat("strongroom-client-test-", getpid());
  FakeServer server("unix-abstract:" + name);
  options_.address = "unix:@" + name;
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
  EXPECT_THAT(server.calls(), SizeIs(1));
}

TEST_F(ClientTest, SocketPathWithUnusualCharactersIsReached) {
  ASSERT_OK_AND_ASSIGN(client_, Client::Connect({.address = "unix:fa%6be ?#.sock"}));
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_EQ(link("fake.sock", "fa%6be ?#.sock"), 0);
  ASSERT_OK_AND_ASSIGN(client_, Client::Connect({.address = "unix:fa%6be ?#.sock"}));
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTest, LoopbackIsReachedInPlaintextAndNotThroughAProxy) {
  // Were it used, the call would not arrive.
  setenv("http_proxy", "http://127.0.0.1:9", 1);
  FakeServer server("127.0.0.1:0");
  options_.address = absl::StrCat("localhost:", server.port());
  options_.allow_plaintext_loopback = true;
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
  unsetenv("http_proxy");
}

class ClientTlsTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    const Identity identity = authority_.Issue("kms.example");
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = authority_.certificate();
    tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
    tls_server_ = std::make_unique<FakeServer>("127.0.0.1:0", grpc::SslServerCredentials(tls));

    const Identity client = authority_.Issue("client");
    options_.address = absl::StrCat("127.0.0.1:", tls_server_->port());
    options_.tls = {
        .ca_file = Write("ca.pem", authority_.certificate()),
        .certificate_file = Write("client.pem", client.certificate),
        .key_file = Write("client.key", client.key),
        .server_name = "kms.example",
    };
    options_.retry.max_attempts = 1;
  }

  const Authority authority_{"test authority"};
  std::unique_ptr<FakeServer> tls_server_;
};

TEST_F(ClientTlsTest, MutualTlsWorks) {
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTlsTest, ServerOfAnotherAuthorityIsRefused) {
  options_.tls.ca_file = Write("other.pem", Authority("another authority").certificate());
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tls_server_->calls(), SizeIs(0));
}

TEST_F(ClientTlsTest, ServerOfAnotherNameIsRefused) {
  options_.tls.server_name = "";
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tls_server_->calls(), SizeIs(0));
}

// It is reached at 127.0.0.1, which is not what its certificate is for.
TEST_F(ClientTlsTest, LocalhostIsWhatItsCertificateSays) {
  const Identity identity = authority_.Issue("localhost");
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
  FakeServer server("127.0.0.1:0", grpc::SslServerCredentials(tls));
  options_.address = absl::StrCat("localhost:", server.port());
  options_.tls.server_name = "";
  Connect();
  EXPECT_OK(client_->GenerateRandom(1));
}

TEST_F(ClientTlsTest, ServerWantsAClientCertificate) {
  options_.tls.certificate_file = "";
  options_.tls.key_file = "";
  Connect();
  EXPECT_THAT(client_->GenerateRandom(1), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClientTlsTest, IncompleteTlsOptionsAreRefused) {
  const TlsOptions whole = options_.tls;
  options_.tls.ca_file = "";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CA file")));
  options_.tls = whole;
  options_.tls.key_file = "";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the key file is missing")));
  options_.tls = whole;
  options_.tls.certificate_file = "";
  EXPECT_THAT(Client::Connect(options_), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  HasSubstr("the certificate file is missing")));
  options_.tls = whole;
  options_.address = "unix:fake.sock";
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unix socket")));
}

TEST_F(ClientTlsTest, EmptyAuthorityFileIsRefused) {
  // gRPC would trust the system's authorities.
  options_.tls.ca_file = Write("empty.pem", "");
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("empty.pem")));
}

TEST_F(ClientTlsTest, KeyFileThatOthersCanReadIsRefused) {
  ASSERT_EQ(chmod(options_.tls.key_file.c_str(), 0644), 0);
  EXPECT_THAT(Client::Connect(options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("client.key")));
}

}  // namespace
}  // namespace strongroom
