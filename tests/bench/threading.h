#ifndef STRONGROOM_TESTS_BENCH_THREADING_H_
#define STRONGROOM_TESTS_BENCH_THREADING_H_

#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// The threading models of docs/adr/0005 with work as tokens have it: some processor time in this
// process, as SoftHSM, or a wait, as an HSM behind a network. Over a unix socket. The models with
// nothing to do are ServicePart's "echo".
class ThreadingPart final : public Part {
 public:
  explicit ThreadingPart(const Bench& bench);

  void RunRound() override;
  // threading.
  void Report(Json& report) const override;

 private:
  struct Subject {
    EchoWork work;
    ThreadingModel model;
    int in_flight;
    Series series = {};
  };

  const Bench& bench_;
  std::vector<Subject> subjects_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_THREADING_H_
