#include "tests/bench/threading.h"

#include "tests/bench/echo_server.h"

namespace strongroom::bench {
namespace {

constexpr EchoWork kProcessor = {.microseconds = 25, .sleeps = false};
constexpr EchoWork kWaiting = {.microseconds = 1000, .sleeps = true};
// As many as calls, for a worker that waits is of no use to another.
constexpr int kWaitingWorkers = 64;

}  // namespace

ThreadingPart::ThreadingPart(const Bench& bench) : bench_(bench) {
  for (const EchoWork& work : {kProcessor, kWaiting}) {
    for (const ThreadingModel model : kThreadingModels) {
      for (const int in_flight : {1, 64}) subjects_.push_back({work, model, in_flight});
    }
  }
}

void ThreadingPart::RunRound() {
  for (Subject& subject : subjects_) {
    const EchoProcess echo(bench_, Transport::kUnix, subject.model,
                           subject.work.sleeps ? kWaitingWorkers : DefaultLanes(), subject.work);
    subject.series.rounds.push_back(
        Load(echo.target(), {EchoCall()},
             {.in_flight = subject.in_flight, .duration = bench_.duration}));
  }
}

void ThreadingPart::Report(Json& report) const {
  for (const Subject& subject : subjects_) {
    Json row = {{"work", subject.work.sleeps ? "1 ms of waiting" : "25 us of processor"},
                {"model", NameOf(subject.model)},
                {"in_flight", subject.in_flight}};
    PutLoad(row, subject.series);
    report["threading"].push_back(row);
  }
}

}  // namespace strongroom::bench
