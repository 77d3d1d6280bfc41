#include "tests/bench/lanes.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/below_grpc.h"
#include "tests/bench/child.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/operations.h"
#include "tests/bench/server_process.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {
namespace {

constexpr int kLanes[] = {1, 2, 4, 8, 16, 32, 64};
// strongroomd wants one lane more than pairs may be generated at a time.
constexpr int kFewestOfServer = 2;
constexpr int kInFlight = 128;
constexpr size_t kDataKeyBytes = 32;

// What works with keys or makes random bytes; looking for objects and at them is left alone, for
// that is done when a server starts.
constexpr const char* kSlowFunctions[] = {
    "C_EncryptInit", "C_Encrypt",     "C_DecryptInit",     "C_Decrypt",   "C_SignInit",
    "C_Sign",        "C_GenerateKey", "C_GenerateKeyPair", "C_WrapKey",   "C_UnwrapKey",
    "C_DeriveKey",   "C_SeedRandom",  "C_GenerateRandom",  "C_DigestInit"};
constexpr int kCallMicroseconds = 1000;
// Of a token that waits for longer, so that this machine's processors are not what is measured.
constexpr int kLongCallMicroseconds = 5000;

std::vector<std::string> Directives(int call_microseconds) {
  std::vector<std::string> directives;
  for (const char* function : kSlowFunctions) {
    directives.push_back(absl::StrCat("take ", function, " ", call_microseconds));
  }
  return directives;
}

uint64_t SumOf(const testing::FaultModule& module) {
  uint64_t sum = 0;
  for (const auto& [name, count] : module.Calls()) sum += count;
  return sum;
}

}  // namespace

Json MakeDataKeysOnLanes(const Json& arguments) {
  const int lanes = arguments.at("lanes");
  const std::chrono::milliseconds duration(arguments.at("milliseconds").get<int>());
  const auto softhsm = OrDie(testing::SoftHsmToken::Create());
  testing::FaultModule module = OrDie(testing::FaultModule::Load());
  hsm::TokenOptions options = softhsm.options();
  options.module_path = testing::FaultModule::Path();
  options.lanes = lanes;
  BelowGrpc rooms(softhsm, options);
  for (const std::string& directive : Directives(arguments.at("call_microseconds"))) {
    CheckOk(module.Apply(directive));
  }

  const auto begin = std::chrono::steady_clock::now();
  const auto counted_from = begin + duration / 4;
  const auto end = counted_from + duration;
  std::atomic<int64_t> made = 0;
  std::atomic<int64_t> counted = 0;
  const uint64_t calls_before = SumOf(module);
  std::vector<std::thread> threads;
  for (int i = 0; i < lanes; ++i) {
    threads.emplace_back([&] {
      while (true) {
        CheckOk(rooms.data_keys()
                    .GenerateDataKey({.key = rooms.key()}, kDataKeyBytes,
                                     core::Plaintext::kReturned, kNoDeadline)
                    .status());
        ++made;
        const auto now = std::chrono::steady_clock::now();
        if (now >= end) return;
        if (now >= counted_from) ++counted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return {{"rps", static_cast<double>(counted) / std::chrono::duration<double>(duration).count()},
          {"token_calls",
           static_cast<double>(SumOf(module) - calls_before) / static_cast<double>(made)}};
}

void LanesPart::RunRound() {
  const std::string directives_path = bench_.folder + "/slow-token";
  {
    std::ofstream file(directives_path);
    for (const std::string& directive : Directives(kCallMicroseconds)) file << directive << "\n";
  }
  for (const int lanes : kLanes) {
    Figures& figures = figures_[lanes];
    const auto below_grpc = [&](int call_microseconds) {
      return TaskProcess(bench_, "lanes",
                         {{"lanes", lanes},
                          {"milliseconds", bench_.duration.count()},
                          {"call_microseconds", call_microseconds}})
          .Result();
    };
    const Json below = below_grpc(kCallMicroseconds);
    figures.long_calls_rps.push_back(below_grpc(kLongCallMicroseconds).at("rps"));
    figures.rps.push_back(below.at("rps"));
    figures.token_calls.push_back(below.at("token_calls"));
    if (lanes < kFewestOfServer) continue;
    const Home home(bench_);
    ServerSettings settings;
    settings.lanes = lanes;
    settings.limits = absl::StrCat("  streams_per_connection: ", kInFlight, "\n");
    settings.module = testing::FaultModule::Path();
    settings.environment = {{"STRONGROOM_TEST_FAULTS", directives_path}};
    const ServerProcess server(bench_, home, settings);
    figures.grpc_rps.push_back(Load(server.target(), {GenerateDataKeyCall(server.CreateKey())},
                                    {.in_flight = kInFlight, .duration = bench_.duration})
                                   .rps);
  }
  const EchoProcess echo(bench_, Transport::kUnix, ThreadingModel::kInline, 0);
  echo_rps_.push_back(Load(echo.target(), {EchoCall()},
                           {.in_flight = kInFlight, .duration = bench_.duration, .connections = 2})
                          .rps);
}

void LanesPart::Report(Json& report) const {
  const Figures& one = figures_.begin()->second;
  for (const auto& [lanes, figures] : figures_) {
    Json row = {{"lanes", lanes}};
    PutSpread(row, "rps", figures.rps);
    PutSpread(row, "ratio_to_one_lane", Ratios(figures.rps, one.rps));
    PutSpread(row, "rps_5ms", figures.long_calls_rps);
    PutSpread(row, "ratio_to_one_lane_5ms", Ratios(figures.long_calls_rps, one.long_calls_rps));
    PutSpread(row, "calls_per_data_key", figures.token_calls);
    PutSpread(row, "grpc_rps", figures.grpc_rps);
    PutSpread(row, "grpc_ratio_to_echo", Ratios(figures.grpc_rps, echo_rps_));
    report["lanes"].push_back(row);
  }
  report["calls_per_data_key"] = report["lanes"].back()["calls_per_data_key"];
}

}  // namespace strongroom::bench
