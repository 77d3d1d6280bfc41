#include "server/core/key_ring.h"

#include <algorithm>
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

absl::Status Disabled(const KeyId& id) {
  return MakeError(Reason::kDisabled,
                   absl::StrCat("key ", id.ToString(), " is disabled; enable it to use it"));
}

absl::Status Unusable(const KeyVersionId& id) {
  return MakeError(Reason::kUnavailable,
                   absl::StrCat("key version ", id.ToString(),
                                " is not usable: its keys in the token are missing or are not as "
                                "they were made; its operator has to look"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyRing>> KeyRing::Open(store::Store& store, hsm::Token& token,
                                                       const Clock& clock, KeyRingReport& report) {
  if (absl::Status status = ClaimToken(store, token); !status.ok()) return status;
  auto ring = std::unique_ptr<KeyRing>(new KeyRing(store, token, clock));
  if (absl::Status status = ring->Reap(report); !status.ok()) return status;
  if (absl::Status status = ring->LoadVersions(report); !status.ok()) return status;
  return ring;
}

absl::Status KeyRing::Reap(KeyRingReport& report) {
  absl::StatusOr<std::vector<store::PendingVersion>> pending = store_.ListPendingVersions();
  if (!pending.ok()) return pending.status();
  for (const store::PendingVersion& version : *pending) {
    // The token first: as long as the store remembers the version, this can be done again.
    absl::Status status = token_.DestroyVersionKeys(version.id.bytes(), kNoDeadline);
    if (status.ok()) status = store_.DropPendingVersion(version.id);
    if (!status.ok()) return status;
    ++report.reaped;
  }
  return absl::OkStatus();
}

absl::Status KeyRing::LoadVersions(KeyRingReport& report) {
  absl::StatusOr<std::vector<store::KeyVersionRecord>> committed = store_.ListAllKeyVersions();
  if (!committed.ok()) return committed.status();
  absl::flat_hash_map<KeyVersionId, KeyId> missing;
  for (const store::KeyVersionRecord& version : *committed) missing[version.id] = version.key_id;
  report.versions = static_cast<int>(missing.size());

  WriterLock lock(cache_mu_);
  absl::Status status = token_.FindAllVersionKeys(
      [&](const hsm::ObjectId& id, absl::StatusOr<hsm::VersionKeys> keys)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(cache_mu_) {
            const KeyVersionId version_id(id);
            const auto known = missing.find(version_id);
            if (known == missing.end()) {
              ++report.unknown;
              return;
            }
            if (keys.ok()) {
              versions_.insert({version_id, Version{known->second, *std::move(keys)}});
            } else {
              report.unusable.push_back(absl::StrCat("key ", known->second.ToString(), " version ",
                                                     version_id.ToString(), ": ",
                                                     keys.status().message()));
            }
            missing.erase(known);
          },
      kNoDeadline);
  if (!status.ok()) return status;
  for (const auto& [version_id, key_id] : missing) {
    report.unusable.push_back(absl::StrCat("key ", key_id.ToString(), " version ",
                                           version_id.ToString(),
                                           ": the token has no keys of this version"));
  }
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
  keys_[id] = key;
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

absl::StatusOr<UsableVersion> KeyRing::Use(const store::KeyRecord& key,
                                           const KeyVersionId& version_id) {
  if (key.state != store::KeyState::kEnabled) return Disabled(key.id);
  ReaderLock lock(cache_mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end()) return Unusable(version_id);
  return UsableVersion{key.id, version_id, it->second.keys};
}

absl::StatusOr<UsableVersion> KeyRing::ForSealing(const KeyId& key, SealingVersion which) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
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
    if (it != versions_.end() && it->second.key_id != key_id) return InvalidCiphertext();
  }
  absl::StatusOr<UsableVersion> version = Use(**record, version_id);
  if (version.ok() || ReasonOf(version.status()) != Reason::kUnavailable) return version;
  // No keys in memory: either the version never was, or its keys are lost.
  absl::StatusOr<store::KeyVersionRecord> known = store_.GetKeyVersion(version_id);
  if (known.ok() && known->key_id == key_id) return version;
  if (known.ok() || absl::IsNotFound(known.status())) return InvalidCiphertext();
  return FromStore(known.status());
}

absl::StatusOr<store::KeyRecord> KeyRing::DescribeKey(const KeyId& key) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
  return **record;
}

absl::StatusOr<store::KeyVersionRecord> KeyRing::MakeVersion(
    const KeyId& key_id, Deadline deadline,
    const std::function<absl::Status(const KeyVersionId&)>& begin) {
  absl::StatusOr<KeyVersionId> id = RandomId<KeyVersionId>(deadline);
  if (!id.ok()) return id.status();
  absl::Status begun = begin(*id);
  if (absl::IsNotFound(begun)) return KeyNotFound(key_id);
  if (!begun.ok()) return FromStore(begun);

  absl::StatusOr<hsm::NewVersionKeys> keys = token_.CreateVersionKeys(id->bytes(), deadline);
  if (!keys.ok()) {
    // CreateVersionKeys left nothing in the token, or could not reach it; then the next start
    // reaps. Keys that were there before are another's and stay.
    if (absl::IsAlreadyExists(keys.status()) ||
        token_.DestroyVersionKeys(id->bytes(), deadline).ok()) {
      store_.DropPendingVersion(*id).IgnoreError();
    }
    return FromToken(keys.status());
  }
  MutexLock change_lock(change_mu_);
  absl::StatusOr<store::KeyVersionRecord> version = store_.CommitVersion(*id, keys->proof);
  if (!version.ok()) return FromStore(version.status());
  {
    WriterLock lock(cache_mu_);
    versions_.insert({*id, Version{key_id, std::move(keys->keys)}});
  }
  // The version exists whatever this says.
  Reload(key_id).status().IgnoreError();
  return version;
}

absl::StatusOr<store::KeyRecord> KeyRing::CreateKey(absl::string_view description,
                                                    Deadline deadline, const PolicyOf& policy_of) {
  absl::StatusOr<KeyId> id = RandomId<KeyId>(deadline);
  if (!id.ok()) return id.status();
  absl::StatusOr<std::string> policy = std::string();
  if (policy_of != nullptr) policy = policy_of(*id);
  if (!policy.ok()) return policy.status();
  store::KeyRecord key;
  key.id = *id;
  key.state = store::KeyState::kEnabled;
  key.description = std::string(description);
  key.create_time = clock_.Now();
  absl::StatusOr<store::KeyVersionRecord> version = MakeVersion(
      *id, deadline,
      [&](const KeyVersionId& version_id) { return store_.BeginKey(key, version_id, *policy); });
  if (!version.ok()) return version.status();
  return DescribeKey(*id);
}

absl::StatusOr<store::KeyVersionRecord> KeyRing::CreateKeyVersion(const KeyId& key,
                                                                  Deadline deadline) {
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = FindKey(key);
  if (!record.ok()) return record.status();
  if ((*record)->state != store::KeyState::kEnabled) return Disabled(key);
  return MakeVersion(key, deadline, [&](const KeyVersionId& version_id) {
    return store_.BeginVersion(key, version_id, clock_.Now());
  });
}

absl::StatusOr<store::KeyRecord> KeyRing::SetKeyState(const KeyId& key, store::KeyState state) {
  MutexLock lock(change_mu_);
  absl::Status status = store_.SetKeyState(key, state);
  if (absl::IsNotFound(status)) return KeyNotFound(key);
  if (!status.ok()) return FromStore(status);
  absl::StatusOr<std::shared_ptr<const store::KeyRecord>> record = Reload(key);
  if (!record.ok()) return record.status();
  return **record;
}

absl::StatusOr<store::AliasRecord> KeyRing::CreateAlias(const AliasName& name, const KeyId& key) {
  const absl::Time now = clock_.Now();
  const store::AliasRecord alias = {name.text, key, now, now};
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
  MutexLock change_lock(change_mu_);
  absl::Status status = CheckAlias(name, from);
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

absl::StatusOr<std::vector<store::KeyRecord>> KeyRing::ListKeys(const std::optional<KeyId>& after,
                                                                int limit) {
  absl::StatusOr<std::vector<store::KeyRecord>> keys = store_.ListKeys(after, limit);
  if (absl::IsNotFound(keys.status())) return KeyNotFound(*after);
  if (!keys.ok()) return FromStore(keys.status());
  return keys;
}

absl::StatusOr<std::vector<store::KeyVersionRecord>> KeyRing::ListKeyVersions(const KeyId& key_id,
                                                                              int32_t after_number,
                                                                              int limit) {
  absl::StatusOr<std::vector<store::KeyVersionRecord>> versions =
      store_.ListKeyVersions(key_id, after_number, limit);
  if (absl::IsNotFound(versions.status())) return KeyNotFound(key_id);
  if (!versions.ok()) return FromStore(versions.status());
  return versions;
}

absl::StatusOr<std::vector<store::AliasRecord>> KeyRing::ListAliases(
    const std::optional<KeyId>& key_id, absl::string_view after_name, int limit) {
  absl::StatusOr<std::vector<store::AliasRecord>> aliases =
      store_.ListAliases(key_id, after_name, limit);
  if (!aliases.ok()) return FromStore(aliases.status());
  return aliases;
}

}  // namespace strongroom::core
