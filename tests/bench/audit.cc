#include "tests/bench/audit.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"

namespace strongroom::bench {
namespace {

constexpr int kInFlight = 64;

struct Variant {
  const char* name;
  bool trail;
  const char* audit;
  int lanes;
};

// The first is what the others are compared with. A sync is shared by the calls that work at a
// time, of which there are as many as lanes.
constexpr Variant kVariants[] = {
    {"without a trail", false, "", 3},
    {"with a trail", true, "", 3},
    {"sync: always", true, "  sync: always\n", 3},
    {"sync: always, 64 lanes", true, "  sync: always\n", 64},
};

}  // namespace

void AuditBench::RunRound(const Bench& bench) {
  for (const Variant& variant : kVariants) {
    ServerSettings settings;
    settings.trail = variant.trail;
    settings.audit = variant.audit;
    settings.lanes = variant.lanes;
    const ServerProcess server(bench, settings);
    const LoadResult result = LoadGenerateDataKey(bench.SocketOf("bench"), server.CreateKey(),
                                                  kInFlight, 2 * bench.duration);
    if (result.failures > 0 || result.refused_per_second > 0) {
      Die(absl::StrFormat("%s: calls failed: %s", variant.name, result.failure));
    }
    figures_[variant.name].runs.push_back(result);
  }
}

void AuditBench::Report(std::ostream& table, std::ostream& json) const {
  table << absl::StrFormat("\n%-48s %8s  %18s %7s %8s  %5s\n", "audit: 64 in flight", "a second",
                           "least..most", "p50 us", "p99 us", "ratio");
  const Figure& without = figures_.at(kVariants[0].name);
  const char* separator = "[\n";
  for (const Variant& variant : kVariants) {
    const Figure& figure = figures_.at(variant.name);
    const Spread rate = figure.Of(&LoadResult::calls_per_second);
    const Spread ratio = figure.Ratio(without, &LoadResult::calls_per_second);
    const double p50 = figure.Of(&LoadResult::p50_us).median;
    const double p99 = figure.Of(&LoadResult::p99_us).median;
    table << absl::StrFormat("%-48s %8.0f  %8.0f..%-8.0f %7.0f %8.0f  %5.2f (%.2f..%.2f)\n",
                             variant.name, rate.median, rate.least, rate.most, p50, p99,
                             ratio.median, ratio.least, ratio.most);
    json << separator
         << absl::StrFormat(
                "{\"name\":\"%s\",\"per_second\":%.1f,\"least\":%.1f,\"most\":%.1f,"
                "\"p50_us\":%.1f,\"p99_us\":%.1f,\"ratio\":%.3f,\"ratio_least\":%.3f,"
                "\"ratio_most\":%.3f}",
                variant.name, rate.median, rate.least, rate.most, p50, p99, ratio.median,
                ratio.least, ratio.most);
    separator = ",\n";
  }
  json << "\n]";
  table << "ratio: of calls a second to those without a trail in the same round\n";
}

}  // namespace strongroom::bench
