#include "server/core/key_ring.h"

#include <algorithm>
#include <array>
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
  if (keys.has_value()) token_.SetProof(*keys, record.proof);
  auto budget = std::make_shared<UseBudget>(store_, limits_, record.id, record.uses_reserved);
  if (budget->WantsRotation()) {
    MutexLock lock(due_mu_);
    keys_to_rotate_.insert(record.key_id);
  }
  WriterLock lock(cache_mu_);
  Version& version = versions_[record.id];
  version.key_id = record.key_id;
  if (keys.has_value()) version.keys = std::make_unique<hsm::VersionKeys>(*std::move(keys));
  version.budget = std::move(budget);
}

absl::Status KeyRing::LoadVersions(KeyRingReport& report) {
  absl::StatusOr<std::vector<store::KeyVersionRecord>> committed = store_.ListAllKeyVersions();
  if (!committed.ok()) return committed.status();
  std::map<KeyVersionId, absl::StatusOr<hsm::VersionKeys>> found;
  absl::Status status = token_.FindAllVersionKeys(
      [&](const hsm::ObjectId& id, absl::StatusOr<hsm::VersionKeys> keys) {
        found.insert({KeyVersionId(id), std::move(keys)});
      },
      kNoDeadline);
  if (!status.ok()) return status;

  for (const store::KeyVersionRecord& version : *committed) {
    const auto it = found.find(version.id);
    absl::StatusOr<hsm::VersionKeys> keys =
        it != found.end() ? std::move(it->second)
                          : absl::NotFoundError("the token has no keys of this version");
    if (it != found.end()) found.erase(it);
    if (!keys.ok() || keys->source() == hsm::KeySource::kImported) {
      absl::StatusOr<std::shared_ptr<const store::KeyRecord>> key = FindKey(version.key_id);
      if (!key.ok()) return key.status();
      const bool imported = (*key)->origin == store::KeyOrigin::kImported;
      if ((*key)->state == store::KeyState::kPendingImport) {
        // A crash came between the material and the record of it, or between the record that it is
        // deleted and its deletion.
        status = token_.DestroyVersionKeys(version.id.bytes(), kNoDeadline);
        if (!status.ok()) return status;
        AddVersion(version, std::nullopt);
        continue;
      }
      // Of a key that is on its way out, nobody misses them.
      if (!keys.ok() && ((*key)->state == store::KeyState::kDestroying ||
                         ((*key)->state == store::KeyState::kPendingDeletion && imported))) {
        AddVersion(version, std::nullopt);
        continue;
      }
      if (keys.ok() && !imported) {
        keys = absl::FailedPreconditionError(
            "the keys in the token were imported, and the key was generated there");
      }
    }
    ++report.versions;
    if (keys.ok()) {
      AddVersion(version, *std::move(keys));
      continue;
    }
    AddVersion(version, std::nullopt);
    report.unusable.push_back(absl::StrCat("key ", version.key_id.ToString(), " version ",
                                           version.id.ToString(), ": ", keys.status().message()));
  }
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

absl::StatusOr<std::shared_ptr<const store::KeyRecord>> KeyRing::Reload(const KeyId& id) {
  absl::StatusOr<store::KeyRecord> record = store_.GetKey(id);
  WriterLock lock(cache_mu_);
  if (!record.ok()) {
    // What is in memory may be older than a change that was just made: rather nothing.
    keys_.erase(id);
    return absl::IsNotFound(record.status()) ? KeyNotFound(id) : FromStore(record.status());
  }
  auto key = std::make_shared<const store::KeyRecord>(*std::move(record));
  if (!key->creating) keys_[id] = key;
  return key;
}

absl::StatusOr<std::shared_ptr<const store::KeyRecord>> KeyRing::FindKey(const KeyId& id) {
  {
    ReaderLock lock(cache_mu_);
    const auto it = keys_.find(id);
    if (it != keys_.end()) return it->second;
  }
  MutexLock lock(change_mu_);
  return Reload(id);
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
  const auto it = versions_.find(version);
  return it != versions_.end() && it->second.keys != nullptr;
}

KeyStatus KeyRing::StatusOfKey(const store::KeyRecord& key) {
  return StatusOf(key, HasKeys(key.primary_version));
}

absl::StatusOr<UsableVersion> KeyRing::Use(const store::KeyRecord& key,
                                           const KeyVersionId& version_id) {
  ReaderLock lock(cache_mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end() || it->second.keys == nullptr) return Unusable(version_id);
  return UsableVersion{key.id, version_id, *it->second.keys, it->second.budget};
}

absl::StatusOr<UsableVersion> KeyRing::ForSealing(const KeyId& key, SealingVersion which) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
  absl::Status allowed = CheckAction(KeyAction::kSeal, key, StatusOfKey(**record));
  if (!allowed.ok()) return allowed;
  return Use(**record, which == SealingVersion::kInitial ? (*record)->initial_version
                                                         : (*record)->primary_version);
}

absl::StatusOr<UsableVersion> KeyRing::ForOpening(const KeyId& key_id,
                                                  const KeyVersionId& version_id) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key_id);
  if (!record.ok()) {
    if (ReasonOf(record.status()) != Reason::kKeyNotFound) return record.status();
    return InvalidCiphertext();
  }
  {
    ReaderLock lock(cache_mu_);
    const auto it = versions_.find(version_id);
    if (it == versions_.end() || it->second.key_id != key_id) return InvalidCiphertext();
  }
  absl::Status allowed = CheckAction(KeyAction::kOpen, key_id, StatusOfKey(**record));
  if (!allowed.ok()) return allowed;
  return Use(**record, version_id);
}

int64_t KeyRing::UsesLeft(const KeyVersionId& version) {
  ReaderLock lock(cache_mu_);
  const auto it = versions_.find(version);
  return it != versions_.end() ? it->second.budget->Left() : 0;
}

KeyDescription KeyRing::DescriptionOf(const store::KeyRecord& key) {
  return {key, StatusOfKey(key), UsesLeft(key.primary_version), UsesLeft(key.initial_version)};
}

absl::StatusOr<KeyDescription> KeyRing::Describe(const KeyId& key) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
  return DescriptionOf(**record);
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
    for (const store::KeyRecord& record : *records) {
      const KeyStatus status = StatusOfKey(record);
      if (filter.statuses.empty() || std::find(filter.statuses.begin(), filter.statuses.end(),
                                               status) != filter.statuses.end()) {
        // One more than fits is there: so there is a next page.
        if (static_cast<int>(page.keys.size()) == limit) {
          page.next = page.keys.back().record.id;
          return page;
        }
        page.keys.push_back(DescriptionOf(record));
      }
      page.next = record.id;
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
  for (store::KeyVersionRecord& record : *records) {
    const bool primary = record.id == key->record.primary_version;
    const int64_t left = UsesLeft(record.id);
    versions.push_back({std::move(record), primary, left});
  }
  return versions;
}

absl::Status KeyRing::Check(KeyAction action, const KeyId& key) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
  return CheckAction(action, key, StatusOfKey(**record));
}

absl::StatusOr<KeyDescription> KeyRing::Change(
    KeyAction action, const KeyId& key,
    const std::function<absl::Status(const store::KeyRecord&)>& change) {
  MutexLock lock(change_mu_);
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = Reload(key);
  if (!record.ok()) return record.status();
  absl::Status status = CheckAction(action, key, StatusOfKey(**record));
  if (status.ok()) status = change(**record);
  if (!status.ok()) return status;
  record = Reload(key);
  if (!record.ok()) return record.status();
  return DescriptionOf(**record);
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
  it->second.keys = std::make_unique<hsm::VersionKeys>(std::move(keys));
  it->second.budget->CatchUp(uses_reserved);
}

void KeyRing::AbandonVersion(const KeyVersionId& version) {
  WriterLock lock(cache_mu_);
  const auto it = versions_.find(version);
  if (it != versions_.end()) it->second.keys.reset();
}

absl::Status KeyRing::DeleteKey(const KeyId& key) {
  MutexLock change_lock(change_mu_);
  absl::Status status = store_.DeleteKey(key);
  if (!status.ok() && !absl::IsNotFound(status)) return FromStore(status);
  WriterLock lock(cache_mu_);
  keys_.erase(key);
  absl::erase_if(versions_, [&](const auto& version) { return version.second.key_id == key; });
  absl::erase_if(aliases_, [&](const auto& alias) { return alias.second == key; });
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
  const auto it = versions_.find(key.primary_version);
  return it != versions_.end() && it->second.budget->WantsRotation();
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
