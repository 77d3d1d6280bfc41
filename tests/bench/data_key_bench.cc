// Measures GenerateDataKey of a real strongroomd on SoftHSM against two limits in the same run: an
// RPC of the same sizes that does nothing, in three threading models, and the token's own seals
// without any RPC. tests/bench/run.sh builds it optimized and runs it.

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hsm/token.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/load.h"
#include "tests/testing/softhsm.h"

extern char** environ;

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

[[noreturn]] void Die(const std::string& what) {
  std::cerr << "data_key_bench: " << what << "\n";
  std::_Exit(1);
}

// A child process that is killed when this goes.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command, const std::string& log_path) {
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
  ~Child() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  pid_t pid_ = 0;
};

struct Settings {
  std::string self;
  std::string server = "server/strongroomd";
  std::string json_path;
  milliseconds duration{1000};
  int rounds = 5;
};

// The median of each figure over the rounds, with the least and the most calls per second.
struct Figure {
  std::vector<LoadResult> runs;

  double Median(double LoadResult::*member) const {
    std::vector<double> values;
    for (const LoadResult& run : runs) values.push_back(run.*member);
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double Least() const {
    return std::min_element(runs.begin(), runs.end(), ByRate)->calls_per_second;
  }
  double Most() const {
    return std::max_element(runs.begin(), runs.end(), ByRate)->calls_per_second;
  }
  static bool ByRate(const LoadResult& a, const LoadResult& b) {
    return a.calls_per_second < b.calls_per_second;
  }
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

std::string WriteServerConfig(const testing::SoftHsmToken& token, const std::string& socket_path,
                              int lanes) {
  const std::string path = absl::StrCat(token.directory(), "/strongroomd.yaml");
  std::ofstream(path) << "listen:\n  unix:\n    - path: " << socket_path
                      << "\n      principal: bench\n"
                         "policy:\n  - {principals: [bench], operations: [\"*\"]}\n"
                         "audit:\n  directory: "
                      << token.directory() << "/audit\ntoken:\n  module: "
                      << testing::kSoftHsmModule << "\n  token: " << token.label()
                      << "\n  pin_file: " << token.pin_file() << "\n  lanes: " << lanes
                      << "\nstore:\n  path: " << token.directory() << "/strongroom.db\n";
  return path;
}

std::string CreateKey(const std::string& socket_path) {
  const auto channel =
      grpc::CreateChannel("unix:" + socket_path, grpc::InsecureChannelCredentials());
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto stub = v1::KeyManagementService::NewStub(channel);
  grpc::ClientContext context;
  v1::CreateKeyResponse response;
  const grpc::Status status = stub->CreateKey(&context, v1::CreateKeyRequest(), &response);
  if (!status.ok()) Die("CreateKey: " + status.error_message());
  return response.key().key_id();
}

struct Subject {
  std::string name;
  std::vector<std::string> command;
  bool real = false;
};

void Print(const std::string& name, const Figure& figure, double limit) {
  std::cout << absl::StrFormat("%-48s %8.0f  %8.0f..%-8.0f %7.0f %8.0f  %5.2f\n", name,
                               figure.Median(&LoadResult::calls_per_second), figure.Least(),
                               figure.Most(), figure.Median(&LoadResult::p50_us),
                               figure.Median(&LoadResult::p99_us),
                               figure.Median(&LoadResult::calls_per_second) / limit)
            << std::flush;
}

int Run(const Settings& settings) {
  auto token_files = testing::SoftHsmToken::Create();
  if (!token_files.ok()) Die(std::string(token_files.status().message()));
  // The path of a socket has at most 107 bytes, which a test's own folder may exceed.
  char socket_folder[] = "/tmp/strongroom-bench.XXXXXX";
  if (mkdtemp(socket_folder) == nullptr) Die("cannot make a folder in /tmp");
  const std::string socket_path = absl::StrCat(socket_folder, "/s");
  const auto echo = [&](const std::string& model, int workers, int work_us, bool sleeps) {
    return std::vector<std::string>{
        settings.self,           "--echo",          socket_path, model, std::to_string(workers),
        std::to_string(work_us), sleeps ? "1" : "0"};
  };
  std::vector<Subject> subjects = {
      {"empty RPC, sync", echo("sync", 0, 0, false)},
      {"empty RPC, callback inline", echo("callback", 0, 0, false)},
      {"empty RPC, callback and 2 workers", echo("workers", 2, 0, false)},
      {"25 us of processor, sync", echo("sync", 0, 25, false)},
      {"25 us of processor, callback inline", echo("callback", 0, 25, false)},
      {"25 us of processor, callback and 2 workers", echo("workers", 2, 25, false)},
      {"1 ms of waiting, sync", echo("sync", 0, 1000, true)},
      {"1 ms of waiting, callback inline", echo("callback", 0, 1000, true)},
      {"1 ms of waiting, callback and 64 workers", echo("workers", 64, 1000, true)},
  };
  for (int lanes : {2, 3, 8}) {
    subjects.push_back({absl::StrCat("GenerateDataKey, ", lanes, " lanes"),
                        {settings.server, "--config", ""},
                        true});
  }

  // Round by round, so that a machine that changes its speed changes it for all.
  std::map<std::string, Figure> figures;
  for (int round = 0; round < settings.rounds; ++round) {
    for (Subject& subject : subjects) {
      if (subject.real) {
        const int lanes = std::atoi(subject.name.substr(17).c_str());
        subject.command[2] = WriteServerConfig(*token_files, socket_path, lanes);
      }
      const Child server(subject.command, absl::StrCat(token_files->directory(), "/log"));
      const std::string key_id = subject.real ? CreateKey(socket_path) : std::string(36, 'k');
      for (int in_flight : {1, 16, 64}) {
        const LoadResult result =
            LoadGenerateDataKey(socket_path, key_id, in_flight, settings.duration);
        if (result.failures > 0) Die(subject.name + ": calls failed");
        figures[absl::StrCat(subject.name, ", ", in_flight, " in flight")].runs.push_back(result);
      }
    }
  }

  unlink(socket_path.c_str());
  rmdir(socket_folder);

  // Last, for SoftHSM must not see another process while this one holds its token.
  hsm::TokenOptions options = token_files->options();
  options.lanes = 8;
  auto token = hsm::Token::Open(options);
  if (!token.ok()) Die(std::string(token.status().message()));
  auto keys = (*token)->CreateVersionKeys(hsm::ObjectId{1}, kNoDeadline);
  if (!keys.ok()) Die(std::string(keys.status().message()));
  for (int round = 0; round < settings.rounds; ++round) {
    for (int threads : {1, 2, 8}) {
      figures[absl::StrCat("raw seals, ", threads, " threads")].runs.push_back(
          RawSeals(**token, *keys, threads, settings.duration));
    }
  }

  std::cout << absl::StrFormat("%-48s %8s  %18s %7s %8s  %5s\n", "", "a second", "least..most",
                               "p50 us", "p99 us", "ratio");
  std::ofstream json;
  if (!settings.json_path.empty()) json.open(settings.json_path);
  json << "[";
  const char* separator = "\n";
  const auto report = [&](const std::string& name, double limit) {
    const Figure& figure = figures[name];
    Print(name, figure, limit);
    json << separator
         << absl::StrFormat(
                "{\"name\":\"%s\",\"per_second\":%.1f,\"least\":%.1f,\"most\":%.1f,"
                "\"p50_us\":%.1f,\"p99_us\":%.1f,\"ratio\":%.3f}",
                name, figure.Median(&LoadResult::calls_per_second), figure.Least(), figure.Most(),
                figure.Median(&LoadResult::p50_us), figure.Median(&LoadResult::p99_us),
                figure.Median(&LoadResult::calls_per_second) / limit);
    separator = ",\n";
  };
  for (int in_flight : {1, 16, 64}) {
    const std::string suffix = absl::StrCat(", ", in_flight, " in flight");
    const double limit =
        figures["empty RPC, callback and 2 workers" + suffix].Median(&LoadResult::calls_per_second);
    for (const Subject& subject : subjects) report(subject.name + suffix, limit);
  }
  const double raw = figures["raw seals, 1 threads"].Median(&LoadResult::calls_per_second);
  for (int threads : {1, 2, 8}) report(absl::StrCat("raw seals, ", threads, " threads"), raw);
  json << "\n]\n";
  std::cout << "ratio: to the empty RPC with callback and 2 workers and as many in flight; of raw "
               "seals, to one thread\n";
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
  Settings settings;
  settings.self = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      settings.duration = milliseconds(100);
      settings.rounds = 1;
    } else if (word == "--json" && i + 1 < argc) {
      settings.json_path = argv[++i];
    } else if (word == "--server" && i + 1 < argc) {
      settings.server = argv[++i];
    } else {
      Die("usage: data_key_bench [--quick] [--json FILE] [--server STRONGROOMD]");
    }
  }
  return Run(settings);
}

}  // namespace
}  // namespace strongroom::bench

int main(int argc, char** argv) { return strongroom::bench::Main(argc, argv); }
