#include "tests/bench/audit.h"

#include "tests/bench/operations.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {
namespace {

constexpr int kInFlight = 64;

struct Variant {
  const char* name;
  bool trail;
  const char* audit;
  // 0: the default.
  int lanes;
};

// The first is what the others are compared with. A sync is shared by the calls that work at a
// time, of which there are as many as lanes.
constexpr Variant kVariants[] = {
    {"without a trail", false, "", 0},
    {"with a trail", true, "", 0},
    {"sync: always", true, "  sync: always\n", 0},
    {"sync: always, 64 lanes", true, "  sync: always\n", 64},
};

}  // namespace

void AuditPart::RunRound() {
  for (const Variant& variant : kVariants) {
    const Home home(bench_);
    ServerSettings settings;
    settings.trail = variant.trail;
    settings.audit = variant.audit;
    settings.lanes = variant.lanes;
    const ServerProcess server(bench_, home, settings);
    series_[variant.name].rounds.push_back(
        Load(server.target(), {GenerateDataKeyCall(server.CreateKey())},
             {.in_flight = kInFlight, .duration = 2 * bench_.duration}));
  }
}

void AuditPart::Report(Json& report) const {
  const Rounds without = series_.at(kVariants[0].name).rates();
  for (const Variant& variant : kVariants) {
    const Series& series = series_.at(variant.name);
    Json row = {{"variant", variant.name}};
    PutLoad(row, series);
    PutSpread(row, "ratio", Ratios(series.rates(), without));
    report["audit"].push_back(row);
  }
}

}  // namespace strongroom::bench
