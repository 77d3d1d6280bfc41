#ifndef STRONGROOM_TESTS_BENCH_LOAD_H_
#define STRONGROOM_TESTS_BENCH_LOAD_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace strongroom::bench {

struct LoadResult {
  double calls_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  int64_t failures = 0;
};

// Calls KmsService.GenerateDataKey on a unix socket from one thread, with `in_flight` calls under
// way at any time, for `duration`; a quarter of it before, which does not count.
LoadResult LoadGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int in_flight, std::chrono::milliseconds duration);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_LOAD_H_
