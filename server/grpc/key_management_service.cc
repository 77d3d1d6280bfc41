#include "server/grpc/key_management_service.h"

#include <openssl/sha.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/grpc/authority_messages.h"
#include "server/grpc/status_macros.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"

namespace strongroom::grpc_server {
namespace {

using core::AliasName;
using core::KeyReference;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

void Encode(const store::KeyRecord& key, v1::Key& out) {
  out.set_key_id(key.id.ToString());
  out.set_state(key.state == store::KeyState::kEnabled ? v1::KEY_STATE_ENABLED
                                                       : v1::KEY_STATE_DISABLED);
  out.set_description(key.description);
  EncodeTime(key.create_time, *out.mutable_create_time());
  out.set_initial_key_version_id(key.initial_version.ToString());
  out.set_primary_key_version_id(key.primary_version.ToString());
}

void Encode(const store::KeyVersionRecord& version, const KeyVersionId& primary,
            v1::KeyVersion& out) {
  out.set_key_version_id(version.id.ToString());
  out.set_key_id(version.key_id.ToString());
  out.set_number(version.number);
  EncodeTime(version.create_time, *out.mutable_create_time());
  out.set_primary(version.id == primary);
}

void Encode(const store::AliasRecord& alias, v1::Alias& out) {
  out.set_alias_name(alias.name);
  out.set_key_id(alias.key_id.ToString());
  EncodeTime(alias.create_time, *out.mutable_create_time());
  EncodeTime(alias.update_time, *out.mutable_update_time());
}

absl::Status InvalidPageToken() {
  return core::MakeError(core::Reason::kInvalidParameter,
                         "page_token: is not the next_page_token of a page of this list");
}

// Cuts a list that was asked for with one entry too many to a page; returns whether more follow.
template <typename Record>
bool CutToPage(std::vector<Record>& records, int page_size) {
  if (records.size() <= static_cast<size_t>(page_size)) return false;
  records.resize(static_cast<size_t>(page_size));
  return true;
}

// For the audit trail, where a whole policy would be long.
std::string NameOf(const gate::Policy& policy) {
  const std::string document = policy.ToDocument();
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(document.data()), document.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return absl::StrCat("policy sha256:", absl::BytesToHexString(digest));
}

using S = v1::KeyManagementService;
using Base = S::WithRawCallbackMethod_CreateKey<S::WithRawCallbackMethod_DescribeKey<
    S::WithRawCallbackMethod_ListKeys<S::WithRawCallbackMethod_CreateKeyVersion<
        S::WithRawCallbackMethod_ListKeyVersions<S::WithRawCallbackMethod_EnableKey<
            S::WithRawCallbackMethod_DisableKey<S::WithRawCallbackMethod_CreateAlias<
                S::WithRawCallbackMethod_UpdateAlias<S::WithRawCallbackMethod_DeleteAlias<
                    S::WithRawCallbackMethod_ListAliases<S::WithRawCallbackMethod_PutKeyPolicy<
                        S::WithRawCallbackMethod_GetKeyPolicy<S::WithRawCallbackMethod_CreateGrant<
                            S::WithRawCallbackMethod_ListGrants<
                                S::WithRawCallbackMethod_RetireGrant<
                                    S::WithRawCallbackMethod_RevokeGrant<
                                        S::Service>>>>>>>>>>>>>>>>>;

class KeyManagementFace final : public Base {
 public:
  KeyManagementFace(Desk& desk, core::KeyRing& keys, gate::Authority& authority)
      : desk_(desk), keys_(keys), authority_(authority) {}

  ServerUnaryReactor* CreateKey(CallbackServerContext* context, const ByteBuffer* request,
                                ByteBuffer* response) override {
    return desk_.Serve<v1::CreateKeyRequest, v1::CreateKeyResponse>(
        context, request, response, gate::Operation("KeyManagementService.CreateKey"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_RETURN_IF_ERROR(core::CheckDescription("description", q.description()));
          std::optional<gate::Policy> policy;
          if (q.has_policy()) {
            STRONGROOM_ASSIGN_OR_RETURN(policy, DecodePolicy("policy", q.policy()));
            call.target = NameOf(*policy);
          }
          STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          STRONGROOM_ASSIGN_OR_RETURN(
              const store::KeyRecord key,
              keys_.CreateKey(q.description(), call.deadline, [&](const KeyId& id) {
                return authority_.PolicyDocumentFor(call.principal(), id, policy, call.deadline);
              }));
          call.key_id = key.id.ToString();
          call.key_version_id = key.primary_version.ToString();
          Encode(key, *a.mutable_key());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* DescribeKey(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::DescribeKeyRequest, v1::DescribeKeyResponse>(
        context, request, response, gate::Operation("KeyManagementService.DescribeKey"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const store::KeyRecord key, keys_.DescribeKey(id));
          Encode(key, *a.mutable_key());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* ListKeys(CallbackServerContext* context, const ByteBuffer* request,
                               ByteBuffer* response) override {
    return desk_.Serve<v1::ListKeysRequest, v1::ListKeysResponse>(
        context, request, response, gate::Operation("KeyManagementService.ListKeys"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const int page_size,
                                      core::ParsePageSize("page_size", q.page_size()));
          std::optional<KeyId> after;
          if (!q.page_token().empty()) {
            after = KeyId::Parse(q.page_token());
            if (!after.has_value()) return InvalidPageToken();
          }
          STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          absl::StatusOr<std::vector<store::KeyRecord>> keys = keys_.ListKeys(after, page_size + 1);
          if (absl::IsNotFound(keys.status())) return InvalidPageToken();
          STRONGROOM_RETURN_IF_ERROR(keys.status());
          const bool more = CutToPage(*keys, page_size);
          for (const store::KeyRecord& key : *keys) Encode(key, *a.add_keys());
          if (more) a.set_next_page_token(keys->back().id.ToString());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* CreateKeyVersion(CallbackServerContext* context, const ByteBuffer* request,
                                       ByteBuffer* response) override {
    return desk_.Serve<v1::CreateKeyVersionRequest, v1::CreateKeyVersionResponse>(
        context, request, response, gate::Operation("KeyManagementService.CreateKeyVersion"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const store::KeyVersionRecord version,
                                      keys_.CreateKeyVersion(id, call.deadline));
          call.key_id = version.key_id.ToString();
          call.key_version_id = version.id.ToString();
          Encode(version, version.id, *a.mutable_key_version());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* ListKeyVersions(CallbackServerContext* context, const ByteBuffer* request,
                                      ByteBuffer* response) override {
    return desk_.Serve<v1::ListKeyVersionsRequest, v1::ListKeyVersionsResponse>(
        context, request, response, gate::Operation("KeyManagementService.ListKeyVersions"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const int page_size,
                                      core::ParsePageSize("page_size", q.page_size()));
          int32_t after_number = 0;
          if (!q.page_token().empty() &&
              (!absl::SimpleAtoi(q.page_token(), &after_number) || after_number < 1)) {
            return InvalidPageToken();
          }
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const store::KeyRecord key, keys_.DescribeKey(id));
          STRONGROOM_ASSIGN_OR_RETURN(std::vector<store::KeyVersionRecord> versions,
                                      keys_.ListKeyVersions(id, after_number, page_size + 1));
          const bool more = CutToPage(versions, page_size);
          for (const store::KeyVersionRecord& version : versions) {
            Encode(version, key.primary_version, *a.add_key_versions());
          }
          if (more) a.set_next_page_token(absl::StrCat(versions.back().number));
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* EnableKey(CallbackServerContext* context, const ByteBuffer* request,
                                ByteBuffer* response) override {
    return desk_.Serve<v1::EnableKeyRequest, v1::EnableKeyResponse>(
        context, request, response, gate::Operation("KeyManagementService.EnableKey"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return SetState(q, store::KeyState::kEnabled, call, a);
        });
  }

  ServerUnaryReactor* DisableKey(CallbackServerContext* context, const ByteBuffer* request,
                                 ByteBuffer* response) override {
    return desk_.Serve<v1::DisableKeyRequest, v1::DisableKeyResponse>(
        context, request, response, gate::Operation("KeyManagementService.DisableKey"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return SetState(q, store::KeyState::kDisabled, call, a);
        });
  }

  ServerUnaryReactor* CreateAlias(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::CreateAliasRequest, v1::CreateAliasResponse>(
        context, request, response, gate::Operation("KeyManagementService.CreateAlias"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const AliasName name, AliasOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const store::AliasRecord alias, keys_.CreateAlias(name, id));
          Encode(alias, *a.mutable_alias());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* UpdateAlias(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::UpdateAliasRequest, v1::UpdateAliasResponse>(
        context, request, response, gate::Operation("KeyManagementService.UpdateAlias"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const AliasName name, AliasOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const KeyReference to, KeyOf(q, call));
          // Leave for the key that loses the name, and for the one that gets it.
          STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({to, name}));
          STRONGROOM_ASSIGN_OR_RETURN(const store::AliasRecord alias,
                                      keys_.UpdateAlias(name, permit.key(1), permit.key(0)));
          Encode(alias, *a.mutable_alias());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* DeleteAlias(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::DeleteAliasRequest, v1::DeleteAliasResponse>(
        context, request, response, gate::Operation("KeyManagementService.DeleteAlias"),
        [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const AliasName name, AliasOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({name}));
          return keys_.DeleteAlias(name, permit.key(0));
        });
  }

  ServerUnaryReactor* ListAliases(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::ListAliasesRequest, v1::ListAliasesResponse>(
        context, request, response, gate::Operation("KeyManagementService.ListAliases"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const int page_size,
                                      core::ParsePageSize("page_size", q.page_size()));
          if (!q.page_token().empty() && !core::ParseAliasName("page_token", q.page_token()).ok()) {
            return InvalidPageToken();
          }
          std::optional<KeyId> key_id;
          if (q.key_id().empty()) {
            STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          } else {
            STRONGROOM_ASSIGN_OR_RETURN(key_id, AuthorizedKeyOf(q, call));
          }
          STRONGROOM_ASSIGN_OR_RETURN(std::vector<store::AliasRecord> aliases,
                                      keys_.ListAliases(key_id, q.page_token(), page_size + 1));
          const bool more = CutToPage(aliases, page_size);
          for (const store::AliasRecord& alias : aliases) Encode(alias, *a.add_aliases());
          if (more) a.set_next_page_token(aliases.back().name);
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* PutKeyPolicy(CallbackServerContext* context, const ByteBuffer* request,
                                   ByteBuffer* response) override {
    return desk_.Serve<v1::PutKeyPolicyRequest, v1::PutKeyPolicyResponse>(
        context, request, response, gate::Operation("KeyManagementService.PutKeyPolicy"),
        [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
          if (!q.has_policy()) return core::MissingParameter("policy");
          STRONGROOM_ASSIGN_OR_RETURN(const gate::Policy policy,
                                      DecodePolicy("policy", q.policy()));
          call.target = NameOf(policy);
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          return authority_.PutKeyPolicy(call.principal(), id, policy, call.deadline);
        });
  }

  ServerUnaryReactor* GetKeyPolicy(CallbackServerContext* context, const ByteBuffer* request,
                                   ByteBuffer* response) override {
    return desk_.Serve<v1::GetKeyPolicyRequest, v1::GetKeyPolicyResponse>(
        context, request, response, gate::Operation("KeyManagementService.GetKeyPolicy"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const gate::Policy policy,
                                      authority_.GetKeyPolicy(id, call.deadline));
          if (!policy.statements().empty()) EncodePolicy(policy, *a.mutable_policy());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* CreateGrant(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::CreateGrantRequest, v1::CreateGrantResponse>(
        context, request, response, gate::Operation("KeyManagementService.CreateGrant"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const KeyReference reference, KeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const gate::GrantText text, DecodeGrant(q));
          STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({reference}));
          STRONGROOM_ASSIGN_OR_RETURN(gate::CreatedGrant created,
                                      authority_.CreateGrant(permit, text, call.deadline));
          call.target = absl::StrCat("grant ", created.grant->id.ToString(), " to ", text.grantee);
          EncodeGrant(*created.grant, *a.mutable_grant());
          a.set_grant_token(std::move(created.token));
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* ListGrants(CallbackServerContext* context, const ByteBuffer* request,
                                 ByteBuffer* response) override {
    return desk_.Serve<v1::ListGrantsRequest, v1::ListGrantsResponse>(
        context, request, response, gate::Operation("KeyManagementService.ListGrants"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const int page_size,
                                      core::ParsePageSize("page_size", q.page_size()));
          std::optional<GrantId> after;
          if (!q.page_token().empty()) {
            after = GrantId::Parse(q.page_token());
            if (!after.has_value()) return InvalidPageToken();
          }
          std::optional<std::string> grantee;
          if (!q.grantee_principal().empty()) grantee = q.grantee_principal();
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(
              const gate::GrantPage page,
              authority_.ListGrants(id, grantee, after, page_size, call.deadline));
          for (const auto& grant : page.grants) EncodeGrant(*grant, *a.add_grants());
          if (page.next.has_value()) a.set_next_page_token(page.next->ToString());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* RetireGrant(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::RetireGrantRequest, v1::RetireGrantResponse>(
        context, request, response, gate::Operation("KeyManagementService.RetireGrant"),
        [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
          if (!q.grant_token().empty()) {
            if (!q.key_id().empty() || !q.grant_id().empty()) {
              return core::MakeError(
                  core::Reason::kInvalidParameter,
                  "grant_token: is given together with key_id or grant_id; it is enough by itself");
            }
            call.LeaveToGrant();
            const auto retired =
                authority_.RetireGrant(call.principal(), q.grant_token(), call.deadline);
            if (retired.ok()) {
              call.key_id = (*retired)->key_id.ToString();
              call.target = absl::StrCat("grant ", (*retired)->id.ToString());
            }
            return retired.status();
          }
          STRONGROOM_ASSIGN_OR_RETURN(const KeyReference reference, KeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const GrantId grant_id, GrantIdOf(q, call));
          call.LeaveToGrant();
          return authority_.RetireGrant(call.principal(), reference, grant_id, call.deadline)
              .status();
        });
  }

  ServerUnaryReactor* RevokeGrant(CallbackServerContext* context, const ByteBuffer* request,
                                  ByteBuffer* response) override {
    return desk_.Serve<v1::RevokeGrantRequest, v1::RevokeGrantResponse>(
        context, request, response, gate::Operation("KeyManagementService.RevokeGrant"),
        [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const GrantId grant_id, GrantIdOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
          return authority_.RevokeGrant(id, grant_id, call.deadline).status();
        });
  }

 private:
  template <typename Request>
  static absl::StatusOr<GrantId> GrantIdOf(const Request& request, gate::Call& call) {
    if (request.grant_id().empty()) return core::MissingParameter("grant_id");
    call.target = absl::StrCat("grant ", request.grant_id());
    const std::optional<GrantId> id = GrantId::Parse(request.grant_id());
    if (id.has_value()) return *id;
    return core::MakeError(core::Reason::kInvalidParameter,
                           "grant_id: is not an id; a right one is the grant_id of a grant");
  }

  template <typename Request>
  static absl::StatusOr<KeyReference> KeyOf(const Request& request, gate::Call& call) {
    call.key_id = request.key_id();
    return core::ParseKeyReference("key_id", request.key_id());
  }

  template <typename Request>
  static absl::StatusOr<AliasName> AliasOf(const Request& request, gate::Call& call) {
    call.target = request.alias_name();
    return core::ParseAliasName("alias_name", request.alias_name());
  }

  // The key that a request names, if the caller may do the operation with it.
  template <typename Request>
  static absl::StatusOr<KeyId> AuthorizedKeyOf(const Request& request, gate::Call& call) {
    STRONGROOM_ASSIGN_OR_RETURN(const KeyReference reference, KeyOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({reference}));
    return permit.key(0);
  }

  template <typename Request, typename Response>
  absl::Status SetState(const Request& request, store::KeyState state, gate::Call& call,
                        Response& response) {
    STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const store::KeyRecord key, keys_.SetKeyState(id, state));
    Encode(key, *response.mutable_key());
    return absl::OkStatus();
  }

  Desk& desk_;
  core::KeyRing& keys_;
  gate::Authority& authority_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKeyManagementService(Desk& desk, core::KeyRing& keys,
                                                        gate::Authority& authority) {
  return std::make_unique<KeyManagementFace>(desk, keys, authority);
}

}  // namespace strongroom::grpc_server
