#ifndef STRONGROOM_CLIENT_KEY_MANAGEMENT_CLIENT_H_
#define STRONGROOM_CLIENT_KEY_MANAGEMENT_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client_options.h"
#include "client/key_policy.h"
#include "client/specs.h"
#include "platform/secret_bytes.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace strongroom {

// A master key. Ids are UUIDs in lower case.
struct Key {
  std::string key_id = {};
  KeyState state = KeyState::kUnspecified;
  std::string description = {};
  absl::Time create_time = absl::UnixEpoch();
  // The first version: seals for the plain operations of InstanceClient.
  std::string initial_key_version_id = {};
  // The newest version: seals for everything else.
  std::string primary_key_version_id = {};
  KeyOrigin origin = KeyOrigin::kUnspecified;
  std::map<std::string, std::string> tags = {};
  // How many days after the primary version was made the service rotates the key by itself; 0 if
  // it does not. The other is when that is due.
  int32_t rotation_period_days = 0;
  std::optional<absl::Time> next_rotation_time = std::nullopt;
  // When it will be destroyed. Only for kPendingDeletion.
  std::optional<absl::Time> deletion_time = std::nullopt;
  // How often these versions may seal yet.
  int64_t primary_uses_left = 0;
  int64_t initial_uses_left = 0;
};

struct KeyVersion {
  std::string key_version_id = {};
  std::string key_id = {};
  // 1 for the initial version, counting up.
  int32_t number = 0;
  absl::Time create_time = absl::UnixEpoch();
  bool primary = false;
  // How often it may seal yet.
  int64_t uses_left = 0;
};

struct Alias {
  // "alias/NAME".
  std::string alias_name = {};
  std::string key_id = {};
  absl::Time create_time = absl::UnixEpoch();
  absl::Time update_time = absl::UnixEpoch();
};

// Leave for one principal to do some operations with one key. Ids are UUIDs in lower case.
struct Grant {
  std::string grant_id = {};
  std::string key_id = {};
  std::string grantee_principal = {};
  std::vector<std::string> operations = {};
  EncryptionContextConditions constraints = {};
  // Who may retire it, besides; empty if nobody.
  std::string retiring_principal = {};
  // nullopt: until it is revoked or retired.
  std::optional<absl::Time> expire_time = std::nullopt;
  std::string issuing_principal = {};
  absl::Time create_time = absl::UnixEpoch();
  // The grant under which it was made, and with which it ends; empty if there is none.
  std::string parent_grant_id = {};
};

// Every answer carries the id under which the service logged the call.
struct KeyResult {
  Key key = {};
  std::string request_id = {};
};
struct KeyVersionResult {
  KeyVersion key_version = {};
  std::string request_id = {};
};
struct AliasResult {
  Alias alias = {};
  std::string request_id = {};
};
struct DeleteAliasResult {
  std::string request_id = {};
};
struct KeyPolicyResult {
  // nullopt if the key has none.
  std::optional<KeyPolicy> policy = std::nullopt;
  std::string request_id = {};
};
struct CreateGrantResult {
  Grant grant = {};
  // Proves the grant, to hand to the grantee: text of 1 to 8,192 characters.
  SecretBytes grant_token = {};
  std::string request_id = {};
};
struct ImportParameters {
  std::string key_id = {};
  // Wrap the material under this: X.509 SubjectPublicKeyInfo, DER.
  std::string public_key = {};
  // For ImportMaterial.
  std::string import_token = {};
  // Until when both serve.
  absl::Time expire_time = absl::UnixEpoch();
  std::string request_id = {};
};
// Of what has nothing to tell but that it is done.
struct DoneResult {
  std::string request_id = {};
};

// One page of a list; `next_page_token` asks for the next one and is empty on the last.
template <typename Item>
struct Page {
  std::vector<Item> items = {};
  std::string next_page_token = {};
  std::string request_id = {};
};

// Which page of a list. 1 to 1,000 items; 0 leaves it to the service.
struct PageRequest {
  int32_t page_size = 0;
  std::string page_token = {};
};

struct CreateKeyRequest {
  // What the key is for: at most 8,192 bytes.
  std::string description = {};
  // Refused as by PutPolicy.
  std::optional<KeyPolicy> policy = std::nullopt;
  KeyOrigin origin = KeyOrigin::kUnspecified;
  // At most 50; names of 1 to 128 characters, values of 0 to 256.
  std::map<std::string, std::string> tags = {};
  // As for UpdateRotationPolicy; nullopt leaves it to the service's configuration.
  std::optional<int32_t> rotation_period_days = std::nullopt;
};
struct ListKeysRequest {
  // Only keys in one of these states; in any if empty.
  std::vector<KeyState> states = {};
  // Only keys with all of these tags.
  std::map<std::string, std::string> tags = {};
  PageRequest page = {};
};
struct UpdateKeyDescriptionRequest {
  std::string key_id = {};
  // At most 8,192 bytes.
  std::string description = {};
};
struct TagKeyRequest {
  std::string key_id = {};
  // At least one.
  std::map<std::string, std::string> tags = {};
};
struct UntagKeyRequest {
  std::string key_id = {};
  // At least one.
  std::vector<std::string> tag_names = {};
};
struct UpdateRotationPolicyRequest {
  std::string key_id = {};
  // 1 to 2,560; 0 for no rotation by time.
  int32_t rotation_period_days = 0;
};
struct ScheduleKeyDeletionRequest {
  std::string key_id = {};
  // 7 to 30; 0 leaves it to the service.
  int32_t pending_window_days = 0;
};
struct GetParametersForImportRequest {
  std::string key_id = {};
  ImportWrappingAlgorithm wrapping_algorithm = ImportWrappingAlgorithm::kUnspecified;
  ImportWrappingKeySpec wrapping_key_spec = ImportWrappingKeySpec::kUnspecified;
};
struct ImportKeyMaterialRequest {
  std::string key_id = {};
  // From GetParametersForImport.
  std::string import_token = {};
  // 32 bytes, wrapped under its public key by its algorithm.
  std::string encrypted_key_material = {};
};
struct DescribeKeyRequest {
  std::string key_id = {};
  // 0 to 10 tokens of grants that let the call. In no error and no log, as everywhere.
  std::vector<std::string> grant_tokens = {};
};
struct ListKeyVersionsRequest {
  std::string key_id = {};
  PageRequest page = {};
};
struct ListAliasesRequest {
  // Only the aliases of this key; of all keys if empty.
  std::string key_id = {};
  PageRequest page = {};
};
struct AliasRequest {
  // "alias/NAME", where NAME has 1 to 249 letters, digits and `/_-`.
  std::string alias_name = {};
  // The key it shall name.
  std::string key_id = {};
};
struct PutKeyPolicyRequest {
  std::string key_id = {};
  // In place of the whole policy that the key has.
  KeyPolicy policy = {};
};
// The fields of a Grant that its maker chooses.
struct CreateGrantRequest {
  std::string key_id = {};
  std::string grantee_principal = {};
  std::vector<std::string> operations = {};
  EncryptionContextConditions constraints = {};
  // In the future, and no later than the year 9999.
  std::optional<absl::Time> expire_time = std::nullopt;
  std::string retiring_principal = {};
  // Of grants that let this very call.
  std::vector<std::string> grant_tokens = {};
};
struct ListGrantsRequest {
  std::string key_id = {};
  // Only the grants of this grantee; of all if empty.
  std::string grantee_principal = {};
  PageRequest page = {};
};
// Which grant: `key_id` and `grant_id`, or its token in place of both.
struct RetireGrantRequest {
  std::string key_id = {};
  std::string grant_id = {};
  std::string grant_token = {};
};
struct RevokeGrantRequest {
  std::string key_id = {};
  std::string grant_id = {};
};

// The master keys' own life (strongroom.v1.KeyManagementService). Got from Client::keys().
//
// A `key_id` in a request is a key's id, an alias, or an ARN-shaped name that ends in either.
// Thread-safe. Only Describe, GetPolicy and the lists are tried again; see Client.
class KeyManagementClient {
 public:
  KeyManagementClient(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options);
  ~KeyManagementClient();
  KeyManagementClient(const KeyManagementClient&) = delete;
  KeyManagementClient& operator=(const KeyManagementClient&) = delete;

  // Generates a master key with one version. It is enabled. With KeyOrigin::kExternal nothing is
  // generated, and it waits for its material (kPendingImport).
  absl::StatusOr<KeyResult> Create(const CreateKeyRequest& request,
                                   const CallOptions& call = {}) const;
  absl::StatusOr<KeyResult> Describe(const DescribeKeyRequest& request,
                                     const CallOptions& call = {}) const;
  // Keys, oldest first. A page may be empty and still be followed by another: the last one is that
  // without a `next_page_token`.
  absl::StatusOr<Page<Key>> List(const ListKeysRequest& request = {},
                                 const CallOptions& call = {}) const;

  // Rotates now: the new version becomes the primary one. What older ones sealed still opens.
  absl::StatusOr<KeyVersionResult> CreateVersion(const std::string& key_id,
                                                 const CallOptions& call = {}) const;
  // A key's versions, oldest first.
  absl::StatusOr<Page<KeyVersion>> ListVersions(const ListKeyVersionsRequest& request,
                                                const CallOptions& call = {}) const;

  // Changing a key to the state it is in is no error.
  absl::StatusOr<KeyResult> Enable(const std::string& key_id, const CallOptions& call = {}) const;
  absl::StatusOr<KeyResult> Disable(const std::string& key_id, const CallOptions& call = {}) const;

  absl::StatusOr<KeyResult> UpdateDescription(const UpdateKeyDescriptionRequest& request,
                                              const CallOptions& call = {}) const;
  // Tags of the same names get the new values. RESOURCE_EXHAUSTED, Reason::kLimitExceeded, over 50.
  absl::StatusOr<KeyResult> Tag(const TagKeyRequest& request, const CallOptions& call = {}) const;
  // Names that the key does not have do no harm.
  absl::StatusOr<KeyResult> Untag(const UntagKeyRequest& request,
                                  const CallOptions& call = {}) const;
  // How often the service rotates the key by itself, counted from when the primary version was
  // made.
  absl::StatusOr<KeyResult> UpdateRotationPolicy(const UpdateRotationPolicyRequest& request,
                                                 const CallOptions& call = {}) const;

  // Has the key destroyed after a waiting time, and with it whatever is sealed under it. Until then
  // it neither seals nor opens, and CancelDeletion brings it back: disabled, or kPendingImport.
  absl::StatusOr<KeyResult> ScheduleDeletion(const ScheduleKeyDeletionRequest& request,
                                             const CallOptions& call = {}) const;
  absl::StatusOr<KeyResult> CancelDeletion(const std::string& key_id,
                                           const CallOptions& call = {}) const;

  // For keys of KeyOrigin::kExternal, of others UNIMPLEMENTED: how to wrap their material. What an
  // earlier call for the key returned becomes void. Has the timeout of pairs.
  absl::StatusOr<ImportParameters> GetParametersForImport(
      const GetParametersForImportRequest& request, const CallOptions& call = {}) const;
  // The key is enabled when this returns. Has the timeout of pairs.
  absl::StatusOr<KeyResult> ImportMaterial(const ImportKeyMaterialRequest& request,
                                           const CallOptions& call = {}) const;
  // Destroys the material in the token. The key works again once the same is imported again.
  absl::StatusOr<KeyResult> DeleteMaterial(const std::string& key_id,
                                           const CallOptions& call = {}) const;

  absl::StatusOr<AliasResult> CreateAlias(const AliasRequest& request,
                                          const CallOptions& call = {}) const;
  // Moves an alias to another key.
  absl::StatusOr<AliasResult> UpdateAlias(const AliasRequest& request,
                                          const CallOptions& call = {}) const;
  absl::StatusOr<DeleteAliasResult> DeleteAlias(const std::string& alias_name,
                                                const CallOptions& call = {}) const;
  // In the order of their names.
  absl::StatusOr<Page<Alias>> ListAliases(const ListAliasesRequest& request = {},
                                          const CallOptions& call = {}) const;

  // When this has returned, no later call goes by the old policy. INVALID_ARGUMENT for a policy
  // after which nobody, or not even the caller, could change it any more.
  absl::StatusOr<DoneResult> PutPolicy(const PutKeyPolicyRequest& request,
                                       const CallOptions& call = {}) const;
  absl::StatusOr<KeyPolicyResult> GetPolicy(const std::string& key_id,
                                            const CallOptions& call = {}) const;

  // Whom only a grant lets create grants can pass on no more than that grant allows:
  // INVALID_ARGUMENT. RESOURCE_EXHAUSTED, Reason::kLimitExceeded, if the key has 10,000 grants.
  absl::StatusOr<CreateGrantResult> CreateGrant(const CreateGrantRequest& request,
                                                const CallOptions& call = {}) const;
  // Those that have not ended, oldest first.
  absl::StatusOr<Page<Grant>> ListGrants(const ListGrantsRequest& request,
                                         const CallOptions& call = {}) const;
  // Both end a grant, and those that were made under it. Retiring is for whom the grant names,
  // revoking for whom the key's policy lets. INVALID_ARGUMENT if the key has no such grant.
  absl::StatusOr<DoneResult> RetireGrant(const RetireGrantRequest& request,
                                         const CallOptions& call = {}) const;
  absl::StatusOr<DoneResult> RevokeGrant(const RevokeGrantRequest& request,
                                         const CallOptions& call = {}) const;

 private:
  struct Rpc;
  const std::unique_ptr<const Rpc> rpc_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_KEY_MANAGEMENT_CLIENT_H_
