#include "tests/client/fake_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace strongroom::testing {
namespace {

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

// One call: reads a message, answers, goes.
class FakeServer::Reactor : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(FakeServer* server, std::string rpc) : server_(server), rpc_(std::move(rpc)) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      if (FirstToFinish()) Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no request"));
      return;
    }
    std::string response;
    std::optional<grpc::Status> status = server_->Answer(rpc_, ToString(request_), &response);
    if (!status.has_value()) return;
    if (!FirstToFinish()) return;
    if (status->ok()) {
      response_ = ToBuffer(response);
      StartWriteAndFinish(&response_, grpc::WriteOptions(), *status);
    } else {
      Finish(*status);
    }
  }

  void OnCancel() override {
    if (FirstToFinish()) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  // An answer and a cancellation can meet.
  bool FirstToFinish() {
    MutexLock lock(mutex_);
    return !std::exchange(finished_, true);
  }

  FakeServer* const server_;
  const std::string rpc_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class FakeServer::Service : public grpc::CallbackGenericService {
 public:
  explicit Service(FakeServer* server) : server_(server) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    {
      MutexLock lock(server_->mutex_);
      server_->metadata_.clear();
      for (const auto& [name, value] : context->client_metadata()) {
        server_->metadata_.emplace(std::string(name.data(), name.size()),
                                   std::string(value.data(), value.size()));
      }
    }
    // Without the slash in front.
    return new Reactor(server_, context->method().substr(1));
  }

 private:
  FakeServer* const server_;
};

FakeServer::FakeServer(const std::string& address,
                       std::shared_ptr<grpc::ServerCredentials> credentials)
    : service_(std::make_unique<Service>(this)) {
  if (credentials == nullptr) credentials = grpc::InsecureServerCredentials();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, credentials, &port_);
  builder.RegisterCallbackGenericService(service_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    std::cerr << "the fake server cannot listen on " << address << '\n';
    std::abort();
  }
}

FakeServer::~FakeServer() {
  // Calls that hang are cancelled at once.
  server_->Shutdown(std::chrono::system_clock::now());
}

void FakeServer::SetHandler(const std::string& rpc, Handler handler) {
  MutexLock lock(mutex_);
  handlers_[rpc] = std::move(handler);
}

void FakeServer::Fail(const std::string& rpc, const grpc::Status& status, int times) {
  MutexLock lock(mutex_);
  scripts_[rpc].insert(scripts_[rpc].end(), times, status);
}

void FakeServer::Hang(const std::string& rpc) {
  MutexLock lock(mutex_);
  scripts_[rpc].push_back(std::nullopt);
}

std::vector<std::string> FakeServer::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

std::vector<std::string> FakeServer::LastMetadata(const std::string& header) const {
  MutexLock lock(mutex_);
  std::vector<std::string> values;
  const auto [begin, end] = metadata_.equal_range(header);
  for (auto entry = begin; entry != end; ++entry) values.push_back(entry->second);
  return values;
}

std::optional<grpc::Status> FakeServer::Answer(const std::string& rpc, const std::string& request,
                                               std::string* response) {
  Handler handler;
  {
    MutexLock lock(mutex_);
    calls_.push_back(rpc);
    std::deque<std::optional<grpc::Status>>& script = scripts_[rpc];
    if (!script.empty()) {
      std::optional<grpc::Status> status = script.front();
      if (status.has_value()) script.pop_front();
      return status;
    }
    const auto found = handlers_.find(rpc);
    if (found == handlers_.end()) return grpc::Status::OK;
    handler = found->second;
  }
  return handler(request, response);
}

grpc::Status ServiceError(grpc::StatusCode code, const std::string& message,
                          const std::string& reason, int http_status, const std::string& request_id,
                          std::optional<absl::Duration> retry_delay,
                          const std::map<std::string, std::string>& metadata) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("strongroom");
  (*info.mutable_metadata())["http_status"] = absl::StrCat(http_status);
  (*info.mutable_metadata())["request_id"] = request_id;
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  status.add_details()->PackFrom(info);
  if (retry_delay.has_value()) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(*retry_delay));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(*retry_delay - absl::Trunc(*retry_delay, absl::Seconds(1)))));
    status.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, message, status.SerializeAsString());
}

}  // namespace strongroom::testing
