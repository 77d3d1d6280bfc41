#include "server/config/config.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "platform/files.h"
#include "server/config/yaml_reader.h"

namespace strongroom {
namespace {

constexpr int kMaxLanes = 1024;
constexpr int kMaxPairGenerations = 256;
constexpr int kMaxConnections = 100'000;
constexpr int kMaxStreams = 10'000;
constexpr int kMaxShutdownGrace = 600;
constexpr size_t kMaxPrincipal = 256;

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

bool IsPrincipal(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxPrincipal &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isgraph(c); });
}

Config::UnixSocket ReadUnixSocket(YamlReader socket) {
  Config::UnixSocket result;
  result.path = socket.RequiredPath("path");
  result.principal = socket.RequiredText("principal");
  if (!result.principal.empty() && !IsPrincipal(result.principal)) {
    socket.Fail("principal", "has to be 1 to 256 printable characters without blanks");
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

LogLevel ReadLogLevel(YamlReader& log) {
  const std::string level = log.OptionalText("level", "info");
  if (level == "debug") return LogLevel::kDebug;
  if (level == "info") return LogLevel::kInfo;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  log.Fail("level", absl::StrCat("is \"", level, "\"; valid are debug, info, warning and error"));
  return LogLevel::kInfo;
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
  config.connections =
      static_cast<int>(limits.OptionalInt("connections", 1000, 1, kMaxConnections));
  config.streams_per_connection =
      static_cast<int>(limits.OptionalInt("streams_per_connection", 100, 1, kMaxStreams));
  limits.RefuseOthers();

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
