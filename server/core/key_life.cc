#include "server/core/key_life.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

// How much of the due work is looked up at a time; the rest is found the next time.
constexpr int kDueAtATime = 100;
constexpr int kVersionsAtATime = 1000;
constexpr absl::Duration kLargestJump = absl::Hours(1);

absl::Status CheckNotImported(const store::KeyRecord& key) {
  if (key.origin == store::KeyOrigin::kToken) return absl::OkStatus();
  return MakeError(Reason::kUnsupportedOperation,
                   absl::StrCat("the material of key ", key.id.ToString(),
                                " was imported, so it does not rotate; create another key and move "
                                "the alias"));
}

absl::Status CheckTags(const store::KeyRecord& key,
                       const std::map<std::string, std::string>& tags) {
  if (tags.size() <= KeyLife::kMaxTags) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("tags: key ", key.id.ToString(), " would have ", tags.size(),
                                "; at most ", KeyLife::kMaxTags, " are right"));
}

}  // namespace

KeyLife::KeyLife(KeyRing& ring, store::Store& store, hsm::Token& token, const Clock& clock,
                 const Options& options)
    : ring_(ring),
      store_(store),
      token_(token),
      clock_(clock),
      options_(options),
      begin_(clock.Now()),
      monotonic_begin_(clock.MonotonicNow()) {}

absl::StatusOr<KeyDescription> KeyLife::CreateKey(const NewKey& key, Deadline deadline,
                                                  const PolicyOf& policy_of) {
  const bool imported = key.origin == store::KeyOrigin::kImported;
  absl::StatusOr<KeyId> id = ring_.NewKeyId(deadline);
  if (!id.ok()) return id.status();
  store::KeyRecord record;
  record.id = *id;
  record.origin = key.origin;
  record.state = imported ? store::KeyState::kPendingImport : store::KeyState::kEnabled;
  record.description = key.description;
  record.tags = key.tags;
  record.rotation_days = imported ? 0 : key.rotation_days.value_or(options_.rotation_days);
  record.create_time = clock_.Now();
  absl::Status valid = CheckTags(record, key.tags);
  if (valid.ok() && imported && key.rotation_days.value_or(0) != 0)
    valid = CheckNotImported(record);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::string> policy = std::string();
  if (policy_of != nullptr) policy = policy_of(*id);
  if (!policy.ok()) return policy.status();
  absl::StatusOr<store::KeyVersionRecord> version = ring_.MakeVersion(
      *id, imported ? KeyRing::VersionKeysAre::kImportedLater : KeyRing::VersionKeysAre::kGenerated,
      deadline,
      [&](const KeyVersionId& version_id) { return store_.BeginKey(record, version_id, *policy); });
  if (!version.ok()) return version.status();
  return ring_.Describe(*id);
}

absl::StatusOr<store::KeyVersionRecord> KeyLife::CreateKeyVersion(const KeyId& key,
                                                                  Deadline deadline) {
  absl::StatusOr<KeyDescription> description = ring_.Describe(key);
  if (!description.ok()) return description.status();
  absl::Status allowed = CheckAction(KeyAction::kRotate, key, description->status);
  if (allowed.ok()) allowed = CheckNotImported(description->record);
  if (!allowed.ok()) return allowed;
  return ring_.MakeVersion(key, KeyRing::VersionKeysAre::kGenerated, deadline,
                           [&](const KeyVersionId& version_id) {
                             return store_.BeginVersion(key, version_id, clock_.Now());
                           });
}

absl::StatusOr<KeyDescription> KeyLife::EnableKey(const KeyId& key) {
  return ring_.Change(KeyAction::kEnable, key, [&](const store::KeyRecord&) {
    return FromStore(store_.SetKeyState(key, store::KeyState::kEnabled));
  });
}

absl::StatusOr<KeyDescription> KeyLife::DisableKey(const KeyId& key) {
  return ring_.Change(KeyAction::kDisable, key, [&](const store::KeyRecord&) {
    return FromStore(store_.SetKeyState(key, store::KeyState::kDisabled));
  });
}

absl::StatusOr<KeyDescription> KeyLife::UpdateDescription(const KeyId& key,
                                                          absl::string_view description) {
  return ring_.Change(KeyAction::kEdit, key, [&](const store::KeyRecord&) {
    return FromStore(store_.SetKeyDescription(key, description));
  });
}

absl::StatusOr<KeyDescription> KeyLife::TagKey(const KeyId& key,
                                               const std::map<std::string, std::string>& tags) {
  return ring_.Change(KeyAction::kEdit, key, [&](const store::KeyRecord& record) {
    std::map<std::string, std::string> all = record.tags;
    for (const auto& [name, value] : tags) all[name] = value;
    absl::Status valid = CheckTags(record, all);
    if (!valid.ok()) return valid;
    return FromStore(store_.SetKeyTags(key, all));
  });
}

absl::StatusOr<KeyDescription> KeyLife::UntagKey(const KeyId& key,
                                                 const std::vector<std::string>& names) {
  return ring_.Change(KeyAction::kEdit, key, [&](const store::KeyRecord& record) {
    std::map<std::string, std::string> left = record.tags;
    for (const std::string& name : names) left.erase(name);
    return FromStore(store_.SetKeyTags(key, left));
  });
}

absl::StatusOr<KeyDescription> KeyLife::UpdateRotationPolicy(const KeyId& key, int32_t days) {
  return ring_.Change(KeyAction::kEdit, key, [&](const store::KeyRecord& record) {
    absl::Status allowed = CheckNotImported(record);
    if (!allowed.ok()) return allowed;
    return FromStore(store_.SetKeyRotation(key, days));
  });
}

absl::StatusOr<KeyDescription> KeyLife::ScheduleDeletion(const KeyId& key, int days) {
  return ring_.Change(KeyAction::kScheduleDeletion, key, [&](const store::KeyRecord&) {
    return FromStore(store_.SetKeyState(key, store::KeyState::kPendingDeletion,
                                        clock_.Now() + days * absl::Hours(24)));
  });
}

absl::StatusOr<KeyDescription> KeyLife::CancelDeletion(const KeyId& key) {
  return ring_.Change(KeyAction::kCancelDeletion, key, [&](const store::KeyRecord& record) {
    if (record.state == store::KeyState::kDestroying) {
      return MakeError(Reason::kPendingDeletion,
                       absl::StrCat("the destruction of key ", key.ToString(), " has begun"));
    }
    const bool without_material =
        record.origin == store::KeyOrigin::kImported && !ring_.HasKeys(record.primary_version);
    return FromStore(store_.SetKeyState(
        key, without_material ? store::KeyState::kPendingImport : store::KeyState::kDisabled));
  });
}

bool KeyLife::ClockJumped() const {
  const absl::Duration passed = absl::FromChrono(clock_.MonotonicNow() - monotonic_begin_);
  return clock_.Now() - begin_ > passed + kLargestJump;
}

absl::StatusOr<std::vector<DueWork>> KeyLife::ListDue() {
  std::vector<DueWork> due;
  const absl::Time now = clock_.Now();
  absl::StatusOr<std::vector<KeyId>> keys = store_.ListKeysToRotate(now, kDueAtATime);
  if (!keys.ok()) return FromStore(keys.status());
  for (const KeyId& key : *keys) due.push_back({DueWork::Kind::kRotate, key});
  if (!ClockJumped()) {
    keys = store_.ListKeysToDestroy(now, kDueAtATime);
    if (!keys.ok()) return FromStore(keys.status());
    for (const KeyId& key : *keys) due.push_back({DueWork::Kind::kDestroy, key});
  }
  // Last, when nothing can fail any more: these are told once.
  for (const KeyId& key : ring_.TakeKeysToRotate()) {
    due.push_back({DueWork::Kind::kRotate, key});
  }
  return due;
}

absl::StatusOr<std::optional<store::KeyVersionRecord>> KeyLife::RotateIfDue(const KeyId& key,
                                                                            Deadline deadline) {
  MutexLock lock(rotation_mu_);
  absl::StatusOr<KeyDescription> description = ring_.Describe(key);
  if (!description.ok()) return description.status();
  const store::KeyRecord& record = description->record;
  const bool may = record.origin == store::KeyOrigin::kToken &&
                   record.state == store::KeyState::kEnabled && !record.creating;
  const bool due = record.next_rotation <= clock_.Now() || ring_.PrimaryIsWorn(record);
  if (!may || !due) return std::nullopt;
  absl::StatusOr<store::KeyVersionRecord> version = CreateKeyVersion(key, deadline);
  if (!version.ok()) return version.status();
  return *version;
}

absl::StatusOr<bool> KeyLife::BeginDestruction(const KeyId& key) {
  bool begun = false;
  const absl::Status status =
      ring_
          .Change(KeyAction::kCancelDeletion, key,
                  [&](const store::KeyRecord& record) {
                    begun = record.state == store::KeyState::kDestroying;
                    if (begun || record.deletion_time > clock_.Now() || ClockJumped()) {
                      return absl::OkStatus();
                    }
                    begun = true;
                    return FromStore(store_.SetKeyState(key, store::KeyState::kDestroying,
                                                        record.deletion_time));
                  })
          .status();
  // Gone, or kept by CancelDeletion, since it was found due.
  if (ReasonOf(status) == Reason::kKeyNotFound || ReasonOf(status) == Reason::kInvalidParameter) {
    return false;
  }
  if (!status.ok()) return status;
  return begun;
}

absl::Status KeyLife::FinishDestruction(const KeyId& key, Deadline deadline) {
  absl::StatusOr<KeyDescription> description = ring_.Describe(key);
  if (!description.ok()) return description.status();
  if (description->record.state != store::KeyState::kDestroying) {
    return MakeInternalFailure("the destruction of a key was not begun");
  }
  absl::StatusOr<std::optional<store::ImportRecord>> import = store_.GetImport(key);
  if (!import.ok()) return FromStore(import.status());
  if (import->has_value()) {
    absl::Status status = token_.DestroyImportKey((*import)->id.bytes(), deadline);
    if (!status.ok()) return FromToken(status);
  }
  int32_t after = 0;
  while (true) {
    absl::StatusOr<std::vector<store::KeyVersionRecord>> versions =
        store_.ListKeyVersions(key, after, kVersionsAtATime);
    if (!versions.ok()) return FromStore(versions.status());
    for (const store::KeyVersionRecord& version : *versions) {
      ring_.AbandonVersion(version.id);
      absl::Status status = token_.DestroyVersionKeys(version.id.bytes(), deadline);
      if (!status.ok()) return FromToken(status);
      after = version.number;
    }
    if (versions->size() < static_cast<size_t>(kVersionsAtATime)) break;
  }
  return ring_.DeleteKey(key);
}

}  // namespace strongroom::core
