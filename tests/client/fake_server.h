#ifndef STRONGROOM_TESTS_CLIENT_FAKE_SERVER_H_
#define STRONGROOM_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/status.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "platform/mutex.h"

namespace strongroom::testing {

// A gRPC server in this process. It answers any unary RPC by its name, e.g.
// "strongroom.v1.KmsService/Encrypt", as the test has scripted; with an empty message where
// nothing is scripted. Thread-safe.
class FakeServer {
 public:
  // Listens on `address`, in gRPC's naming. Ends the test program if it cannot.
  explicit FakeServer(const std::string& address,
                      std::shared_ptr<grpc::ServerCredentials> credentials = nullptr);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  // The port that was chosen, if `address` is HOST:0.
  int port() const { return port_; }

  // What `rpc` does from now on, once its scripted failures are used up.
  template <typename Request, typename Response>
  void On(const std::string& rpc, std::function<grpc::Status(const Request&, Response*)> answer) {
    SetHandler(rpc, [answer](const std::string& request, std::string* response) {
      Request typed_request;
      Response typed_response;
      if (!typed_request.ParseFromString(request)) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "the request is of another type");
      }
      grpc::Status status = answer(typed_request, &typed_response);
      typed_response.SerializeToString(response);
      return status;
    });
  }

  // The next `times` calls of `rpc` fail.
  void Fail(const std::string& rpc, const grpc::Status& status, int times);
  // `rpc` never answers.
  void Hang(const std::string& rpc);

  // The RPCs that arrived, in order.
  std::vector<std::string> calls() const;
  // The values of `header` in the metadata that the newest call came with.
  std::vector<std::string> LastMetadata(const std::string& header) const;

 private:
  class Service;
  class Reactor;
  using Handler = std::function<grpc::Status(const std::string&, std::string*)>;

  void SetHandler(const std::string& rpc, Handler handler);
  // nullopt: never.
  std::optional<grpc::Status> Answer(const std::string& rpc, const std::string& request,
                                     std::string* response);

  mutable Mutex mutex_;
  std::map<std::string, Handler> handlers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<std::optional<grpc::Status>>> scripts_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::multimap<std::string, std::string> metadata_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

// An error as Strongroom's servers send it: with ErrorInfo, which `metadata` is
// added to, and RetryInfo if there is a delay.
grpc::Status ServiceError(grpc::StatusCode code, const std::string& message,
                          const std::string& reason, int http_status, const std::string& request_id,
                          std::optional<absl::Duration> retry_delay = std::nullopt,
                          const std::map<std::string, std::string>& metadata = {});

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_CLIENT_FAKE_SERVER_H_
