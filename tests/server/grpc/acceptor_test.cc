#include "server/grpc/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

  // Greets the client, so that it knows.
  void Take(int fd) {
    const MutexLock lock(mu_);
    EXPECT_EQ(send(fd, "!", 1, MSG_NOSIGNAL), 1);
    held_.push_back(fd);
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

  // Waits for the other end to greet, or to refuse.
  bool IsTaken() {
    char byte = 0;
    return connected_ && recv(fd_, &byte, 1, 0) == 1;
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

  // For whom room is made any moment.
  std::unique_ptr<Client> ConnectUntilTaken() {
    while (true) {
      auto client = std::make_unique<Client>(port_);
      if (client->IsTaken()) return client;
    }
  }

  Log log_{LogLevel::kError};
  Holder holder_;
  int port_ = 0;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, ConnectionsUpToTheLimitAreHandedOn) {
  Start(3);
  Client clients[] = {Client(port_), Client(port_), Client(port_)};
  for (Client& client : clients) EXPECT_TRUE(client.IsTaken());
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(Client(port_).IsTaken());
  EXPECT_EQ(holder_.count(), 3u);
}

TEST_F(AcceptorTest, ConnectionThatIsClosedHereMakesRoomForOne) {
  Start(1);
  for (int i = 0; i < 20; ++i) {
    const std::unique_ptr<Client> client = ConnectUntilTaken();
    EXPECT_FALSE(Client(port_).IsTaken());
    EXPECT_EQ(holder_.count(), 1u);
    holder_.CloseAll();
  }
}

TEST_F(AcceptorTest, ConnectionThatItsClientLeftKeepsItsPlaceUntilItIsClosedHere) {
  Start(1);
  EXPECT_TRUE(Client(port_).IsTaken());
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(Client(port_).IsTaken());
  holder_.CloseAll();
  EXPECT_NE(ConnectUntilTaken(), nullptr);
}

TEST_F(AcceptorTest, NobodyIsListeningAfterStop) {
  Start(2);
  Client open(port_);
  EXPECT_TRUE(open.IsTaken());
  acceptor_->Stop();
  EXPECT_FALSE(Client(port_).IsTaken());
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
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(ConnectUntilTaken());
    if (clients.size() < 8) continue;
    EXPECT_FALSE(Client(port_).IsTaken());
    clients.clear();
    holder_.CloseAll();
  }
}

}  // namespace
}  // namespace strongroom::grpc_server
