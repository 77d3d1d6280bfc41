#include "tests/bench/server_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"

extern char** environ;

namespace strongroom::bench {
namespace {

std::string WriteConfig(const Bench& bench, const ServerSettings& settings) {
  const testing::SoftHsmToken& token = bench.token;
  const std::string path = absl::StrCat(token.directory(), "/strongroomd.yaml");
  std::ofstream file(path);
  file << "development: " << (settings.trail ? "false" : "true") << "\nlisten:\n  unix:\n";
  for (const std::string& principal : settings.principals) {
    file << "    - {path: " << bench.SocketOf(principal) << ", principal: " << principal << "}\n";
  }
  file << "policy:\n  - {principals: [" << absl::StrJoin(settings.principals, ", ")
       << "], operations: [\"*\"]}\n";
  if (settings.trail) {
    file << "audit:\n  directory: " << token.directory() << "/audit\n" << settings.audit;
  }
  file << "token:\n  module: " << testing::kSoftHsmModule << "\n  token: " << token.label()
       << "\n  pin_file: " << token.pin_file() << "\n  lanes: " << settings.lanes
       << "\nstore:\n  path: " << token.directory() << "/strongroom.db\n"
       << settings.limits << "log:\n  level: warning\n";
  return path;
}

}  // namespace

void Die(const std::string& what) {
  std::cerr << "data_key_bench: " << what << "\n";
  std::_Exit(1);
}

Child::Child(const std::vector<std::string>& command, const std::string& log_path) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) {
    Die("cannot start " + command[0]);
  }
  posix_spawn_file_actions_destroy(&actions);
}

Child::~Child() {
  if (pid_ == 0) return;
  kill(pid_, SIGTERM);
  Wait();
}

int Child::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return status;
}

ServerProcess::ServerProcess(const Bench& bench, const ServerSettings& settings)
    : socket_path_(bench.SocketOf(settings.principals.front())),
      child_({bench.server, "--config", WriteConfig(bench, settings)},
             absl::StrCat(bench.token.directory(), "/log")) {}

std::string ServerProcess::CreateKey() const {
  const auto channel =
      grpc::CreateChannel("unix:" + socket_path_, grpc::InsecureChannelCredentials());
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto stub = v1::KeyManagementService::NewStub(channel);
  grpc::ClientContext context;
  v1::CreateKeyResponse response;
  const grpc::Status status = stub->CreateKey(&context, v1::CreateKeyRequest(), &response);
  if (!status.ok()) Die("CreateKey: " + status.error_message());
  return response.key().key_id();
}

}  // namespace strongroom::bench
