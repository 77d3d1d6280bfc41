#include "tests/bench/load.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Time = steady_clock::time_point;

struct CallState {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GenerateDataKeyResponse>> reader;
  v1::GenerateDataKeyResponse response;
  grpc::Status status;
  Time begin;
  // Set while the call's place waits as told.
  std::unique_ptr<grpc::Alarm> alarm;
};

double Percentile(std::vector<double>& values, double fraction) {
  if (values.empty()) return 0;
  const size_t rank = std::min(values.size() - 1,
                               static_cast<size_t>(fraction * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank),
                   values.end());
  return values[rank];
}

// A connection of its own, and what came of the calls on it.
class Caller {
 public:
  Caller(const std::string& socket_path, const std::string& key_id, milliseconds duration)
      : duration_(duration) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
        "unix:" + socket_path, grpc::InsecureChannelCredentials(), arguments);
    channel->WaitForConnected(system_clock::now() + std::chrono::seconds(20));
    stub_ = v1::KmsService::NewStub(channel);
    request_.set_key_id(key_id);
    begin_ = steady_clock::now();
    counted_from_ = begin_ + duration / 4;
    end_ = counted_from_ + duration;
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

  void Start(CallState& call) {
    call.context = std::make_unique<grpc::ClientContext>();
    call.begin = steady_clock::now();
    call.reader = stub_->AsyncGenerateDataKey(call.context.get(), request_, &queue_);
    call.reader->Finish(&call.response, &call.status, &call);
  }

  // Counts a call that ended.
  void Count(const CallState& call, Time now) {
    const bool refused = call.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (!call.status.ok() && !refused) {
      ++result_.failures;
      result_.failure = call.status.error_message();
    }
    if (now < counted_from_ || now >= end_) return;
    if (refused) ++refused_;
    if (call.status.ok()) {
      latencies_.push_back(std::chrono::duration<double, std::micro>(now - call.begin).count());
    }
  }

  LoadResult Result() {
    const double seconds = std::chrono::duration<double>(duration_).count();
    result_.calls_per_second = static_cast<double>(latencies_.size()) / seconds;
    result_.refused_per_second = static_cast<double>(refused_) / seconds;
    result_.p50_us = Percentile(latencies_, 0.50);
    result_.p99_us = Percentile(latencies_, 0.99);
    return result_;
  }

 private:
  const milliseconds duration_;
  std::unique_ptr<v1::KmsService::Stub> stub_;
  v1::GenerateDataKeyRequest request_;
  grpc::CompletionQueue queue_;
  Time begin_;
  Time counted_from_;
  Time end_;
  std::vector<double> latencies_;
  int64_t refused_ = 0;
  LoadResult result_;
};

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

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

}  // namespace

LoadResult LoadGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int in_flight, milliseconds duration, WhenRefused when_refused) {
  std::vector<CallState> calls(static_cast<size_t>(in_flight));
  Caller caller(socket_path, key_id, duration);
  for (CallState& call : calls) caller.Start(call);
  int under_way = in_flight;
  void* tag = nullptr;
  bool ok = false;
  while (under_way > 0 && caller.queue().Next(&tag, &ok)) {
    CallState& call = *static_cast<CallState*>(tag);
    const Time now = steady_clock::now();
    const bool waited = call.alarm != nullptr;
    call.alarm.reset();
    if (!waited) caller.Count(call, now);
    if (now >= caller.end()) {
      --under_way;
      continue;
    }
    if (!waited && !call.status.ok() && when_refused == WhenRefused::kWaitAsTold) {
      const milliseconds wait = ToldWait(call.status);
      if (wait.count() > 0) {
        call.alarm = std::make_unique<grpc::Alarm>();
        call.alarm->Set(&caller.queue(), system_clock::now() + wait, &call);
        continue;
      }
    }
    caller.Start(call);
  }
  return caller.Result();
}

LoadResult PaceGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int calls_per_second, milliseconds duration) {
  std::unordered_map<CallState*, std::unique_ptr<CallState>> calls;
  Caller caller(socket_path, key_id, duration);
  const std::chrono::nanoseconds interval(std::chrono::seconds(1));
  Time next = caller.begin();
  while (next < caller.end() || !calls.empty()) {
    const bool sends = next < caller.end();
    const auto wait = sends ? next - steady_clock::now() : std::chrono::seconds(60);
    void* tag = nullptr;
    bool ok = false;
    const auto event = caller.queue().AsyncNext(
        &tag, &ok, system_clock::now() + std::chrono::duration_cast<system_clock::duration>(wait));
    if (event == grpc::CompletionQueue::GOT_EVENT) {
      auto* const call = static_cast<CallState*>(tag);
      caller.Count(*call, steady_clock::now());
      calls.erase(call);
    } else if (sends) {
      auto call = std::make_unique<CallState>();
      caller.Start(*call);
      CallState* const state = call.get();
      calls.emplace(state, std::move(call));
      next += interval / calls_per_second;
    } else {
      break;
    }
  }
  return caller.Result();
}

Spread Figure::Of(double LoadResult::*member) const {
  std::vector<double> values;
  for (const LoadResult& run : runs) values.push_back(run.*member);
  return SpreadOf(std::move(values));
}

Spread Figure::Ratio(const Figure& other, double LoadResult::*member) const {
  std::vector<double> values;
  for (size_t i = 0; i < runs.size(); ++i)
    values.push_back(runs[i].*member / other.runs[i].*member);
  return SpreadOf(std::move(values));
}

}  // namespace strongroom::bench
