#include "tests/bench/neighbour.h"

#include <cstdlib>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

constexpr int kQuietCallsPerSecond = 50;
constexpr int kNoiseInFlight = 64;
// A twentieth of what the server does on two processors: much for one client that keeps its data
// keys a while, little enough to be there for everybody.
constexpr char kLimits[] =
    "limits:\n  rates:\n    principals:\n"
    "      - {principal: limited, data_key: {rate: 500, burst: 500}}\n";

struct Variant {
  const char* name;
  // The principal, or null: nobody.
  const char* noise;
  const char* when_refused;
};

// The first is what the others are compared with.
constexpr Variant kVariants[] = {
    {"alone", nullptr, ""},
    {"rate 500, waits as told", "limited", "wait"},
    {"rate 500, calls again at once", "limited", "again"},
    {"no rate", "free", "again"},
};

}  // namespace

int NeighbourBench::RunNoise(const std::vector<std::string>& arguments) {
  const LoadResult result = LoadGenerateDataKey(
      arguments[0], arguments[1], kNoiseInFlight, milliseconds(std::atoi(arguments[3].c_str())),
      arguments[2] == "wait" ? WhenRefused::kWaitAsTold : WhenRefused::kCallAgain);
  if (result.failures > 0) Die("the noise failed: " + result.failure);
  std::ofstream(arguments[4]) << result.calls_per_second << " " << result.refused_per_second;
  return 0;
}

void NeighbourBench::RunRound(const Bench& bench) {
  // At 50 calls a second, a p99 needs a while.
  const milliseconds duration = 10 * bench.duration;
  const std::string result_path = absl::StrCat(bench.token.directory(), "/noise");
  ServerSettings settings;
  settings.principals = {"quiet", "limited", "free"};
  settings.limits = kLimits;
  const ServerProcess server(bench, settings);
  const std::string key_id = server.CreateKey();
  for (const Variant& variant : kVariants) {
    std::unique_ptr<Child> noise;
    if (variant.noise != nullptr) {
      noise = std::make_unique<Child>(
          std::vector<std::string>{bench.self, "--noise", bench.SocketOf(variant.noise), key_id,
                                   variant.when_refused, absl::StrCat(duration.count()),
                                   result_path},
          absl::StrCat(bench.token.directory(), "/noise-log"));
    }
    // Both leave out their first quarter, so it does not matter that they do not begin together.
    const LoadResult quiet =
        PaceGenerateDataKey(bench.SocketOf("quiet"), key_id, kQuietCallsPerSecond, duration);
    if (quiet.failures > 0 || quiet.refused_per_second > 0) {
      Die(absl::StrFormat("%s: calls failed: %s", variant.name, quiet.failure));
    }
    quiet_[variant.name].runs.push_back(quiet);
    LoadResult result;
    if (noise != nullptr) {
      if (noise->Wait() != 0) Die(absl::StrFormat("%s: the noise failed", variant.name));
      std::ifstream(result_path) >> result.calls_per_second >> result.refused_per_second;
    }
    noise_[variant.name].runs.push_back(result);
  }
}

void NeighbourBench::Report(std::ostream& table, std::ostream& json) const {
  table << absl::StrFormat("\n%-32s %7s %8s  %18s  %19s %9s %9s\n", "neighbour", "p50 us", "p99 us",
                           "least..most", "ratio", "served", "refused");
  const Figure& alone = quiet_.at(kVariants[0].name);
  const char* separator = "[\n";
  for (const Variant& variant : kVariants) {
    const Figure& quiet = quiet_.at(variant.name);
    const Figure& noise = noise_.at(variant.name);
    const Spread p50 = quiet.Of(&LoadResult::p50_us);
    const Spread p99 = quiet.Of(&LoadResult::p99_us);
    const Spread ratio = quiet.Ratio(alone, &LoadResult::p99_us);
    const double served = noise.Of(&LoadResult::calls_per_second).median;
    const double refused = noise.Of(&LoadResult::refused_per_second).median;
    table << absl::StrFormat("%-32s %7.0f %8.0f  %8.0f..%-8.0f  %5.2f (%.2f..%.2f) %9.0f %9.0f\n",
                             variant.name, p50.median, p99.median, p99.least, p99.most,
                             ratio.median, ratio.least, ratio.most, served, refused);
    json << separator
         << absl::StrFormat(
                "{\"name\":\"%s\",\"p50_us\":%.1f,\"p50_least_us\":%.1f,\"p50_most_us\":%.1f,"
                "\"p99_us\":%.1f,\"p99_least_us\":%.1f,\"p99_most_us\":%.1f,\"ratio\":%.3f,"
                "\"ratio_least\":%.3f,\"ratio_most\":%.3f,\"noise_served_per_second\":%.1f,"
                "\"noise_refused_per_second\":%.1f}",
                variant.name, p50.median, p50.least, p50.most, p99.median, p99.least, p99.most,
                ratio.median, ratio.least, ratio.most, served, refused);
    separator = ",\n";
  }
  json << "\n]";
  table << "p50, p99: of the quiet principal; ratio: of its p99 to that alone in the same round; "
           "served and refused:\ncalls of the other a second\n";
}

}  // namespace strongroom::bench
