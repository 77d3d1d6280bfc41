#ifndef STRONGROOM_SERVER_GRPC_WORKERS_H_
#define STRONGROOM_SERVER_GRPC_WORKERS_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "platform/mutex.h"

namespace strongroom::grpc_server {

// How many threads of gRPC's callback API may be lent to calls' work so that one stays free.
int SpareGrpcThreads();

// Threads that do calls' work, so that a token that is slow or hangs does not hold up gRPC's own
// threads. Quick work may be done on those while nothing waits, for handing it over costs more than
// doing it. docs/adr/0005 and 0011 have the measurements behind it.
//
// Everybody has a line of their own, and the lines take turns: who brings much work waits for it,
// not those who bring little.
//
// Thread-safe.
class Workers {
 public:
  // `threads` at least 1. At most `longest_line` pieces of anybody's work wait. At most `here`
  // calls of RunQuick work on their callers' threads at a time.
  Workers(int threads, size_t longest_line, int here = 0);
  // Does what is waiting, then ends.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False, and `work` is not run, if too much of theirs is waiting already.
  bool Run(absl::string_view whose, std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);
  // The same for work of microseconds: on the caller's thread and before this returns, if it may
  // be.
  bool RunQuick(absl::string_view whose, std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Line = std::deque<std::function<void()>>;

  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  // What is next, by turns.
  std::function<void()> TakeNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t longest_line_;
  const int here_;
  std::atomic<int> working_here_ = 0;
  // How many pieces of work wait in all lines.
  std::atomic<size_t> waiting_ = 0;
  Mutex mu_;
  CondVar changed_;
  // None of them is empty.
  absl::flat_hash_map<std::string, Line> lines_ ABSL_GUARDED_BY(mu_);
  // The names of all lines, the next first.
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mu_);
  // Threads that have nothing to do.
  int idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_WORKERS_H_
