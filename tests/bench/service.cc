#include "tests/bench/service.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/echo_server.h"
#include "tests/bench/operations.h"

namespace strongroom::bench {
namespace {

constexpr int kInFlight[] = {1, 16, 64};
constexpr int kMostInFlight = 64;
// What is compared with: the server's own settings, its threads included. The others say what
// another way to use gRPC could give.
constexpr ThreadingModel kEcho = ThreadingModel::kServed;
constexpr char kPairOperation[] = "GenerateDataKeyPair";

// What is held to half of what it can do.
bool HasHalfLoad(const std::string& operation, Transport transport) {
  return transport != Transport::kTcp && (operation == "GenerateDataKey" || operation == "Decrypt");
}

}  // namespace

void ServicePart::RunRound() {
  for (const Transport transport : kTransports) RunTransport(transport);
}

void ServicePart::RunTransport(Transport transport) {
  const Home home(bench_);
  ServerSettings settings;
  settings.transport = transport;
  const ServerProcess server(bench_, home, settings);
  // Pairs are generated one at a time unless a server is told otherwise; this one is told.
  const Home pair_home(bench_);
  ServerSettings pair_settings;
  pair_settings.transport = transport;
  pair_settings.lanes = kMostInFlight + 1;
  pair_settings.limits = absl::StrCat("  concurrent_pair_generations: ", kMostInFlight, "\n");
  const ServerProcess pair_server(bench_, pair_home, pair_settings);
  std::map<ThreadingModel, std::unique_ptr<EchoProcess>> echoes;
  for (const ThreadingModel model : kThreadingModels) {
    echoes[model] = std::make_unique<EchoProcess>(bench_, transport, model, DefaultLanes());
  }

  std::vector<Operation> operations = DataKeyOperations(server.target(), server.CreateKey());
  for (Operation& operation : operations) {
    if (operation.name == kPairOperation) {
      operation.call =
          GenerateDataKeyPairCall(pair_server.CreateKey(), v1::DATA_KEY_PAIR_SPEC_EC_P256);
    }
  }
  if (operations_.empty()) {
    for (const Operation& operation : operations) operations_.push_back(operation.name);
  }

  for (const int in_flight : kInFlight) {
    const Setting setting = {transport, in_flight};
    const LoadOptions options = {.in_flight = in_flight, .duration = bench_.duration};
    for (const auto& [model, echo] : echoes) {
      echo_[{setting, model}].rounds.push_back(Load(echo->target(), {EchoCall()}, options));
    }
    for (const Operation& operation : operations) {
      const Target target =
          operation.name == kPairOperation ? pair_server.target() : server.target();
      series_[{setting, operation.name}].rounds.push_back(Load(target, {operation.call}, options));
    }
  }
  for (const Operation& operation : operations) {
    if (!HasHalfLoad(operation.name, transport)) continue;
    RunHalfLoad(operation.name, transport, server.target(), operation.call,
                echoes[kEcho]->target());
  }
  peak_mib_[transport].push_back(server.peak_mib());
}

void ServicePart::RunHalfLoad(const std::string& operation, Transport transport,
                              const Target& server, const Call& call, const Target& echo) {
  // A p99 takes a while.
  const auto duration = 2 * bench_.duration;
  const Setting setting = {transport, kMostInFlight};
  const double rate = series_[{setting, operation}].rounds.back().rps / 2;
  const double echo_rps = echo_[{setting, kEcho}].rounds.back().rps;
  HalfLoad& half = half_load_[{operation, transport}];
  half.rate.push_back(rate);
  half.echo_rate.push_back(echo_rps / 2);
  half.operation.rounds.push_back(Pace(server, {call}, rate, duration));
  half.echo_same_rate.rounds.push_back(Pace(echo, {EchoCall()}, rate, duration));
  half.echo_half_of_its_own.rounds.push_back(Pace(echo, {EchoCall()}, echo_rps / 2, duration));
}

ThreadingModel ServicePart::FastestEcho(Setting setting) const {
  return *std::max_element(std::begin(kThreadingModels), std::end(kThreadingModels),
                           [&](ThreadingModel one, ThreadingModel other) {
                             return Median(echo_.at({setting, one}).rates()) <
                                    Median(echo_.at({setting, other}).rates());
                           });
}

void ServicePart::Report(Json& report) const {
  for (const Transport transport : kTransports) {
    for (const int in_flight : kInFlight) {
      const Setting setting = {transport, in_flight};
      const ThreadingModel fastest = FastestEcho(setting);
      for (const ThreadingModel model : kThreadingModels) {
        Json row = {{"model", NameOf(model)},
                    {"transport", NameOf(transport)},
                    {"in_flight", in_flight},
                    {"fastest", model == fastest}};
        PutLoad(row, echo_.at({setting, model}));
        report["echo"].push_back(row);
        if (transport != Transport::kUnix || in_flight != kMostInFlight) continue;
        if (model == kEcho) report["echo_rps"] = row["rps"];
        if (model == fastest) report["fastest_echo_rps"] = row["rps"];
      }
    }
  }
  for (const std::string& operation : operations_) {
    for (const Transport transport : kTransports) {
      for (const int in_flight : kInFlight) {
        const Setting setting = {transport, in_flight};
        const Series& series = series_.at({setting, operation});
        Json row = {
            {"operation", operation}, {"transport", NameOf(transport)}, {"in_flight", in_flight}};
        PutLoad(row, series);
        PutSpread(row, "ratio_to_echo", Ratios(series.rates(), echo_.at({setting, kEcho}).rates()));
        PutSpread(row, "ratio_to_fastest_echo",
                  Ratios(series.rates(), echo_.at({setting, FastestEcho(setting)}).rates()));
        report["ops"].push_back(row);
      }
    }
  }
  for (const auto& [key, half] : half_load_) {
    Json row = {{"operation", key.first}, {"transport", NameOf(key.second)}};
    PutSpread(row, "rate", half.rate);
    PutSpread(row, "p99_ms", half.operation.p99s());
    PutSpread(row, "echo_same_rate_p99_ms", half.echo_same_rate.p99s());
    PutSpread(row, "ratio_same_rate", Ratios(half.operation.p99s(), half.echo_same_rate.p99s()));
    PutSpread(row, "echo_half_rate", half.echo_rate);
    PutSpread(row, "echo_half_p99_ms", half.echo_half_of_its_own.p99s());
    PutSpread(row, "ratio_half", Ratios(half.operation.p99s(), half.echo_half_of_its_own.p99s()));
    report["half_load"].push_back(row);
  }
  for (const Transport transport : kTransports) {
    Json row = {{"transport", NameOf(transport)}};
    PutSpread(row, "peak_mib", peak_mib_.at(transport));
    report["memory"].push_back(row);
  }
}

}  // namespace strongroom::bench
