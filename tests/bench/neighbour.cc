#include "tests/bench/neighbour.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>

#include "tests/bench/child.h"
#include "tests/bench/operations.h"
#include "tests/bench/server_process.h"

namespace strongroom::bench {
namespace {

constexpr int kQuietCallsPerSecond = 50;
constexpr int kNoiseInFlight = 64;
// A twentieth of what the server does on two processors: much for one client that keeps its data
// keys a while, little enough to be there for everybody.
constexpr char kLimits[] =
    "  rates:\n    principals:\n"
    "      - {principal: limited, data_key: {rate: 500, burst: 500}}\n";

struct Variant {
  const char* name;
  // The principal, or null: nobody.
  const char* noise;
  bool waits_as_told;
};

// The first is what the others are compared with.
constexpr Variant kVariants[] = {
    {"alone", nullptr, false},
    {"rate 500, waits as told", "limited", true},
    {"rate 500, calls again at once", "limited", false},
    {"no rate", "free", false},
};

}  // namespace

Json MakeNoise(const Json& arguments) {
  const LoadResult result =
      Load({arguments.at("address"), grpc::InsecureChannelCredentials()},
           {GenerateDataKeyCall(arguments.at("key_id"))},
           {.in_flight = kNoiseInFlight,
            .duration = std::chrono::milliseconds(arguments.at("milliseconds").get<int>()),
            .when_refused = arguments.at("waits_as_told").get<bool>() ? WhenRefused::kWaitAsTold
                                                                      : WhenRefused::kCallAgain});
  return {{"served", result.rps}, {"refused", result.refused_per_second}};
}

void NeighbourPart::RunRound() {
  // At 50 calls a second, a p99 needs a while.
  const std::chrono::milliseconds duration = 10 * bench_.duration;
  const Home home(bench_);
  ServerSettings settings;
  settings.principals = {"quiet", "limited", "free"};
  settings.limits = kLimits;
  const ServerProcess server(bench_, home, settings);
  const std::string key_id = server.CreateKey();
  for (const Variant& variant : kVariants) {
    std::unique_ptr<TaskProcess> noise;
    if (variant.noise != nullptr) {
      noise = std::make_unique<TaskProcess>(bench_, "noise",
                                            Json{{"address", server.target(variant.noise).address},
                                                 {"key_id", key_id},
                                                 {"milliseconds", duration.count()},
                                                 {"waits_as_told", variant.waits_as_told}});
    }
    // Both leave out their first part, so it does not matter that they do not begin together.
    quiet_[variant.name].rounds.push_back(Pace(
        server.target("quiet"), {GenerateDataKeyCall(key_id)}, kQuietCallsPerSecond, duration));
    const Json result = noise != nullptr ? noise->Result() : Json{{"served", 0}, {"refused", 0}};
    served_[variant.name].push_back(result.at("served"));
    refused_[variant.name].push_back(result.at("refused"));
  }
}

void NeighbourPart::Report(Json& report) const {
  const Rounds alone = quiet_.at(kVariants[0].name).p99s();
  for (const Variant& variant : kVariants) {
    const Series& quiet = quiet_.at(variant.name);
    Json row = {{"neighbour", variant.name}};
    PutSpread(row, "p50_ms", quiet.p50s());
    PutSpread(row, "p99_ms", quiet.p99s());
    PutSpread(row, "ratio", Ratios(quiet.p99s(), alone));
    PutSpread(row, "neighbour_rps", served_.at(variant.name));
    PutSpread(row, "neighbour_refused_per_second", refused_.at(variant.name));
    report["neighbour"].push_back(row);
  }
}

}  // namespace strongroom::bench
