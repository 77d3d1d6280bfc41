#include "server/grpc/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace strongroom::grpc_server {
namespace {

constexpr std::chrono::seconds kBetweenLines(1);
constexpr int kPauseMilliseconds = 50;
// Of a connection: gRPC's and the duplicate.
constexpr rlim_t kDescriptorsPerConnection = 2;
// Of everything else: the token's and the store's files, gRPC's own.
constexpr rlim_t kOtherDescriptors = 512;

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

// Closes a connection so that its client knows at once.
void Reset(int fd) {
  const linger at_once = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd);
}

void CloseIfOpen(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace

void Acceptor::Add(ListeningSocket socket, Taker taker) {
  listeners_.push_back({std::move(socket), std::move(taker)});
}

void Acceptor::RaiseDescriptorLimit() const {
  const rlim_t wanted =
      static_cast<rlim_t>(most_connections_) * kDescriptorsPerConnection + kOtherDescriptors;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    log_.Write(LogLevel::kWarning, "descriptors_are_few",
               {{"detail", "limits.connections needs more; raise RLIMIT_NOFILE"},
                {"limit", static_cast<int64_t>(limit.rlim_cur)},
                {"wanted", static_cast<int64_t>(wanted)}});
  }
}

absl::Status Acceptor::Watch(int fd, uint32_t events) const {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("epoll_ctl: ", strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status Acceptor::Start() {
  RaiseDescriptorLimit();
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  stop_ = eventfd(0, EFD_CLOEXEC);
  spare_ = OpenSpare();
  if (epoll_ < 0 || stop_ < 0 || spare_ < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot take in connections: ", strerror(errno)));
  }
  if (absl::Status status = Watch(stop_, EPOLLIN); !status.ok()) return status;
  for (const Listener& listener : listeners_) {
    if (absl::Status status = Watch(listener.socket.fd(), EPOLLIN); !status.ok()) return status;
  }
  thread_ = std::thread(&Acceptor::Run, this);
  return absl::OkStatus();
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    while (write(stop_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
  }
  listeners_.clear();
  for (int fd : open_) close(fd);
  open_.clear();
  CloseIfOpen(epoll_);
  CloseIfOpen(stop_);
  CloseIfOpen(spare_);
}

void Acceptor::Run() {
  std::array<epoll_event, 64> events;
  while (true) {
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    // Those that are over first: they make room.
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_) return;
      if (open_.erase(fd) == 0) continue;
      // Closing does not end the watch, for gRPC's descriptor of the same socket may still be open.
      epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
      close(fd);
    }
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      for (const Listener& listener : listeners_) {
        if (listener.socket.fd() == fd) AcceptFrom(listener);
      }
    }
  }
}

void Acceptor::AcceptFrom(const Listener& listener) {
  const int fd = accept4(listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) RefuseForWantOfDescriptors(listener);
    if (errno == ENOBUFS || errno == ENOMEM) Pause();
    // All else is of the one connection, which has gone (accept(2), "Error handling").
    return;
  }
  if (open_.size() >= static_cast<size_t>(most_connections_)) return Refuse(fd);
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return Refuse(fd);
  // No events but the end, which is always told: that both sides are shut down.
  if (!Watch(duplicate, 0).ok()) {
    close(duplicate);
    return Refuse(fd);
  }
  open_.insert(duplicate);
  const int on = 1;
  // Fails for unix sockets, which do not need it.
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  listener.taker(fd);
}

void Acceptor::Refuse(int fd) {
  Reset(fd);
  ++refused_;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_line_) return;
  next_line_ = now + kBetweenLines;
  log_.Write(LogLevel::kWarning, "connections_refused",
             {{"refused", refused_},
              {"open", static_cast<int64_t>(open_.size())},
              {"limit", most_connections_}});
  refused_ = 0;
}

void Acceptor::RefuseForWantOfDescriptors(const Listener& listener) {
  CloseIfOpen(spare_);
  const int fd = accept4(listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC);
  // Somebody else was quicker, and the connection is still waiting.
  if (fd < 0) Pause();
  if (fd >= 0) Refuse(fd);
  spare_ = OpenSpare();
}

void Acceptor::Pause() const {
  pollfd stop = {stop_, POLLIN, 0};
  poll(&stop, 1, kPauseMilliseconds);
}

}  // namespace strongroom::grpc_server
