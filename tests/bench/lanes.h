#ifndef STRONGROOM_TESTS_BENCH_LANES_H_
#define STRONGROOM_TESTS_BENCH_LANES_H_

#include <map>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {

// Lanes against a token each of whose calls takes 1 ms, as an HSM's behind a network: data keys a
// second below gRPC on as many threads as lanes, and over gRPC with 128 calls in flight. The token
// is SoftHSM behind a module that lets each call last that long (tests/testing/fault_module.h).
class LanesPart final : public Part {
 public:
  explicit LanesPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // lanes, calls_per_data_key.
  void Report(Json& report) const override;

 private:
  struct Figures {
    Rounds rps;
    Rounds long_calls_rps;
    Rounds token_calls;
    Rounds grpc_rps;
  };

  const Bench& bench_;
  std::map<int, Figures> figures_;
  // With as many calls in flight: no server can do more over gRPC.
  Rounds echo_rps_;
};

// Makes data keys below gRPC (a task); also counts the calls into the token that each takes.
Json MakeDataKeysOnLanes(const Json& arguments);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_LANES_H_
