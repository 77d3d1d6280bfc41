#ifndef STRONGROOM_SERVER_GRPC_ACCEPTOR_H_
#define STRONGROOM_SERVER_GRPC_ACCEPTOR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/grpc/listening_socket.h"
#include "server/log/log.h"

namespace strongroom::grpc_server {

// Takes in connections on all listeners, and no more than so many at a time: one beyond is closed
// at once (with a reset, over TCP), so that its client knows, and counted in the log.
//
// gRPC 1.51 could not be told how many, and would stop listening for good when file descriptors run
// out.
class Acceptor {
 public:
  // Is given a connection's descriptor, which it closes. It has to shut the socket down before: by
  // that the connection is known to be over.
  using Taker = std::function<void(int fd)>;

  // `log` outlives the acceptor.
  Acceptor(int most_connections, Log& log) : most_connections_(most_connections), log_(log) {}
  ~Acceptor() { Stop(); }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Before Start().
  void Add(ListeningSocket socket, Taker taker);

  // Takes connections in, on a thread of its own. RESOURCE_EXHAUSTED.
  absl::Status Start();

  // Listens no more. Connections that are open stay.
  void Stop();

 private:
  struct Listener {
    ListeningSocket socket;
    Taker taker;
  };

  void RaiseDescriptorLimit() const;
  absl::Status Watch(int fd, uint32_t events) const;
  void Run();
  void AcceptFrom(const Listener& listener);
  void Refuse(int fd);
  void RefuseForWantOfDescriptors(const Listener& listener);
  // Lets the system find what it has too little of, rather than asking again at once.
  void Pause() const;

  const int most_connections_;
  Log& log_;
  std::vector<Listener> listeners_;
  int epoll_ = -1;
  // Wakes the thread up, to stop.
  int stop_ = -1;
  // Makes room for one more descriptor when there is none.
  int spare_ = -1;
  std::thread thread_;

  // The thread's own. A duplicate of each open connection's descriptor: gRPC closes its own without
  // a word, but not before the socket is shut down, which the duplicate shows.
  std::set<int> open_;
  int64_t refused_ = 0;
  std::chrono::steady_clock::time_point next_line_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_ACCEPTOR_H_
