#include "server/grpc/listening_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace strongroom::grpc_server {
namespace {

absl::Status CannotListen(absl::string_view address, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("cannot listen on ", address, ": ", why));
}

absl::Status CannotListen(absl::string_view address) {
  return CannotListen(address, strerror(errno));
}

// Whether somebody listens on a unix socket.
bool IsLive(const sockaddr_un& address) {
  // Not blocking, for a live server may be too busy to answer.
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return true;
  const bool live =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      (errno != ECONNREFUSED && errno != ENOENT);
  close(fd);
  return live;
}

absl::Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there already and is not a socket; remove it or choose another"));
  }
  if (IsLive(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("another server listens on ", path, "; stop it, or configure another socket"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

// The place of the port in an IPv4 or IPv6 address.
in_port_t& PortIn(sockaddr* address) {
  return address->sa_family == AF_INET ? reinterpret_cast<sockaddr_in*>(address)->sin_port
                                       : reinterpret_cast<sockaddr_in6*>(address)->sin6_port;
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept { *this = std::move(other); }

ListeningSocket& ListeningSocket::operator=(ListeningSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(port_, other.port_);
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

ListeningSocket::~ListeningSocket() {
  if (fd_ < 0) return;
  struct stat info;
  // Another server's socket may have taken its place.
  if (!path_.empty() && lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    unlink(path_.c_str());
  }
  close(fd_);
}

absl::StatusOr<ListeningSocket> ListeningSocket::OnUnix(const std::string& path, int mode) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::FailedPreconditionError(absl::StrCat("the path of the unix socket ", path,
                                                      " is longer than ",
                                                      sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (absl::Status status = RemoveStaleSocket(path, address); !status.ok()) return status;

  ListeningSocket result;
  result.fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (result.fd_ < 0 ||
      bind(result.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return CannotListen(path);
  }
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return CannotListen(path);
  result.path_ = path;
  result.device_ = info.st_dev;
  result.inode_ = info.st_ino;
  // Nobody can connect before it is listened on, so nobody does before the mode is set.
  if (chmod(path.c_str(), static_cast<mode_t>(mode)) != 0 || listen(result.fd_, SOMAXCONN) != 0) {
    return CannotListen(path);
  }
  return result;
}

absl::StatusOr<std::vector<ListeningSocket>> ListeningSocket::OnTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return CannotListen(address, "it is not HOST:PORT");
  std::string host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);

  std::vector<ListeningSocket> sockets;
  // A name can be listed with one address several times.
  std::set<std::string> done;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    sockaddr_storage storage = {};
    std::memcpy(&storage, info->ai_addr, info->ai_addrlen);
    if (!done.insert(std::string(reinterpret_cast<const char*>(&storage), info->ai_addrlen))
             .second) {
      continue;
    }
    auto* bound = reinterpret_cast<sockaddr*>(&storage);
    if (!sockets.empty()) PortIn(bound) = htons(static_cast<in_port_t>(sockets.front().port_));
    ListeningSocket result;
    result.fd_ = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    const int off = 0;
    // Connections of a server that just stopped do not keep the port. SO_REUSEPORT is not set: a
    // second server on the same port would share it, silently.
    if (result.fd_ >= 0) setsockopt(result.fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // [::] is every address.
    if (result.fd_ >= 0 && info->ai_family == AF_INET6) {
      setsockopt(result.fd_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (result.fd_ < 0 || bind(result.fd_, bound, info->ai_addrlen) != 0) {
      // One of the name's addresses that this machine does not have.
      if (info->ai_next != nullptr || !sockets.empty()) {
        if (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) continue;
      }
      return CannotListen(address);
    }
    socklen_t size = sizeof(storage);
    if (listen(result.fd_, SOMAXCONN) != 0 || getsockname(result.fd_, bound, &size) != 0) {
      return CannotListen(address);
    }
    result.port_ = ntohs(PortIn(bound));
    sockets.push_back(std::move(result));
  }
  if (sockets.empty()) return CannotListen(address, "this machine does not have its address");
  return sockets;
}

}  // namespace strongroom::grpc_server
