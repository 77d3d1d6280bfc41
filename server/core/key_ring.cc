#include "server/core/key_ring.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/core/token_claim.h"

namespace strongroom::core {
namespace {

absl::Status KeyNotFound(const KeyId& id) {
  return MakeError(Reason::kKeyNotFound, absl::StrCat("there is no key ", id.ToString()));
}

absl::Status AliasNotFound(absl::string_view name) {
  return MakeError(Reason::kAliasNotFound, absl::StrCat("there is no alias ", name));
}

absl::Status Unusable(const KeyVersionId& id) {
  return MakeError(Reason::kUnavailable,
                   absl::StrCat("key version ", id.ToString(),
                                " is not usable: its keys in the token are missing or are not as "
                                "they were made; its operator has to look"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyRing>> KeyRing::Open(store::Store& store, hsm::Token& token,
                                                       const Clock& clock, const UseLimits& limits,
                                                       KeyRingReport& report) {
  if (absl::Status status = ClaimToken(store, token); !status.ok()) return status;
  auto ring = std::unique_ptr<KeyRing>(new KeyRing(store, token, clock, limits));
  absl::StatusOr<int> reaped = ring->Reap(kNoDeadline);
  if (!reaped.ok()) return reaped.status();
  report.reaped = *reaped;
  if (absl::Status status = ring->LoadVersions(report); !status.ok()) return status;
  return ring;
}

absl::StatusOr<int> KeyRing::Reap(Deadline deadline) {
  absl::StatusOr<std::vector<store::PendingVersion>> pending = store_.ListPendingVersions();
  if (!pending.ok()) return pending.status();
  int reaped = 0;
  for (const store::PendingVersion& version : *pending) {
    {
      MutexLock lock(making_mu_);
      if (!making_.insert(version.id).second) continue;
    }
    absl::Status status = TakeBack(version.id, deadline);
    {
      MutexLock lock(making_mu_);
      making_.erase(version.id);
    }
    // Committed, or dropped, since the list was made.
    if (absl::IsNotFound(status)) continue;
    if (!status.ok()) return status;
    ++reaped;
  }
  return reaped;
}

absl::Status KeyRing::TakeBack(const KeyVersionId& version, Deadline deadline) {
  // Whoever made it may have committed it after it was seen to be pending. From here on nobody
  // does, for it is claimed.
  const absl::Status committed = store_.GetKeyVersion(version).status();
  if (committed.ok()) return absl::NotFoundError("the version is not pending any more");
  if (!absl::IsNotFound(committed)) return committed;
  // The token first: as long as the store remembers the version, this can be done again.
  absl::Status status = token_.DestroyVersionKeys(version.bytes(), deadline);
  if (!status.ok()) return status;
  return store_.DropPendingVersion(version);
}

void KeyRing::AddVersion(const store::KeyVersionRecord& record,
                         std::optional<hsm::VersionKeys> keys) {
  if (record.uses_reserved >= limits_.rotate_at) {
    MutexLock lock(due_mu_);
    keys_to_rotate_.insert(record.key_id);
  }
  Version version = {record.key_id, nullptr, record.uses_reserved};
  if (keys.has_value()) {
    token_.SetProof(*keys, record.proof);
    version.loaded = std::make_shared<const LoadedVersion>(LoadedVersion{
        record.key_id, record.id, *std::move(keys),
        std::make_shared<UseBudget>(store_, limits_, record.id, record.uses_reserved)});
  }
  WriterLock lock(cache_mu_);
  versions_[record.id] = std::move(version);
}

absl::Status KeyRing::LoadVersions(KeyRingReport& report) {
  std::map<KeyVersionId, absl::StatusOr<hsm::VersionKeys>> found;
  absl::Status status = token_.FindAllVersionKeys(
      [&](const hsm::ObjectId& id, absl::StatusOr<hsm::VersionKeys> keys) {
        found.insert({KeyVersionId(id), std::move(keys)});
      },
      kNoDeadline);
  if (!status.ok()) return status;

  // Whose keys in the token must go.
  std::vector<KeyVersionId> left_over;
  std::vector<std::string> missing;
  status = store_.VisitKeyVersions([&](const store::VersionOfKey& visited) {
    const store::KeyVersionRecord& version = visited.version;
    const bool imported = visited.key_origin == store::KeyOrigin::kImported;
    const auto it = found.find(version.id);
    const bool there = it != found.end();
    absl::StatusOr<hsm::VersionKeys> keys =
        there ? std::move(it->second)
              : absl::NotFoundError("the token has no keys of this version");
    if (there) found.erase(it);
    if (visited.key_state == store::KeyState::kPendingImport) {
      // A crash came between the material and the record of it, or between the record that it is
      // deleted and its deletion. Keys that were generated are another matter.
      if (!keys.ok() || keys->source() == hsm::KeySource::kImported) {
        if (there) left_over.push_back(version.id);
        AddVersion(version, std::nullopt);
        return;
      }
    }
    // Of a key that is on its way out, nobody misses them.
    if (!keys.ok() && (visited.key_state == store::KeyState::kDestroying ||
                       (visited.key_state == store::KeyState::kPendingDeletion && imported))) {
      AddVersion(version, std::nullopt);
      return;
    }
    if (keys.ok() && keys->source() == hsm::KeySource::kImported && !imported) {
      keys = absl::FailedPreconditionError(
          "the keys in the token were imported, and the key was generated there");
    }
    ++report.versions;
    if (keys.ok()) {
      AddVersion(version, *std::move(keys));
      return;
    }
    AddVersion(version, std::nullopt);
    ++report.unusable_versions;
    std::vector<std::string>& lines = there ? report.unusable : missing;
    if (lines.size() < KeyRingReport::kMostUnusableLines) {
      lines.push_back(absl::StrCat("key ", version.key_id.ToString(), " version ",
                                   version.id.ToString(), ": ", keys.status().message()));
    }
  });
  if (!status.ok()) return status;
  for (const KeyVersionId& version : left_over) {
    status = token_.DestroyVersionKeys(version.bytes(), kNoDeadline);
    if (!status.ok()) return status;
  }
  const size_t room = KeyRingReport::kMostUnusableLines - report.unusable.size();
  if (missing.size() > room) missing.resize(room);
  std::move(missing.begin(), missing.end(), std::back_inserter(report.unusable));
  report.unknown = static_cast<int>(found.size());
  return absl::OkStatus();
}

template <typename IdType>
absl::StatusOr<IdType> KeyRing::RandomId(Deadline deadline) {
  std::array<uint8_t, 16> random;
  absl::Status status = token_.GenerateRandom(absl::MakeSpan(random), deadline);
  if (!status.ok()) return FromToken(status);
  return IdType::FromRandom(random);
}

absl::StatusOr<store::KeyRecord> KeyRing::Reload(const KeyId& id) {
  absl::StatusOr<store::KeyRecord> record = store_.GetKey(id);
  WriterLock lock(cache_mu_);
  if (!record.ok()) {
    // What is in memory may be older than a change that was just made: rather nothing.
    keys_.erase(id);
    return absl::IsNotFound(record.status()) ? KeyNotFound(id) : FromStore(record.status());
  }
  if (!record->creating) keys_[id] = KeyOf(*record);
  return record;
}

absl::StatusOr<KeyRing::Key> KeyRing::FindKey(const KeyId& id) {
  {
    ReaderLock lock(cache_mu_);
    const auto it = keys_.find(id);
    if (it != keys_.end()) return it->second;
  }
  MutexLock lock(change_mu_);
  absl::StatusOr<store::KeyRecord> record = Reload(id);
  if (!record.ok()) return record.status();
  return KeyOf(*record);
}

absl::StatusOr<KeyId> KeyRing::Resolve(const KeyReference& key) {
  if (const KeyId* id = std::get_if<KeyId>(&key)) {
    const absl::Status found = FindKey(*id).status();
    if (!found.ok()) return found;
    return *id;
  }
  const std::string& name = std::get<AliasName>(key).text;
  {
    ReaderLock lock(cache_mu_);
    const auto it = aliases_.find(name);
    if (it != aliases_.end()) return it->second;
  }
  MutexLock change_lock(change_mu_);
  absl::StatusOr<store::AliasRecord> alias = store_.GetAlias(name);
  if (absl::IsNotFound(alias.status())) return AliasNotFound(name);
  if (!alias.ok()) return FromStore(alias.status());
  WriterLock lock(cache_mu_);
  aliases_[name] = alias->key_id;
  return alias->key_id;
}

bool KeyRing::HasKeys(const KeyVersionId& version) {
  ReaderLock lock(cache_mu_);
  const Version* const found = FindVersion(version);
  return found != nullptr && found->usable();
}

const KeyRing::Version* KeyRing::FindVersion(const KeyVersionId& id) const {
  const auto it = versions_.find(id);
  return it != versions_.end() ? &it->second : nullptr;
}

KeyStatus KeyRing::StatusOfKey(const Key& key) const {
  if (key.creating) return KeyStatus::kCreating;
  const Version* const primary = FindVersion(key.primary_version);
  return StatusOf(key.state, primary != nullptr && primary->usable());
}

absl::StatusOr<UsableVersion> KeyRing::ToSeal(const KeyId& id, const Key& key,
                                              SealingVersion which) const {
  absl::Status allowed = CheckAction(KeyAction::kSeal, id, StatusOfKey(key));
  if (!allowed.ok()) return allowed;
  const KeyVersionId& sealing =
      which == SealingVersion::kInitial ? key.initial_version : key.primary_version;
  const Version* const version = FindVersion(sealing);
  if (version == nullptr || !version->usable()) return Unusable(sealing);
  return UsableVersion(version->loaded);
}

absl::StatusOr<UsableVersion> KeyRing::ToOpen(const KeyId& id, const Key& key,
                                              const KeyVersionId& version_id) const {
  const Version* const version = FindVersion(version_id);
  if (version == nullptr || version->key_id != id) return InvalidCiphertext();
  absl::Status allowed = CheckAction(KeyAction::kOpen, id, StatusOfKey(key));
  if (!allowed.ok()) return allowed;
  if (!version->usable()) return Unusable(version_id);
  return UsableVersion(version->loaded);
}

absl::StatusOr<UsableVersion> KeyRing::ForSealing(const KeyId& id, SealingVersion which) {
  {
    ReaderLock lock(cache_mu_);
    const auto it = keys_.find(id);
    if (it != keys_.end()) return ToSeal(id, it->second, which);
  }
  absl::StatusOr<Key> key = FindKey(id);
  if (!key.ok()) return key.status();
  ReaderLock lock(cache_mu_);
  return ToSeal(id, *key, which);
}

absl::StatusOr<UsableVersion> KeyRing::ForOpening(const KeyId& id, const KeyVersionId& version) {
  {
    ReaderLock lock(cache_mu_);
    const auto it = keys_.find(id);
    if (it != keys_.end()) return ToOpen(id, it->second, version);
  }
  absl::StatusOr<Key> key = FindKey(id);
  if (ReasonOf(key.status()) == Reason::kKeyNotFound) return InvalidCiphertext();
  if (!key.ok()) return key.status();
  ReaderLock lock(cache_mu_);
  return ToOpen(id, *key, version);
}

int64_t KeyRing::UsesLeft(const KeyVersionId& id) const {
  const Version* const version = FindVersion(id);
  if (version == nullptr) return 0;
  if (version->loaded != nullptr) return version->loaded->budget->Left();
  return std::max<int64_t>(limits_.most - version->uses_reserved, 0);
}

KeyDescription KeyRing::DescriptionOf(store::KeyRecord key) {
  ReaderLock lock(cache_mu_);
  const KeyStatus status = StatusOfKey(KeyOf(key));
  const int64_t primary_left = UsesLeft(key.primary_version);
  const int64_t initial_left = UsesLeft(key.initial_version);
  return {std::move(key), status, primary_left, initial_left};
}

absl::StatusOr<KeyDescription> KeyRing::Describe(const KeyId& key) {
  absl::StatusOr<store::KeyRecord> record = store_.GetKey(key);
  if (absl::IsNotFound(record.status())) return KeyNotFound(key);
  if (!record.ok()) return FromStore(record.status());
  return DescriptionOf(*std::move(record));
}

absl::StatusOr<KeyPage> KeyRing::ListKeys(const KeyFilter& filter,
                                          const std::optional<KeyId>& after, int limit) {
  // How many keys are looked at for a page, however few of them the filter lets through.
  constexpr int kBatch = 1000;
  constexpr int kBatches = 10;
  KeyPage page;
  page.next = after;
  for (int batch = 0; batch < kBatches; ++batch) {
    absl::StatusOr<std::vector<store::KeyRecord>> records =
        store_.ListKeys(page.next, kBatch, filter.tags);
    if (absl::IsNotFound(records.status())) {
      return KeyNotFound(page.next.value_or(KeyId()));
    }
    if (!records.ok()) return FromStore(records.status());
    for (store::KeyRecord& record : *records) {
      const KeyId id = record.id;
      KeyDescription description = DescriptionOf(std::move(record));
      if (filter.statuses.empty() || std::find(filter.statuses.begin(), filter.statuses.end(),
                                               description.status) != filter.statuses.end()) {
        // One more than fits is there: so there is a next page.
        if (static_cast<int>(page.keys.size()) == limit) {
          page.next = page.keys.back().record.id;
          return page;
        }
        page.keys.push_back(std::move(description));
      }
      page.next = id;
    }
    if (records->size() < static_cast<size_t>(kBatch)) {
      page.next.reset();
      return page;
    }
  }
  return page;
}

absl::StatusOr<std::vector<KeyVersionDescription>> KeyRing::ListKeyVersions(const KeyId& key_id,
                                                                            int32_t after_number,
                                                                            int limit) {
  absl::StatusOr<KeyDescription> key = Describe(key_id);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::vector<store::KeyVersionRecord>> records =
      store_.ListKeyVersions(key_id, after_number, limit);
  // A key that is being created has no version yet.
  if (absl::IsNotFound(records.status()) && key->record.creating) {
    return std::vector<KeyVersionDescription>();
  }
  if (absl::IsNotFound(records.status())) return KeyNotFound(key_id);
  if (!records.ok()) return FromStore(records.status());
  std::vector<KeyVersionDescription> versions;
  ReaderLock lock(cache_mu_);
  for (store::KeyVersionRecord& record : *records) {
    const bool primary = record.id == key->record.primary_version;
    const int64_t left = UsesLeft(record.id);
    versions.push_back({std::move(record), primary, left});
  }
  return versions;
}

absl::Status KeyRing::Check(KeyAction action, const KeyId& key) {
  absl::StatusOr<Key> found = FindKey(key);
  if (!found.ok()) return found.status();
  ReaderLock lock(cache_mu_);
  return CheckAction(action, key, StatusOfKey(*found));
}

absl::StatusOr<KeyDescription> KeyRing::Change(
    KeyAction action, const KeyId& key,
    const std::function<absl::Status(const store::KeyRecord&)>& change) {
  MutexLock lock(change_mu_);
  absl::StatusOr<store::KeyRecord> record = Reload(key);
  if (!record.ok()) return record.status();
  const KeyStatus before = [&] {
    ReaderLock cache_lock(cache_mu_);
    return StatusOfKey(KeyOf(*record));
  }();
  absl::Status status = CheckAction(action, key, before);
  if (status.ok()) status = change(*record);
  if (!status.ok()) return status;
  record = Reload(key);
  if (!record.ok()) return record.status();
  return DescriptionOf(*std::move(record));
}

absl::StatusOr<KeyId> KeyRing::NewKeyId(Deadline deadline) { return RandomId<KeyId>(deadline); }

absl::StatusOr<hsm::NewVersionKeys> KeyRing::GenerateKeys(const KeyVersionId& id,
                                                          Deadline deadline) {
  absl::StatusOr<hsm::NewVersionKeys> keys = token_.CreateVersionKeys(id.bytes(), deadline);
  if (keys.ok()) return keys;
  // CreateVersionKeys left nothing in the token, or could not reach it; then Reap takes it back
  // later. Keys that were there before are another's and stay.
  if (absl::IsAlreadyExists(keys.status()) ||
      token_.DestroyVersionKeys(id.bytes(), deadline).ok()) {
    store_.DropPendingVersion(id).IgnoreError();
  }
  return FromToken(keys.status());
}

absl::StatusOr<store::KeyVersionRecord> KeyRing::MakeVersion(
    const KeyId& key_id, VersionKeysAre origin, Deadline deadline,
    const std::function<absl::Status(const KeyVersionId&)>& begin) {
  absl::StatusOr<KeyVersionId> id = RandomId<KeyVersionId>(deadline);
  if (!id.ok()) return id.status();
  {
    MutexLock lock(making_mu_);
    making_.insert(*id);
  }
  absl::StatusOr<store::KeyVersionRecord> version =
      [&]() -> absl::StatusOr<store::KeyVersionRecord> {
    absl::Status begun = begin(*id);
    if (absl::IsNotFound(begun)) return KeyNotFound(key_id);
    if (!begun.ok()) return FromStore(begun);
    std::optional<hsm::VersionKeys> keys;
    std::string proof;
    if (origin == VersionKeysAre::kGenerated) {
      absl::StatusOr<hsm::NewVersionKeys> generated = GenerateKeys(*id, deadline);
      if (!generated.ok()) return generated.status();
      keys = std::move(generated->keys);
      proof = std::move(generated->proof);
    }
    MutexLock change_lock(change_mu_);
    absl::StatusOr<store::KeyVersionRecord> committed = store_.CommitVersion(*id, proof);
    if (!committed.ok()) return FromStore(committed.status());
    AddVersion(*committed, std::move(keys));
    // The version exists whatever this says.
    Reload(key_id).status().IgnoreError();
    return committed;
  }();
  MutexLock lock(making_mu_);
  making_.erase(*id);
  return version;
}

void KeyRing::AdoptVersion(const KeyVersionId& version, hsm::VersionKeys keys,
                           int64_t uses_reserved) {
  WriterLock lock(cache_mu_);
  const auto it = versions_.find(version);
  if (it == versions_.end()) return;
  Version& adopted = it->second;
  // Its uses go on where they were, if it had keys before.
  std::shared_ptr<UseBudget> budget =
      adopted.loaded != nullptr
          ? adopted.loaded->budget
          : std::make_shared<UseBudget>(store_, limits_, version, adopted.uses_reserved);
  budget->CatchUp(uses_reserved);
  adopted.loaded = std::make_shared<const LoadedVersion>(
      LoadedVersion{adopted.key_id, version, std::move(keys), std::move(budget)});
}

void KeyRing::AbandonVersion(const KeyVersionId& version) {
  WriterLock lock(cache_mu_);
  const auto it = versions_.find(version);
  if (it == versions_.end() || it->second.loaded == nullptr) return;
  LoadedVersion without_keys = *it->second.loaded;
  without_keys.keys.reset();
  it->second.loaded = std::make_shared<const LoadedVersion>(std::move(without_keys));
}

absl::Status KeyRing::DeleteKey(const KeyId& key) {
  MutexLock change_lock(change_mu_);
  absl::Status status = store_.DeleteKey(key);
  if (!status.ok() && !absl::IsNotFound(status)) return FromStore(status);
  // Looked for while others go on using their keys; they do not change as long as this may.
  std::vector<KeyVersionId> versions;
  std::vector<std::string> aliases;
  {
    ReaderLock lock(cache_mu_);
    for (const auto& [id, version] : versions_) {
      if (version.key_id == key) versions.push_back(id);
    }
    for (const auto& [name, named] : aliases_) {
      if (named == key) aliases.push_back(name);
    }
  }
  WriterLock lock(cache_mu_);
  keys_.erase(key);
  for (const KeyVersionId& version : versions) versions_.erase(version);
  for (const std::string& name : aliases) aliases_.erase(name);
  return absl::OkStatus();
}

absl::Status KeyRing::TakeUse(const UsableVersion& version) {
  const int64_t reserved_before = version.budget->reserved();
  absl::Status status = version.budget->Take();
  // Told again with every block, in case that the rotation failed.
  if (version.budget->WantsRotation() &&
      (!status.ok() || version.budget->reserved() != reserved_before)) {
    MutexLock lock(due_mu_);
    keys_to_rotate_.insert(version.key_id);
    due_.NotifyAll();
  }
  return status;
}

bool KeyRing::PrimaryIsWorn(const store::KeyRecord& key) {
  ReaderLock lock(cache_mu_);
  const Version* const primary = FindVersion(key.primary_version);
  if (primary == nullptr) return false;
  return primary->loaded != nullptr ? primary->loaded->budget->WantsRotation()
                                    : primary->uses_reserved >= limits_.rotate_at;
}

std::vector<KeyId> KeyRing::TakeKeysToRotate() {
  MutexLock lock(due_mu_);
  std::vector<KeyId> keys(keys_to_rotate_.begin(), keys_to_rotate_.end());
  keys_to_rotate_.clear();
  return keys;
}

void KeyRing::WaitForKeysToRotate(Deadline deadline) {
  MutexLock lock(due_mu_);
  while (keys_to_rotate_.empty() && !woken_up_) {
    if (!due_.WaitUntil(due_mu_, deadline)) break;
  }
  woken_up_ = false;
}

void KeyRing::WakeUp() {
  MutexLock lock(due_mu_);
  woken_up_ = true;
  due_.NotifyAll();
}

absl::StatusOr<store::AliasRecord> KeyRing::CreateAlias(const AliasName& name, const KeyId& key) {
  const absl::Time now = clock_.Now();
  const store::AliasRecord alias = {name.text, key, now, now};
  absl::Status allowed = Check(KeyAction::kEdit, key);
  if (!allowed.ok()) return allowed;
  MutexLock change_lock(change_mu_);
  absl::Status status = store_.CreateAlias(alias);
  if (absl::IsAlreadyExists(status)) {
    return MakeError(
        Reason::kInvalidParameter,
        absl::StrCat("alias ", name.text, " exists already; UpdateAlias moves it to another key"));
  }
  if (absl::IsNotFound(status)) return KeyNotFound(key);
  if (!status.ok()) return FromStore(status);
  WriterLock lock(cache_mu_);
  aliases_[name.text] = alias.key_id;
  return alias;
}

absl::Status KeyRing::CheckAlias(const AliasName& name, const KeyId& key) {
  absl::StatusOr<store::AliasRecord> alias = store_.GetAlias(name.text);
  if (absl::IsNotFound(alias.status())) return AliasNotFound(name.text);
  if (!alias.ok()) return FromStore(alias.status());
  if (alias->key_id == key) return absl::OkStatus();
  return MakeRetryableError(
      Reason::kServiceUnavailableTemporary,
      absl::StrCat("alias ", name.text, " was moved to another key meanwhile; try again"),
      absl::ZeroDuration());
}

absl::StatusOr<store::AliasRecord> KeyRing::UpdateAlias(const AliasName& name, const KeyId& from,
                                                        const KeyId& to) {
  absl::Status status = Check(KeyAction::kEdit, to);
  if (!status.ok()) return status;
  MutexLock change_lock(change_mu_);
  status = CheckAlias(name, from);
  if (!status.ok()) return status;
  absl::StatusOr<store::AliasRecord> alias = store_.UpdateAlias(name.text, to, clock_.Now());
  if (absl::IsNotFound(alias.status())) return KeyNotFound(to);
  if (!alias.ok()) return FromStore(alias.status());
  WriterLock lock(cache_mu_);
  aliases_[name.text] = alias->key_id;
  return alias;
}

absl::Status KeyRing::DeleteAlias(const AliasName& name, const KeyId& from) {
  MutexLock change_lock(change_mu_);
  absl::Status status = CheckAlias(name, from);
  if (!status.ok()) return status;
  status = store_.DeleteAlias(name.text);
  if (!status.ok()) return FromStore(status);
  WriterLock lock(cache_mu_);
  aliases_.erase(name.text);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<store::AliasRecord>> KeyRing::ListAliases(
    const std::optional<KeyId>& key_id, absl::string_view after_name, int limit) {
  absl::StatusOr<std::vector<store::AliasRecord>> aliases =
      store_.ListAliases(key_id, after_name, limit);
  if (!aliases.ok()) return FromStore(aliases.status());
  return aliases;
}

}  // namespace strongroom::core
