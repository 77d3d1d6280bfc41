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
  peak_mib_[transport].push_back(server.peak_mib());
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
  for (const Transport transport : kTransports) {
    Json row = {{"transport", NameOf(transport)}};
    PutSpread(row, "peak_mib", peak_mib_.at(transport));
    report["memory"].push_back(row);
  }
}

}  // namespace strongroom::bench
