#ifndef STRONGROOM_TESTS_BENCH_RAW_TOKEN_H_
#define STRONGROOM_TESTS_BENCH_RAW_TOKEN_H_

#include <map>
#include <string>
#include <vector>

#include "strongroom/v1/kms_service.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {

// What SoftHSM does by itself: PKCS#11's own functions, called from as many threads as sessions.
// Each runs in a process of its own (a task), on a token of its own.

// Seals as GenerateDataKey needs them: a key and an IV drawn, one AES-GCM under a seal key that the
// server's own code made, with as much authenticated data as a blob has.
Json SealRaw(const Json& arguments);

// Data key pairs as session objects, generated and destroyed.
Json GenerateRawPairs(const Json& arguments);

struct PairSpecName {
  const char* name;
  v1::DataKeyPairSpec proto;
  // Of RSA; 0 for curves, which have CKA_EC_PARAMS instead.
  int modulus_bits;
  std::vector<unsigned char> curve;
};
// RSA first.
const std::vector<PairSpecName>& PairSpecNames();

struct RawPairResult {
  // Of each pair, on whichever session.
  std::vector<double> milliseconds;
  double rps = 0;
};
// Generates pairs of a spec (PairSpecNames) on so many sessions, for so long after a warm-up of a
// quarter of it.
RawPairResult RunRawPairs(const Bench& bench, const std::string& spec, int sessions,
                          std::chrono::milliseconds duration);

// Raw seals a second, on 1, 2, 4 and 8 sessions.
class RawSeals {
 public:
  explicit RawSeals(const Bench& bench) : bench_(bench) {}

  void RunRound();
  // The rates, round by round, of the number of sessions that has the best median.
  Rounds best() const { return rates_.at(best_sessions()); }
  // raw_seal_rps, raw_seals.
  void Report(Json& report) const;

 private:
  int best_sessions() const;

  const Bench& bench_;
  std::map<int, Rounds> rates_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_RAW_TOKEN_H_
