#ifndef STRONGROOM_TESTS_BENCH_SIGNING_H_
#define STRONGROOM_TESTS_BENCH_SIGNING_H_

#include <chrono>
#include <ostream>

#include "tests/bench/load.h"

namespace strongroom::bench {

// Signing with a data key pair that stays open in the token, on one lane, against the token's own
// C_Sign on one session: ECDSA on P-256, without any RPC.
class SigningBench {
 public:
  // On a SoftHSM of its own. Not with a server running, for SoftHSM must not see another process
  // while this one holds its token, and not with another SoftHSM open.
  void Run(int rounds, std::chrono::milliseconds duration);
  // A table for people, and a JSON object.
  void Report(std::ostream& table, std::ostream& json) const;

 private:
  Figure raw_;
  Figure served_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_SIGNING_H_
