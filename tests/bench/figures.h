#ifndef STRONGROOM_TESTS_BENCH_FIGURES_H_
#define STRONGROOM_TESTS_BENCH_FIGURES_H_

#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/load.h"

namespace strongroom::bench {

// What was measured in each round, in their order.
using Rounds = std::vector<double>;

double Median(Rounds values);
// Nearest rank; `fraction` of 0.99 is the p99. 0 if there are none.
double Percentile(std::vector<double> values, double fraction);
// To four digits, or to the whole, for what is written is for people.
double Rounded(double value);
// Round by round.
Rounds Ratios(const Rounds& values, const Rounds& of);

// Sets NAME to the median, and NAME_least and NAME_most.
void PutSpread(Json& row, const std::string& name, const Rounds& values);

// A load that is repeated, round by round.
struct Series {
  std::vector<LoadResult> rounds;

  Rounds Of(double LoadResult::*member) const;
  Rounds rates() const { return Of(&LoadResult::rps); }
  Rounds p50s() const { return Of(&LoadResult::p50_ms); }
  Rounds p99s() const { return Of(&LoadResult::p99_ms); }
};

// rps with its spread, p50_ms, p99_ms, cpu_us_per_request (the server's),
// client_cpu_us_per_request.
void PutLoad(Json& row, const Series& series);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_FIGURES_H_
