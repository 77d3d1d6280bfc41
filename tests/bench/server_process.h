#ifndef STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_
#define STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/bench/load.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {

// How clients reach a server: a unix socket, TCP on loopback without TLS, or with TLS and client
// certificates.
enum class Transport { kUnix, kTcp, kMtls };
inline constexpr Transport kTransports[] = {Transport::kUnix, Transport::kTcp, Transport::kMtls};
const char* NameOf(Transport transport);

// What strongroomd has if it is not told otherwise.
int DefaultLanes();

// A token, a store and a trail in a folder of their own, used by one process at a time. The folder
// goes with this.
class Home {
 public:
  explicit Home(const Bench& bench);
  ~Home();
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  const testing::SoftHsmToken& token() const { return token_; }
  const std::string& folder() const { return token_.directory(); }
  std::string database_path() const { return folder() + "/strongroom.db"; }
  // With which a process finds the token.
  std::map<std::string, std::string> environment() const;

 private:
  const testing::SoftHsmToken token_;
};

// The sockets of one server, and the certificates, for that transport.
class Address {
 public:
  // A unix socket for each principal; over TCP all are one.
  Address(const Bench& bench, Transport transport, const std::vector<std::string>& principals);
  ~Address();
  Address(const Address&) = delete;
  Address& operator=(const Address&) = delete;

  Transport transport() const { return transport_; }
  Target TargetOf(const std::string& principal) const;
  // Returns once somebody listens; dies, with the log, if the process ends before.
  void WaitUntilListening(pid_t process, const std::string& log_path) const;
  std::string SocketOf(const std::string& principal) const { return folder_ + "/" + principal; }
  // 127.0.0.1:PORT
  std::string tcp() const;
  std::string certificate_path() const { return folder_ + "/server.pem"; }
  std::string private_key_path() const { return folder_ + "/server.key"; }
  std::string client_ca_path() const { return folder_ + "/ca.pem"; }
  const std::vector<std::string>& principals() const { return principals_; }

 private:
  const Transport transport_;
  const std::vector<std::string> principals_;
  std::string folder_;
  int port_ = 0;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
};

struct ServerSettings {
  Transport transport = Transport::kUnix;
  std::vector<std::string> principals = {"bench"};
  // 0: the server's own default.
  int lanes = 0;
  // Without a trail, the server is one for development.
  bool trail = true;
  // Sections of the configuration, or what else is in them: lines with their indentation.
  std::string audit = "";
  std::string limits = "";
  // Empty: the server keeps no pairs, so that it does nothing but what it is asked for.
  std::string reservoir = "";
  std::string log_level = "warning";
  // The PKCS#11 module, where it is not SoftHSM itself, and what its process finds in the
  // environment.
  std::string module = testing::kSoftHsmModule;
  std::map<std::string, std::string> environment = {};
};

// A strongroomd in a home, with a policy statement that allows its principals everything.
class ServerProcess {
 public:
  // Returns when it listens.
  ServerProcess(const Bench& bench, const Home& home, const ServerSettings& settings);

  // How to call it as its first principal, or another.
  Target target() const { return target(address_.principals().front()); }
  Target target(const std::string& principal) const;
  // Makes a key and returns its id.
  std::string CreateKey() const;
  double peak_mib() const { return MemoryMibOf(child_.pid(), "VmHWM"); }
  double rss_mib() const { return MemoryMibOf(child_.pid(), "VmRSS"); }
  // Until it has nothing left to do: a reservoir is filled without a pause.
  void WaitUntilIdle() const;
  // What it has logged.
  std::string Log() const;
  // SIGSTOP, and SIGCONT before it is ended.
  void Signal(int signal) const { child_.Signal(signal); }
  // Ends it as an operator does (SIGTERM), or as a crash does; returns when it is gone.
  void Stop();
  void Kill();

 private:
  const Address address_;
  const std::string log_path_;
  Child child_;
};

// How the threads of an echo server do the work of a call.
enum class ThreadingModel {
  kSync,     // gRPC's synchronous API: a thread of its pool for each call
  kInline,   // the callback API, the work on gRPC's own threads
  kWorkers,  // the callback API, the work on server/grpc/workers.h
  kServed,   // as strongroomd does it for quick calls on SoftHSM: RunQuick of the same
};
inline constexpr ThreadingModel kThreadingModels[] = {
    ThreadingModel::kSync, ThreadingModel::kInline, ThreadingModel::kWorkers,
    ThreadingModel::kServed};
const char* NameOf(ThreadingModel model);

// What there is to do for each call: nothing, or processor time, or waiting.
struct EchoWork {
  int microseconds = 0;
  bool sleeps = false;
};

// The same listeners as strongroomd's with nothing behind them: echo_server.h.
class EchoProcess {
 public:
  // Returns when it listens.
  EchoProcess(const Bench& bench, Transport transport, ThreadingModel model, int workers,
              EchoWork work = {});
  Target target() const;

 private:
  const Address address_;
  TaskProcess task_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SERVER_PROCESS_H_
