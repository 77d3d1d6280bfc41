#ifndef STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_
#define STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/testing/softhsm.h"

namespace strongroom::bench {

// Ends the process with a message.
[[noreturn]] void Die(const std::string& what);

// A child process that is ended when this goes.
class Child {
 public:
  // Its standard error goes to `log_path`.
  Child(const std::vector<std::string>& command, const std::string& log_path);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Returns once it ended by itself, with its exit status.
  int Wait();

 private:
  pid_t pid_ = 0;
};

// What all measurements share.
struct Bench {
  // This program and strongroomd.
  std::string self;
  std::string server;
  const testing::SoftHsmToken& token;
  // For sockets: short, for the path of a socket has at most 107 bytes.
  std::string socket_folder;
  std::chrono::milliseconds duration;

  std::string SocketOf(const std::string& principal) const {
    return socket_folder + "/" + principal;
  }
};

struct ServerSettings {
  // Each has a socket, Bench::SocketOf.
  std::vector<std::string> principals = {"bench"};
  int lanes = 3;
  // The section "audit" but for its directory, in lines of two spaces each; without a trail, no
  // calls are logged either.
  bool trail = true;
  std::string audit = "";
  // The section "limits".
  std::string limits = "";
};

// A strongroomd on the token.
class ServerProcess {
 public:
  ServerProcess(const Bench& bench, const ServerSettings& settings);

  // Makes a key, once the server listens.
  std::string CreateKey() const;

 private:
  const std::string socket_path_;
  const Child child_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_
