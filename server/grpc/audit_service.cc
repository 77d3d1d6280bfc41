#include "server/grpc/audit_service.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/grpc/status_macros.h"
#include "strongroom/v1/audit_service.grpc.pb.h"

namespace strongroom::grpc_server {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

constexpr int kMostSeals = 1000;

// What a seal has, checked.
struct Seal {
  int64_t sequence = 0;
  audit::Hash previous_hash = {};
  audit::Mac mac = {};
};

absl::StatusOr<Seal> Decode(int index, const v1::AuditSeal& seal) {
  Seal decoded;
  decoded.sequence = seal.sequence();
  if (seal.sequence() < 1 || seal.previous_hash().size() != decoded.previous_hash.size() ||
      seal.mac().size() != decoded.mac.size()) {
    return core::MakeError(
        core::Reason::kInvalidParameter,
        absl::StrCat("seals[", index,
                     "]: a right one has a sequence of at least 1, and a previous_hash and a mac "
                     "of 32 bytes each"));
  }
  std::copy(seal.previous_hash().begin(), seal.previous_hash().end(),
            decoded.previous_hash.begin());
  std::copy(seal.mac().begin(), seal.mac().end(), decoded.mac.begin());
  return decoded;
}

using Base = v1::AuditService::WithRawCallbackMethod_VerifyAuditSeals<v1::AuditService::Service>;

class AuditFace final : public Base {
 public:
  AuditFace(Desk& desk, audit::Trail* trail) : desk_(desk), trail_(trail) {}

  ServerUnaryReactor* VerifyAuditSeals(CallbackServerContext* context, const ByteBuffer* request,
                                       ByteBuffer* response) override {
    return desk_.Serve<v1::VerifyAuditSealsRequest, v1::VerifyAuditSealsResponse>(
        context, request, response, gate::Operation("AuditService.VerifyAuditSeals"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.seals_size() > kMostSeals) {
            return core::MakeError(core::Reason::kInvalidParameter,
                                   absl::StrCat("seals: has ", q.seals_size(), " entries; at most ",
                                                kMostSeals, " are valid"));
          }
          STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          if (trail_ == nullptr) {
            return core::MakeError(core::Reason::kUnsupportedOperation,
                                   "this server keeps no audit trail");
          }
          for (int i = 0; i < q.seals_size(); ++i) {
            STRONGROOM_ASSIGN_OR_RETURN(const Seal seal, Decode(i, q.seals(i)));
            const absl::StatusOr<bool> genuine =
                trail_->VerifySeal(seal.sequence, seal.previous_hash, seal.mac);
            if (!genuine.ok()) return core::FromToken(genuine.status());
            a.add_genuine(*genuine);
          }
          const audit::Head head = trail_->head();
          a.set_head_sequence(head.sequence);
          a.set_head_hash(head.hash.data(), head.hash.size());
          return absl::OkStatus();
        });
  }

 private:
  Desk& desk_;
  audit::Trail* const trail_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAuditService(Desk& desk, audit::Trail* trail) {
  return std::make_unique<AuditFace>(desk, trail);
}

}  // namespace strongroom::grpc_server
