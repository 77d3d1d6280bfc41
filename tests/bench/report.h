#ifndef STRONGROOM_TESTS_BENCH_REPORT_H_
#define STRONGROOM_TESTS_BENCH_REPORT_H_

#include <ostream>

#include "tests/bench/bench.h"

namespace strongroom::bench {

// What the product promises, each with the figure that was reached: {"demand", "wanted", "reached",
// "is_met"}. Those whose parts were not measured are left out.
Json DemandsOf(const Json& report);

// A table for people of everything in the report: one for each list, a column for each field.
void PrintReport(const Json& report, std::ostream& out);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_REPORT_H_
