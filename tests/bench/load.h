#ifndef STRONGROOM_TESTS_BENCH_LOAD_H_
#define STRONGROOM_TESTS_BENCH_LOAD_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace strongroom::bench {

struct LoadResult {
  double calls_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  // Calls refused as too many (RESOURCE_EXHAUSTED); the figures above do not have them.
  double refused_per_second = 0;
  // Calls that failed otherwise, and how the last of them did.
  int64_t failures = 0;
  std::string failure;
};

// What a client does when a call is refused as too often.
enum class WhenRefused {
  kCallAgain,   // the next call at once
  kWaitAsTold,  // the next call after the time in the refusal's google.rpc.RetryInfo
};

// Calls KmsService.GenerateDataKey on a unix socket from one thread, with `in_flight` calls under
// way (or waiting as told) at any time, for `duration`; a quarter of it before, which does not
// count.
LoadResult LoadGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int in_flight, std::chrono::milliseconds duration,
                               WhenRefused when_refused = WhenRefused::kCallAgain);

// The same with calls at regular times, whether or not those before are answered: as slow answers
// do not make fewer calls, they all show in the percentiles.
LoadResult PaceGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int calls_per_second, std::chrono::milliseconds duration);

struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};

// The results of a load that is repeated, round by round.
struct Figure {
  std::vector<LoadResult> runs;

  Spread Of(double LoadResult::*member) const;
  // Of each round's value to that of `other` in the same round.
  Spread Ratio(const Figure& other, double LoadResult::*member) const;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_LOAD_H_
