#include "server/grpc/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "platform/mutex.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::grpc_server {
namespace {

// Holds the connections that it is given, as gRPC does: shuts each down before closing it.
class Holder {
 public:
  ~Holder() { CloseAll(); }

  void Take(int fd) {
    const MutexLock lock(mu_);
    held_.push_back(fd);
    changed_.NotifyAll();
  }
  void WaitFor(size_t count) {
    const MutexLock lock(mu_);
    while (held_.size() < count) changed_.Wait(mu_);
  }
  size_t count() {
    const MutexLock lock(mu_);
    return held_.size();
  }
  void CloseAll() {
    const MutexLock lock(mu_);
    for (int fd : held_) {
      shutdown(fd, SHUT_RDWR);
      close(fd);
    }
    held_.clear();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<int> held_ ABSL_GUARDED_BY(mu_);
};

class Client {
 public:
  explicit Client(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<in_port_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Waits for the other end to close.
  bool IsReset() {
    char byte = 0;
    return !connected_ || (recv(fd_, &byte, 1, 0) < 0 && errno == ECONNRESET);
  }

 private:
  int fd_;
  bool connected_;
};

class AcceptorTest : public ::testing::Test {
 protected:
  void Start(int most) {
    absl::StatusOr<std::vector<ListeningSocket>> sockets = ListeningSocket::OnTcp("127.0.0.1:0");
    ASSERT_OK(sockets);
    port_ = sockets->front().port();
    acceptor_ = std::make_unique<Acceptor>(most, log_);
    acceptor_->Add(std::move(sockets->front()), [this](int fd) { holder_.Take(fd); });
    ASSERT_OK(acceptor_->Start());
  }

  // Connects until one is taken.
  std::unique_ptr<Client> ConnectUntilTaken(size_t held) {
    while (true) {
      auto client = std::make_unique<Client>(port_);
      // Another one behind it tells that it was dealt with: connections are in order.
      Client(port_).IsReset();
      if (holder_.count() > held) return client;
    }
  }

  Log log_{LogLevel::kError};
  Holder holder_;
  int port_ = 0;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, ConnectionsUpToTheLimitAreHandedOn) {
  Start(3);
  const Client one(port_);
  const Client two(port_);
  const Client three(port_);
  holder_.WaitFor(3);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Client(port_).IsReset());
  EXPECT_EQ(holder_.count(), 3u);
}

TEST_F(AcceptorTest, ConnectionThatIsClosedHereMakesRoom) {
  Start(1);
  for (int i = 0; i < 20; ++i) {
    const std::unique_ptr<Client> client = ConnectUntilTaken(0);
    EXPECT_TRUE(Client(port_).IsReset());
    EXPECT_EQ(holder_.count(), 1u);
    holder_.CloseAll();
  }
}

TEST_F(AcceptorTest, NobodyIsListeningAfterStop) {
  Start(2);
  const Client open(port_);
  holder_.WaitFor(1);
  acceptor_->Stop();
  EXPECT_TRUE(Client(port_).IsReset());
  // What is open stays.
  EXPECT_EQ(holder_.count(), 1u);
  acceptor_->Stop();
}

TEST_F(AcceptorTest, StopWithoutAStartIsNothing) {
  Acceptor acceptor(1, log_);
  acceptor.Stop();
}

TEST_F(AcceptorTest, ManyConnectionsComeAndGo) {
  Start(8);
  for (int i = 0; i < 300; ++i) {
    const std::unique_ptr<Client> client = ConnectUntilTaken(holder_.count());
    if (i % 8 == 7) holder_.CloseAll();
  }
}

}  // namespace
}  // namespace strongroom::grpc_server
