#ifndef STRONGROOM_TESTS_E2E_SERVER_PROCESS_H_
#define STRONGROOM_TESTS_E2E_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testing/softhsm.h"

namespace strongroom::e2e {

// strongroomd as a process of its own, on one unix socket. Built with a sanitizer, so is it.
class ServerProcess {
 public:
  // Returns when it serves. Its store is in the token's folder, so that a server started after
  // another has ended goes on with that one's keys. `token` outlives it.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const testing::SoftHsmToken& token,
                                                              int concurrent_pair_generations);
  // Kills it, if it runs.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // For grpc::CreateChannel.
  std::string target() const { return "unix:" + socket_path(); }

  // Sends SIGTERM.
  void Terminate();
  // INTERNAL, with the end of its log, if it ended other than with exit code 0, or wrote anything
  // but log lines to standard error, as a sanitizer does.
  absl::Status WaitForGoodEnd();

 private:
  ServerProcess(std::string log_path, std::string socket_directory)
      : log_path_(std::move(log_path)), socket_directory_(std::move(socket_directory)) {}

  std::string socket_path() const { return socket_directory_ + "/socket"; }
  absl::Status Spawn(const std::string& config_path);
  absl::Status WaitUntilServing();

  const std::string log_path_;
  const std::string socket_directory_;
  pid_t pid_ = -1;
};

}  // namespace strongroom::e2e

#endif  // STRONGROOM_TESTS_E2E_SERVER_PROCESS_H_
