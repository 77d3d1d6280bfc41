// The `strongroom` command: see client/README.md, or `strongroom --help`.

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "client/command/run.h"
#include "platform/process.h"
#include "platform/secret_bytes.h"

int main(int argc, char** argv) {
  strongroom::HardenProcess();
  // A few keys at most. Where the system does not let it be locked, it is still wiped.
  (void)strongroom::ReserveSecretMemory(size_t{1} << 18);
  // Errors are ours to print, in the format asked for; gRPC would add log lines of its own.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return static_cast<int>(strongroom::command::Run(arguments, std::cin, std::cout, std::cerr));
}
