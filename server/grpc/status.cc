#include "server/grpc/status.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/core/error.h"

namespace strongroom::grpc_server {

grpc::Status ToGrpcStatus(const absl::Status& error, const std::string& request_id) {
  if (error.ok()) return grpc::Status::OK;
  const core::ReasonInfo& reason = core::InfoOf(core::ReasonOf(error));

  google::rpc::ErrorInfo info;
  info.set_reason(reason.name);
  info.set_domain("strongroom");
  for (const auto& [name, value] : core::MetadataOf(error))
    (*info.mutable_metadata())[name] = value;
  (*info.mutable_metadata())["http_status"] = absl::StrCat(reason.http_status);
  (*info.mutable_metadata())["request_id"] = request_id;

  google::rpc::Status status;
  status.set_code(static_cast<int>(reason.code));
  status.set_message(core::MessageOf(error));
  status.add_details()->PackFrom(info);
  if (const std::optional<absl::Duration> delay = core::RetryDelayOf(error); delay.has_value()) {
    google::rpc::RetryInfo retry;
    const int64_t milliseconds = absl::ToInt64Milliseconds(*delay);
    retry.mutable_retry_delay()->set_seconds(milliseconds / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(milliseconds % 1000 * 1000000));
    status.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(reason.code), status.message(),
                      status.SerializeAsString());
}

}  // namespace strongroom::grpc_server
