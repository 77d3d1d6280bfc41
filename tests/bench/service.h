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
// policy and a trail, beside the echo server, over each transport, with 1, 16 and 64 in flight.
class ServicePart final : public Part {
 public:
  explicit ServicePart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // echo_rps, echo, ops, memory.
  void Report(Json& report) const override;

 private:
  // By transport and calls in flight.
  using Setting = std::pair<Transport, int>;

  void RunTransport(Transport transport);
  // Of the threading model whose median is the best.
  ThreadingModel FastestEcho(Setting setting) const;

  const Bench& bench_;
  std::map<std::pair<Setting, ThreadingModel>, Series> echo_;
  // In the order in which they are measured.
  std::vector<std::string> operations_;
  std::map<std::pair<Setting, std::string>, Series> series_;
  std::map<Transport, Rounds> peak_mib_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SERVICE_H_
