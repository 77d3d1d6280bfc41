#include <openssl/sha.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/grpc/authority_messages.h"
#include "server/grpc/key_management_face.h"
#include "server/grpc/key_messages.h"

// The names of keys, and who may use them.
namespace strongroom::grpc_server {
namespace {

using core::AliasName;
using core::KeyReference;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

template <typename Request>
absl::StatusOr<GrantId> GrantIdOf(const Request& request, gate::Call& call) {
  if (request.grant_id().empty()) return core::MissingParameter("grant_id");
  call.target = absl::StrCat("grant ", request.grant_id());
  const std::optional<GrantId> id = GrantId::Parse(request.grant_id());
  if (id.has_value()) return *id;
  return core::MakeError(core::Reason::kInvalidParameter,
                         "grant_id: is not an id; a right one is the grant_id of a grant");
}

template <typename Request>
absl::StatusOr<AliasName> AliasOf(const Request& request, gate::Call& call) {
  call.target = request.alias_name();
  return core::ParseAliasName("alias_name", request.alias_name());
}

}  // namespace

std::string NameOf(const gate::Policy& policy) {
  const std::string document = policy.ToDocument();
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(document.data()), document.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return absl::StrCat("policy sha256:", absl::BytesToHexString(digest));
}

ServerUnaryReactor* KeyManagementFace::CreateAlias(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::UpdateAlias(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::DeleteAlias(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
  return desk_.Serve<v1::DeleteAliasRequest, v1::DeleteAliasResponse>(
      context, request, response, gate::Operation("KeyManagementService.DeleteAlias"),
      [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const AliasName name, AliasOf(q, call));
        STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({name}));
        return keys_.DeleteAlias(name, permit.key(0));
      });
}

ServerUnaryReactor* KeyManagementFace::ListAliases(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::PutKeyPolicy(CallbackServerContext* context,
                                                    const ByteBuffer* request,
                                                    ByteBuffer* response) {
  return desk_.Serve<v1::PutKeyPolicyRequest, v1::PutKeyPolicyResponse>(
      context, request, response, gate::Operation("KeyManagementService.PutKeyPolicy"),
      [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
        if (!q.has_policy()) return core::MissingParameter("policy");
        STRONGROOM_ASSIGN_OR_RETURN(const gate::Policy policy, DecodePolicy("policy", q.policy()));
        call.target = NameOf(policy);
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        STRONGROOM_RETURN_IF_ERROR(keys_.Check(core::KeyAction::kEdit, id));
        return authority_.PutKeyPolicy(call.principal(), id, policy, call.deadline);
      });
}

ServerUnaryReactor* KeyManagementFace::GetKeyPolicy(CallbackServerContext* context,
                                                    const ByteBuffer* request,
                                                    ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::CreateGrant(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
  return desk_.Serve<v1::CreateGrantRequest, v1::CreateGrantResponse>(
      context, request, response, gate::Operation("KeyManagementService.CreateGrant"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyReference reference, KeyOf(q, call));
        STRONGROOM_ASSIGN_OR_RETURN(const gate::GrantText text, DecodeGrant(q));
        STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({reference}));
        STRONGROOM_RETURN_IF_ERROR(keys_.Check(core::KeyAction::kEdit, permit.key(0)));
        STRONGROOM_ASSIGN_OR_RETURN(gate::CreatedGrant created,
                                    authority_.CreateGrant(permit, text, call.deadline));
        call.target = absl::StrCat("grant ", created.grant->id.ToString(), " to ", text.grantee);
        EncodeGrant(*created.grant, *a.mutable_grant());
        a.set_grant_token(std::move(created.token));
        return absl::OkStatus();
      });
}

ServerUnaryReactor* KeyManagementFace::ListGrants(CallbackServerContext* context,
                                                  const ByteBuffer* request, ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::RetireGrant(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
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

ServerUnaryReactor* KeyManagementFace::RevokeGrant(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
  return desk_.Serve<v1::RevokeGrantRequest, v1::RevokeGrantResponse>(
      context, request, response, gate::Operation("KeyManagementService.RevokeGrant"),
      [this](const auto& q, gate::Call& call, auto&) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const GrantId grant_id, GrantIdOf(q, call));
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return authority_.RevokeGrant(id, grant_id, call.deadline).status();
      });
}

}  // namespace strongroom::grpc_server
