#ifndef STRONGROOM_TESTS_BENCH_LOAD_H_
#define STRONGROOM_TESTS_BENCH_LOAD_H_

#include <grpcpp/security/credentials.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace strongroom::bench {

// A server to be called.
struct Target {
  // For grpc::CreateChannel.
  std::string address;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Whose processor time is counted; 0: nobody's.
  pid_t process = 0;
};

// A call as bytes, so that every operation costs the client the same.
struct Call {
  // "/strongroom.v1.KmsService/GenerateDataKey"
  std::string method;
  std::string request;
  // Whether the bytes of an answer are a right one; one answer of each load is looked at.
  std::function<bool(const std::string& answer)> is_right;
};

// What a client does when a call is refused as too often (RESOURCE_EXHAUSTED).
enum class WhenRefused {
  kDie,
  kCallAgain,   // the next call at once
  kWaitAsTold,  // the next call after the time in the refusal's google.rpc.RetryInfo
};

struct LoadOptions {
  int in_flight = 1;
  // Of what is counted; a quarter of it before, which is not.
  std::chrono::milliseconds duration{0};
  int connections = 1;
  WhenRefused when_refused = WhenRefused::kDie;
};

struct LoadResult {
  // Answers a second, of calls that succeeded, and how long they took.
  double rps = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  // Processor time for each of them.
  double server_cpu_us = 0;
  double client_cpu_us = 0;
  double refused_per_second = 0;
};

// Both call from this process, the calls in turn, and die if one fails, or is answered wrongly.
//
// A closed loop on one thread: always `in_flight` calls under way (or waiting as told).
LoadResult Load(const Target& target, const std::vector<Call>& calls, const LoadOptions& options);
// An open loop: a call at regular times, whether or not those before are answered, and each takes
// from the time at which it was due.
LoadResult Pace(const Target& target, const std::vector<Call>& calls, double rps,
                std::chrono::milliseconds duration);

// One call, by itself; returns the answer's bytes.
std::string CallOnce(const Target& target, const Call& call);
// So many calls, one after the other, on one connection; returns how many milliseconds each took.
std::vector<double> CallInTurn(const Target& target, const Call& call, int count);
// So many of each, by turns.
std::pair<std::vector<double>, std::vector<double>> CallBoth(const Target& target, const Call& one,
                                                             const Call& other, int count);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_LOAD_H_
