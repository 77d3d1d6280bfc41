#ifndef STRONGROOM_TESTS_CLIENT_CLIENT_FIXTURE_H_
#define STRONGROOM_TESTS_CLIENT_CLIENT_FIXTURE_H_

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "platform/files.h"
#include "tests/client/fake_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::testing {

inline constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

inline absl::Span<const uint8_t> Span(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline grpc::Status Unavailable() {
  return ServiceError(grpc::StatusCode::UNAVAILABLE, "the token is away", "Rejected.Unavailable",
                      503, "request-1");
}

// A server and a client of it, over a unix socket. Back-off takes no time.
class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, MakeTestDirectory());
    // A whole path can be too long for a socket.
    ASSERT_EQ(chdir(directory_.c_str()), 0);
    server_ = std::make_unique<FakeServer>("unix:fake.sock");
    options_.address = "unix:fake.sock";
    options_.timeout = absl::Minutes(1);
    options_.retry.initial_backoff = absl::ZeroDuration();
    Connect();
  }

  void Connect() { ASSERT_OK_AND_ASSIGN(client_, Client::Connect(options_)); }

  std::string Write(const std::string& name, absl::string_view content) {
    const std::string path = absl::StrCat(directory_, "/", name);
    EXPECT_OK(WriteSecretFile(path, Span(content)));
    return path;
  }

  std::string directory_;
  std::unique_ptr<FakeServer> server_;
  ClientOptions options_;
  std::unique_ptr<Client> client_;
};

// Answers `rpc` with `answer` and keeps the request.
template <typename Request, typename Response>
void Expect(FakeServer* server, const std::string& rpc, const Response& answer, Request* seen) {
  server->On<Request, Response>(rpc, [answer, seen](const Request& request, Response* response) {
    *seen = request;
    *response = answer;
    return grpc::Status::OK;
  });
}

template <typename Message>
void ExpectEqual(const Message& seen, const Message& expected) {
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(seen, expected))
      << "sent " << seen.ShortDebugString() << ", not " << expected.ShortDebugString();
}

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_CLIENT_CLIENT_FIXTURE_H_
