// strongroomd: the Strongroom key-management service. "strongroomd --help" says how to run it.

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <string>

#include "platform/process.h"
#include "platform/secret_bytes.h"
#include "server/config/config.h"
#include "server/daemon.h"
#include "server/grpc/library_log.h"
#include "server/log/log.h"
#include "server/version.h"

namespace {

constexpr char kHelp[] =
    "Strongroom key-management service.\n\n"
    "Stops on SIGTERM and SIGINT, after the calls under way.\n"
    "Exit codes (sysexits.h): 0 stopped as asked, 64 wrong arguments, 69 cannot start,\n"
    "77 the token does not accept the PIN (starting again could lock it), 78 wrong configuration.";

constexpr int kUsage = 64;
constexpr int kCannotStart = 69;
constexpr int kPinRefused = 77;
constexpr int kWrongConfiguration = 78;

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "strongroomd: " << status.message() << "\n";
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  strongroom::HardenProcess();
  const bool locked = strongroom::ReserveSecretMemory();

  CLI::App app(kHelp, "strongroomd");
  std::string config_path;
  bool check_only = false;
  app.add_option("--config", config_path, "The configuration file (YAML)")->required();
  app.add_flag("--check-config", check_only, "Check the configuration file and exit");
  app.set_version_flag("--version", std::string("strongroomd ") + strongroom::kServerVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }

  absl::StatusOr<strongroom::Config> config = strongroom::LoadConfig(config_path);
  if (!config.ok()) return Fail(config.status(), kWrongConfiguration);
  if (check_only) return 0;

  // Before any thread is started, so that all of them leave the signals to sigwait.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  strongroom::Log log(config->log_level);
  const strongroom::grpc_server::LibraryLog library_log(log);
  if (!locked) {
    log.Write(strongroom::LogLevel::kWarning, "memory_not_locked",
              {{"detail", "secrets could be swapped out; raise RLIMIT_MEMLOCK to 8 MiB"}});
  }
  const strongroom::SystemClock clock;
  auto daemon = strongroom::Daemon::Start(*config, log, clock);
  if (!daemon.ok()) {
    return Fail(daemon.status(),
                absl::IsPermissionDenied(daemon.status()) ? kPinRefused : kCannotStart);
  }
  strongroom::NotifyServiceManager("READY=1");

  int signal = 0;
  sigwait(&signals, &signal);
  strongroom::NotifyServiceManager("STOPPING=1");
  log.Write(strongroom::LogLevel::kInfo, "stopping", {{"signal", int64_t{signal}}});
  daemon->reset();
  log.Write(strongroom::LogLevel::kInfo, "stopped", {});
  return 0;
}
