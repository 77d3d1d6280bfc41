#include "tests/bench/batch.h"

#include "tests/bench/operations.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {
namespace {

constexpr int kCounts[] = {1, 10, 100, 1000};
constexpr int kInFlight[] = {1, 2, 4};

}  // namespace

void BatchPart::RunRound() {
  raw_seals_.RunRound();
  const Home home(bench_);
  const ServerProcess server(bench_, home, {});
  const std::string key_id = server.CreateKey();
  for (const int count : kCounts) {
    for (const int in_flight : kInFlight) {
      const LoadResult result = Load(server.target(), {BatchGenerateDataKeyCall(key_id, count)},
                                     // A call of a thousand takes long.
                                     {.in_flight = in_flight, .duration = 2 * bench_.duration});
      keys_per_second_[{count, in_flight}].push_back(result.rps * count);
    }
  }
}

void BatchPart::Report(Json& report) const {
  raw_seals_.Report(report);
  Json all = Json::array();
  Json best;
  for (const auto& [setting, rates] : keys_per_second_) {
    Json row = {{"count", setting.first}, {"in_flight", setting.second}};
    PutSpread(row, "keys_per_s", rates);
    PutSpread(row, "ratio_to_raw_seal", Ratios(rates, raw_seals_.best()));
    if (best.is_null() || row["keys_per_s"] > best["keys_per_s"]) best = row;
    all.push_back(row);
  }
  best["each"] = all;
  report["batch"] = best;
}

}  // namespace strongroom::bench
