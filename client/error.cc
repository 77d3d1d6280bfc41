#include "client/error.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/types/optional.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace strongroom {
namespace {

constexpr absl::string_view kDomain = "strongroom";

constexpr std::pair<Reason, absl::string_view> kReasonNames[] = {
    {Reason::kInvalidParameter, "InvalidParameter"},
    {Reason::kMissingParameter, "MissingParameter"},
    {Reason::kValidationError, "ValidationError"},
    {Reason::kInvalidCiphertext, "InvalidCiphertext"},
    {Reason::kIncorrectKey, "IncorrectKey"},
    {Reason::kUnsupportedOperation, "UnsupportedOperation"},
    {Reason::kNoPermission, "Forbidden.NoPermission"},
    {Reason::kAccessDenied, "AccessDeniedError"},
    {Reason::kInvalidGrantToken, "InvalidGrantToken"},
    {Reason::kKeyNotFound, "Forbidden.KeyNotFound"},
    {Reason::kAliasNotFound, "Forbidden.AliasNotFound"},
    {Reason::kOnlySymmetricKeySupported, "Forbidden.OnlySymmetricKeySupported"},
    {Reason::kDisabled, "Rejected.Disabled"},
    {Reason::kPendingDeletion, "Rejected.PendingDeletion"},
    {Reason::kDryRunOperation, "DryRunOperationError"},
    {Reason::kLimitExceeded, "Rejected.LimitExceeded"},
    {Reason::kThrottling, "Rejected.Throttling"},
    {Reason::kUnavailable, "Rejected.Unavailable"},
    {Reason::kServiceUnavailableTemporary, "ServiceUnavailableTemporary"},
    {Reason::kDependencyTimeout, "DependencyTimeout"},
    {Reason::kInternalFailure, "InternalFailure"},
};

std::string Lookup(const google::rpc::ErrorInfo& info, const std::string& key) {
  const auto found = info.metadata().find(key);
  return found == info.metadata().end() ? std::string() : found->second;
}

}  // namespace

absl::string_view ReasonName(Reason reason) {
  for (const auto& [its_reason, name] : kReasonNames) {
    if (its_reason == reason) return name;
  }
  return "";
}

Reason ReasonFromName(absl::string_view name) {
  for (const auto& [reason, its_name] : kReasonNames) {
    if (its_name == name) return reason;
  }
  return Reason::kUnknown;
}

std::optional<ErrorDetail> ErrorDetailOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRpcStatusPayload);
  google::rpc::Status rpc;
  if (!payload.has_value() || !rpc.ParseFromString(std::string(*payload))) return std::nullopt;

  ErrorDetail detail;
  bool found = false;
  for (const google::protobuf::Any& any : rpc.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info) && info.domain() == kDomain) {
      found = true;
      detail.reason = ReasonFromName(info.reason());
      detail.reason_name = info.reason();
      detail.request_id = Lookup(info, "request_id");
      if (!absl::SimpleAtoi(Lookup(info, "http_status"), &detail.http_status)) {
        detail.http_status = 0;
      }
      DryRunDetail dry_run{
          .failed_check = Lookup(info, "failed_check"),
          .token = Lookup(info, "token"),
      };
      if (!dry_run.failed_check.empty()) detail.dry_run = std::move(dry_run);
    } else if (any.UnpackTo(&retry)) {
      found = true;
      detail.retry_delay = absl::Seconds(retry.retry_delay().seconds()) +
                           absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  if (!found) return std::nullopt;
  return detail;
}

bool WouldHaveWorked(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = ErrorDetailOf(status);
  return detail.has_value() && detail->reason == Reason::kDryRunOperation;
}

}  // namespace strongroom
