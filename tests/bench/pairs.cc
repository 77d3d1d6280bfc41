#include "tests/bench/pairs.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/child.h"
#include "tests/bench/operations.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

// As many pairs as may be generated at a time, and as calls are in flight then.
constexpr int kGenerations = 2;
// A pair that is served in less than this part of its generation's time was not generated for it.
constexpr double kServed = 0.3;

double VariationOf(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (count - 1)) / mean;
}

double SumOf(const Rounds& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

PairsPart::PairsPart(const Bench& bench) : bench_(bench) {
  for (const PairSpecName& name : PairSpecNames()) {
    const bool is_rsa = name.modulus_bits > 0;
    // One of each family.
    if (bench.smoke && name.proto != v1::DATA_KEY_PAIR_SPEC_RSA_2048 &&
        name.proto != v1::DATA_KEY_PAIR_SPEC_EC_P256) {
      continue;
    }
    Spec spec = {name, 32, milliseconds(500)};
    if (is_rsa) spec.waiting = 8;
    if (is_rsa) spec.duration = milliseconds(4 * name.modulus_bits);
    if (bench.quick) {
      spec.waiting = is_rsa ? 2 : 8;
      spec.duration /= 2;
    }
    if (bench.smoke) spec.duration = milliseconds(is_rsa ? 1000 : 50);
    specs_.push_back(spec);
  }
}

std::string PairsPart::CountedSpec() const { return bench_.smoke ? "RSA_2048" : "RSA_3072"; }

ServerSettings PairsPart::SettingsOf(const Home& home) const {
  ServerSettings settings;
  settings.lanes = DefaultLanes() + kGenerations;
  settings.limits = absl::StrCat("  concurrent_pair_generations: ", kGenerations, "\n");
  std::string pairs;
  for (const Spec& spec : specs_) {
    absl::StrAppend(&pairs, pairs.empty() ? "" : ", ", spec.name.name, ": ", spec.waiting);
  }
  settings.reservoir =
      absl::StrCat("  path: ", home.folder(), "/pairs.db\n  pairs: {", pairs, "}\n");
  return settings;
}

void PairsPart::RunRound() {
  for (Spec& spec : specs_) {
    const RawPairResult raw = RunRawPairs(bench_, spec.name.name, 1, spec.duration / 2);
    spec.raw_ms.insert(spec.raw_ms.end(), raw.milliseconds.begin(), raw.milliseconds.end());
  }
  const Home home(bench_);
  std::string key_id;
  {
    ServerProcess server(bench_, home, SettingsOf(home));
    const Target target = server.target();
    key_id = server.CreateKey();
    // What waits is prepared for the keys that are used, so one pair of each is taken first.
    for (const Spec& spec : specs_) {
      CallInTurn(target, GenerateDataKeyPairCall(key_id, spec.name.proto), 1);
    }
    server.WaitUntilIdle();
    for (Spec& spec : specs_) MeasureFromFull(spec, server, key_id);
    for (Spec& spec : specs_) MeasureBeyond(spec, server, key_id);
    server.WaitUntilIdle();
    server.Stop();
  }
  for (const Spec& spec : specs_) {
    if (spec.name.name != CountedSpec()) continue;
    kept_after_restart_.push_back(CountKept(home, key_id, false, spec));
    kept_after_kill_.push_back(CountKept(home, key_id, true, spec));
  }
}

void PairsPart::MeasureFromFull(Spec& spec, const ServerProcess& server,
                                const std::string& key_id) {
  // One of each at a time, so that both see the same machine.
  const auto [served, data_keys] =
      CallBoth(server.target(), GenerateDataKeyPairCall(key_id, spec.name.proto),
               GenerateDataKeyCall(key_id), spec.waiting);
  spec.served_ms.insert(spec.served_ms.end(), served.begin(), served.end());
  spec.data_key_ms.insert(spec.data_key_ms.end(), data_keys.begin(), data_keys.end());
  spec.p50_ratios.push_back(Median(served) / Median(data_keys));
}

void PairsPart::MeasureBeyond(Spec& spec, const ServerProcess& server, const std::string& key_id) {
  const RawPairResult raw = RunRawPairs(bench_, spec.name.name, kGenerations, spec.duration);
  spec.raw_rps.push_back(raw.rps);
  spec.raw_side_by_side_ms.insert(spec.raw_side_by_side_ms.end(), raw.milliseconds.begin(),
                                  raw.milliseconds.end());
  // What waits is served before this counts.
  spec.served_rps.push_back(Load(server.target(),
                                 {GenerateDataKeyPairCall(key_id, spec.name.proto)},
                                 {.in_flight = kGenerations, .duration = spec.duration})
                                .rps);
}

int PairsPart::CountKept(const Home& home, const std::string& key_id, bool kill, const Spec& spec) {
  ServerSettings settings = SettingsOf(home);
  {
    ServerProcess server(bench_, home, settings);
    server.WaitUntilIdle();
    if (kill) {
      server.Kill();
    } else {
      server.Stop();
    }
  }
  // Its log tells when it has found what is there, before it makes any more, or that it cannot.
  settings.log_level = "info";
  ServerProcess server(bench_, home, settings);
  while (server.Log().find("\"event\":\"reservoir_load") == std::string::npos) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  const std::vector<double> served =
      CallInTurn(server.target(), GenerateDataKeyPairCall(key_id, spec.name.proto), spec.waiting);
  const double most = kServed * Median(spec.raw_ms);
  const auto count =
      std::count_if(served.begin(), served.end(), [most](double ms) { return ms < most; });
  server.Stop();
  return static_cast<int>(count);
}

void PairsPart::Report(Json& report) const {
  for (const Spec& spec : specs_) {
    Json row = {{"spec", spec.name.name}, {"waiting", spec.waiting}};
    row["raw_ms_p50"] = Rounded(Median(spec.raw_ms));
    row["served_ms_p50"] = Rounded(Median(spec.served_ms));
    row["served_ms_p99"] = Rounded(Percentile(spec.served_ms, 0.99));
    row["data_key_ms_p50"] = Rounded(Median(spec.data_key_ms));
    PutSpread(row, "p50_ratio_to_data_key", spec.p50_ratios);
    PutSpread(row, "raw_per_s", spec.raw_rps);
    PutSpread(row, "sustained_per_s", spec.served_rps);
    // Of all rounds together: what one generation of RSA takes varies by half.
    const double raw = SumOf(spec.raw_rps);
    const double served = SumOf(spec.served_rps);
    if (raw > 0 && served > 0) {
      const double seconds = std::chrono::duration<double>(spec.duration).count();
      const double variation = VariationOf(spec.raw_side_by_side_ms);
      row["sustained_ratio"] = Rounded(served / raw);
      row["sustained_ratio_standard_error"] = Rounded(
          served / raw * variation * std::sqrt(1 / (raw * seconds) + 1 / (served * seconds)));
    }
    report["pairs"].push_back(row);
  }
  for (const Spec& spec : specs_) {
    if (spec.name.name != CountedSpec()) continue;
    Json row = {{"spec", spec.name.name}, {"waiting", spec.waiting}};
    PutSpread(row, "after_restart", kept_after_restart_);
    PutSpread(row, "after_kill", kept_after_kill_);
    report["restart"] = row;
  }
}

}  // namespace strongroom::bench
