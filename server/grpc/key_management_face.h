#ifndef STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_FACE_H_
#define STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_FACE_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/material_import.h"
#include "server/core/parameters.h"
#include "server/gate/authority.h"
#include "server/gate/gate.h"
#include "server/gate/policy.h"
#include "server/grpc/desk.h"
#include "server/grpc/status_macros.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"

// The one class of strongroom.v1.KeyManagementService, whose handlers are in two files: the keys'
// own life in key_management_service.cc; their names and who may use them in
// key_management_access.cc.
namespace strongroom::grpc_server {

class KeyManagementFace final
    : public v1::KeyManagementService::WithRawCallbackMethod_CreateKey<v1::KeyManagementService::WithRawCallbackMethod_DescribeKey<
          v1::KeyManagementService::
              WithRawCallbackMethod_ListKeys<v1::KeyManagementService::WithRawCallbackMethod_CreateKeyVersion<v1::KeyManagementService::WithRawCallbackMethod_ListKeyVersions<
                  v1::KeyManagementService::
                      WithRawCallbackMethod_EnableKey<v1::KeyManagementService::WithRawCallbackMethod_DisableKey<v1::KeyManagementService::WithRawCallbackMethod_UpdateKeyDescription<
                          v1::KeyManagementService::
                              WithRawCallbackMethod_TagKey<v1::KeyManagementService::WithRawCallbackMethod_UntagKey<
                                  v1::KeyManagementService::
                                      WithRawCallbackMethod_UpdateRotationPolicy<v1::KeyManagementService::WithRawCallbackMethod_ScheduleKeyDeletion<
                                          v1::KeyManagementService::
                                              WithRawCallbackMethod_CancelKeyDeletion<v1::KeyManagementService::WithRawCallbackMethod_GetParametersForImport<
                                                  v1::KeyManagementService::
                                                      WithRawCallbackMethod_ImportKeyMaterial<v1::KeyManagementService::WithRawCallbackMethod_DeleteImportedKeyMaterial<
                                                          v1::KeyManagementService::
                                                              WithRawCallbackMethod_CreateAlias<v1::KeyManagementService::WithRawCallbackMethod_UpdateAlias<
                                                                  v1::KeyManagementService::
                                                                      WithRawCallbackMethod_DeleteAlias<v1::KeyManagementService::WithRawCallbackMethod_ListAliases<
                                                                          v1::KeyManagementService::
                                                                              WithRawCallbackMethod_PutKeyPolicy<v1::KeyManagementService::WithRawCallbackMethod_GetKeyPolicy<
                                                                                  v1::KeyManagementService::
                                                                                      WithRawCallbackMethod_CreateGrant<
                                                                                          v1::KeyManagementService::WithRawCallbackMethod_ListGrants<
                                                                                              v1::KeyManagementService::WithRawCallbackMethod_RetireGrant<
                                                                                                  v1::KeyManagementService::WithRawCallbackMethod_RevokeGrant<
                                                                                                      v1::KeyManagementService::
                                                                                                          Service>>>>>>>>>>>>>>>>>>>>>>>>>> {
 public:
  KeyManagementFace(Desk& desk, core::KeyRing& keys, core::KeyLife& life,
                    core::MaterialImport& material, gate::Authority& authority)
      : desk_(desk), keys_(keys), life_(life), material_(material), authority_(authority) {}

  grpc::ServerUnaryReactor* CreateKey(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DescribeKey(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListKeys(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CreateKeyVersion(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListKeyVersions(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* EnableKey(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DisableKey(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* UpdateKeyDescription(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* TagKey(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* UntagKey(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* UpdateRotationPolicy(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ScheduleKeyDeletion(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* request,
                                                grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CancelKeyDeletion(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetParametersForImport(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ImportKeyMaterial(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteImportedKeyMaterial(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CreateAlias(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* UpdateAlias(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteAlias(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListAliases(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* PutKeyPolicy(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetKeyPolicy(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CreateGrant(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListGrants(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RetireGrant(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RevokeGrant(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;

 private:
  template <typename Request>
  static absl::StatusOr<core::KeyReference> KeyOf(const Request& request, gate::Call& call) {
    call.key_id = request.key_id();
    return core::ParseKeyReference("key_id", request.key_id());
  }

  // The key that a request names, if the caller may do the operation with it.
  template <typename Request>
  static absl::StatusOr<KeyId> AuthorizedKeyOf(const Request& request, gate::Call& call) {
    STRONGROOM_ASSIGN_OR_RETURN(const core::KeyReference reference, KeyOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({reference}));
    return permit.key(0);
  }

  Desk& desk_;
  core::KeyRing& keys_;
  core::KeyLife& life_;
  core::MaterialImport& material_;
  gate::Authority& authority_;
};

absl::Status InvalidPageToken();

// Cuts a list that was asked for with one entry too many to a page; returns whether more follow.
template <typename Record>
bool CutToPage(std::vector<Record>& records, int page_size) {
  if (records.size() <= static_cast<size_t>(page_size)) return false;
  records.resize(static_cast<size_t>(page_size));
  return true;
}

// For the audit trail, where a whole policy would be long.
std::string NameOf(const gate::Policy& policy);

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_KEY_MANAGEMENT_FACE_H_
