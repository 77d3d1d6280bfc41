#include "server/daemon.h"

#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "server/core/data_keys.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/material_import.h"
#include "server/core/pair_reservoir.h"
#include "server/core/private_keys.h"
#include "server/gate/audit/trail.h"
#include "server/gate/authority.h"
#include "server/gate/client_certificates.h"
#include "server/gate/gate.h"
#include "server/gate/identity.h"
#include "server/gate/rate_limiter.h"
#include "server/gate/upkeep.h"
#include "server/grpc/server.h"
#include "server/grpc/tls_files.h"
#include "server/grpc/tls_version.h"
#include "server/grpc/workers.h"
#include "server/store/sqlite_store.h"
#include "server/version.h"

namespace strongroom {
namespace {

absl::Status Prefixed(absl::string_view prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

grpc_server::ServerOptions ServerOptionsOf(const Config& config) {
  grpc_server::ServerOptions options;
  grpc_server::ListenerOptions& listeners = options.listeners;
  for (const Config::UnixSocket& socket : config.unix_sockets) {
    listeners.unix_listeners.push_back({socket.path, socket.mode});
  }
  for (const Config::Tcp& tcp : config.tcp) listeners.tcp_listeners.push_back({tcp.address});
  listeners.reflection = config.reflection;
  listeners.connections = config.connections;
  listeners.streams_per_connection = config.streams_per_connection;
  options.workers = config.token.lanes;
  return options;
}

// A token that computes in this process answers sooner than a call can be handed to a worker. One
// that is a device or behind a network would keep gRPC's threads waiting, and so would a disk.
int QuickCalls(const Config& config, const hsm::TokenInfo& token) {
  const bool waits_for_disk = config.audit.has_value() && config.audit->sync_always;
  if (!token.is_in_process() || waits_for_disk) return 0;
  return grpc_server::SpareGrpcThreads();
}

// Keeps the audit trail's head in the store.
class StoreHeadKeeper final : public audit::Trail::HeadKeeper {
 public:
  explicit StoreHeadKeeper(store::Store& store) : store_(store) {}

  absl::StatusOr<std::optional<audit::Head>> Load() override {
    const absl::StatusOr<std::optional<store::AuditHead>> head = store_.GetAuditHead();
    if (!head.ok()) return head.status();
    if (!head->has_value()) return std::nullopt;
    return audit::Head{(*head)->sequence, (*head)->hash};
  }
  absl::Status Save(const audit::Head& head) override {
    return store_.SetAuditHead({head.sequence, head.hash});
  }

 private:
  store::Store& store_;
};

audit::Trail::Options TrailOptionsOf(const Config::Audit& config) {
  audit::Trail::Options options;
  options.directory = config.directory;
  options.fsync =
      config.sync_always ? audit::Trail::Fsync::kAlways : audit::Trail::Fsync::kInterval;
  options.fsync_interval = absl::FromChrono(config.sync_interval);
  options.seal_interval = absl::FromChrono(config.seal_interval);
  options.max_file_bytes = config.max_file_bytes;
  options.max_file_age = absl::FromChrono(config.max_file_age);
  options.server_version = kServerVersion;
  return options;
}

// How long a seal may keep the token busy before it is tried again later.
constexpr std::chrono::seconds kLongestSealing(10);

gate::IdentityPolicy IdentitiesOf(const Config& config,
                                  const gate::ClientCertificates& certificates) {
  std::map<std::string, std::string> principals;
  for (const Config::UnixSocket& socket : config.unix_sockets) {
    principals[socket.path] = socket.principal;
  }
  return gate::IdentityPolicy(std::move(principals), config.development, &certificates);
}

}  // namespace

// In the order of need, so that what is needed goes last.
struct Daemon::Parts {
  Parts(const Config& config, const Clock& clock)
      : client_certificates(clock), identities(IdentitiesOf(config, client_certificates)) {}

  std::unique_ptr<store::SqliteStore> store;
  std::unique_ptr<hsm::Token> token;
  std::unique_ptr<core::KeyRing> keys;
  std::unique_ptr<core::KeyLife> key_life;
  std::unique_ptr<core::MaterialImport> imports;
  // Null if pairs are generated when they are asked for only.
  std::unique_ptr<core::PairReservoir> reservoir;
  std::unique_ptr<core::DataKeys> data_keys;
  std::unique_ptr<core::PrivateKeys> private_keys;
  gate::ClientCertificates client_certificates;
  std::unique_ptr<grpc_server::TlsFiles> tls;
  const gate::IdentityPolicy identities;
  std::unique_ptr<gate::Authority> authority;
  std::unique_ptr<gate::RateLimiter> rate_limiter;
  std::unique_ptr<StoreHeadKeeper> head_keeper;
  // Null if none is kept.
  std::unique_ptr<audit::Trail> trail;
  std::unique_ptr<gate::Gate> gate;
  std::unique_ptr<gate::Upkeep> upkeep;
  std::unique_ptr<grpc_server::Server> server;
  std::chrono::seconds shutdown_grace{0};
};

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config, Log& log,
                                                      const Clock& clock) {
  auto parts = std::make_unique<Parts>(config, clock);
  parts->shutdown_grace = config.shutdown_grace;
  grpc_server::ServerOptions options = ServerOptionsOf(config);
  if (config.tls.has_value()) {
    if (absl::Status status = grpc_server::RequireTls13(); !status.ok()) return status;
    auto tls = grpc_server::TlsFiles::Open({config.tls->certificate, config.tls->private_key,
                                            config.tls->client_ca, config.tls->client_crl},
                                           parts->client_certificates, clock, log);
    if (!tls.ok()) return tls.status();
    parts->tls = *std::move(tls);
    options.listeners.tls = parts->tls.get();
  }

  // The store first: its lock tells whether another server is running, before a PIN is used.
  auto store = store::SqliteStore::Open(config.store_path);
  if (!store.ok()) return Prefixed("store", store.status());
  parts->store = *std::move(store);

  auto token = hsm::Token::Open(
      {config.token.module, config.token.token, config.token.pin_file, config.token.lanes});
  if (!token.ok()) return Prefixed("token", token.status());
  parts->token = *std::move(token);
  const hsm::TokenInfo& info = parts->token->info();
  options.quick_calls = QuickCalls(config, info);

  core::KeyRingReport report;
  auto keys = core::KeyRing::Open(*parts->store, *parts->token, clock, config.uses, report);
  if (!keys.ok()) return Prefixed("keys", keys.status());
  parts->keys = *std::move(keys);
  for (const std::string& unusable : report.unusable) {
    log.Write(LogLevel::kError, "key_version_unusable", {{"detail", unusable}});
  }
  const auto lines = static_cast<int64_t>(report.unusable.size());
  if (report.unusable_versions > lines) {
    log.Write(LogLevel::kError, "key_versions_unusable",
              {{"more", report.unusable_versions - lines},
               {"detail",
                "no more than the first have lines of their own; keys whose primary "
                "version it is are listed and described as UNAVAILABLE"}});
  }
  parts->key_life = std::make_unique<core::KeyLife>(*parts->keys, *parts->store, *parts->token,
                                                    clock, config.key_life);
  parts->imports =
      std::make_unique<core::MaterialImport>(*parts->keys, *parts->store, *parts->token, clock);
  if (config.reservoir.has_value()) {
    parts->reservoir = std::make_unique<core::PairReservoir>(*parts->token, parts->store->id(), log,
                                                             *config.reservoir);
  }
  parts->data_keys = std::make_unique<core::DataKeys>(
      *parts->keys, *parts->token, config.concurrent_pair_generations, parts->reservoir.get());
  parts->private_keys =
      std::make_unique<core::PrivateKeys>(*parts->keys, *parts->token, config.private_keys);

  if (absl::Status status = parts->token->PrepareMacKeys(kNoDeadline); !status.ok()) {
    return Prefixed("token: MAC keys", status);
  }
  parts->authority = std::make_unique<gate::Authority>(*parts->store, *parts->token, *parts->keys,
                                                       clock, log, config.policy);
  auto rate_limiter = gate::RateLimiter::Create(config.rates);
  if (!rate_limiter.ok()) return Prefixed("limits.rates", rate_limiter.status());
  parts->rate_limiter = *std::move(rate_limiter);

  if (config.audit.has_value()) {
    parts->head_keeper = std::make_unique<StoreHeadKeeper>(*parts->store);
    hsm::Token& sealing_token = *parts->token;
    auto trail = audit::Trail::Open(
        TrailOptionsOf(*config.audit),
        [&sealing_token](absl::Span<const uint8_t> message) {
          return sealing_token.ComputeMac(hsm::MacPurpose::kAuditSeal, message,
                                          std::chrono::steady_clock::now() + kLongestSealing);
        },
        *parts->head_keeper, clock, log);
    if (!trail.ok()) return Prefixed("audit", trail.status());
    parts->trail = *std::move(trail);
  } else {
    log.Write(LogLevel::kWarning, "no_audit_trail",
              {{"detail", "this is development: calls are logged, and nothing keeps them"}});
  }
  parts->gate = std::make_unique<gate::Gate>(
      gate::Gate::Parts{parts->identities, *parts->rate_limiter, *parts->authority,
                        parts->trail.get(), *parts->data_keys, log});

  parts->upkeep = std::make_unique<gate::Upkeep>(
      gate::Upkeep::Parts{*parts->keys, *parts->key_life, *parts->imports, *parts->private_keys,
                          *parts->authority, parts->trail.get(), log});
  auto server = grpc_server::Server::Start(
      options,
      {*parts->gate, *parts->authority, *parts->data_keys, *parts->private_keys, *parts->keys,
       *parts->key_life, *parts->imports, parts->trail.get()},
      log);
  if (!server.ok()) return Prefixed("listen", server.status());
  parts->server = *std::move(server);

  parts->upkeep->Start();
  // Now that calls are answered: what it loads nobody waits for.
  if (parts->reservoir != nullptr) parts->reservoir->Start();

  log.Write(LogLevel::kInfo, "started",
            {{"token_label", info.label},
             {"token_serial", info.serial},
             {"token_model", info.model},
             {"lanes", config.token.lanes},
             {"key_versions", report.versions},
             {"key_versions_unusable", report.unusable_versions},
             {"key_versions_reaped", report.reaped},
             {"key_versions_unknown", report.unknown}});
  for (const Config::UnixSocket& socket : config.unix_sockets) {
    log.Write(LogLevel::kInfo, "listening",
              {{"address", absl::StrCat("unix:", socket.path)}, {"principal", socket.principal}});
  }
  for (const std::string& address : parts->server->tcp_addresses()) {
    log.Write(LogLevel::kInfo, "listening",
              {{"address", address}, {"security", config.tls.has_value() ? "tls" : "none"}});
  }
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Daemon::~Daemon() { parts_->server->Shutdown(parts_->shutdown_grace); }

const std::vector<std::string>& Daemon::tcp_addresses() const {
  return parts_->server->tcp_addresses();
}

}  // namespace strongroom
