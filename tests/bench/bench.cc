#include "tests/bench/bench.h"

#include <cstdlib>
#include <iostream>

namespace strongroom::bench {

void Die(const std::string& what) {
  std::cerr << "bench: " << what << std::endl;
  std::_Exit(1);
}

}  // namespace strongroom::bench
