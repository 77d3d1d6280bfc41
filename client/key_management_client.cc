#include "client/key_management_client.h"

#include <type_traits>

#include "client/unary_call.h"
#include "strongroom/v1/key_management_service.grpc.pb.h"

namespace strongroom {
namespace {

using Stub = v1::KeyManagementService::StubInterface;

static_assert(static_cast<int>(KeyState::kEnabled) == v1::KEY_STATE_ENABLED);
static_assert(static_cast<int>(KeyState::kDisabled) == v1::KEY_STATE_DISABLED);

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

Key ToItem(const v1::Key& key) {
  return {
      .key_id = key.key_id(),
      .state = static_cast<KeyState>(key.state()),
      .description = key.description(),
      .create_time = ToTime(key.create_time()),
      .initial_key_version_id = key.initial_key_version_id(),
      .primary_key_version_id = key.primary_key_version_id(),
  };
}

KeyVersion ToItem(const v1::KeyVersion& version) {
  return {
      .key_version_id = version.key_version_id(),
      .key_id = version.key_id(),
      .number = version.number(),
      .create_time = ToTime(version.create_time()),
      .primary = version.primary(),
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
  return rpc_->Call(&Stub::CreateKey, message, CallKind::kOnce, call, kToKeyResult);
}

absl::StatusOr<KeyResult> KeyManagementClient::Describe(const std::string& key_id,
                                                        const CallOptions& call) const {
  return rpc_->Call(&Stub::DescribeKey, WithKeyId<v1::DescribeKeyRequest>(key_id),
                    CallKind::kRepeatable, call, kToKeyResult);
}

absl::StatusOr<Page<Key>> KeyManagementClient::List(const PageRequest& request,
                                                    const CallOptions& call) const {
  return rpc_->Call(&Stub::ListKeys, WithPage<v1::ListKeysRequest>(request), CallKind::kRepeatable,
                    call, [](auto& response) { return ToPage(response.keys(), response); });
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

}  // namespace strongroom
