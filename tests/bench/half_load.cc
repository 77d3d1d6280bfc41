#include "tests/bench/half_load.h"

#include <signal.h>

#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/load.h"
#include "tests/bench/operations.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;

constexpr int kInFlight = 64;
constexpr milliseconds kFullLoad(100);
constexpr milliseconds kPaced(250);
constexpr int kLooks = 7;
// Of what differs less than two turns do.
constexpr int kMoreTurns = 3;
constexpr Transport kCompared[] = {Transport::kUnix, Transport::kMtls};
// The largest kind, and more than are generated while this measures.
constexpr char kRefilled[] = "RSA_4096";
constexpr int kMoreThanComes = 1000;

double FullRate(const Target& target, const Call& call) {
  return Load(target, {call}, {.in_flight = kInFlight, .duration = kFullLoad}).rps;
}

double HalfRate(const Target& target, const Call& call) {
  Rounds rates;
  for (int i = 0; i < kLooks; ++i) rates.push_back(FullRate(target, call) / 2);
  return Median(rates);
}

// The p99 at a rate, in milliseconds. The server is under full load before, so that all are looked
// at in the same state.
double TakeTurn(const Target& target, const Call& call, double rate) {
  FullRate(target, call);
  return Pace(target, {call}, rate, kPaced).p99_ms;
}

}  // namespace

int HalfLoadPart::turns() const { return bench_.smoke ? 1 : bench_.quick ? 5 : 15; }

void HalfLoadPart::RunRound() {
  for (const Transport transport : kCompared) CompareWithEcho(transport);
  CompareRefilling();
}

void HalfLoadPart::CompareWithEcho(Transport transport) {
  const Home home(bench_);
  ServerSettings settings;
  settings.transport = transport;
  const ServerProcess server(bench_, home, settings);
  const EchoProcess echo_process(bench_, transport, ThreadingModel::kServed, DefaultLanes());
  const Target echo = echo_process.target();
  const Call nothing = EchoCall();
  const std::string key_id = server.CreateKey();
  const std::map<std::string, Call> operations = {
      {"GenerateDataKey", GenerateDataKeyCall(key_id)},
      {"Decrypt", DecryptCall(server.target(), key_id)},
  };
  for (const auto& [name, call] : operations) {
    // The same in all turns: a rate that followed the machine's speed would be too much as often
    // as it is too little, and too much counts for more.
    const double rate = HalfRate(server.target(), call);
    const double echo_rate = HalfRate(echo, nothing);
    Rounds p99, same_rate, echo_p99;
    for (int i = 0; i < turns(); ++i) {
      // Each comes first, second and last as often.
      for (int place = 0; place < 3; ++place) {
        const int which = (i + place) % 3;
        if (which == 0) p99.push_back(TakeTurn(server.target(), call, rate));
        if (which == 1) same_rate.push_back(TakeTurn(echo, nothing, rate));
        if (which == 2) echo_p99.push_back(TakeTurn(echo, nothing, echo_rate));
      }
    }
    Compared& compared = compared_[{name, transport}];
    compared.rate.push_back(rate);
    compared.p99_ms.push_back(Median(p99));
    compared.same_rate_p99_ms.push_back(Median(same_rate));
    compared.same_rate_ratio.push_back(Median(Ratios(p99, same_rate)));
    compared.echo_rate.push_back(echo_rate);
    compared.echo_p99_ms.push_back(Median(echo_p99));
    compared.echo_ratio.push_back(Median(Ratios(p99, echo_p99)));
  }
}

void HalfLoadPart::CompareRefilling() {
  // The same server twice, but that one of them never has enough; it stands still while the other
  // is looked at.
  const auto settings = [](const Home& home, int pairs) {
    ServerSettings settings;
    settings.reservoir = absl::StrCat("  path: ", home.folder(), "/pairs.db\n  pairs: {", kRefilled,
                                      ": ", pairs, "}\n");
    return settings;
  };
  const Home full_home(bench_);
  const Home refilling_home(bench_);
  const ServerProcess refilling(bench_, refilling_home, settings(refilling_home, kMoreThanComes));
  const ServerProcess full(bench_, full_home, settings(full_home, 1));
  const Call on_full = GenerateDataKeyCall(full.CreateKey());
  full.WaitUntilIdle();
  const double rate = HalfRate(full.target(), on_full);
  const Call on_refilling = GenerateDataKeyCall(refilling.CreateKey());
  // While one is looked at, the other stands still.
  const auto take = [](const ServerProcess& one, const ServerProcess& other, const Call& call,
                       double at) {
    other.Signal(SIGSTOP);
    const double p99 = TakeTurn(one.target(), call, at);
    other.Signal(SIGCONT);
    return p99;
  };
  Rounds full_p99, refilling_p99;
  for (int i = 0; i < kMoreTurns * turns(); ++i) {
    // Each comes first as often as second.
    if (i % 2 == 0) full_p99.push_back(take(full, refilling, on_full, rate));
    refilling_p99.push_back(take(refilling, full, on_refilling, rate));
    if (i % 2 == 1) full_p99.push_back(take(full, refilling, on_full, rate));
  }
  refill_.rate.push_back(rate);
  refill_.full_p99_ms.push_back(Median(full_p99));
  refill_.refilling_p99_ms.push_back(Median(refilling_p99));
  refill_.ratio.push_back(Median(Ratios(refilling_p99, full_p99)));
}

void HalfLoadPart::Report(Json& report) const {
  for (const auto& [key, compared] : compared_) {
    Json row = {{"operation", key.first}, {"transport", NameOf(key.second)}};
    PutSpread(row, "rate", compared.rate);
    PutSpread(row, "p99_ms", compared.p99_ms);
    PutSpread(row, "echo_same_rate_p99_ms", compared.same_rate_p99_ms);
    PutSpread(row, "ratio_same_rate", compared.same_rate_ratio);
    PutSpread(row, "echo_half_rate", compared.echo_rate);
    PutSpread(row, "echo_half_p99_ms", compared.echo_p99_ms);
    PutSpread(row, "ratio_half", compared.echo_ratio);
    report["half_load"].push_back(row);
  }
  Json refill = {{"spec", kRefilled}};
  PutSpread(refill, "rate", refill_.rate);
  PutSpread(refill, "full_p99_ms", refill_.full_p99_ms);
  PutSpread(refill, "refilling_p99_ms", refill_.refilling_p99_ms);
  PutSpread(refill, "ratio", refill_.ratio);
  report["refill"] = refill;
}

}  // namespace strongroom::bench
