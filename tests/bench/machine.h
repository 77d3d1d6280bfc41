#ifndef STRONGROOM_TESTS_BENCH_MACHINE_H_
#define STRONGROOM_TESTS_BENCH_MACHINE_H_

#include "tests/bench/bench.h"

namespace strongroom::bench {

// Where and when this is measured: processor, memory, kernel, date, versions.
Json DescribeMachine();

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_MACHINE_H_
