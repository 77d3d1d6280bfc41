// Measures GenerateDataKey of a real strongroomd on SoftHSM against two limits in the same run: an
// RPC of the same sizes that does nothing, in three threading models, and the token's own seals
// without any RPC; further what the audit trail costs, what one principal notices of another, and
// signing with an opened key against the token's own signatures.
// tests/bench/run.sh builds it optimized and runs it.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hsm/token.h"
#include "tests/bench/audit.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/load.h"
#include "tests/bench/neighbour.h"
#include "tests/bench/server_process.h"
#include "tests/bench/signing.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

struct Settings {
  std::string self;
  std::string server = "server/strongroomd";
  std::string json_path;
  // Only these of the figures.
  std::set<std::string> parts = {"limits", "audit", "neighbour", "signing"};
  milliseconds duration{1000};
  int rounds = 5;
};

// Seals with nothing around them: an IV and a key drawn, one AES-GCM, on each of `threads` threads.
LoadResult RawSeals(hsm::Token& token, const hsm::VersionKeys& keys, int threads,
                    milliseconds duration) {
  std::vector<int64_t> counts(static_cast<size_t>(threads), 0);
  std::vector<std::thread> pool;
  for (int64_t& count : counts) {
    pool.emplace_back([&token, &keys, &count, duration] {
      const std::vector<uint8_t> aad(57, 1);
      const auto end = std::chrono::steady_clock::now() + duration;
      while (std::chrono::steady_clock::now() < end) {
        hsm::Iv iv;
        std::array<uint8_t, 32> key;
        if (!token.GenerateRandom(absl::MakeSpan(iv), kNoDeadline).ok() ||
            !token.GenerateRandom(absl::MakeSpan(key), kNoDeadline).ok() ||
            !token.Seal(keys, iv, aad, key, kNoDeadline).ok()) {
          Die("a raw seal failed");
        }
        ++count;
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
  int64_t sum = 0;
  for (int64_t count : counts) sum += count;
  LoadResult result;
  result.calls_per_second =
      static_cast<double>(sum) / std::chrono::duration<double>(duration).count();
  return result;
}

// A server to be measured: strongroomd with this many lanes, or the command of an echo server.
struct Subject {
  std::string name;
  int lanes = 0;
  std::vector<std::string> echo = {};
};

// What the server is measured against.
class LimitsBench {
 public:
  explicit LimitsBench(const Bench& bench);
  void RunRound(const Bench& bench);
  // Not with a server running, for SoftHSM must not see another process while this one holds its
  // token.
  void RunRawSeals(const Bench& bench, int rounds);
  // A table for people, and a JSON array.
  void Report(std::ostream& table, std::ostream& json);

 private:
  std::vector<Subject> subjects_;
  std::map<std::string, Figure> figures_;
};

LimitsBench::LimitsBench(const Bench& bench) {
  const auto echo = [&](const std::string& model, int workers, int work_us, bool sleeps) {
    return std::vector<std::string>{bench.self,
                                    "--echo",
                                    bench.SocketOf("bench"),
                                    model,
                                    std::to_string(workers),
                                    std::to_string(work_us),
                                    sleeps ? "1" : "0"};
  };
  subjects_ = {
      {"empty RPC, sync", 0, echo("sync", 0, 0, false)},
      {"empty RPC, callback inline", 0, echo("callback", 0, 0, false)},
      {"empty RPC, callback and 2 workers", 0, echo("workers", 2, 0, false)},
      {"25 us of processor, sync", 0, echo("sync", 0, 25, false)},
      {"25 us of processor, callback inline", 0, echo("callback", 0, 25, false)},
      {"25 us of processor, callback and 2 workers", 0, echo("workers", 2, 25, false)},
      {"1 ms of waiting, sync", 0, echo("sync", 0, 1000, true)},
      {"1 ms of waiting, callback inline", 0, echo("callback", 0, 1000, true)},
      {"1 ms of waiting, callback and 64 workers", 0, echo("workers", 64, 1000, true)},
  };
  for (int lanes : {2, 3, 8}) {
    subjects_.push_back({absl::StrCat("GenerateDataKey, ", lanes, " lanes"), lanes});
  }
}

void LimitsBench::RunRound(const Bench& bench) {
  for (const Subject& subject : subjects_) {
    std::unique_ptr<Child> echo;
    std::unique_ptr<ServerProcess> server;
    std::string key_id(36, 'k');
    if (subject.lanes > 0) {
      ServerSettings settings;
      settings.lanes = subject.lanes;
      server = std::make_unique<ServerProcess>(bench, settings);
      key_id = server->CreateKey();
    } else {
      echo = std::make_unique<Child>(subject.echo, bench.token.directory() + "/log");
    }
    for (int in_flight : {1, 16, 64}) {
      const LoadResult result =
          LoadGenerateDataKey(bench.SocketOf("bench"), key_id, in_flight, bench.duration);
      if (result.failures > 0 || result.refused_per_second > 0) {
        Die(subject.name + ": calls failed: " + result.failure);
      }
      figures_[absl::StrCat(subject.name, ", ", in_flight, " in flight")].runs.push_back(result);
    }
  }
}

void LimitsBench::RunRawSeals(const Bench& bench, int rounds) {
  hsm::TokenOptions options = bench.token.options();
  options.lanes = 8;
  auto token = hsm::Token::Open(options);
  if (!token.ok()) Die(std::string(token.status().message()));
  auto keys = (*token)->CreateVersionKeys(hsm::ObjectId{1}, kNoDeadline);
  if (!keys.ok()) Die(std::string(keys.status().message()));
  for (int round = 0; round < rounds; ++round) {
    for (int threads : {1, 2, 8}) {
      figures_[absl::StrCat("raw seals, ", threads, " threads")].runs.push_back(
          RawSeals(**token, keys->keys, threads, bench.duration));
    }
  }
}

void LimitsBench::Report(std::ostream& table, std::ostream& json) {
  table << absl::StrFormat("%-48s %8s  %18s %7s %8s  %5s\n", "", "a second", "least..most",
                           "p50 us", "p99 us", "ratio");
  const char* separator = "[\n";
  const auto report = [&](const std::string& name, double limit) {
    const Figure& figure = figures_[name];
    const Spread rate = figure.Of(&LoadResult::calls_per_second);
    const double p50 = figure.Of(&LoadResult::p50_us).median;
    const double p99 = figure.Of(&LoadResult::p99_us).median;
    table << absl::StrFormat("%-48s %8.0f  %8.0f..%-8.0f %7.0f %8.0f  %5.2f\n", name, rate.median,
                             rate.least, rate.most, p50, p99, rate.median / limit);
    json << separator
         << absl::StrFormat(
                "{\"name\":\"%s\",\"per_second\":%.1f,\"least\":%.1f,\"most\":%.1f,"
                "\"p50_us\":%.1f,\"p99_us\":%.1f,\"ratio\":%.3f}",
                name, rate.median, rate.least, rate.most, p50, p99, rate.median / limit);
    separator = ",\n";
  };
  const auto median = [&](const std::string& name) {
    return figures_[name].Of(&LoadResult::calls_per_second).median;
  };
  for (int in_flight : {1, 16, 64}) {
    const std::string suffix = absl::StrCat(", ", in_flight, " in flight");
    const double limit = median("empty RPC, callback and 2 workers" + suffix);
    for (const Subject& subject : subjects_) report(subject.name + suffix, limit);
  }
  const double raw = median("raw seals, 1 threads");
  for (int threads : {1, 2, 8}) report(absl::StrCat("raw seals, ", threads, " threads"), raw);
  json << "\n]";
  table << "ratio: to the empty RPC with callback and 2 workers and as many in flight; of raw "
           "seals, to one thread\n";
}

int Run(const Settings& settings) {
  const auto token = testing::SoftHsmToken::Create();
  if (!token.ok()) Die(std::string(token.status().message()));
  char socket_folder[] = "/tmp/strongroom-bench.XXXXXX";
  if (mkdtemp(socket_folder) == nullptr) Die("cannot make a folder in /tmp");
  const Bench bench{settings.self, settings.server, *token, socket_folder, settings.duration};
  const auto measures = [&](const char* part) { return settings.parts.contains(part); };

  LimitsBench limits(bench);
  AuditBench audit;
  NeighbourBench neighbour;
  // Round by round, so that a machine that changes its speed changes it for all.
  for (int round = 0; round < settings.rounds; ++round) {
    if (measures("limits")) limits.RunRound(bench);
    if (measures("audit")) audit.RunRound(bench);
    if (measures("neighbour")) neighbour.RunRound(bench);
  }
  std::filesystem::remove_all(socket_folder);
  if (measures("limits")) limits.RunRawSeals(bench, settings.rounds);
  SigningBench signing;
  if (measures("signing")) signing.Run(settings.rounds, settings.duration);

  std::ofstream json;
  if (!settings.json_path.empty()) json.open(settings.json_path);
  const char* separator = "{";
  const auto report = [&](const char* part, auto& figures) {
    if (!measures(part)) return;
    json << separator << "\"" << part << "\":";
    figures.Report(std::cout, json);
    separator = ",\n";
  };
  report("limits", limits);
  report("audit", audit);
  report("neighbour", neighbour);
  report("signing", signing);
  json << "}\n";
  return 0;
}

int Main(int argc, char** argv) {
  if (argc == 7 && std::string(argv[1]) == "--echo") {
    const std::map<std::string, ThreadingModel> models = {
        {"sync", ThreadingModel::kSync},
        {"callback", ThreadingModel::kCallbackInline},
        {"workers", ThreadingModel::kCallbackWorkers}};
    ServeEcho(argv[2], models.at(argv[3]), std::atoi(argv[4]),
              std::chrono::microseconds(std::atoi(argv[5])), std::atoi(argv[6]) != 0);
  }
  if (argc == 7 && std::string(argv[1]) == "--noise") {
    return NeighbourBench::RunNoise(std::vector<std::string>(argv + 2, argv + argc));
  }
  Settings settings;
  settings.self = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      settings.duration = milliseconds(100);
      settings.rounds = 1;
    } else if (word == "--json" && i + 1 < argc) {
      settings.json_path = argv[++i];
    } else if (word == "--rounds" && i + 1 < argc) {
      settings.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (word == "--part" && i + 1 < argc && Settings().parts.contains(argv[i + 1])) {
      settings.parts = {argv[++i]};
    } else if (word == "--server" && i + 1 < argc) {
      settings.server = argv[++i];
    } else {
      Die("usage: data_key_bench [--quick] [--rounds N] [--part limits|audit|neighbour|signing] "
          "[--json FILE] [--server STRONGROOMD]");
    }
  }
  return Run(settings);
}

}  // namespace
}  // namespace strongroom::bench

int main(int argc, char** argv) { return strongroom::bench::Main(argc, argv); }
