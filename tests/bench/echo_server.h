#ifndef STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_
#define STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_

#include <chrono>
#include <string>

namespace strongroom::bench {

// How a gRPC server's threads do the work of a call.
enum class ThreadingModel {
  kSync,             // the synchronous API: a thread of gRPC's pool for each call
  kCallbackInline,   // the callback API: the work on gRPC's own threads
  kCallbackWorkers,  // the callback API: the work on server/grpc/workers.h, as strongroomd does it
};

// Serves KmsService.GenerateDataKey on a unix socket with answers of the usual sizes that hold no
// keys, until the process is killed. Each call keeps a processor busy for `work`, or, if `sleeps`,
// waits that long as for a token behind a network.
[[noreturn]] void ServeEcho(const std::string& socket_path, ThreadingModel model, int workers,
                            std::chrono::microseconds work, bool sleeps);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_ECHO_SERVER_H_
