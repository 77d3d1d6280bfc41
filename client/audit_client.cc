#include "client/audit_client.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "client/unary_call.h"
#include "strongroom/v1/audit_service.grpc.pb.h"

namespace strongroom {
namespace {

using Stub = v1::AuditService::StubInterface;

std::string ToBytes(const std::array<uint8_t, 32>& array) { return {array.begin(), array.end()}; }

}  // namespace

struct AuditClient::Rpc : Caller<v1::AuditService> {
  using Caller::Caller;
};

AuditClient::AuditClient(const std::shared_ptr<grpc::Channel>& channel,
                         const ClientOptions& options)
    : rpc_(std::make_unique<Rpc>(channel, options)) {}

AuditClient::~AuditClient() = default;

absl::StatusOr<VerifyAuditSealsResult> AuditClient::VerifyAuditSeals(
    const std::vector<AuditSeal>& seals, const CallOptions& call) const {
  v1::VerifyAuditSealsRequest message;
  for (const AuditSeal& seal : seals) {
    v1::AuditSeal& its_message = *message.add_seals();
    its_message.set_sequence(seal.sequence);
    its_message.set_previous_hash(ToBytes(seal.prev));
    its_message.set_mac(ToBytes(seal.mac));
  }
  absl::StatusOr<v1::VerifyAuditSealsResponse> response =
      rpc_->Call(&Stub::VerifyAuditSeals, message, CallKind::kRepeatable, call,
                 [](v1::VerifyAuditSealsResponse& response) { return response; });
  if (!response.ok()) return response.status();

  if (response->genuine_size() != static_cast<int>(seals.size())) {
    return absl::InternalError(absl::StrCat("the service was asked about ", seals.size(),
                                            " seals and answered for ", response->genuine_size()));
  }
  VerifyAuditSealsResult result{
      .genuine = {response->genuine().begin(), response->genuine().end()},
      .head = {.sequence = response->head_sequence()},
      .request_id = response->request_id(),
  };
  const std::string& hash = response->head_hash();
  // Before the first record there is nothing to hash.
  if (hash.size() != result.head.hash.size() && (!hash.empty() || result.head.sequence != 0)) {
    return absl::InternalError(absl::StrCat("the service's hash of record ", result.head.sequence,
                                            " has ", hash.size(), " bytes, not 32"));
  }
  std::copy(hash.begin(), hash.end(), result.head.hash.begin());
  return result;
}

}  // namespace strongroom
