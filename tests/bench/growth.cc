#include "tests/bench/growth.h"

#include <algorithm>
#include <chrono>

#include "tests/bench/operations.h"
#include "tests/testing/many_keys.h"

namespace strongroom::bench {
namespace {

constexpr int kInFlight = 64;
constexpr int kRealKeys = 100;

}  // namespace

void GrowthPart::Fill(Store& store) const {
  store.home = std::make_unique<Home>(bench_);
  {
    ServerProcess server(bench_, *store.home, {});
    for (int i = 0; i < store.real_keys; ++i) {
      const std::string key_id = server.CreateKey();
      if (i < bench_.hot_keys) store.hot_keys.push_back(key_id);
    }
    server.Stop();
  }
  if (store.keys > store.real_keys) {
    CheckOk(testing::AddSyntheticKeys(store.home->database_path(), store.keys - store.real_keys));
  }
}

void GrowthPart::Measure(Store& store) const {
  const auto begin = std::chrono::steady_clock::now();
  const ServerProcess server(bench_, *store.home, {});
  std::vector<Call> calls;
  for (const std::string& key_id : store.hot_keys) calls.push_back(GenerateDataKeyCall(key_id));
  CallOnce(server.target(), calls.front());
  store.start_s.push_back(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  store.rss_at_start_mib.push_back(server.rss_mib());
  store.series.rounds.push_back(
      Load(server.target(), calls, {.in_flight = kInFlight, .duration = bench_.duration}));
  store.rss_mib.push_back(server.rss_mib());
}

void GrowthPart::RunRound() {
  if (stores_.empty()) {
    const int most = bench_.smoke ? 2'000 : bench_.quick ? 10'000 : 100'000;
    for (const int keys : {1, 1000, most}) {
      stores_.push_back({keys, std::min(keys, bench_.hot_keys), nullptr, {}});
      Fill(stores_.back());
    }
    const int real = bench_.smoke ? kRealKeys / 10 : kRealKeys;
    real_.push_back({real, real, nullptr, {}});
    Fill(real_.back());
  }
  for (Store& store : stores_) Measure(store);
  Measure(real_.front());
}

void GrowthPart::Report(Json& report) const {
  const Store& one = stores_.front();
  for (const Store& store : stores_) {
    Json row = {{"keys", store.keys}, {"hot_keys", store.hot_keys.size()}};
    PutSpread(row, "rps", store.series.rates());
    PutSpread(row, "ratio_to_one_key", Ratios(store.series.rates(), one.series.rates()));
    PutSpread(row, "rss_mb", store.rss_mib);
    PutSpread(row, "rss_at_start_mb", store.rss_at_start_mib);
    PutSpread(row, "start_s", store.start_s);
    if (store.keys > one.keys) {
      row["kib_per_key"] = Rounded((Median(store.rss_mib) - Median(one.rss_mib)) * 1024 /
                                   static_cast<double>(store.keys - one.keys));
    }
    report["growth"].push_back(row);
  }
  for (const Store& store : real_) {
    Json row = {{"keys", store.keys}};
    PutSpread(row, "start_s", store.start_s);
    report["start"].push_back(row);
  }
}

}  // namespace strongroom::bench
