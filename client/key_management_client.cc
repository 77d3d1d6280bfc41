#include "client/key_management_client.h"

#include <type_traits>

#include "client/key_policy_messages.h"
#include "client/secret_fields.h"
#include "client/unary_call.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"

namespace strongroom {
namespace {

using Stub = v1::KeyManagementService::StubInterface;

static_assert(static_cast<int>(KeyState::kEnabled) == v1::KEY_STATE_ENABLED);
static_assert(static_cast<int>(KeyState::kDisabled) == v1::KEY_STATE_DISABLED);
static_assert(static_cast<int>(KeyState::kCreating) == v1::KEY_STATE_CREATING);
static_assert(static_cast<int>(KeyState::kPendingDeletion) == v1::KEY_STATE_PENDING_DELETION);
static_assert(static_cast<int>(KeyState::kPendingImport) == v1::KEY_STATE_PENDING_IMPORT);
static_assert(static_cast<int>(KeyState::kUnavailable) == v1::KEY_STATE_UNAVAILABLE);
static_assert(static_cast<int>(KeyOrigin::kToken) == v1::KEY_ORIGIN_TOKEN);
static_assert(static_cast<int>(KeyOrigin::kExternal) == v1::KEY_ORIGIN_EXTERNAL);
static_assert(static_cast<int>(ImportWrappingAlgorithm::kRsaesOaepSha256) ==
              v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_256);
static_assert(static_cast<int>(ImportWrappingAlgorithm::kRsaesOaepSha1) ==
              v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_1);
static_assert(static_cast<int>(ImportWrappingAlgorithm::kRsaAesKeyWrapSha256) ==
              v1::IMPORT_WRAPPING_ALGORITHM_RSA_AES_KEY_WRAP_SHA_256);
static_assert(static_cast<int>(ImportWrappingKeySpec::kRsa2048) ==
              v1::IMPORT_WRAPPING_KEY_SPEC_RSA_2048);
static_assert(static_cast<int>(ImportWrappingKeySpec::kRsa3072) ==
              v1::IMPORT_WRAPPING_KEY_SPEC_RSA_3072);
static_assert(static_cast<int>(ImportWrappingKeySpec::kRsa4096) ==
              v1::IMPORT_WRAPPING_KEY_SPEC_RSA_4096);

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  // More for infinite times only, whose seconds the service refuses.
  const absl::Duration rest = time - absl::FromUnixSeconds(timestamp.seconds());
  if (rest < absl::Seconds(1)) {
    timestamp.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
  return timestamp;
}

Grant ToItem(const v1::Grant& grant) {
  Grant item{
      .grant_id = grant.grant_id(),
      .key_id = grant.key_id(),
      .grantee_principal = grant.grantee_principal(),
      .operations = {grant.operations().begin(), grant.operations().end()},
      .constraints = ToConditions(grant.constraints()),
      .retiring_principal = grant.retiring_principal(),
      .issuing_principal = grant.issuing_principal(),
      .create_time = ToTime(grant.create_time()),
      .parent_grant_id = grant.parent_grant_id(),
  };
  if (grant.has_expire_time()) item.expire_time = ToTime(grant.expire_time());
  return item;
}

Key ToItem(const v1::Key& key) {
  Key item{
      .key_id = key.key_id(),
      .state = static_cast<KeyState>(key.state()),
      .description = key.description(),
      .create_time = ToTime(key.create_time()),
      .initial_key_version_id = key.initial_key_version_id(),
      .primary_key_version_id = key.primary_key_version_id(),
      .origin = static_cast<KeyOrigin>(key.origin()),
      .tags = {key.tags().begin(), key.tags().end()},
      .rotation_period_days = key.rotation_period_days(),
      .primary_uses_left = key.primary_uses_left(),
      .initial_uses_left = key.initial_uses_left(),
  };
  if (key.has_next_rotation_time()) item.next_rotation_time = ToTime(key.next_rotation_time());
  if (key.has_deletion_time()) item.deletion_time = ToTime(key.deletion_time());
  return item;
}

KeyVersion ToItem(const v1::KeyVersion& version) {
  return {
      .key_version_id = version.key_version_id(),
      .key_id = version.key_id(),
      .number = version.number(),
      .create_time = ToTime(version.create_time()),
      .primary = version.primary(),
      .uses_left = version.uses_left(),
  };
}

Alias ToItem(const v1::Alias& alias) {
  return {
      .alias_name = alias.alias_name(),
      .key_id = alias.key_id(),
      .create_time = ToTime(alias.create_time()),
      .update_time = ToTime(alias.update_time()),
  };
}

constexpr auto kToKeyResult = [](auto& response) {
  return KeyResult{.key = ToItem(response.key()), .request_id = response.request_id()};
};

constexpr auto kToDoneResult = [](auto& response) {
  return DoneResult{.request_id = response.request_id()};
};

constexpr auto kToAliasResult = [](auto& response) {
  return AliasResult{.alias = ToItem(response.alias()), .request_id = response.request_id()};
};

template <typename Items, typename Response>
auto ToPage(const Items& items, const Response& response) {
  Page<decltype(ToItem(items.Get(0)))> page{
      .items = {},
      .next_page_token = response.next_page_token(),
      .request_id = response.request_id(),
  };
  page.items.reserve(items.size());
  for (const auto& item : items) page.items.push_back(ToItem(item));
  return page;
}

template <typename Message>
Message WithPage(const PageRequest& page) {
  Message message;
  message.set_page_size(page.page_size);
  message.set_page_token(page.page_token);
  return message;
}

template <typename Message>
Message WithKeyId(const std::string& key_id) {
  Message message;
  message.set_key_id(key_id);
  return message;
}

template <typename Message>
Message WithAlias(const AliasRequest& alias) {
  Message message;
  message.set_alias_name(alias.alias_name);
  message.set_key_id(alias.key_id);
  return message;
}

}  // namespace

struct KeyManagementClient::Rpc : Caller<v1::KeyManagementService> {
  using Caller::Caller;
};

KeyManagementClient::KeyManagementClient(const std::shared_ptr<grpc::Channel>& channel,
                                         const ClientOptions& options)
    : rpc_(std::make_unique<Rpc>(channel, options)) {}

KeyManagementClient::~KeyManagementClient() = default;

absl::StatusOr<KeyResult> KeyManagementClient::Create(const CreateKeyRequest& request,
                                                      const CallOptions& call) const {
  v1::CreateKeyRequest message;
  message.set_description(request.description);
  if (request.policy.has_value()) *message.mutable_policy() = ToMessage(*request.policy);
  message.set_origin(static_cast<v1::KeyOrigin>(request.origin));
  message.mutable_tags()->insert(request.tags.begin(), request.tags.end());
  if (request.rotation_period_days.has_value()) {
    message.set_rotation_period_days(*request.rotation_period_days);
  }
  return rpc_->Call(&Stub::CreateKey, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::Describe(const DescribeKeyRequest& request,
                                                        const CallOptions& call) const {
  auto message = WithKeyId<v1::DescribeKeyRequest>(request.key_id);
  message.mutable_grant_tokens()->Assign(request.grant_tokens.begin(), request.grant_tokens.end());
  return rpc_->Call(&Stub::DescribeKey, message, CallKind::kRepeatable, call, kToKeyResult);
}

absl::StatusOr<Page<Key>> KeyManagementClient::List(const ListKeysRequest& request,
                                                    const CallOptions& call) const {
  auto message = WithPage<v1::ListKeysRequest>(request.page);
  for (const KeyState state : request.states) {
    message.add_states(static_cast<v1::KeyState>(state));
  }
  message.mutable_tags()->insert(request.tags.begin(), request.tags.end());
  return rpc_->Call(&Stub::ListKeys, message, CallKind::kRepeatable, call,
                    [](auto& response) { return ToPage(response.keys(), response); });
}

absl::StatusOr<KeyVersionResult> KeyManagementClient::CreateVersion(const std::string& key_id,
                                                                    const CallOptions& call) const {
  return rpc_->Call(&Stub::CreateKeyVersion, WithKeyId<v1::CreateKeyVersionRequest>(key_id),
                    CallKind::kOnce, call, [](auto& response) {
                      return KeyVersionResult{.key_version = ToItem(response.key_version()),
                                              .request_id = response.request_id()};
                    });
}

absl::StatusOr<Page<KeyVersion>> KeyManagementClient::ListVersions(
    const ListKeyVersionsRequest& request, const CallOptions& call) const {
  auto message = WithPage<v1::ListKeyVersionsRequest>(request.page);
  message.set_key_id(request.key_id);
  return rpc_->Call(&Stub::ListKeyVersions, message, CallKind::kRepeatable, call,
                    [](auto& response) { return ToPage(response.key_versions(), response); });
}

absl::StatusOr<KeyResult> KeyManagementClient::Enable(const std::string& key_id,
                                                      const CallOptions& call) const {
  return rpc_->Call(&Stub::EnableKey, WithKeyId<v1::EnableKeyRequest>(key_id), CallKind::kOnce,
                    call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::Disable(const std::string& key_id,
                                                       const CallOptions& call) const {
  return rpc_->Call(&Stub::DisableKey, WithKeyId<v1::DisableKeyRequest>(key_id), CallKind::kOnce,
                    call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::UpdateDescription(
    const UpdateKeyDescriptionRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::UpdateKeyDescriptionRequest>(request.key_id);
  message.set_description(request.description);
  return rpc_->Call(&Stub::UpdateKeyDescription, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::Tag(const TagKeyRequest& request,
                                                   const CallOptions& call) const {
  auto message = WithKeyId<v1::TagKeyRequest>(request.key_id);
  message.mutable_tags()->insert(request.tags.begin(), request.tags.end());
  return rpc_->Call(&Stub::TagKey, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::Untag(const UntagKeyRequest& request,
                                                     const CallOptions& call) const {
  auto message = WithKeyId<v1::UntagKeyRequest>(request.key_id);
  message.mutable_tag_names()->Assign(request.tag_names.begin(), request.tag_names.end());
  return rpc_->Call(&Stub::UntagKey, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::UpdateRotationPolicy(
    const UpdateRotationPolicyRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::UpdateRotationPolicyRequest>(request.key_id);
  // 0 is sent, for "not given" is something else.
  message.set_rotation_period_days(request.rotation_period_days);
  return rpc_->Call(&Stub::UpdateRotationPolicy, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::ScheduleDeletion(
    const ScheduleKeyDeletionRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::ScheduleKeyDeletionRequest>(request.key_id);
  message.set_pending_window_days(request.pending_window_days);
  return rpc_->Call(&Stub::ScheduleKeyDeletion, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::CancelDeletion(const std::string& key_id,
                                                              const CallOptions& call) const {
  return rpc_->Call(&Stub::CancelKeyDeletion, WithKeyId<v1::CancelKeyDeletionRequest>(key_id),
                    CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<ImportParameters> KeyManagementClient::GetParametersForImport(
    const GetParametersForImportRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::GetParametersForImportRequest>(request.key_id);
  message.set_wrapping_algorithm(
      static_cast<v1::ImportWrappingAlgorithm>(request.wrapping_algorithm));
  message.set_wrapping_key_spec(static_cast<v1::ImportWrappingKeySpec>(request.wrapping_key_spec));
  return rpc_->Call(&Stub::GetParametersForImport, message, CallKind::kOncePair, call,
                    [](auto& response) {
                      return ImportParameters{
                          .key_id = response.key_id(),
                          .public_key = response.public_key(),
                          .import_token = response.import_token(),
                          .expire_time = ToTime(response.expire_time()),
                          .request_id = response.request_id(),
                      };
                    });
}

absl::StatusOr<KeyResult> KeyManagementClient::ImportMaterial(
    const ImportKeyMaterialRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::ImportKeyMaterialRequest>(request.key_id);
  message.set_import_token(request.import_token);
  message.set_encrypted_key_material(request.encrypted_key_material);
  return rpc_->Call(&Stub::ImportKeyMaterial, message, CallKind::kOncePair, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::DeleteMaterial(const std::string& key_id,
                                                              const CallOptions& call) const {
  return rpc_->Call(&Stub::DeleteImportedKeyMaterial,
                    WithKeyId<v1::DeleteImportedKeyMaterialRequest>(key_id), CallKind::kOnce, call,
                    kToKeyResult);
}

absl::StatusOr<AliasResult> KeyManagementClient::CreateAlias(const AliasRequest& request,
                                                             const CallOptions& call) const {
  return rpc_->Call(&Stub::CreateAlias, WithAlias<v1::CreateAliasRequest>(request), CallKind::kOnce,
                    call, kToAliasResult);
}

absl::StatusOr<AliasResult> KeyManagementClient::UpdateAlias(const AliasRequest& request,
                                                             const CallOptions& call) const {
  return rpc_->Call(&Stub::UpdateAlias, WithAlias<v1::UpdateAliasRequest>(request), CallKind::kOnce,
                    call, kToAliasResult);
}

absl::StatusOr<DeleteAliasResult> KeyManagementClient::DeleteAlias(const std::string& alias_name,
                                                                   const CallOptions& call) const {
  v1::DeleteAliasRequest message;
  message.set_alias_name(alias_name);
  return rpc_->Call(&Stub::DeleteAlias, message, CallKind::kOnce, call, [](auto& response) {
    return DeleteAliasResult{.request_id = response.request_id()};
  });
}

absl::StatusOr<Page<Alias>> KeyManagementClient::ListAliases(const ListAliasesRequest& request,
                                                             const CallOptions& call) const {
  auto message = WithPage<v1::ListAliasesRequest>(request.page);
  message.set_key_id(request.key_id);
  return rpc_->Call(&Stub::ListAliases, message, CallKind::kRepeatable, call,
                    [](auto& response) { return ToPage(response.aliases(), response); });
}

absl::StatusOr<DoneResult> KeyManagementClient::PutPolicy(const PutKeyPolicyRequest& request,
                                                          const CallOptions& call) const {
  auto message = WithKeyId<v1::PutKeyPolicyRequest>(request.key_id);
  *message.mutable_policy() = ToMessage(request.policy);
  return rpc_->Call(&Stub::PutKeyPolicy, message, CallKind::kOnce, call, kToDoneResult);
}

absl::StatusOr<KeyPolicyResult> KeyManagementClient::GetPolicy(const std::string& key_id,
                                                               const CallOptions& call) const {
  return rpc_->Call(&Stub::GetKeyPolicy, WithKeyId<v1::GetKeyPolicyRequest>(key_id),
                    CallKind::kRepeatable, call, [](auto& response) {
                      KeyPolicyResult result{.request_id = response.request_id()};
                      if (response.has_policy()) result.policy = ToPolicy(response.policy());
                      return result;
                    });
}

absl::StatusOr<CreateGrantResult> KeyManagementClient::CreateGrant(
    const CreateGrantRequest& request, const CallOptions& call) const {
  auto message = WithKeyId<v1::CreateGrantRequest>(request.key_id);
  message.set_grantee_principal(request.grantee_principal);
  message.mutable_operations()->Assign(request.operations.begin(), request.operations.end());
  if (!IsEmpty(request.constraints)) {
    *message.mutable_constraints() = ToMessage(request.constraints);
  }
  if (request.expire_time.has_value()) {
    *message.mutable_expire_time() = ToTimestamp(*request.expire_time);
  }
  message.set_retiring_principal(request.retiring_principal);
  message.mutable_grant_tokens()->Assign(request.grant_tokens.begin(), request.grant_tokens.end());
  return rpc_->Call(&Stub::CreateGrant, message, CallKind::kOnce, call, [](auto& response) {
    return CreateGrantResult{
        .grant = ToItem(response.grant()),
        .grant_token = TakeSecret(response.mutable_grant_token()),
        .request_id = response.request_id(),
    };
  });
}

absl::StatusOr<Page<Grant>> KeyManagementClient::ListGrants(const ListGrantsRequest& request,
                                                            const CallOptions& call) const {
  auto message = WithPage<v1::ListGrantsRequest>(request.page);
  message.set_key_id(request.key_id);
  message.set_grantee_principal(request.grantee_principal);
  return rpc_->Call(&Stub::ListGrants, message, CallKind::kRepeatable, call,
                    [](auto& response) { return ToPage(response.grants(), response); });
}

absl::StatusOr<DoneResult> KeyManagementClient::RetireGrant(const RetireGrantRequest& request,
                                                            const CallOptions& call) const {
  auto message = WithKeyId<v1::RetireGrantRequest>(request.key_id);
  message.set_grant_id(request.grant_id);
  message.set_grant_token(request.grant_token);
  return rpc_->Call(&Stub::RetireGrant, message, CallKind::kOnce, call, kToDoneResult);
}

absl::StatusOr<DoneResult> KeyManagementClient::RevokeGrant(const RevokeGrantRequest& request,
                                                            const CallOptions& call) const {
  auto message = WithKeyId<v1::RevokeGrantRequest>(request.key_id);
  message.set_grant_id(request.grant_id);
  return rpc_->Call(&Stub::RevokeGrant, message, CallKind::kOnce, call, kToDoneResult);
}

}  // namespace strongroom
