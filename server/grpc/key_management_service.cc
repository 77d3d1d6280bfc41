#include "server/grpc/key_management_service.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/grpc/authority_messages.h"
#include "server/grpc/key_management_face.h"
#include "server/grpc/key_messages.h"

namespace strongroom::grpc_server {
namespace {

using core::KeyDescription;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// How every change of a key ends.
template <typename Response>
absl::Status Answer(const absl::StatusOr<KeyDescription>& key, Response& response) {
  if (key.ok()) Encode(*key, *response.mutable_key());
  return key.status();
}

// Names of tags for the audit trail, so that none can look like two.
template <typename Names>
std::string ListOfTags(const Names& names) {
  return absl::StrCat(
      "tags ", absl::StrJoin(names, ",", [](std::string* out, absl::string_view name) {
        absl::StrAppend(out, "\"", absl::StrReplaceAll(name, {{"\\", "\\\\"}, {"\"", "\\\""}}),
                        "\"");
      }));
}

std::string NameOfRotation(int32_t days) {
  return days == 0 ? "no rotation" : absl::StrCat("rotation every ", days, " days");
}

}  // namespace

absl::Status InvalidPageToken() {
  return core::MakeError(core::Reason::kInvalidParameter,
                         "page_token: is not the next_page_token of a page of this list");
}

ServerUnaryReactor* KeyManagementFace::CreateKey(CallbackServerContext* context,
                                                 const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::CreateKeyRequest, v1::CreateKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.CreateKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_RETURN_IF_ERROR(core::CheckDescription("description", q.description()));
        core::NewKey wanted;
        wanted.description = q.description();
        STRONGROOM_ASSIGN_OR_RETURN(wanted.origin, DecodeOrigin(q.origin()));
        STRONGROOM_RETURN_IF_ERROR(core::CheckTagCount("tags", q.tags().size()));
        STRONGROOM_ASSIGN_OR_RETURN(wanted.tags, DecodeTags(q.tags()));
        if (q.has_rotation_period_days()) {
          STRONGROOM_ASSIGN_OR_RETURN(
              wanted.rotation_days,
              core::ParseRotationDays("rotation_period_days", q.rotation_period_days()));
        }
        std::optional<gate::Policy> policy;
        if (q.has_policy()) {
          STRONGROOM_ASSIGN_OR_RETURN(policy, DecodePolicy("policy", q.policy()));
          call.target = NameOf(*policy);
        }
        STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
        const absl::StatusOr<KeyDescription> key =
            life_.CreateKey(wanted, call.deadline, [&](const KeyId& id) {
              return authority_.PolicyDocumentFor(call.principal(), id, policy, call.deadline);
            });
        if (key.ok()) {
          call.key_id = key->record.id.ToString();
          call.key_version_id = key->record.primary_version.ToString();
        }
        return Answer(key, a);
      });
}

ServerUnaryReactor* KeyManagementFace::DescribeKey(CallbackServerContext* context,
                                                   const ByteBuffer* request,
                                                   ByteBuffer* response) {
  return desk_.Serve<v1::DescribeKeyRequest, v1::DescribeKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.DescribeKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(keys_.Describe(id), a);
      });
}

ServerUnaryReactor* KeyManagementFace::ListKeys(CallbackServerContext* context,
                                                const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::ListKeysRequest, v1::ListKeysResponse>(
      context, request, response, gate::Operation("KeyManagementService.ListKeys"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const int page_size,
                                    core::ParsePageSize("page_size", q.page_size()));
        STRONGROOM_ASSIGN_OR_RETURN(const core::KeyFilter filter, DecodeKeyFilter(q));
        std::optional<KeyId> after;
        if (!q.page_token().empty()) {
          after = KeyId::Parse(q.page_token());
          if (!after.has_value()) return InvalidPageToken();
        }
        STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
        const absl::StatusOr<core::KeyPage> page = keys_.ListKeys(filter, after, page_size);
        if (core::ReasonOf(page.status()) == core::Reason::kKeyNotFound) return InvalidPageToken();
        STRONGROOM_RETURN_IF_ERROR(page.status());
        for (const KeyDescription& key : page->keys) Encode(key, *a.add_keys());
        if (page->next.has_value()) a.set_next_page_token(page->next->ToString());
        return absl::OkStatus();
      });
}

ServerUnaryReactor* KeyManagementFace::CreateKeyVersion(CallbackServerContext* context,
                                                        const ByteBuffer* request,
                                                        ByteBuffer* response) {
  return desk_.Serve<v1::CreateKeyVersionRequest, v1::CreateKeyVersionResponse>(
      context, request, response, gate::Operation("KeyManagementService.CreateKeyVersion"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        STRONGROOM_ASSIGN_OR_RETURN(store::KeyVersionRecord version,
                                    life_.CreateKeyVersion(id, call.deadline));
        call.key_version_id = version.id.ToString();
        const auto described = keys_.ListKeyVersions(id, version.number - 1, 1);
        // The version is made, whatever came of the key since.
        const bool known = described.ok() && !described->empty();
        Encode({std::move(version), /*primary=*/true, known ? described->front().uses_left : 0},
               *a.mutable_key_version());
        return absl::OkStatus();
      });
}

ServerUnaryReactor* KeyManagementFace::ListKeyVersions(CallbackServerContext* context,
                                                       const ByteBuffer* request,
                                                       ByteBuffer* response) {
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
        STRONGROOM_ASSIGN_OR_RETURN(std::vector<core::KeyVersionDescription> versions,
                                    keys_.ListKeyVersions(id, after_number, page_size + 1));
        const bool more = CutToPage(versions, page_size);
        for (const core::KeyVersionDescription& version : versions)
          Encode(version, *a.add_key_versions());
        if (more) a.set_next_page_token(absl::StrCat(versions.back().record.number));
        return absl::OkStatus();
      });
}

ServerUnaryReactor* KeyManagementFace::EnableKey(CallbackServerContext* context,
                                                 const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::EnableKeyRequest, v1::EnableKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.EnableKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.EnableKey(id), a);
      });
}

ServerUnaryReactor* KeyManagementFace::DisableKey(CallbackServerContext* context,
                                                  const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::DisableKeyRequest, v1::DisableKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.DisableKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.DisableKey(id), a);
      });
}

ServerUnaryReactor* KeyManagementFace::UpdateKeyDescription(CallbackServerContext* context,
                                                            const ByteBuffer* request,
                                                            ByteBuffer* response) {
  return desk_.Serve<v1::UpdateKeyDescriptionRequest, v1::UpdateKeyDescriptionResponse>(
      context, request, response, gate::Operation("KeyManagementService.UpdateKeyDescription"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_RETURN_IF_ERROR(core::CheckDescription("description", q.description()));
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.UpdateDescription(id, q.description()), a);
      });
}

ServerUnaryReactor* KeyManagementFace::TagKey(CallbackServerContext* context,
                                              const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::TagKeyRequest, v1::TagKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.TagKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        if (q.tags().empty()) return core::MissingParameter("tags");
        STRONGROOM_ASSIGN_OR_RETURN(const auto tags, DecodeTags(q.tags()));
        std::vector<absl::string_view> names;
        for (const auto& tag : tags) names.push_back(tag.first);
        call.target = ListOfTags(names);
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.TagKey(id, tags), a);
      });
}

ServerUnaryReactor* KeyManagementFace::UntagKey(CallbackServerContext* context,
                                                const ByteBuffer* request, ByteBuffer* response) {
  return desk_.Serve<v1::UntagKeyRequest, v1::UntagKeyResponse>(
      context, request, response, gate::Operation("KeyManagementService.UntagKey"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        if (q.tag_names().empty()) return core::MissingParameter("tag_names");
        for (const std::string& name : q.tag_names()) {
          STRONGROOM_RETURN_IF_ERROR(core::CheckTagName("tag_names", name));
        }
        call.target = ListOfTags(q.tag_names());
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.UntagKey(id, {q.tag_names().begin(), q.tag_names().end()}), a);
      });
}

ServerUnaryReactor* KeyManagementFace::UpdateRotationPolicy(CallbackServerContext* context,
                                                            const ByteBuffer* request,
                                                            ByteBuffer* response) {
  return desk_.Serve<v1::UpdateRotationPolicyRequest, v1::UpdateRotationPolicyResponse>(
      context, request, response, gate::Operation("KeyManagementService.UpdateRotationPolicy"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        if (!q.has_rotation_period_days()) return core::MissingParameter("rotation_period_days");
        STRONGROOM_ASSIGN_OR_RETURN(
            const int32_t days,
            core::ParseRotationDays("rotation_period_days", q.rotation_period_days()));
        call.target = NameOfRotation(days);
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.UpdateRotationPolicy(id, days), a);
      });
}

ServerUnaryReactor* KeyManagementFace::ScheduleKeyDeletion(CallbackServerContext* context,
                                                           const ByteBuffer* request,
                                                           ByteBuffer* response) {
  return desk_.Serve<v1::ScheduleKeyDeletionRequest, v1::ScheduleKeyDeletionResponse>(
      context, request, response, gate::Operation("KeyManagementService.ScheduleKeyDeletion"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(
            const int days,
            core::ParseDeletionWindow("pending_window_days", q.pending_window_days()));
        call.target = absl::StrCat("deletion in ", days, " days");
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.ScheduleDeletion(id, days), a);
      });
}

ServerUnaryReactor* KeyManagementFace::CancelKeyDeletion(CallbackServerContext* context,
                                                         const ByteBuffer* request,
                                                         ByteBuffer* response) {
  return desk_.Serve<v1::CancelKeyDeletionRequest, v1::CancelKeyDeletionResponse>(
      context, request, response, gate::Operation("KeyManagementService.CancelKeyDeletion"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(life_.CancelDeletion(id), a);
      });
}

ServerUnaryReactor* KeyManagementFace::GetParametersForImport(CallbackServerContext* context,
                                                              const ByteBuffer* request,
                                                              ByteBuffer* response) {
  return desk_.Serve<v1::GetParametersForImportRequest, v1::GetParametersForImportResponse>(
      context, request, response, gate::Operation("KeyManagementService.GetParametersForImport"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const ImportWrapping wrapping, DecodeWrapping(q));
        call.target = wrapping.name;
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        STRONGROOM_ASSIGN_OR_RETURN(
            core::ImportParameters parameters,
            material_.GetParameters(id, wrapping.algorithm, wrapping.modulus_bits, call.deadline));
        a.set_key_id(id.ToString());
        a.set_public_key(std::move(parameters.public_key));
        a.set_import_token(std::move(parameters.import_token));
        EncodeTime(parameters.expire_time, *a.mutable_expire_time());
        return absl::OkStatus();
      });
}

ServerUnaryReactor* KeyManagementFace::ImportKeyMaterial(CallbackServerContext* context,
                                                         const ByteBuffer* request,
                                                         ByteBuffer* response) {
  return desk_.Serve<v1::ImportKeyMaterialRequest, v1::ImportKeyMaterialResponse>(
      context, request, response, gate::Operation("KeyManagementService.ImportKeyMaterial"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        if (q.import_token().empty()) return core::MissingParameter("import_token");
        if (q.encrypted_key_material().empty())
          return core::MissingParameter("encrypted_key_material");
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(
            material_.Import(id, q.import_token(), q.encrypted_key_material(), call.deadline), a);
      });
}

ServerUnaryReactor* KeyManagementFace::DeleteImportedKeyMaterial(CallbackServerContext* context,
                                                                 const ByteBuffer* request,
                                                                 ByteBuffer* response) {
  return desk_.Serve<v1::DeleteImportedKeyMaterialRequest, v1::DeleteImportedKeyMaterialResponse>(
      context, request, response, gate::Operation("KeyManagementService.DeleteImportedKeyMaterial"),
      [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
        STRONGROOM_ASSIGN_OR_RETURN(const KeyId id, AuthorizedKeyOf(q, call));
        return Answer(material_.DeleteMaterial(id, call.deadline), a);
      });
}

std::unique_ptr<grpc::Service> MakeKeyManagementService(Desk& desk, core::KeyRing& keys,
                                                        core::KeyLife& life,
                                                        core::MaterialImport& material,
                                                        gate::Authority& authority) {
  return std::make_unique<KeyManagementFace>(desk, keys, life, material, authority);
}

}  // namespace strongroom::grpc_server
