#include "tests/bench/echo_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "server/grpc/workers.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::bench {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

struct Work {
  std::chrono::microseconds duration;
  bool sleeps;

  void operator()() const {
    if (duration.count() == 0) return;
    if (sleeps) {
      std::this_thread::sleep_for(duration);
      return;
    }
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
    }
  }
};

// What a data key of 32 bytes is answered with, in size.
v1::GenerateDataKeyResponse Answer() {
  v1::GenerateDataKeyResponse answer;
  answer.set_key_id(std::string(36, 'k'));
  answer.set_key_version_id(std::string(36, 'v'));
  answer.set_plaintext(std::string(32, 'p'));
  answer.set_ciphertext_blob(std::string(104, 'c'));
  answer.set_request_id(std::string(36, 'r'));
  return answer;
}

template <typename Context>
void AddRequestId(Context& context) {
  context.AddInitialMetadata("x-request-id", std::string(36, 'r'));
}

class SyncEcho final : public v1::KmsService::Service {
 public:
  explicit SyncEcho(Work work) : work_(work) {}

  grpc::Status GenerateDataKey(grpc::ServerContext* context, const v1::GenerateDataKeyRequest*,
                               v1::GenerateDataKeyResponse* response) override {
    AddRequestId(*context);
    work_();
    *response = Answer();
    return grpc::Status::OK;
  }

 private:
  const Work work_;
};

class CallbackEcho final
    : public v1::KmsService::WithRawCallbackMethod_GenerateDataKey<v1::KmsService::Service> {
 public:
  // Without workers the work is done at once.
  CallbackEcho(Work work, grpc_server::Workers* workers) : work_(work), workers_(workers) {}

  ServerUnaryReactor* GenerateDataKey(CallbackServerContext* context, const ByteBuffer* request,
                                      ByteBuffer* response) override {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    AddRequestId(*context);
    const auto serve = [this, request, response, reactor] {
      grpc::Slice slice;
      v1::GenerateDataKeyRequest decoded;
      if (!request->DumpToSingleSlice(&slice).ok() ||
          !decoded.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
        reactor->Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, ""));
        return;
      }
      work_();
      const grpc::Slice encoded(Answer().SerializeAsString());
      ByteBuffer buffer(&encoded, 1);
      response->Swap(&buffer);
      reactor->Finish(grpc::Status::OK);
    };
    if (workers_ == nullptr) {
      serve();
    } else if (!workers_->Run("bench", serve)) {
      reactor->Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, ""));
    }
    return reactor;
  }

 private:
  const Work work_;
  grpc_server::Workers* const workers_;
};

}  // namespace

void ServeEcho(const std::string& socket_path, ThreadingModel model, int workers,
               std::chrono::microseconds work, bool sleeps) {
  std::unique_ptr<grpc_server::Workers> pool;
  std::unique_ptr<grpc::Service> service;
  if (model == ThreadingModel::kSync) {
    service = std::make_unique<SyncEcho>(Work{work, sleeps});
  } else {
    if (model == ThreadingModel::kCallbackWorkers) {
      pool = std::make_unique<grpc_server::Workers>(workers, 10000);
    }
    service = std::make_unique<CallbackEcho>(Work{work, sleeps}, pool.get());
  }
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 * 1024);
  builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) std::exit(1);
  server->Wait();
  std::exit(0);
}

}  // namespace strongroom::bench
