#ifndef STRONGROOM_TESTS_BENCH_HALF_LOAD_H_
#define STRONGROOM_TESTS_BENCH_HALF_LOAD_H_

#include <map>
#include <string>
#include <utility>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// How long calls take at half of what the machine can do just then: data keys and Decrypt beside
// the echo, and data keys while a reservoir refills beside one that is full.
//
// What is compared is measured in turns of a quarter of a second, and of many turns the median
// counts: what the machine itself does now and then, for tens of milliseconds, is several times any
// p99 of ours, and would be all that a longer measurement sees.
class HalfLoadPart final : public Part {
 public:
  explicit HalfLoadPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // half_load, refill.
  void Report(Json& report) const override;

 private:
  struct Compared {
    // A figure a round, each the median of its turns.
    Rounds rate;
    Rounds p99_ms;
    // The echo held to the same rate, and to half of its own.
    Rounds same_rate_p99_ms;
    Rounds same_rate_ratio;
    Rounds echo_rate;
    Rounds echo_p99_ms;
    Rounds echo_ratio;
  };
  struct Refill {
    Rounds rate;
    Rounds full_p99_ms;
    Rounds refilling_p99_ms;
    Rounds ratio;
  };

  void CompareWithEcho(Transport transport);
  void CompareRefilling();
  int turns() const;

  const Bench& bench_;
  std::map<std::pair<std::string, Transport>, Compared> compared_;
  Refill refill_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_HALF_LOAD_H_
