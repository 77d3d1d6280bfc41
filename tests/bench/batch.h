#ifndef STRONGROOM_TESTS_BENCH_BATCH_H_
#define STRONGROOM_TESTS_BENCH_BATCH_H_

#include <map>
#include <utility>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/raw_token.h"

namespace strongroom::bench {

// Many data keys in one call (BatchGenerateDataKey, over a unix socket), against the seals that the
// token does by itself in the same round.
class BatchPart final : public Part {
 public:
  explicit BatchPart(const Bench& bench) : bench_(bench), raw_seals_(bench) {}

  void RunRound() override;
  // raw_seal_rps, raw_seals, batch.
  void Report(Json& report) const override;

 private:
  const Bench& bench_;
  RawSeals raw_seals_;
  // Keys a second, by keys in a call and calls in flight.
  std::map<std::pair<int, int>, Rounds> keys_per_second_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_BATCH_H_
