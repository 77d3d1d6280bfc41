#include "tests/bench/echo_server.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "platform/clock.h"
#include "server/gate/client_certificates.h"
#include "server/grpc/listeners.h"
#include "server/grpc/tls_files.h"
#include "server/grpc/workers.h"
#include "server/log/log.h"
#include "strongroom/v1/kms_service.grpc.pb.h"
#include "tests/bench/operations.h"

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

// Takes calls as bytes, as server/grpc/desk.h does.
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
    } else if (!workers_->RunQuick("bench", serve)) {
      reactor->Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, ""));
    }
    return reactor;
  }

 private:
  const Work work_;
  grpc_server::Workers* const workers_;
};

class EchoFaces final : public grpc_server::Faces {
 public:
  explicit EchoFaces(std::unique_ptr<grpc::Service> service) : service_(std::move(service)) {}
  std::vector<grpc::Service*> services() const override { return {service_.get()}; }

 private:
  const std::unique_ptr<grpc::Service> service_;
};

}  // namespace

Json ServeEcho(const Json& arguments) {
  const std::string model = arguments.at("model");
  const std::string transport = arguments.at("transport");
  const Work work{std::chrono::microseconds(arguments.at("microseconds").get<int>()),
                  arguments.at("sleeps")};
  Log log(LogLevel::kWarning);
  const SystemClock clock;
  gate::ClientCertificates certificates(clock);
  std::unique_ptr<grpc_server::TlsFiles> tls;
  grpc_server::ListenerOptions options;
  if (transport == "unix") {
    options.unix_listeners.push_back({arguments.at("socket")});
  } else {
    options.tcp_listeners.push_back({arguments.at("tcp")});
  }
  if (transport == "mtls") {
    tls = OrDie(grpc_server::TlsFiles::Open(
        {arguments.at("certificate"), arguments.at("private_key"), arguments.at("client_ca"), ""},
        certificates, clock, log));
    options.tls = tls.get();
  }
  std::unique_ptr<grpc_server::Workers> workers;
  if (model == "workers" || model == "as served") {
    workers = std::make_unique<grpc_server::Workers>(
        arguments.at("workers").get<int>(), 10000,
        model == "as served" ? grpc_server::SpareGrpcThreads() : 0);
  }
  const auto listeners = OrDie(grpc_server::Listeners::Start(
      options, {},
      [&](const std::string&) {
        std::unique_ptr<grpc::Service> service;
        if (model == "sync") {
          service = std::make_unique<SyncEcho>(work);
        } else {
          service = std::make_unique<CallbackEcho>(work, workers.get());
        }
        return std::make_unique<EchoFaces>(std::move(service));
      },
      log));
  // It has nothing to lose: a signal ends it.
  while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

Call EchoCall() {
  Call call = GenerateDataKeyCall(std::string(36, 'k'));
  call.is_right = [](const std::string& answer) { return answer == Answer().SerializeAsString(); };
  return call;
}

}  // namespace strongroom::bench
