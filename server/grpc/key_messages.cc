#include "server/grpc/key_messages.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/grpc/authority_messages.h"
#include "server/grpc/status_macros.h"

namespace strongroom::grpc_server {
namespace {

using core::KeyStatus;
using core::Reason;

struct StateName {
  KeyStatus status;
  v1::KeyState state;
};

constexpr StateName kStates[] = {
    {KeyStatus::kCreating, v1::KEY_STATE_CREATING},
    {KeyStatus::kEnabled, v1::KEY_STATE_ENABLED},
    {KeyStatus::kDisabled, v1::KEY_STATE_DISABLED},
    {KeyStatus::kPendingDeletion, v1::KEY_STATE_PENDING_DELETION},
    {KeyStatus::kPendingImport, v1::KEY_STATE_PENDING_IMPORT},
    {KeyStatus::kUnavailable, v1::KEY_STATE_UNAVAILABLE},
};
static_assert(std::size(kStates) == std::size(core::kAllKeyStatuses));

v1::KeyState StateOf(KeyStatus status) {
  for (const StateName& known : kStates) {
    if (known.status == status) return known.state;
  }
  return v1::KEY_STATE_UNSPECIFIED;
}

absl::StatusOr<int> ModulusBitsOf(v1::ImportWrappingKeySpec spec) {
  switch (spec) {
    case v1::IMPORT_WRAPPING_KEY_SPEC_RSA_2048:
      return 2048;
    case v1::IMPORT_WRAPPING_KEY_SPEC_UNSPECIFIED:
    case v1::IMPORT_WRAPPING_KEY_SPEC_RSA_3072:
      return 3072;
    case v1::IMPORT_WRAPPING_KEY_SPEC_RSA_4096:
      return 4096;
    default:
      return core::MakeError(
          Reason::kInvalidParameter,
          absl::StrCat("wrapping_key_spec: ", spec,
                       " is not valid; valid are IMPORT_WRAPPING_KEY_SPEC_RSA_2048, "
                       "IMPORT_WRAPPING_KEY_SPEC_RSA_3072, IMPORT_WRAPPING_KEY_SPEC_RSA_4096"));
  }
}

}  // namespace

void Encode(const core::KeyDescription& key, v1::Key& out) {
  const store::KeyRecord& record = key.record;
  out.set_key_id(record.id.ToString());
  out.set_state(StateOf(key.status));
  out.set_description(record.description);
  EncodeTime(record.create_time, *out.mutable_create_time());
  out.set_origin(record.origin == store::KeyOrigin::kImported ? v1::KEY_ORIGIN_EXTERNAL
                                                              : v1::KEY_ORIGIN_TOKEN);
  *out.mutable_tags() = {record.tags.begin(), record.tags.end()};
  out.set_rotation_period_days(record.rotation_days);
  // While a key is being created it has no version yet.
  if (record.creating) return;
  out.set_initial_key_version_id(record.initial_version.ToString());
  out.set_primary_key_version_id(record.primary_version.ToString());
  out.set_primary_uses_left(key.primary_uses_left);
  out.set_initial_uses_left(key.initial_uses_left);
  if (record.next_rotation != absl::InfiniteFuture()) {
    EncodeTime(record.next_rotation, *out.mutable_next_rotation_time());
  }
  if (key.status == KeyStatus::kPendingDeletion) {
    EncodeTime(record.deletion_time, *out.mutable_deletion_time());
  }
}

void Encode(const core::KeyVersionDescription& version, v1::KeyVersion& out) {
  out.set_key_version_id(version.record.id.ToString());
  out.set_key_id(version.record.key_id.ToString());
  out.set_number(version.record.number);
  EncodeTime(version.record.create_time, *out.mutable_create_time());
  out.set_primary(version.primary);
  out.set_uses_left(version.uses_left);
}

void Encode(const store::AliasRecord& alias, v1::Alias& out) {
  out.set_alias_name(alias.name);
  out.set_key_id(alias.key_id.ToString());
  EncodeTime(alias.create_time, *out.mutable_create_time());
  EncodeTime(alias.update_time, *out.mutable_update_time());
}

absl::StatusOr<core::KeyFilter> DecodeKeyFilter(const v1::ListKeysRequest& request) {
  core::KeyFilter filter;
  for (int i = 0; i < request.states_size(); ++i) {
    const size_t known = filter.statuses.size();
    for (const StateName& state : kStates) {
      if (state.state == request.states(i)) filter.statuses.push_back(state.status);
    }
    if (filter.statuses.size() > known) continue;
    return core::MakeError(
        Reason::kInvalidParameter,
        absl::StrCat("states[", i, "]: ", request.states(i),
                     " is not valid; valid are ENABLED, DISABLED, CREATING, PENDING_DELETION, "
                     "PENDING_IMPORT, UNAVAILABLE, each with KEY_STATE_ before it"));
  }
  STRONGROOM_RETURN_IF_ERROR(core::CheckTagCount("tags", request.tags().size()));
  STRONGROOM_ASSIGN_OR_RETURN(filter.tags, DecodeTags(request.tags()));
  return filter;
}

absl::StatusOr<store::KeyOrigin> DecodeOrigin(v1::KeyOrigin origin) {
  switch (origin) {
    case v1::KEY_ORIGIN_UNSPECIFIED:
    case v1::KEY_ORIGIN_TOKEN:
      return store::KeyOrigin::kToken;
    case v1::KEY_ORIGIN_EXTERNAL:
      return store::KeyOrigin::kImported;
    default:
      return core::MakeError(
          Reason::kInvalidParameter,
          absl::StrCat("origin: ", origin,
                       " is not valid; valid are KEY_ORIGIN_TOKEN, KEY_ORIGIN_EXTERNAL"));
  }
}

absl::StatusOr<std::map<std::string, std::string>> DecodeTags(
    const google::protobuf::Map<std::string, std::string>& tags) {
  for (const auto& [name, value] : tags) {
    STRONGROOM_RETURN_IF_ERROR(core::CheckTag("tags", name, value));
  }
  return std::map<std::string, std::string>(tags.begin(), tags.end());
}

absl::StatusOr<ImportWrapping> DecodeWrapping(const v1::GetParametersForImportRequest& request) {
  STRONGROOM_ASSIGN_OR_RETURN(const int bits, ModulusBitsOf(request.wrapping_key_spec()));
  const auto wrapping = [bits](hsm::ImportAlgorithm algorithm, absl::string_view name) {
    return ImportWrapping{algorithm, bits, absl::StrCat(name, " RSA_", bits)};
  };
  switch (request.wrapping_algorithm()) {
    case v1::IMPORT_WRAPPING_ALGORITHM_UNSPECIFIED:
      return core::MissingParameter("wrapping_algorithm");
    case v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_256:
      return wrapping(hsm::ImportAlgorithm::kOaepSha256, "RSAES_OAEP_SHA_256");
    case v1::IMPORT_WRAPPING_ALGORITHM_RSAES_OAEP_SHA_1:
      return wrapping(hsm::ImportAlgorithm::kOaepSha1, "RSAES_OAEP_SHA_1");
    case v1::IMPORT_WRAPPING_ALGORITHM_RSA_AES_KEY_WRAP_SHA_256:
      return wrapping(hsm::ImportAlgorithm::kRsaAesSha256, "RSA_AES_KEY_WRAP_SHA_256");
    default:
      return core::MakeError(
          Reason::kInvalidParameter,
          absl::StrCat("wrapping_algorithm: ", request.wrapping_algorithm(),
                       " is not valid; valid are RSAES_OAEP_SHA_256, RSAES_OAEP_SHA_1, "
                       "RSA_AES_KEY_WRAP_SHA_256, each with IMPORT_WRAPPING_ALGORITHM_ before it"));
  }
}

}  // namespace strongroom::grpc_server
