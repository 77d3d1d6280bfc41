#include "server/grpc/listening_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::grpc_server {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

auto Fails(const std::string& why) {
  return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why));
}

class UnixSocketTest : public ::testing::Test {
 protected:
  // Bazel's own folders have names that are too long for a socket.
  UnixSocketTest() {
    char name[] = "/tmp/strongroom-socket-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = absl::StrCat(directory_, "/s");
  }
  ~UnixSocketTest() override {
    unlink(path_.c_str());
    rmdir(directory_.c_str());
  }

  bool Exists() const { return access(path_.c_str(), F_OK) == 0; }

  // Leaves a socket that nobody listens on, as a server that was killed does.
  void LeaveStaleSocket() const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  }

  std::string directory_;
  std::string path_;
};

TEST_F(UnixSocketTest, FileHasTheModeAndGoesWithTheSocket) {
  for (const int mode : {0600, 0660}) {
    {
      ASSERT_OK_AND_ASSIGN(const ListeningSocket socket, ListeningSocket::OnUnix(path_, mode));
      struct stat info;
      ASSERT_EQ(lstat(path_.c_str(), &info), 0);
      EXPECT_TRUE(S_ISSOCK(info.st_mode));
      EXPECT_EQ(static_cast<int>(info.st_mode & 07777), mode);
    }
    EXPECT_FALSE(Exists());
  }
}

TEST_F(UnixSocketTest, StaleSocketIsReplaced) {
  LeaveStaleSocket();
  EXPECT_OK(ListeningSocket::OnUnix(path_, 0600));
}

TEST_F(UnixSocketTest, LiveSocketIsNotReplaced) {
  ASSERT_OK_AND_ASSIGN(const ListeningSocket first, ListeningSocket::OnUnix(path_, 0600));
  EXPECT_THAT(ListeningSocket::OnUnix(path_, 0600),
              Fails(absl::StrCat("another server listens on ", path_)));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, FileThatIsNoSocketIsNotReplaced) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(ListeningSocket::OnUnix(path_, 0600), Fails("is not a socket"));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixSocketTest, AnothersSocketInItsPlaceStays) {
  ASSERT_OK_AND_ASSIGN(ListeningSocket made, ListeningSocket::OnUnix(path_, 0600));
  std::optional<ListeningSocket> socket = std::move(made);
  ASSERT_EQ(rename(path_.c_str(), absl::StrCat(path_, "2").c_str()), 0);
  LeaveStaleSocket();
  socket.reset();
  EXPECT_TRUE(Exists());
  unlink(absl::StrCat(path_, "2").c_str());
}

TEST_F(UnixSocketTest, PathThatCannotBeIsNamed) {
  EXPECT_THAT(ListeningSocket::OnUnix("/nowhere/s", 0600), Fails("cannot listen on /nowhere/s: "));
  const std::string longest = absl::StrCat("/", std::string(107, 'x'));
  EXPECT_THAT(ListeningSocket::OnUnix(longest, 0600), Fails("is longer than 107 bytes"));
}

TEST(TcpSocketTest, FreePortIsTakenOnceOnly) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ListeningSocket> sockets,
                       ListeningSocket::OnTcp("127.0.0.1:0"));
  ASSERT_EQ(sockets.size(), 1u);
  EXPECT_GT(sockets[0].port(), 0);
  const std::string same = absl::StrCat("127.0.0.1:", sockets[0].port());
  EXPECT_THAT(ListeningSocket::OnTcp(same), Fails(absl::StrCat("cannot listen on ", same, ": ")));
}

TEST(TcpSocketTest, NameIsListenedOnAtAllItsAddressesWithOnePort) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ListeningSocket> sockets,
                       ListeningSocket::OnTcp("localhost:0"));
  for (const ListeningSocket& socket : sockets) EXPECT_EQ(socket.port(), sockets[0].port());
}

TEST(TcpSocketTest, ConnectionIsTakenIn) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ListeningSocket> sockets,
                       ListeningSocket::OnTcp("127.0.0.1:0"));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<in_port_t>(sockets[0].port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const int accepted = accept(sockets[0].fd(), nullptr, nullptr);
  EXPECT_GE(accepted, 0);
  close(accepted);
  close(client);
}

TEST(TcpSocketTest, AddressThatCannotBeIsNamed) {
  for (const char* address :
       {"192.0.2.1:0", "[2001:db8::1]:0", "no-port", "127.0.0.1:x", "no.such.host.invalid:0"}) {
    EXPECT_THAT(ListeningSocket::OnTcp(address),
                Fails(absl::StrCat("cannot listen on ", address, ": ")));
  }
}

}  // namespace
}  // namespace strongroom::grpc_server
