#ifndef STRONGROOM_SERVER_GRPC_WORKERS_H_
#define STRONGROOM_SERVER_GRPC_WORKERS_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "platform/mutex.h"

namespace strongroom::grpc_server {

// Threads that do calls' work, so that a token that is slow or hangs does not hold up gRPC's own
// threads. docs/adr/0005 has the measurements behind it.
//
// Thread-safe.
class Workers {
 public:
  // `threads` at least 1. At most `longest_queue` pieces of work wait.
  Workers(int threads, size_t longest_queue);
  // Does what is waiting, then ends.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False, and `work` is not run, if too much is waiting already.
  bool Run(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Work() ABSL_LOCKS_EXCLUDED(mu_);

  const size_t longest_queue_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_WORKERS_H_
