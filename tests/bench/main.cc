// Measures what Strongroom costs, in one run: a real strongroomd on SoftHSM beside the limits that
// nothing of its kind can pass, an RPC of the same sizes that does nothing and the token by itself.
// tests/bench/run.sh builds it optimized and runs it; docs/benchmarks.md says what is measured.

#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "platform/secret_bytes.h"
#include "tests/bench/audit.h"
#include "tests/bench/batch.h"
#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/growth.h"
#include "tests/bench/half_load.h"
#include "tests/bench/lanes.h"
#include "tests/bench/machine.h"
#include "tests/bench/neighbour.h"
#include "tests/bench/pairs.h"
#include "tests/bench/raw_token.h"
#include "tests/bench/report.h"
#include "tests/bench/service.h"
#include "tests/bench/signing.h"
#include "tests/bench/threading.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

struct TaskEntry {
  const char* name;
  Task task;
};
constexpr TaskEntry kTasks[] = {
    {"echo", &ServeEcho},
    {"raw_seals", &SealRaw},
    {"raw_pairs", &GenerateRawPairs},
    {"lanes", &MakeDataKeysOnLanes},
    {"noise", &MakeNoise},
    {"signing", &Sign},
};

template <typename T>
std::unique_ptr<Part> Make(const Bench& bench) {
  return std::make_unique<T>(bench);
}

struct PartEntry {
  const char* name;
  std::unique_ptr<Part> (*make)(const Bench& bench);
  // At most so many rounds: of what takes long, or varies little.
  int most_rounds;
};
constexpr PartEntry kParts[] = {
    {"service", &Make<ServicePart>, 100}, {"half_load", &Make<HalfLoadPart>, 100},
    {"batch", &Make<BatchPart>, 100},     {"pairs", &Make<PairsPart>, 3},
    {"growth", &Make<GrowthPart>, 100},   {"lanes", &Make<LanesPart>, 100},
    {"audit", &Make<AuditPart>, 100},     {"neighbour", &Make<NeighbourPart>, 3},
    {"signing", &Make<SigningPart>, 100}, {"threading", &Make<ThreadingPart>, 100},
};

struct Arguments {
  bool quick = false;
  bool smoke = false;
  int rounds = 0;
  int hot_keys = 16;
  std::string json_path;
  std::vector<std::string> parts;
};

[[noreturn]] void DieOfUsage() {
  std::string names;
  for (const PartEntry& part : kParts) absl::StrAppend(&names, names.empty() ? "" : "|", part.name);
  Die("usage: bench [--quick] [--rounds N] [--part " + names + "]... [--hot-keys N] [--json FILE]");
}

Arguments Parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& option = words[i];
    if (option == "--quick") {
      arguments.quick = true;
      continue;
    }
    if (option == "--smoke") {
      arguments.smoke = true;
      continue;
    }
    if (++i == words.size()) DieOfUsage();
    const std::string& value = words[i];
    if (option == "--json") {
      arguments.json_path = value;
    } else if (option == "--rounds") {
      arguments.rounds = std::max(1, std::atoi(value.c_str()));
    } else if (option == "--hot-keys") {
      arguments.hot_keys = std::max(1, std::atoi(value.c_str()));
    } else if (option == "--part" &&
               std::any_of(std::begin(kParts), std::end(kParts),
                           [&](const PartEntry& part) { return part.name == value; })) {
      arguments.parts.push_back(value);
    } else {
      DieOfUsage();
    }
  }
  return arguments;
}

int Run(const std::string& self, const Arguments& arguments) {
  const char* runfiles = getenv("TEST_SRCDIR");
  if (runfiles == nullptr) Die("TEST_SRCDIR does not name the runfiles; use tests/bench/run.sh");
  char folder[] = "/tmp/strongroom-bench.XXXXXX";
  if (mkdtemp(folder) == nullptr) Die("cannot make a folder in /tmp");
  Bench bench;
  bench.self = self;
  bench.strongroomd = absl::StrCat(runfiles, "/strongroom/server/strongroomd");
  bench.folder = folder;
  bench.quick = arguments.quick || arguments.smoke;
  bench.smoke = arguments.smoke;
  bench.duration = milliseconds(arguments.smoke ? 40 : arguments.quick ? 150 : 500);
  bench.rounds = arguments.rounds > 0 ? arguments.rounds : bench.quick ? 1 : 5;
  bench.hot_keys = arguments.hot_keys;

  Json report = {{"machine", DescribeMachine()},
                 {"rounds", bench.rounds},
                 {"duration_ms", bench.duration.count()}};
  std::vector<std::pair<const PartEntry*, std::unique_ptr<Part>>> parts;
  for (const PartEntry& part : kParts) {
    if (!arguments.parts.empty() && std::find(arguments.parts.begin(), arguments.parts.end(),
                                              part.name) == arguments.parts.end()) {
      continue;
    }
    parts.emplace_back(&part, part.make(bench));
  }
  for (int round = 0; round < bench.rounds; ++round) {
    for (const auto& [entry, part] : parts) {
      if (round >= entry->most_rounds) continue;
      std::cerr << "round " << round + 1 << " of " << bench.rounds << ": " << entry->name
                << std::endl;
      part->RunRound();
    }
  }
  for (const auto& [entry, part] : parts) part->Report(report);
  parts.clear();
  std::filesystem::remove_all(folder);
  report["demands"] = DemandsOf(report);
  PrintReport(report, std::cout);
  if (!arguments.json_path.empty()) {
    std::ofstream file(arguments.json_path);
    file << report.dump(1) << "\n";
    if (!file.flush()) Die("cannot write " + arguments.json_path);
  }
  return 0;
}

int Main(int argc, char** argv) {
  // As strongroomd has it: without, each secret is a mapping of its own.
  ReserveSecretMemory();
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 3 && words[0] == "--task") {
    for (const TaskEntry& entry : kTasks) {
      if (words[1] != entry.name) continue;
      std::cout << entry.task(Json::parse(words[2])) << std::endl;
      return 0;
    }
    Die("no such task");
  }
  return Run(argv[0], Parse(words));
}

}  // namespace
}  // namespace strongroom::bench

int main(int argc, char** argv) { return strongroom::bench::Main(argc, argv); }
