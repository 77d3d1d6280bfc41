#ifndef STRONGROOM_TESTS_BENCH_SERVICE_H_
#define STRONGROOM_TESTS_BENCH_SERVICE_H_

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// The service against the limit: each operation on data keys of a strongroomd on SoftHSM, with a
// policy and a trail, beside the echo server, over each transport, with 1, 16 and 64 in flight; and
// how long calls take at half of what is possible.
class ServicePart final : public Part {
 public:
  explicit ServicePart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // echo_rps, echo, ops, memory, half_load.
  void Report(Json& report) const override;

 private:
  // By transport and calls in flight.
  using Setting = std::pair<Transport, int>;

  // The p99s of an operation and of the echo, each at rates that they are then held to.
  struct HalfLoad {
    Series operation;
    Series echo_same_rate;
    Series echo_half_of_its_own;
    Rounds rate;
    Rounds echo_rate;
  };

  void RunTransport(Transport transport);
  void RunHalfLoad(const std::string& operation, Transport transport, const Target& server,
                   const Call& call, const Target& echo);
  // Of the threading model whose median is the best.
  ThreadingModel FastestEcho(Setting setting) const;

  const Bench& bench_;
  std::map<std::pair<Setting, ThreadingModel>, Series> echo_;
  // In the order in which they are measured.
  std::vector<std::string> operations_;
  std::map<std::pair<Setting, std::string>, Series> series_;
  std::map<Transport, Rounds> peak_mib_;
  std::map<std::pair<std::string, Transport>, HalfLoad> half_load_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SERVICE_H_
