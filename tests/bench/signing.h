#ifndef STRONGROOM_TESTS_BENCH_SIGNING_H_
#define STRONGROOM_TESTS_BENCH_SIGNING_H_

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {

// Signing with a data key pair that stays open in the token, on one lane, against the token's own
// C_Sign on one session: ECDSA on P-256, without any RPC.
class SigningPart final : public Part {
 public:
  explicit SigningPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // signing.
  void Report(Json& report) const override;

 private:
  const Bench& bench_;
  Rounds raw_;
  Rounds served_;
};

// Both, one after the other (a task).
Json Sign(const Json& arguments);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SIGNING_H_
