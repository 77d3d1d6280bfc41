#ifndef STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_
#define STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_

#include <map>
#include <string>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {

// What a principal that calls now and then notices of another that sends as much as it can.
class NeighbourPart final : public Part {
 public:
  explicit NeighbourPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // neighbour.
  void Report(Json& report) const override;

 private:
  const Bench& bench_;
  std::map<std::string, Series> quiet_;
  std::map<std::string, Rounds> served_;
  std::map<std::string, Rounds> refused_;
};

// The other, in a process of its own (a task), for clients in one process would wait for each
// other.
Json MakeNoise(const Json& arguments);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_
