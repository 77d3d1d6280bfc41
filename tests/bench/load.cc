#include "tests/bench/load.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::bench {
namespace {

using Time = std::chrono::steady_clock::time_point;

struct CallState {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GenerateDataKeyResponse>> reader;
  v1::GenerateDataKeyResponse response;
  grpc::Status status;
  Time begin;
};

double Percentile(std::vector<double>& values, double fraction) {
  if (values.empty()) return 0;
  const size_t rank = std::min(values.size() - 1,
                               static_cast<size_t>(fraction * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank),
                   values.end());
  return values[rank];
}

}  // namespace

LoadResult LoadGenerateDataKey(const std::string& socket_path, const std::string& key_id,
                               int in_flight, std::chrono::milliseconds duration) {
  grpc::ChannelArguments arguments;
  // Each run has a connection of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
      "unix:" + socket_path, grpc::InsecureChannelCredentials(), arguments);
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto stub = v1::KmsService::NewStub(channel);
  v1::GenerateDataKeyRequest request;
  request.set_key_id(key_id);

  grpc::CompletionQueue queue;
  std::vector<CallState> calls(static_cast<size_t>(in_flight));
  const auto start = [&](CallState& call) {
    call.context = std::make_unique<grpc::ClientContext>();
    call.begin = std::chrono::steady_clock::now();
    call.reader = stub->AsyncGenerateDataKey(call.context.get(), request, &queue);
    call.reader->Finish(&call.response, &call.status, &call);
  };
  const Time counted_from = std::chrono::steady_clock::now() + duration / 4;
  const Time end = counted_from + duration;
  for (CallState& call : calls) start(call);

  LoadResult result;
  std::vector<double> latencies;
  int under_way = in_flight;
  void* tag = nullptr;
  bool ok = false;
  while (under_way > 0 && queue.Next(&tag, &ok)) {
    CallState& call = *static_cast<CallState*>(tag);
    const Time now = std::chrono::steady_clock::now();
    if (!call.status.ok()) ++result.failures;
    if (now >= counted_from && now < end) {
      latencies.push_back(std::chrono::duration<double, std::micro>(now - call.begin).count());
    }
    if (now < end) {
      start(call);
    } else {
      --under_way;
    }
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  result.calls_per_second =
      static_cast<double>(latencies.size()) / std::chrono::duration<double>(duration).count();
  result.p50_us = Percentile(latencies, 0.50);
  result.p99_us = Percentile(latencies, 0.99);
  return result;
}

}  // namespace strongroom::bench
