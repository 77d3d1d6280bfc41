#include "tests/bench/load.h"

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/bench/figures.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Time = steady_clock::time_point;

constexpr std::chrono::seconds kLongestWait(60);

std::shared_ptr<grpc::Channel> Connect(const Target& target) {
  grpc::ChannelArguments arguments;
  // Otherwise channels with the same settings share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(target.address, target.credentials, arguments);
  if (!channel->WaitForConnected(system_clock::now() + kLongestWait)) {
    Die("nobody answers at " + target.address);
  }
  return channel;
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToBytes(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) Die("cannot read an answer");
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// How long a refusal says to wait; 0 if it does not.
milliseconds ToldWait(const grpc::Status& refusal) {
  google::rpc::Status status;
  google::rpc::RetryInfo retry;
  if (!status.ParseFromString(refusal.error_details())) return milliseconds(0);
  for (const google::protobuf::Any& detail : status.details()) {
    if (!detail.UnpackTo(&retry)) continue;
    return std::chrono::seconds(retry.retry_delay().seconds()) +
           milliseconds((retry.retry_delay().nanos() + 999999) / 1000000);
  }
  return milliseconds(0);
}

// One call, by itself; returns the answer's bytes.
std::string CallWith(grpc::GenericStub& stub, const Call& call) {
  grpc::ClientContext context;
  context.set_deadline(system_clock::now() + kLongestWait);
  grpc::CompletionQueue queue;
  const grpc::ByteBuffer request = ToBuffer(call.request);
  const auto reader = stub.PrepareUnaryCall(&context, call.method, request, &queue);
  grpc::ByteBuffer answer;
  grpc::Status status;
  reader->StartCall();
  reader->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) Die(call.method + ": " + status.error_message());
  return ToBytes(answer);
}

// Milliseconds; dies if the answer is a wrong one.
double TimeOf(grpc::GenericStub& stub, const Call& call) {
  const Time begin = steady_clock::now();
  const std::string answer = CallWith(stub, call);
  const std::chrono::duration<double, std::milli> time = steady_clock::now() - begin;
  if (!call.is_right(answer)) Die(call.method + ": a wrong answer");
  return time.count();
}

struct CallState {
  size_t which = 0;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer answer;
  grpc::Status status;
  Time begin;
  // Set while the call's place waits as told.
  std::unique_ptr<grpc::Alarm> alarm;
};

// Connections of its own, and what came of the calls on them.
class Caller {
 public:
  Caller(const Target& target, const std::vector<Call>& calls, const LoadOptions& options)
      : target_(target), calls_(calls), options_(options) {
    for (int i = 0; i < options.connections; ++i) {
      stubs_.push_back(std::make_unique<grpc::GenericStub>(Connect(target)));
    }
    for (const Call& call : calls) requests_.push_back(ToBuffer(call.request));
    looked_at_.resize(calls.size());
    begin_ = steady_clock::now();
    counted_from_ = begin_ + options.duration / 4;
    end_ = counted_from_ + options.duration;
  }
  ~Caller() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  grpc::CompletionQueue& queue() { return queue_; }
  Time begin() const { return begin_; }
  Time end() const { return end_; }

  // By one thread at a time.
  void Start(CallState& call, Time begin) {
    call.which = next_++ % calls_.size();
    call.context = std::make_unique<grpc::ClientContext>();
    call.begin = begin;
    call.reader = stubs_[next_ % stubs_.size()]->PrepareUnaryCall(
        call.context.get(), calls_[call.which].method, requests_[call.which], &queue_);
    call.reader->StartCall();
    call.reader->Finish(&call.answer, &call.status, &call);
  }

  // Counts a call that ended.
  void Count(CallState& call, Time now) {
    const bool refused = call.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                         options_.when_refused != WhenRefused::kDie;
    if (!call.status.ok() && !refused) {
      Die(calls_[call.which].method + ": " + call.status.error_message());
    }
    if (call.status.ok() && !looked_at_[call.which]) {
      looked_at_[call.which] = true;
      if (!calls_[call.which].is_right(ToBytes(call.answer))) {
        Die(calls_[call.which].method + ": a wrong answer");
      }
    }
    if (now >= counted_from_ && first_sample_.at == Time()) first_sample_ = TakeSample();
    if (now >= end_ && last_sample_.at == Time()) last_sample_ = TakeSample();
    if (now < counted_from_ || now >= end_) return;
    if (refused) ++refused_;
    if (call.status.ok()) {
      latencies_.push_back(std::chrono::duration<double, std::milli>(now - call.begin).count());
    }
  }

  LoadResult Result() {
    if (last_sample_.at == Time()) last_sample_ = TakeSample();
    LoadResult result;
    const double seconds = std::chrono::duration<double>(options_.duration).count();
    const auto count = static_cast<double>(latencies_.size());
    result.rps = count / seconds;
    result.refused_per_second = static_cast<double>(refused_) / seconds;
    result.p50_ms = Percentile(latencies_, 0.50);
    result.p99_ms = Percentile(latencies_, 0.99);
    const double sampled =
        std::chrono::duration<double>(last_sample_.at - first_sample_.at).count();
    if (first_sample_.at != Time() && count > 0 && sampled > 0) {
      const double requests = result.rps * sampled;
      result.server_cpu_us = (last_sample_.server - first_sample_.server) * 1e6 / requests;
      result.client_cpu_us = (last_sample_.client - first_sample_.client) * 1e6 / requests;
    }
    return result;
  }

 private:
  struct Sample {
    Time at;
    double server = 0;
    double client = 0;
  };

  Sample TakeSample() const {
    return {steady_clock::now(), target_.process != 0 ? CpuSecondsOf(target_.process) : 0,
            CpuSecondsOf(getpid())};
  }

  const Target target_;
  const std::vector<Call>& calls_;
  const LoadOptions options_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::vector<grpc::ByteBuffer> requests_;
  std::vector<bool> looked_at_;
  grpc::CompletionQueue queue_;
  Time begin_;
  Time counted_from_;
  Time end_;
  size_t next_ = 0;
  Sample first_sample_;
  Sample last_sample_;
  std::vector<double> latencies_;
  int64_t refused_ = 0;
};

}  // namespace

LoadResult Load(const Target& target, const std::vector<Call>& calls, const LoadOptions& options) {
  std::vector<CallState> states(static_cast<size_t>(options.in_flight));
  Caller caller(target, calls, options);
  for (CallState& state : states) caller.Start(state, steady_clock::now());
  int under_way = options.in_flight;
  void* tag = nullptr;
  bool ok = false;
  while (under_way > 0 && caller.queue().Next(&tag, &ok)) {
    CallState& state = *static_cast<CallState*>(tag);
    const Time now = steady_clock::now();
    const bool waited = state.alarm != nullptr;
    state.alarm.reset();
    if (!waited) caller.Count(state, now);
    if (now >= caller.end()) {
      --under_way;
      continue;
    }
    if (!waited && !state.status.ok() && options.when_refused == WhenRefused::kWaitAsTold) {
      const milliseconds wait = ToldWait(state.status);
      if (wait.count() > 0) {
        state.alarm = std::make_unique<grpc::Alarm>();
        state.alarm->Set(&caller.queue(), system_clock::now() + wait, &state);
        continue;
      }
    }
    caller.Start(state, now);
  }
  return caller.Result();
}

LoadResult Pace(const Target& target, const std::vector<Call>& calls, double rps,
                milliseconds duration) {
  Caller caller(target, calls, {.duration = duration});
  const std::chrono::duration<double> interval(1 / rps);
  const auto count = static_cast<int64_t>((caller.end() - caller.begin()) / interval) + 1;
  // gRPC's queue wakes up by milliseconds, so another thread than the one that waits for answers
  // keeps the time.
  std::thread sender([&] {
    // Sleeping to the microsecond; a thread's default is 50.
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (int64_t i = 0; i < count; ++i) {
      const Time due = caller.begin() + std::chrono::duration_cast<steady_clock::duration>(
                                            interval * static_cast<double>(i));
      std::this_thread::sleep_until(due);
      // Taken back when its answer is counted.
      caller.Start(*new CallState, due);
    }
  });
  void* tag = nullptr;
  bool ok = false;
  for (int64_t i = 0; i < count && caller.queue().Next(&tag, &ok); ++i) {
    const std::unique_ptr<CallState> state(static_cast<CallState*>(tag));
    caller.Count(*state, steady_clock::now());
  }
  sender.join();
  return caller.Result();
}

std::string CallOnce(const Target& target, const Call& call) {
  grpc::GenericStub stub(Connect(target));
  return CallWith(stub, call);
}

std::vector<double> CallInTurn(const Target& target, const Call& call, int count) {
  grpc::GenericStub stub(Connect(target));
  std::vector<double> each;
  for (int i = 0; i < count; ++i) each.push_back(TimeOf(stub, call));
  return each;
}

std::pair<std::vector<double>, std::vector<double>> CallBoth(const Target& target, const Call& one,
                                                             const Call& other, int count) {
  grpc::GenericStub stub(Connect(target));
  std::pair<std::vector<double>, std::vector<double>> each;
  for (int i = 0; i < count; ++i) {
    each.first.push_back(TimeOf(stub, one));
    each.second.push_back(TimeOf(stub, other));
  }
  return each;
}

}  // namespace strongroom::bench
