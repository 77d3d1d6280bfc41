#include "server/core/data_keys.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/core/pem.h"

namespace strongroom::core {
namespace {

// A token that has lost a kept pair has probably lost them all.
constexpr int kMostLostPairs = 3;

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

SecretBytes EncodePrivateKey(SecretBytes der, KeyFormat format) {
  return format == KeyFormat::kPem ? PrivateKeyToPem(der) : std::move(der);
}

// The most random bytes that a batch asks the token for at a time.
constexpr size_t kRandomAtOnce = 4096;

absl::Status TooLate() {
  return MakeError(Reason::kDependencyTimeout,
                   "the call's deadline passed before this data key's turn came; allow more time, "
                   "or ask for fewer at a time");
}

// One of a number of places; none is left if !held().
class Place {
 public:
  Place(std::atomic<int>& taken, int places) : taken_(taken), held_(Take(taken, places)) {}
  ~Place() {
    if (held_) --taken_;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  bool held() const { return held_; }

 private:
  // Never counts above `places`: who is refused must not keep others out meanwhile.
  static bool Take(std::atomic<int>& taken, int places) {
    int now = taken;
    while (now < places) {
      if (taken.compare_exchange_weak(now, now + 1)) return true;
    }
    return false;
  }

  std::atomic<int>& taken_;
  const bool held_;
};

}  // namespace

absl::StatusOr<DataKey> DataKeys::GenerateDataKey(const SealingOptions& options, size_t bytes,
                                                  Plaintext plaintext, Deadline deadline) {
  absl::StatusOr<DataKeyBatch> batch = GenerateDataKeys(options, bytes, 1, plaintext, deadline);
  if (!batch.ok()) return batch.status();
  return DataKey{std::move(batch->sealed.front()), std::move(batch->plaintexts)};
}

absl::StatusOr<DataKeyBatch> DataKeys::GenerateDataKeys(const SealingOptions& options, size_t bytes,
                                                        size_t count, Plaintext plaintext,
                                                        Deadline deadline) {
  const absl::StatusOr<UsableVersion> version = keys_.ForSealing(options.key, options.version);
  if (!version.ok()) return version.status();
  BlobHeader header;
  header.kind =
      plaintext == Plaintext::kReturned ? ContentKind::kBytes : ContentKind::kWrappedBytes;
  header.content_bytes = static_cast<uint32_t>(bytes);
  Sealer sealer = envelope_.SealerFor(*version, header, options.binding);

  DataKeyBatch batch;
  batch.sealed.reserve(count);
  absl::Span<uint8_t> clear;
  if (plaintext == Plaintext::kReturned) {
    clear = batch.plaintexts.emplace(count * bytes).MutableSecret();
  }
  const auto make_one = [&](const hsm::Iv& iv) -> absl::StatusOr<Sealed> {
    // The token would be asked in vain, and keep others waiting.
    if (std::chrono::steady_clock::now() >= deadline) return TooLate();
    if (!clear.empty()) {
      return sealer.Seal(iv, clear.subspan(batch.sealed.size() * bytes, bytes), deadline);
    }
    const absl::StatusOr<std::string> wrapped =
        token_.GenerateWrappedSecret(version->keys, bytes, deadline);
    if (!wrapped.ok()) return FromToken(wrapped.status());
    return sealer.Seal(iv, AsBytes(*wrapped), deadline);
  };
  // Random bytes are drawn for many keys at a time, and used once.
  std::vector<hsm::Iv> ivs(
      std::min(count, std::clamp<size_t>(kRandomAtOnce / bytes, 1, kKeysAtOnce)));
  absl::Status status;
  while (status.ok() && batch.sealed.size() < count) {
    const size_t made = batch.sealed.size();
    ivs.resize(std::min(count - made, ivs.size()));
    const std::unique_lock<std::timed_mutex> turn = TakeTurn(count);
    if (made > 0) status = keys_.ForSealing(options.key, options.version).status();
    if (status.ok() && std::chrono::steady_clock::now() >= deadline) status = TooLate();
    if (status.ok() && !clear.empty()) {
      status = Draw(clear.subspan(made * bytes, ivs.size() * bytes), deadline);
    }
    if (status.ok()) {
      status = Draw(absl::MakeSpan(ivs.front().data(), ivs.size() * sizeof(hsm::Iv)), deadline);
    }
    for (size_t i = 0; status.ok() && i < ivs.size(); ++i) {
      absl::StatusOr<Sealed> sealed = make_one(ivs[i]);
      status = sealed.status();
      if (sealed.ok()) batch.sealed.push_back(*std::move(sealed));
    }
  }
  if (batch.sealed.empty()) return status;
  if (batch.plaintexts.has_value()) batch.plaintexts->Truncate(batch.sealed.size() * bytes);
  batch.shortfall = std::move(status);
  return batch;
}

std::unique_lock<std::timed_mutex> DataKeys::TakeTurn(size_t count) {
  std::unique_lock<std::timed_mutex> turn(turn_, std::defer_lock);
  if (count > 1 && token_.info().is_in_process()) (void)turn.try_lock_for(kLongestTurn);
  return turn;
}

absl::StatusOr<hsm::WrappedKeyPair> DataKeys::TakeOrGenerate(const UsableVersion& version,
                                                             hsm::PairSpec spec,
                                                             Plaintext plaintext,
                                                             Deadline deadline) {
  const bool with_private_key = plaintext == Plaintext::kReturned;
  if (reservoir_ != nullptr) {
    // A version that is used up must not use up the reservoir.
    absl::Status left = version.budget->CheckLeft();
    if (!left.ok()) return left;
    for (int i = 0; i < kMostLostPairs; ++i) {
      std::optional<PairReservoir::Taken> taken = reservoir_->Take(version.keys, spec, deadline);
      if (!taken.has_value()) break;
      absl::StatusOr<hsm::WrappedKeyPair> pair = token_.TakeKeptPair(
          std::move(taken->pair), version.keys, taken->wrapped, with_private_key, deadline);
      if (pair.ok()) return pair;
      if (!absl::IsAborted(pair.status())) return FromToken(pair.status());
    }
  }
  const Place place(pair_generations_, max_pair_generations_);
  if (!place.held()) {
    return MakeRetryableError(Reason::kThrottling,
                              absl::StrCat("Concurrency Limit Exceeded: ", max_pair_generations_,
                                           " key pair generation(s) at a time; try again"),
                              absl::Seconds(1));
  }
  absl::StatusOr<hsm::WrappedKeyPair> generated =
      token_.GenerateWrappedKeyPair(version.keys, spec, with_private_key, deadline);
  if (!generated.ok()) return FromToken(generated.status());
  return generated;
}

absl::StatusOr<KeyPair> DataKeys::GenerateKeyPair(const SealingOptions& options, hsm::PairSpec spec,
                                                  KeyFormat format, Plaintext plaintext,
                                                  Deadline deadline) {
  absl::StatusOr<UsableVersion> version = keys_.ForSealing(options.key, options.version);
  if (!version.ok()) return version.status();
  absl::StatusOr<hsm::WrappedKeyPair> generated =
      TakeOrGenerate(*version, spec, plaintext, deadline);
  if (!generated.ok()) return generated.status();
  BlobHeader header;
  header.kind =
      format == KeyFormat::kPem ? ContentKind::kWrappedKeyAsPem : ContentKind::kWrappedKeyAsDer;
  header.pair_spec = spec;
  absl::StatusOr<Sealed> sealed = envelope_.Seal(
      *version, header, AsBytes(generated->wrapped_private_key), options.binding, deadline);
  if (!sealed.ok()) return sealed.status();
  KeyPair pair;
  pair.sealed = *std::move(sealed);
  pair.public_key = format == KeyFormat::kPem ? PublicKeyToPem(generated->public_key)
                                              : std::move(generated->public_key);
  if (generated->private_key.has_value()) {
    pair.private_key = EncodePrivateKey(*std::move(generated->private_key), format);
  }
  return pair;
}

absl::StatusOr<Sealed> DataKeys::Encrypt(const SealingOptions& options, absl::string_view plaintext,
                                         Deadline deadline) {
  absl::StatusOr<UsableVersion> version = keys_.ForSealing(options.key, options.version);
  if (!version.ok()) return version.status();
  BlobHeader header;
  header.kind = ContentKind::kBytes;
  header.content_bytes = static_cast<uint32_t>(plaintext.size());
  return envelope_.Seal(*version, header, AsBytes(plaintext), options.binding, deadline);
}

absl::StatusOr<Opened> DataKeys::Decrypt(absl::string_view blob, const Binding& binding,
                                         const std::optional<KeyId>& expected_key,
                                         const std::optional<hsm::Iv>& iv, Deadline deadline) {
  absl::StatusOr<Unsealed> unsealed = envelope_.Unseal(blob, binding, iv, deadline);
  if (!unsealed.ok()) return unsealed.status();
  // Only now: the key that a blob names means nothing until the blob is known to be genuine.
  const KeyId key_id = unsealed->header.key_id;
  if (expected_key.has_value() && *expected_key != key_id) return IncorrectKey(*expected_key);
  const KeyVersionId key_version_id = unsealed->header.key_version_id;
  absl::StatusOr<SecretBytes> content = OpenContent(*std::move(unsealed), deadline);
  if (!content.ok()) return content.status();
  return Opened{key_id, key_version_id, *std::move(content)};
}

absl::StatusOr<SecretBytes> DataKeys::OpenContent(Unsealed unsealed, Deadline deadline) {
  const BlobHeader& header = unsealed.header;
  const absl::string_view wrapped = unsealed.content.ExposeSecretAsText();
  switch (header.kind) {
    case ContentKind::kBytes:
      return std::move(unsealed.content);
    case ContentKind::kWrappedBytes: {
      absl::StatusOr<SecretBytes> secret = token_.ExportWrappedSecret(
          unsealed.version.keys, wrapped, header.content_bytes, deadline);
      if (!secret.ok()) return FromToken(secret.status());
      return secret;
    }
    case ContentKind::kWrappedKeyAsPem:
    case ContentKind::kWrappedKeyAsDer: {
      absl::StatusOr<SecretBytes> der = token_.ExportWrappedPrivateKey(
          unsealed.version.keys, wrapped, *header.pair_spec, deadline);
      if (!der.ok()) return FromToken(der.status());
      return EncodePrivateKey(*std::move(der), header.kind == ContentKind::kWrappedKeyAsPem
                                                   ? KeyFormat::kPem
                                                   : KeyFormat::kDer);
    }
  }
  return MakeInternalFailure("a blob's content kind that does not exist");
}

absl::StatusOr<ReEncrypted> DataKeys::ReEncrypt(absl::string_view blob, const Binding& binding,
                                                const std::optional<KeyId>& expected_key,
                                                const SealingOptions& destination,
                                                Deadline deadline) {
  absl::StatusOr<Unsealed> unsealed = envelope_.Unseal(blob, binding, std::nullopt, deadline);
  if (!unsealed.ok()) return unsealed.status();
  // See Decrypt.
  const BlobHeader& header = unsealed->header;
  if (expected_key.has_value() && *expected_key != header.key_id) {
    return IncorrectKey(*expected_key);
  }
  absl::StatusOr<UsableVersion> version = keys_.ForSealing(destination.key, destination.version);
  if (!version.ok()) return version.status();
  absl::StatusOr<Sealed> sealed;
  if (header.kind == ContentKind::kBytes) {
    sealed = envelope_.Seal(*version, header, unsealed->content.ExposeSecret(), destination.binding,
                            deadline);
  } else {
    const hsm::WrappedContent content = header.pair_spec.has_value()
                                            ? hsm::WrappedContent(*header.pair_spec)
                                            : hsm::WrappedContent(header.content_bytes);
    absl::StatusOr<std::string> rewrapped =
        token_.Rewrap(unsealed->version.keys, version->keys, unsealed->content.ExposeSecretAsText(),
                      content, deadline);
    if (!rewrapped.ok()) return FromToken(rewrapped.status());
    sealed = envelope_.Seal(*version, header, AsBytes(*rewrapped), destination.binding, deadline);
  }
  if (!sealed.ok()) return sealed.status();
  return ReEncrypted{header.key_id, header.key_version_id, *std::move(sealed)};
}

absl::StatusOr<SecretBytes> DataKeys::GenerateRandom(size_t bytes, Deadline deadline) {
  SecretBytes random(bytes);
  absl::Status status = token_.GenerateRandom(random.MutableSecret(), deadline);
  if (!status.ok()) return FromToken(status);
  return random;
}

absl::Status DataKeys::Draw(absl::Span<uint8_t> random, Deadline deadline) {
  return FromToken(token_.TakeRandom(random, deadline));
}

absl::Status DataKeys::RehearseToken(const std::optional<hsm::PairSpec>& pair_spec,
                                     Deadline deadline) {
  absl::Status alive = token_.CheckAlive(deadline);
  if (!alive.ok()) return FromToken(alive);
  const std::vector<hsm::PairSpec>& able = token_.info().pair_specs;
  if (pair_spec.has_value() && std::find(able.begin(), able.end(), *pair_spec) == able.end()) {
    return FromToken(absl::UnimplementedError("the token does not generate such pairs"));
  }
  return absl::OkStatus();
}

absl::Status DataKeys::Rehearse(const UsableVersion& version,
                                const std::optional<hsm::PairSpec>& pair_spec, Deadline deadline) {
  absl::Status token = RehearseToken(pair_spec, deadline);
  if (!token.ok()) return token;
  return FromToken(token_.CheckVersionKeys(version.keys, deadline));
}

absl::Status DataKeys::RehearseSealing(const KeyId& key, SealingVersion version,
                                       const std::optional<hsm::PairSpec>& pair_spec,
                                       Deadline deadline) {
  absl::StatusOr<UsableVersion> usable = keys_.ForSealing(key, version);
  if (!usable.ok()) return usable.status();
  absl::Status left = usable->budget->CheckLeft();
  if (!left.ok()) return left;
  return Rehearse(*usable, pair_spec, deadline);
}

absl::Status DataKeys::RehearseOpening(absl::string_view blob,
                                       const std::optional<KeyId>& expected_key,
                                       Deadline deadline) {
  const std::optional<ParsedBlob> parsed = ParseBlob(blob);
  if (!parsed.has_value()) return InvalidCiphertext();
  absl::StatusOr<UsableVersion> usable =
      keys_.ForOpening(parsed->header.key_id, parsed->header.key_version_id);
  if (!usable.ok()) return usable.status();
  if (expected_key.has_value() && *expected_key != usable->key_id) {
    return IncorrectKey(*expected_key);
  }
  return Rehearse(*usable, std::nullopt, deadline);
}

}  // namespace strongroom::core
