#include "tests/bench/server_process.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "tests/client/certificates.h"

namespace strongroom::bench {
namespace {

// A port that is free now, and soon taken by a server.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (fd < 0 || bind(fd, any, size) != 0 || getsockname(fd, any, &size) != 0) {
    Die("no TCP port is free");
  }
  close(fd);
  return ntohs(address.sin_port);
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path) << content;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
}

std::string WriteConfig(const Home& home, const Address& address, const ServerSettings& settings) {
  const testing::SoftHsmToken& token = home.token();
  const Transport transport = address.transport();
  const bool development = !settings.trail || transport == Transport::kTcp;
  const std::string path = home.folder() + "/strongroomd.yaml";
  std::ofstream file(path);
  file << "development: " << (development ? "true" : "false") << "\nlisten:\n";
  if (transport == Transport::kUnix) {
    file << "  unix:\n";
    for (const std::string& principal : settings.principals) {
      file << "    - {path: " << address.SocketOf(principal) << ", principal: " << principal
           << "}\n";
    }
  } else {
    file << "  tcp:\n    - {address: \"" << address.tcp() << "\"}\n";
  }
  if (transport == Transport::kMtls) {
    file << "tls:\n  certificate: " << address.certificate_path()
         << "\n  private_key: " << address.private_key_path()
         << "\n  client_ca: " << address.client_ca_path() << "\n";
  }
  file << "policy:\n  - {principals: ["
       << (transport == Transport::kTcp ? "local" : absl::StrJoin(settings.principals, ", "))
       << "], operations: [\"*\"]}\n";
  if (settings.trail) {
    file << "audit:\n  directory: " << home.folder() << "/audit\n" << settings.audit;
  }
  file << "token:\n  module: " << settings.module << "\n  token: " << token.label()
       << "\n  pin_file: " << token.pin_file() << "\n";
  if (settings.lanes > 0) file << "  lanes: " << settings.lanes << "\n";
  file << "store:\n  path: " << home.database_path() << "\n";
  if (!settings.limits.empty()) file << "limits:\n" << settings.limits;
  if (!settings.reservoir.empty()) file << "reservoir:\n" << settings.reservoir;
  file << "log:\n  level: " << settings.log_level << "\n";
  return path;
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool CanConnect(const sockaddr* address, socklen_t size) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected = fd >= 0 && connect(fd, address, size) == 0;
  if (fd >= 0) close(fd);
  return connected;
}

bool HasEnded(pid_t process) {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == process;
}

std::map<std::string, std::string> Joined(std::map<std::string, std::string> some,
                                          const std::map<std::string, std::string>& more) {
  some.insert(more.begin(), more.end());
  return some;
}

}  // namespace

const char* NameOf(Transport transport) {
  switch (transport) {
    case Transport::kUnix:
      return "unix";
    case Transport::kTcp:
      return "tcp";
    case Transport::kMtls:
      return "mtls";
  }
  return "";
}

const char* NameOf(ThreadingModel model) {
  switch (model) {
    case ThreadingModel::kSync:
      return "sync";
    case ThreadingModel::kInline:
      return "inline";
    case ThreadingModel::kWorkers:
      return "workers";
    case ThreadingModel::kServed:
      return "as served";
  }
  return "";
}

int DefaultLanes() {
  return std::max(2, static_cast<int>(std::thread::hardware_concurrency())) + 1;
}

Home::Home(const Bench&) : token_(OrDie(testing::SoftHsmToken::Create())) {}

Home::~Home() {
  std::error_code ignored;
  std::filesystem::remove_all(folder(), ignored);
}

std::map<std::string, std::string> Home::environment() const {
  return {{"SOFTHSM2_CONF", token_.config_file()},
          {"STRONGROOM_TEST_MODULE", testing::kSoftHsmModule}};
}

Address::Address(const Bench& bench, Transport transport,
                 const std::vector<std::string>& principals)
    : transport_(transport), principals_(principals), folder_(bench.folder + "/s.XXXXXX") {
  if (mkdtemp(folder_.data()) == nullptr) Die("cannot make a folder in " + bench.folder);
  credentials_ = grpc::InsecureChannelCredentials();
  if (transport == Transport::kUnix) return;
  port_ = FreePort();
  if (transport == Transport::kTcp) return;
  const testing::Authority authority("bench authority");
  const testing::Identity server = authority.Issue("localhost");
  const testing::Identity client = authority.Issue(principals.front());
  WriteFile(certificate_path(), server.certificate);
  WriteFile(private_key_path(), server.key);
  WriteFile(client_ca_path(), authority.certificate());
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = authority.certificate();
  options.pem_cert_chain = client.certificate;
  options.pem_private_key = client.key;
  credentials_ = grpc::SslCredentials(options);
}

Address::~Address() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Target Address::TargetOf(const std::string& principal) const {
  Target target;
  target.credentials = credentials_;
  if (transport_ == Transport::kUnix) {
    target.address = "unix:" + SocketOf(principal);
  } else {
    // By the name that the certificate has.
    target.address = absl::StrCat("localhost:", port_);
  }
  return target;
}

std::string Address::tcp() const { return absl::StrCat("127.0.0.1:", port_); }

void Address::WaitUntilListening(pid_t process, const std::string& log_path) const {
  sockaddr_un on_unix = {};
  on_unix.sun_family = AF_UNIX;
  std::strncpy(on_unix.sun_path, SocketOf(principals_.front()).c_str(),
               sizeof(on_unix.sun_path) - 1);
  sockaddr_in on_tcp = {};
  on_tcp.sin_family = AF_INET;
  on_tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  on_tcp.sin_port = htons(static_cast<in_port_t>(port_));
  while (!(transport_ == Transport::kUnix
               ? CanConnect(reinterpret_cast<const sockaddr*>(&on_unix), sizeof(on_unix))
               : CanConnect(reinterpret_cast<const sockaddr*>(&on_tcp), sizeof(on_tcp)))) {
    if (HasEnded(process)) Die("a server ended: " + Content(log_path));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

ServerProcess::ServerProcess(const Bench& bench, const Home& home, const ServerSettings& settings)
    : address_(bench, settings.transport, settings.principals),
      log_path_(home.folder() + "/log"),
      child_({bench.strongroomd, "--config", WriteConfig(home, address_, settings)}, "/dev/null",
             log_path_, Joined(home.environment(), settings.environment)) {
  address_.WaitUntilListening(child_.pid(), log_path_);
}

Target ServerProcess::target(const std::string& principal) const {
  Target target = address_.TargetOf(principal);
  target.process = child_.pid();
  return target;
}

std::string ServerProcess::CreateKey() const {
  v1::CreateKeyResponse response;
  response.ParseFromString(
      CallOnce(target(), {"/strongroom.v1.KeyManagementService/CreateKey", "", nullptr}));
  return response.key().key_id();
}

void ServerProcess::WaitUntilIdle() const {
  constexpr std::chrono::milliseconds kLook(300);
  constexpr double kIdle = 0.03;
  double used = CpuSecondsOf(child_.pid());
  while (true) {
    const auto begin = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(kLook);
    const double now = CpuSecondsOf(child_.pid());
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    if (now - used < kIdle * passed.count()) return;
    used = now;
  }
}

std::string ServerProcess::Log() const { return Content(log_path_); }

void ServerProcess::Stop() {
  child_.Signal(SIGTERM);
  child_.Wait();
}

void ServerProcess::Kill() {
  child_.Signal(SIGKILL);
  child_.Wait();
}

EchoProcess::EchoProcess(const Bench& bench, Transport transport, ThreadingModel model, int workers,
                         EchoWork work)
    : address_(bench, transport, {"bench"}),
      task_(bench, "echo",
            {{"transport", NameOf(transport)},
             {"socket", address_.SocketOf("bench")},
             {"tcp", address_.tcp()},
             {"certificate", address_.certificate_path()},
             {"private_key", address_.private_key_path()},
             {"client_ca", address_.client_ca_path()},
             {"model", NameOf(model)},
             {"workers", workers},
             {"microseconds", work.microseconds},
             {"sleeps", work.sleeps}}) {
  address_.WaitUntilListening(task_.pid(), task_.log_path());
}

Target EchoProcess::target() const {
  Target target = address_.TargetOf("bench");
  target.process = task_.pid();
  return target;
}

}  // namespace strongroom::bench
