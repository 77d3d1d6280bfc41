#ifndef STRONGROOM_TESTS_BENCH_GROWTH_H_
#define STRONGROOM_TESTS_BENCH_GROWTH_H_

#include <memory>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// What many keys in the store cost: how long a server takes to start (from exec to the first data
// key), its memory, and the rate of GenerateDataKey over the few keys that are in use. Those are
// real; the others are rows in the store without objects in the token, which would take hours to
// make. And how long a start takes with a hundred keys, all of them real.
class GrowthPart final : public Part {
 public:
  explicit GrowthPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // growth, start.
  void Report(Json& report) const override;

 private:
  struct Store {
    int keys;
    int real_keys;
    std::unique_ptr<Home> home;
    std::vector<std::string> hot_keys;
    Rounds start_s = {};
    Rounds rss_at_start_mib = {};
    Rounds rss_mib = {};
    Series series = {};
  };

  void Fill(Store& store) const;
  void Measure(Store& store) const;

  const Bench& bench_;
  std::vector<Store> stores_;
  // Of the hundred real keys.
  std::vector<Store> real_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_GROWTH_H_
