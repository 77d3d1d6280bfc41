#ifndef STRONGROOM_CLIENT_AUDIT_CLIENT_H_
#define STRONGROOM_CLIENT_AUDIT_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/audit_verifier.h"
#include "client/client_options.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace strongroom {

struct VerifyAuditSealsResult {
  // For each seal that was asked about, whether it is genuine.
  std::vector<bool> genuine = {};
  // The newest record when the service answered: a trail that ends before it was cut.
  AuditHead head = {};
  std::string request_id = {};
};

// What only the service can say of its audit trail (strongroom.v1.AuditService). Got from
// Client::audit(); VerifyAuditTrail (audit_verifier.h) does the rest of the verifying.
//
// Thread-safe. Tried again; see Client.
class AuditClient {
 public:
  AuditClient(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options);
  ~AuditClient();
  AuditClient(const AuditClient&) = delete;
  AuditClient& operator=(const AuditClient&) = delete;

  // At most 1,000 seals; with none it only asks for the head.
  //
  // INTERNAL for an answer that does not fit the question.
  absl::StatusOr<VerifyAuditSealsResult> VerifyAuditSeals(const std::vector<AuditSeal>& seals,
                                                          const CallOptions& call = {}) const;

 private:
  struct Rpc;
  const std::unique_ptr<const Rpc> rpc_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_AUDIT_CLIENT_H_
