#ifndef STRONGROOM_TESTS_BENCH_PAIRS_H_
#define STRONGROOM_TESTS_BENCH_PAIRS_H_

#include <chrono>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/raw_token.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// Data key pairs with a reservoir, over a unix socket: from one that is full, beyond what it holds,
// and what of it outlasts the process.
class PairsPart final : public Part {
 public:
  explicit PairsPart(const Bench& bench);

  void RunRound() override;
  // pairs, restart.
  void Report(Json& report) const override;

 private:
  struct Spec {
    PairSpecName name;
    // How many wait in the reservoir, and how long generation is measured.
    int waiting;
    std::chrono::milliseconds duration;
    // From all rounds: one session alone; the calls that a full reservoir answers, and the data
    // keys between them.
    std::vector<double> raw_ms = {};
    std::vector<double> served_ms = {};
    std::vector<double> data_key_ms = {};
    // On as many sessions as calls in flight: each pair, and pairs a second.
    std::vector<double> raw_side_by_side_ms = {};
    Rounds raw_rps = {};
    Rounds served_rps = {};
    Rounds p50_ratios = {};
  };

  // Whose pairs are counted after a restart: they take long enough to tell.
  std::string CountedSpec() const;
  ServerSettings SettingsOf(const Home& home) const;
  void MeasureFromFull(Spec& spec, const ServerProcess& server, const std::string& key_id);
  void MeasureBeyond(Spec& spec, const ServerProcess& server, const std::string& key_id);
  // How many of the pairs that waited are served without generating them.
  int CountKept(const Home& home, const std::string& key_id, bool kill, const Spec& spec);

  const Bench& bench_;
  std::vector<Spec> specs_;
  Rounds kept_after_restart_;
  Rounds kept_after_kill_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_PAIRS_H_
