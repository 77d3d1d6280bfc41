#include "server/config/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "platform/files.h"
#include "server/config/yaml_reader.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/gate/operation.h"
#include "server/gate/principal.h"

namespace strongroom {
namespace {

constexpr int kMaxLanes = 1024;
constexpr int kMaxPairGenerations = 256;
constexpr int kMaxConnections = 100'000;
constexpr int kMaxStreams = 10'000;
constexpr int kMaxShutdownGrace = 600;
constexpr int kMaxRotationDays = 2560;
constexpr int kMaxUsesPerReservation = 1'000'000;
constexpr int kOpenedSeconds = 10;
constexpr int kMaxOpenedSeconds = 3600;
constexpr int kOpenedMost = 100;
constexpr int kMaxOpenedMost = 10'000;
constexpr int kMostWaitingPairs = 10'000;
constexpr double kMostRefillPerSecond = 1'000'000;
constexpr double kLeastRate = 0.001;
constexpr int kMostRate = 1000000;

// A token that computes by itself gains nothing from more lanes than processors; one behind a
// network wants more, and its operator says how many.
int DefaultLanes(int concurrent_pair_generations) {
  return std::max(2, static_cast<int>(std::thread::hardware_concurrency())) +
         concurrent_pair_generations;
}

// Not whatever begins with "127.": that can be a name, which stands for any address.
bool IsLoopback(const std::string& host) {
  in_addr address;
  return host == "localhost" || host == "[::1]" ||
         (inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

Config::UnixSocket ReadUnixSocket(YamlReader socket) {
  Config::UnixSocket result;
  result.path = socket.RequiredPath("path");
  result.principal = socket.RequiredText("principal");
  if (!result.principal.empty()) {
    absl::Status right = gate::CheckPrincipal("principal", result.principal);
    if (!right.ok()) {
      const std::string message = core::MessageOf(right);
      socket.Fail("principal", absl::StripPrefix(message, "principal: "));
    }
  }
  const std::string mode = socket.OptionalText("mode", "0600");
  if (mode == "0600" || mode == "600") {
    result.mode = 0600;
  } else if (mode == "0660" || mode == "660") {
    result.mode = 0660;
  } else {
    socket.Fail("mode", absl::StrCat("is \"", mode, "\"; valid are \"0600\" and \"0660\""));
  }
  socket.RefuseOthers();
  return result;
}

Config::Tcp ReadTcp(YamlReader listener, bool development, bool has_tls) {
  Config::Tcp result;
  result.address = listener.RequiredText("address");
  const size_t colon = result.address.rfind(':');
  int port = -1;
  if (!result.address.empty()) {
    if (colon == std::string::npos || colon == 0 ||
        !absl::SimpleAtoi(result.address.substr(colon + 1), &port) || port < 0 || port > 65535) {
      listener.Fail("address", absl::StrCat("is \"", result.address,
                                            "\"; a right one is HOST:PORT, e.g. 127.0.0.1:7443"));
    } else if (!has_tls && !development) {
      listener.Fail(
          "address",
          "needs a \"tls\" section (plaintext is only for development: true, on loopback)");
    } else if (!has_tls && !IsLoopback(result.address.substr(0, colon))) {
      listener.Fail("address",
                    absl::StrCat("is \"", result.address,
                                 "\"; plaintext is only for loopback (127.0.0.1, [::1]); "
                                 "add a \"tls\" section for others"));
    }
  }
  listener.RefuseOthers();
  return result;
}

// What is wrong with a statement is said of its own field.
void FailStatement(YamlReader& statement, const absl::Status& error) {
  // "policy[0].operations[1]: what is wrong", for each is checked by itself.
  const std::string whole = core::MessageOf(error);
  absl::string_view message = whole;
  absl::ConsumePrefix(&message, "policy[0].");
  const size_t field_end = message.find_first_of(".[:");
  const size_t what = message.find(": ");
  if (field_end == absl::string_view::npos || what == absl::string_view::npos) {
    statement.Fail("", message);
    return;
  }
  statement.Fail(std::string(message.substr(0, field_end)), message.substr(what + 2));
}

gate::Policy ReadPolicy(YamlReader& root) {
  std::vector<gate::StatementText> statements;
  bool right = true;
  for (YamlReader& reader : root.OptionalList("policy")) {
    gate::StatementText statement;
    statement.id = reader.OptionalText("id", "");
    statement.principals = reader.OptionalTexts("principals");
    statement.operations = reader.OptionalTexts("operations");
    YamlReader conditions = reader.OptionalMap("conditions");
    statement.conditions.equals = conditions.OptionalTextMap("equals");
    statement.conditions.subset = conditions.OptionalTextMap("subset");
    conditions.RefuseOthers();
    reader.RefuseOthers();
    const absl::Status alone = gate::Policy::Create("policy", {statement}).status();
    if (!alone.ok()) FailStatement(reader, alone);
    right = right && alone.ok();
    statements.push_back(std::move(statement));
  }
  if (!right) return gate::Policy();
  if (statements.empty()) {
    root.Fail("policy",
              "is required; name at least who administers, e.g. "
              "{principals: [spiffe://example.org/operator], operations: [\"*\"]}");
    return gate::Policy();
  }
  absl::StatusOr<gate::Policy> policy = gate::Policy::Create("policy", std::move(statements));
  if (policy.ok()) return *std::move(policy);
  root.Fail("policy", core::MessageOf(policy.status()));
  return gate::Policy();
}

gate::RateLimits ReadRateLimits(YamlReader& reader) {
  gate::RateLimits limits;
  for (size_t i = 0; i < gate::kOperationClasses; ++i) {
    const std::string name(gate::NameOf(static_cast<gate::OperationClass>(i)));
    const bool limited = reader.Has(name);
    YamlReader limit = reader.OptionalMap(name);
    if (!limited) continue;
    const double rate = limit.OptionalNumber("rate", 0, kLeastRate, kMostRate);
    if (!limit.Has("rate")) limit.Fail("rate", "is required");
    // A second's worth, if nothing is said.
    const int burst = static_cast<int>(
        limit.OptionalInt("burst", std::max(int64_t{1}, static_cast<int64_t>(rate)), 1, kMostRate));
    limits[i] = gate::RateLimit{rate, burst};
    limit.RefuseOthers();
  }
  return limits;
}

gate::RateLimiterOptions ReadRates(YamlReader& limits) {
  gate::RateLimiterOptions options;
  YamlReader rates = limits.OptionalMap("rates");
  YamlReader defaults = rates.OptionalMap("default");
  options.defaults = ReadRateLimits(defaults);
  defaults.RefuseOthers();
  for (YamlReader& reader : rates.OptionalList("principals")) {
    const std::string principal = reader.RequiredText("principal");
    if (!options.principals.insert({principal, ReadRateLimits(reader)}).second) {
      reader.Fail("principal", "is there twice");
    }
    reader.RefuseOthers();
  }
  rates.RefuseOthers();
  return options;
}

std::optional<Config::Audit> ReadAudit(YamlReader& root, bool development) {
  if (!root.Has("audit")) {
    root.OptionalMap("audit");
    if (!development) root.Fail("audit", "is required (it may be left out in development only)");
    return std::nullopt;
  }
  YamlReader reader = root.RequiredMap("audit");
  Config::Audit audit;
  audit.directory = reader.RequiredPath("directory");
  const std::string sync = reader.OptionalText("sync", "interval");
  if (sync != "interval" && sync != "always") {
    reader.Fail("sync", absl::StrCat("is \"", sync, "\"; valid are interval and always"));
  }
  audit.sync_always = sync == "always";
  audit.sync_interval =
      std::chrono::milliseconds(reader.OptionalInt("sync_interval_ms", 1000, 10, 60000));
  audit.seal_interval =
      std::chrono::seconds(reader.OptionalInt("seal_interval_seconds", 10, 1, 3600));
  audit.max_file_bytes = reader.OptionalInt("max_file_mib", 64, 1, 65536) * 1024 * 1024;
  audit.max_file_age = std::chrono::hours(reader.OptionalInt("max_file_hours", 24, 1, 8760));
  reader.RefuseOthers();
  return audit;
}

LogLevel ReadLogLevel(YamlReader& log) {
  const std::string level = log.OptionalText("level", "info");
  if (level == "debug") return LogLevel::kDebug;
  if (level == "info") return LogLevel::kInfo;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  log.Fail("level", absl::StrCat("is \"", level, "\"; valid are debug, info, warning and error"));
  return LogLevel::kInfo;
}

void ReadKeys(YamlReader& root, Config& config) {
  YamlReader keys = root.OptionalMap("keys");
  config.key_life.rotation_days = static_cast<int32_t>(
      keys.OptionalInt("rotation_period_days", config.key_life.rotation_days, 0, kMaxRotationDays));
  core::UseLimits& uses = config.uses;
  uses.most = keys.OptionalInt("max_uses", uses.most, 1, uses.most);
  uses.rotate_at = keys.OptionalInt("rotate_after_uses", std::max<int64_t>(uses.most / 2, 1), 1,
                                    core::UseLimits().most);
  if (uses.rotate_at > uses.most) {
    keys.Fail("rotate_after_uses",
              absl::StrCat("is ", uses.rotate_at, "; it has to be at most max_uses (", uses.most,
                           "), or a key is used up before it rotates"));
  }
  uses.block = keys.OptionalInt("uses_per_reservation", uses.block, 1, kMaxUsesPerReservation);
  YamlReader opened = keys.OptionalMap("opened_private_keys");
  config.private_keys.opened_for =
      absl::Seconds(opened.OptionalInt("seconds", kOpenedSeconds, 0, kMaxOpenedSeconds));
  config.private_keys.opened_at_most =
      static_cast<int>(opened.OptionalInt("most", kOpenedMost, 1, kMaxOpenedMost));
  opened.RefuseOthers();
  keys.RefuseOthers();
}

std::optional<core::PairReservoir::Options> ReadReservoir(YamlReader& root,
                                                          const std::string& store_path) {
  const bool there = root.Has("reservoir");
  YamlReader reservoir = root.OptionalMap("reservoir");
  if (!there) return std::nullopt;
  core::PairReservoir::Options options;
  options.path = reservoir.OptionalPath("path");
  if (!options.path.empty() && options.path == store_path) {
    reservoir.Fail("path", "is store.path; the reservoir needs a file of its own");
  }
  const bool has_pairs = reservoir.Has("pairs");
  YamlReader pairs = reservoir.OptionalMap("pairs");
  if (has_pairs) {
    options.pairs.clear();
    for (hsm::PairSpec spec : hsm::kAllPairSpecs) {
      const std::string name(core::NameOfPairSpec(spec));
      options.pairs[spec] = static_cast<int>(pairs.OptionalInt(name, 0, 0, kMostWaitingPairs));
    }
    pairs.RefuseOthers();
  }
  options.refill_per_second =
      reservoir.OptionalNumber("refill_per_second", 0, 0, kMostRefillPerSecond);
  if (options.refill_per_second > 0 && options.refill_per_second < kLeastRate) {
    reservoir.Fail("refill_per_second",
                   absl::StrCat("has to be 0 (no limit) or at least ", kLeastRate));
  }
  options.max_bytes = reservoir.OptionalInt("max_mib", options.max_bytes >> 20, 1, 65536) << 20;
  reservoir.RefuseOthers();
  return options;
}

Config ReadConfig(YamlReader root) {
  Config config;
  config.development = root.OptionalBool("development", false);
  config.reflection = root.OptionalBool("reflection", true);

  if (root.Has("tls")) {
    YamlReader tls = root.RequiredMap("tls");
    config.tls = Config::Tls{tls.RequiredPath("certificate"), tls.RequiredPath("private_key"),
                             tls.RequiredPath("client_ca"), tls.OptionalPath("client_crl")};
    tls.RefuseOthers();
  }

  YamlReader listen = root.RequiredMap("listen");
  std::set<std::string> paths;
  for (YamlReader& socket : listen.OptionalList("unix")) {
    config.unix_sockets.push_back(ReadUnixSocket(socket));
    const std::string& path = config.unix_sockets.back().path;
    if (!path.empty() && !paths.insert(path).second) {
      socket.Fail("path", "is listened on twice; a socket stands for one principal");
    }
  }
  for (YamlReader& listener : listen.OptionalList("tcp")) {
    config.tcp.push_back(ReadTcp(listener, config.development, config.tls.has_value()));
  }
  if (root.Has("listen") && config.unix_sockets.empty() && config.tcp.empty()) {
    root.Fail("listen", "names nothing to listen on; give it \"unix\" or \"tcp\" entries");
  }
  listen.RefuseOthers();

  YamlReader limits = root.OptionalMap("limits");
  config.concurrent_pair_generations = static_cast<int>(
      limits.OptionalInt("concurrent_pair_generations", 1, 1, kMaxPairGenerations));
  config.rates = ReadRates(limits);
  config.connections =
      static_cast<int>(limits.OptionalInt("connections", 1000, 1, kMaxConnections));
  config.streams_per_connection =
      static_cast<int>(limits.OptionalInt("streams_per_connection", 100, 1, kMaxStreams));
  limits.RefuseOthers();

  ReadKeys(root, config);

  config.policy = ReadPolicy(root);
  config.audit = ReadAudit(root, config.development);

  YamlReader token = root.RequiredMap("token");
  config.token.module = token.RequiredPath("module");
  config.token.token = token.RequiredText("token");
  config.token.pin_file = token.RequiredPath("pin_file");
  config.token.lanes = static_cast<int>(
      token.OptionalInt("lanes", DefaultLanes(config.concurrent_pair_generations), 1, kMaxLanes));
  if (config.token.lanes <= config.concurrent_pair_generations) {
    token.Fail("lanes",
               absl::StrCat("is ", config.token.lanes,
                            "; it has to be more than limits.concurrent_pair_generations (",
                            config.concurrent_pair_generations,
                            "), for pairs would keep everything else waiting"));
  }
  token.RefuseOthers();

  YamlReader store = root.RequiredMap("store");
  config.store_path = store.RequiredPath("path");
  store.RefuseOthers();

  config.reservoir = ReadReservoir(root, config.store_path);

  YamlReader log = root.OptionalMap("log");
  config.log_level = ReadLogLevel(log);
  log.RefuseOthers();

  config.shutdown_grace =
      std::chrono::seconds(root.OptionalInt("shutdown_grace_seconds", 10, 0, kMaxShutdownGrace));
  root.RefuseOthers();
  return config;
}

}  // namespace

absl::StatusOr<Config> ParseConfig(const std::string& path, const std::string& yaml) {
  YamlMistakes mistakes(path);
  const Config config = ReadConfig(YamlReader::Parse(yaml, mistakes));
  if (!mistakes.ok()) return mistakes.ToStatus();
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  absl::StatusOr<std::string> yaml = ReadFile(path);
  if (!yaml.ok()) return yaml.status();
  return ParseConfig(path, *yaml);
}

}  // namespace strongroom
