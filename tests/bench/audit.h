#ifndef STRONGROOM_TESTS_BENCH_AUDIT_H_
#define STRONGROOM_TESTS_BENCH_AUDIT_H_

#include <map>
#include <ostream>
#include <string>

#include "tests/bench/load.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {

// What the audit trail costs: GenerateDataKey with 64 in flight, with a trail and without.
class AuditBench {
 public:
  void RunRound(const Bench& bench);
  // A table for people, and a JSON array.
  void Report(std::ostream& table, std::ostream& json) const;

 private:
  std::map<std::string, Figure> figures_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_AUDIT_H_
