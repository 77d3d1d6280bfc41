#ifndef STRONGROOM_SERVER_CONFIG_CONFIG_H_
#define STRONGROOM_SERVER_CONFIG_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/core/key_life.h"
#include "server/core/pair_reservoir.h"
#include "server/core/private_keys.h"
#include "server/core/use_budget.h"
#include "server/gate/policy.h"
#include "server/gate/rate_limiter.h"
#include "server/log/log.h"

namespace strongroom {

// What strongroomd is told in its configuration file. deploy/strongroomd.yaml describes each field.
struct Config {
  struct UnixSocket {
    std::string path;
    int mode = 0600;  // or 0660
    std::string principal;
  };
  struct Tcp {
    std::string address;  // host:port
  };
  struct Tls {
    std::string certificate;
    std::string private_key;
    std::string client_ca;
    std::string client_crl;  // empty: none
  };
  struct Token {
    std::string module;
    std::string token;
    std::string pin_file;
    int lanes = 0;
  };

  struct Audit {
    std::string directory;
    bool sync_always = false;
    std::chrono::milliseconds sync_interval{1000};
    std::chrono::seconds seal_interval{10};
    int64_t max_file_bytes = 0;
    std::chrono::hours max_file_age{24};
  };

  // Allows plaintext TCP, on loopback, and no audit trail.
  bool development = false;
  // What holds for every key, and for operations without one.
  gate::Policy policy;
  std::optional<Audit> audit;
  gate::RateLimiterOptions rates;
  std::vector<UnixSocket> unix_sockets;
  std::vector<Tcp> tcp;
  std::optional<Tls> tls;
  Token token;
  std::string store_path;
  core::KeyLife::Options key_life;
  core::UseLimits uses;
  core::PrivateKeys::Options private_keys;
  // None if pairs are generated when they are asked for only.
  std::optional<core::PairReservoir::Options> reservoir;
  int concurrent_pair_generations = 1;
  int connections = 1000;
  int streams_per_connection = 100;
  bool reflection = true;
  LogLevel log_level = LogLevel::kInfo;
  std::chrono::seconds shutdown_grace{10};
};

// Reads the file at `path`. INVALID_ARGUMENT with every mistake at once, a line each:
// "FILE:LINE: FIELD: what is wrong, and what would be right".
absl::StatusOr<Config> LoadConfig(const std::string& path);

// The same for a text; `path` is only for the messages.
absl::StatusOr<Config> ParseConfig(const std::string& path, const std::string& yaml);

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_CONFIG_CONFIG_H_
