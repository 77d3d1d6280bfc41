#ifndef STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_
#define STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_

#include "tests/bench/bench.h"
#include "tests/bench/load.h"

namespace strongroom::bench {

// The limit of what any server on these listeners can do: KmsService.GenerateDataKey with messages
// of the usual sizes on strongroomd's own listeners (server/grpc/listeners.h, so that the settings
// cannot differ). Each call is decoded, and answered with encoded bytes that hold no key.
//
// A task (child.h) that serves until it is ended; EchoProcess has its arguments.
Json ServeEcho(const Json& arguments);

// What it answers.
Call EchoCall();

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_
