#ifndef STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_
#define STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "tests/bench/load.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// What a principal that calls now and then notices of another that sends as much as it can.
class NeighbourBench {
 public:
  void RunRound(const Bench& bench);
  // A table for people, and a JSON array.
  void Report(std::ostream& table, std::ostream& json) const;

  // The other, in a process of its own, for clients in one process would wait for each other:
  // SOCKET KEY_ID "again" or "wait" MILLISECONDS RESULT_FILE.
  static int RunNoise(const std::vector<std::string>& arguments);

 private:
  std::map<std::string, Figure> quiet_;
  std::map<std::string, Figure> noise_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_NEIGHBOUR_H_
