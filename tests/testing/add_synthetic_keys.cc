// Adds keys to a store that no server has open: add_synthetic_keys DATABASE COUNT.

#include <iostream>

#include "absl/strings/numbers.h"
#include "tests/testing/many_keys.h"

int main(int argc, char** argv) {
  int keys = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &keys)) {
    std::cerr << "usage: add_synthetic_keys DATABASE COUNT\n";
    return 64;
  }
  const absl::Status status = strongroom::testing::AddSyntheticKeys(argv[1], keys);
  if (status.ok()) return 0;
  std::cerr << status.message() << "\n";
  return 1;
}
