#ifndef STRONGROOM_SERVER_GRPC_LISTENING_SOCKET_H_
#define STRONGROOM_SERVER_GRPC_LISTENING_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace strongroom::grpc_server {

// A socket that is listened on, until destroyed; a unix socket's file goes with it. Non-blocking.
// Movable, not copyable.
class ListeningSocket {
 public:
  // `mode`: the permission bits of the file. FAILED_PRECONDITION, naming the path, if a live server
  // has it, if it is no socket, or if it cannot be bound. A stale socket is replaced.
  static absl::StatusOr<ListeningSocket> OnUnix(const std::string& path, int mode);

  // HOST:PORT; an IPv6 address is in brackets, port 0 takes a free one. A name is listened on at
  // all its addresses, with one port. FAILED_PRECONDITION, naming the address.
  static absl::StatusOr<std::vector<ListeningSocket>> OnTcp(const std::string& address);

  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) noexcept;
  ~ListeningSocket();

  int fd() const { return fd_; }
  // TCP's port.
  int port() const { return port_; }

 private:
  ListeningSocket() = default;

  int fd_ = -1;
  int port_ = 0;
  // A unix socket's file, by which it is known to be this one still.
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_LISTENING_SOCKET_H_
