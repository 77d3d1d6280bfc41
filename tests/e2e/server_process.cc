#include "tests/e2e/server_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace strongroom::e2e {
namespace {

// For what takes a fraction of a second, and longer with a sanitizer.
constexpr int kAttempts = 120;
constexpr std::chrono::seconds kAttempt(1);

std::string Config(const testing::SoftHsmToken& token, const std::string& socket,
                   int concurrent_pair_generations) {
  return absl::StrCat("listen:\n  unix:\n    - path: ", socket,
                      "\n      principal: soak\n"
                      "policy:\n  - {principals: [soak], operations: [\"*\"]}\n"
                      "audit:\n  directory: ",
                      token.directory(),
                      "/audit\n"
                      "token:\n  module: ",
                      testing::kSoftHsmModule, "\n  token: ", token.label(),
                      "\n  pin_file: ", token.pin_file(), "\nstore:\n  path: ", token.directory(),
                      "/strongroom.db\nlimits:\n  concurrent_pair_generations: ",
                      concurrent_pair_generations, "\n");
}

// The last lines of a log.
std::string Tail(const std::vector<std::string>& lines) {
  constexpr size_t kMost = 50;
  return absl::StrJoin(lines.end() - static_cast<ptrdiff_t>(std::min(kMost, lines.size())),
                       lines.end(), "\n");
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const testing::SoftHsmToken& token, int concurrent_pair_generations) {
  // A unix socket's path has at most 107 bytes, which Bazel's folders use up.
  std::string sockets = "/tmp/strongroom-XXXXXX";
  if (mkdtemp(sockets.data()) == nullptr) return absl::InternalError("cannot make a folder");
  auto server = std::unique_ptr<ServerProcess>(
      new ServerProcess(token.directory() + "/strongroomd.log", sockets));
  const std::string config_path = token.directory() + "/strongroomd.yaml";
  std::ofstream(config_path) << Config(token, server->socket_path(), concurrent_pair_generations);
  if (absl::Status status = server->Spawn(config_path); !status.ok()) return status;
  if (absl::Status status = server->WaitUntilServing(); !status.ok()) return status;
  return server;
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::filesystem::remove_all(socket_directory_);
}

absl::Status ServerProcess::Spawn(const std::string& config_path) {
  const char* runfiles = getenv("TEST_SRCDIR");
  std::string binary =
      absl::StrCat(runfiles != nullptr ? runfiles : ".", "/strongroom/server/strongroomd");
  std::string option = "--config";
  std::string config = config_path;
  const std::array<char*, 4> arguments = {binary.data(), option.data(), config.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path_.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int error =
      posix_spawn(&pid_, binary.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return absl::OkStatus();
  pid_ = -1;
  return absl::InternalError(absl::StrCat("cannot start ", binary, ": ", strerror(error)));
}

absl::Status ServerProcess::WaitUntilServing() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  const auto health = grpc::health::v1::Health::NewStub(
      grpc::CreateCustomChannel(target(), grpc::InsecureChannelCredentials(), arguments));
  for (int i = 0; i < kAttempts; ++i) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + kAttempt);
    grpc::health::v1::HealthCheckResponse answer;
    if (health->Check(&context, {}, &answer).ok()) return absl::OkStatus();
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      break;
    }
  }
  std::ifstream log(log_path_);
  return absl::InternalError(absl::StrCat("the server does not serve:\n",
                                          std::string(std::istreambuf_iterator<char>(log), {})));
}

void ServerProcess::Terminate() { kill(pid_, SIGTERM); }

absl::Status ServerProcess::WaitForGoodEnd() {
  int ended = 0;
  waitpid(pid_, &ended, 0);
  pid_ = -1;
  std::vector<std::string> lines;
  std::ifstream log(log_path_);
  for (std::string line; std::getline(log, line);) lines.push_back(line);
  const bool only_log_lines = std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StartsWith(line, "{");
  });
  if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0 && only_log_lines) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the server ended with wait status ", ended, ":\n", Tail(lines)));
}

}  // namespace strongroom::e2e
