#include "server/core/material_import.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

// An import token is this and the id of the key pair.
constexpr char kTokenVersion = 1;
constexpr absl::Duration kTryAgainIn = absl::Seconds(1);

std::string ToToken(const ImportId& id) {
  return std::string(1, kTokenVersion) + std::string(id.bytes().begin(), id.bytes().end());
}

absl::Status WrongToken(absl::string_view why) {
  return MakeError(
      Reason::kInvalidParameter,
      absl::StrCat("import_token: ", why, "; GetParametersForImport gives one that is valid"));
}

const char* NameOf(hsm::ImportAlgorithm algorithm) {
  switch (algorithm) {
    case hsm::ImportAlgorithm::kOaepSha256:
      return "RSAES_OAEP_SHA_256";
    case hsm::ImportAlgorithm::kOaepSha1:
      return "RSAES_OAEP_SHA_1";
    case hsm::ImportAlgorithm::kRsaAesSha256:
      return "RSA_AES_KEY_WRAP_SHA_256";
  }
  return "unknown";
}

}  // namespace

// A key for one call at a time.
class MaterialImport::Turn {
 public:
  Turn(MaterialImport& owner, const KeyId& key) : owner_(owner), key_(key) {
    MutexLock lock(owner_.mu_);
    mine_ = owner_.busy_.insert(key_).second;
  }
  ~Turn() {
    if (!mine_) return;
    MutexLock lock(owner_.mu_);
    owner_.busy_.erase(key_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  bool mine() const { return mine_; }
  absl::Status status() const {
    if (mine_) return absl::OkStatus();
    return MakeRetryableError(
        Reason::kServiceUnavailableTemporary,
        absl::StrCat("another call is importing or deleting the material of key ", key_.ToString(),
                     "; try again when it has ended"),
        kTryAgainIn);
  }

 private:
  MaterialImport& owner_;
  const KeyId key_;
  bool mine_;
};

absl::Status MaterialImport::Check(KeyAction action, const KeyId& key) {
  absl::StatusOr<KeyDescription> description = ring_.Describe(key);
  if (!description.ok()) return description.status();
  if (description->record.origin != store::KeyOrigin::kImported) {
    return MakeError(Reason::kUnsupportedOperation,
                     absl::StrCat("key_id: the material of key ", key.ToString(),
                                  " comes from the token; only a key whose origin is EXTERNAL has "
                                  "material that is imported or deleted"));
  }
  return ring_.Check(action, key);
}

absl::Status MaterialImport::Drop(const store::ImportRecord& import, Deadline deadline) {
  // The token first: as long as the store remembers the pair, this can be done again.
  absl::Status status = token_.DestroyImportKey(import.id.bytes(), deadline);
  if (!status.ok()) return FromToken(status);
  return FromStore(store_.DropImport(import.id));
}

absl::StatusOr<ImportParameters> MaterialImport::GetParameters(const KeyId& key,
                                                               hsm::ImportAlgorithm algorithm,
                                                               int modulus_bits,
                                                               Deadline deadline) {
  const Turn turn(*this, key);
  if (!turn.mine()) return turn.status();
  absl::Status status = Check(KeyAction::kImport, key);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<store::ImportRecord>> before = store_.GetImport(key);
  if (!before.ok()) return FromStore(before.status());
  if (before->has_value()) {
    status = Drop(**before, deadline);
    if (!status.ok()) return status;
  }

  std::array<uint8_t, 16> random;
  status = token_.GenerateRandom(absl::MakeSpan(random), deadline);
  if (!status.ok()) return FromToken(status);
  store::ImportRecord import;
  import.key_id = key;
  import.id = ImportId::FromRandom(random);
  import.algorithm = static_cast<int32_t>(algorithm);
  import.expire_time = clock_.Now() + kParametersLast;
  // The store first: a crash leaves a record of a pair that may not be there, which is harmless,
  // and never a pair of which nobody knows.
  status = ring_
               .Change(KeyAction::kImport, key,
                       [&](const store::KeyRecord&) { return FromStore(store_.PutImport(import)); })
               .status();
  if (!status.ok()) return status;
  absl::StatusOr<std::string> public_key =
      token_.CreateImportKey(import.id.bytes(), algorithm, modulus_bits, deadline);
  if (!public_key.ok()) {
    Drop(import, deadline).IgnoreError();
    if (!absl::IsUnimplemented(public_key.status())) return FromToken(public_key.status());
    return WithDetail(MakeError(Reason::kUnsupportedOperation,
                                absl::StrCat("wrapping_algorithm: the token does not unwrap ",
                                             NameOf(algorithm), "; ask for another algorithm")),
                      public_key.status().message());
  }
  return ImportParameters{*std::move(public_key), ToToken(import.id), import.expire_time};
}

absl::StatusOr<hsm::NewVersionKeys> MaterialImport::Unwrap(const KeyVersionId& version,
                                                           const store::ImportRecord& import,
                                                           absl::string_view material,
                                                           Deadline deadline) {
  absl::StatusOr<store::KeyVersionRecord> record = store_.GetKeyVersion(version);
  if (!record.ok()) return FromStore(record.status());
  const auto algorithm = static_cast<hsm::ImportAlgorithm>(import.algorithm);
  const auto unwrap = [&] {
    return token_.ImportVersionKeys(version.bytes(), import.id.bytes(), algorithm, material,
                                    record->proof, deadline);
  };
  absl::StatusOr<hsm::NewVersionKeys> keys = unwrap();
  if (absl::IsAlreadyExists(keys.status())) {
    // Left by an import that could neither be recorded nor taken back.
    absl::Status destroyed = token_.DestroyVersionKeys(version.bytes(), deadline);
    if (!destroyed.ok()) return FromToken(destroyed);
    keys = unwrap();
  }
  if (keys.ok()) return keys;
  const absl::string_view detail = keys.status().message();
  switch (keys.status().code()) {
    case absl::StatusCode::kInvalidArgument:
      return WithDetail(
          MakeError(Reason::kInvalidParameter,
                    absl::StrCat("encrypted_key_material: it does not unwrap to the ",
                                 hsm::kImportedMaterialBytes,
                                 " bytes of an AES-256 key; wrap those, as they are, with ",
                                 NameOf(algorithm),
                                 " under the public_key that came with this import_token")),
          detail);
    case absl::StatusCode::kFailedPrecondition:
      return WithDetail(MakeError(Reason::kInvalidParameter,
                                  "encrypted_key_material: it is not the material that this key "
                                  "had before; only the same makes its ciphertexts open again"),
                        detail);
    case absl::StatusCode::kNotFound:
      return WithDetail(WrongToken("its key pair is not in the token any more"), detail);
    default:
      return FromToken(keys.status());
  }
}

absl::StatusOr<KeyDescription> MaterialImport::Import(const KeyId& key,
                                                      absl::string_view import_token,
                                                      absl::string_view encrypted_key_material,
                                                      Deadline deadline) {
  const Turn turn(*this, key);
  if (!turn.mine()) return turn.status();
  absl::Status status = Check(KeyAction::kImport, key);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<store::ImportRecord>> import = store_.GetImport(key);
  if (!import.ok()) return FromStore(import.status());
  if (!import->has_value() || import_token != ToToken((*import)->id)) {
    return WrongToken("it is not the newest of this key");
  }
  if ((*import)->expire_time <= clock_.Now()) {
    return WrongToken(absl::StrCat("it expired at ",
                                   absl::FormatTime((*import)->expire_time, absl::UTCTimeZone())));
  }
  absl::StatusOr<KeyDescription> description = ring_.Describe(key);
  if (!description.ok()) return description;
  // It has the one.
  const KeyVersionId version = description->record.primary_version;
  absl::StatusOr<hsm::NewVersionKeys> keys =
      Unwrap(version, **import, encrypted_key_material, deadline);
  if (!keys.ok()) return keys.status();

  bool committed = false;
  description = ring_.Change(KeyAction::kImport, key, [&](const store::KeyRecord&) {
    absl::Status commit = FromStore(store_.CommitImport(version, keys->proof));
    if (!commit.ok()) return commit;
    committed = true;
    absl::StatusOr<store::KeyVersionRecord> record = store_.GetKeyVersion(version);
    ring_.AdoptVersion(version, keys->keys, record.ok() ? record->uses_reserved : 0);
    return absl::OkStatus();
  });
  if (!committed) {
    Destroy(key, version, deadline).IgnoreError();
    return description;
  }
  if (!Drop(**import, deadline).ok()) {
    // It has served all the same; DropExpired tries again.
    store::ImportRecord served = **import;
    served.expire_time = clock_.Now();
    store_.PutImport(served).IgnoreError();
  }
  return description;
}

absl::StatusOr<KeyDescription> MaterialImport::DeleteMaterial(const KeyId& key, Deadline deadline) {
  const Turn turn(*this, key);
  if (!turn.mine()) return turn.status();
  absl::Status status = Check(KeyAction::kDeleteMaterial, key);
  if (!status.ok()) return status;
  KeyVersionId version;
  // The store first: from then on an error or a crash leaves a key that waits for its material, and
  // the rest is done by the next call or the next start.
  absl::StatusOr<KeyDescription> description =
      ring_.Change(KeyAction::kDeleteMaterial, key, [&](const store::KeyRecord& record) {
        version = record.primary_version;
        if (record.state != store::KeyState::kPendingImport) {
          absl::Status set = FromStore(store_.SetKeyState(key, store::KeyState::kPendingImport));
          if (!set.ok()) return set;
        }
        ring_.AbandonVersion(version);
        return absl::OkStatus();
      });
  if (!description.ok()) return description;
  status = Destroy(key, version, deadline);
  if (!status.ok()) return status;
  return description;
}

absl::Status MaterialImport::Destroy(const KeyId& key, const KeyVersionId& version,
                                     Deadline deadline) {
  const absl::Status status = token_.DestroyVersionKeys(version.bytes(), deadline);
  MutexLock lock(mu_);
  if (status.ok()) {
    leftovers_.erase(version);
  } else {
    leftovers_[version] = key;
  }
  return FromToken(status);
}

absl::Status MaterialImport::DropExpired(Deadline deadline) {
  absl::StatusOr<std::vector<store::ImportRecord>> expired =
      store_.ListExpiredImports(clock_.Now());
  if (!expired.ok()) return FromStore(expired.status());
  absl::Status dropped = absl::OkStatus();
  std::vector<std::pair<KeyVersionId, KeyId>> leftovers;
  {
    MutexLock lock(mu_);
    leftovers.assign(leftovers_.begin(), leftovers_.end());
  }
  for (const auto& [version, key] : leftovers) {
    const Turn turn(*this, key);
    // Material that was imported meanwhile took the place of what was left.
    if (turn.mine() && !ring_.HasKeys(version)) dropped.Update(Destroy(key, version, deadline));
  }
  for (const store::ImportRecord& import : *expired) {
    // Whoever is at work on the key has looked, or will look, at how old this is.
    const Turn turn(*this, import.key_id);
    if (turn.mine()) dropped.Update(Drop(import, deadline));
  }
  return dropped;
}

}  // namespace strongroom::core
