#ifndef STRONGROOM_TESTS_BENCH_AUDIT_H_
#define STRONGROOM_TESTS_BENCH_AUDIT_H_

#include <map>
#include <string>

#include "tests/bench/bench.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {

// What the audit trail costs: GenerateDataKey with 64 in flight, with a trail and without.
class AuditPart final : public Part {
 public:
  explicit AuditPart(const Bench& bench) : bench_(bench) {}

  void RunRound() override;
  // audit.
  void Report(Json& report) const override;

 private:
  const Bench& bench_;
  std::map<std::string, Series> series_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_AUDIT_H_
