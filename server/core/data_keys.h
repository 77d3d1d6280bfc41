#ifndef STRONGROOM_SERVER_CORE_DATA_KEYS_H_
#define STRONGROOM_SERVER_CORE_DATA_KEYS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/pair_spec.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"
#include "server/core/binding.h"
#include "server/core/envelope.h"
#include "server/core/key_ring.h"
#include "server/core/pair_reservoir.h"
#include "server/core/parameters.h"

namespace strongroom::core {

// What seals, and what the blob is bound to.
struct SealingOptions {
  KeyId key;
  SealingVersion version = SealingVersion::kPrimary;
  Binding binding = {};
};

// Whether an operation returns in the clear what it seals.
enum class Plaintext { kReturned, kNotReturned };

struct DataKey {
  Sealed sealed;
  std::optional<SecretBytes> plaintext;
};

// What came of making many data keys: at least one was made.
struct DataKeyBatch {
  // The keys that were made, all by the same version.
  std::vector<Sealed> sealed;
  // The same keys in the clear, in the same order, one behind the other.
  std::optional<SecretBytes> plaintexts;
  // Why the rest were not made; OK if all were.
  absl::Status shortfall;
};

struct KeyPair {
  Sealed sealed;
  // X.509 SubjectPublicKeyInfo in the format that was asked for.
  std::string public_key;
  // PKCS#8 in the same format.
  std::optional<SecretBytes> private_key;
};

struct Opened {
  KeyId key_id;
  KeyVersionId key_version_id;
  SecretBytes plaintext;
};

struct ReEncrypted {
  KeyId source_key_id;
  KeyVersionId source_key_version_id;
  Sealed sealed;
};

// The data-key operations, whichever interface they are asked for through.
//
// What is not returned in the clear never exists in the clear outside the token. What is returned
// is in locked, wiped memory (SecretBytes).
//
// Errors are for the caller (server/core/error.h), Rejected.Disabled and the not-found reasons
// among them. Thread-safe.
class DataKeys {
 public:
  // `keys` and `token` outlive this. At most `max_pair_generations` pairs are generated at a time.
  // Pairs come from `reservoir` as long as it has any, if it is not null; it outlives this too.
  DataKeys(KeyRing& keys, hsm::Token& token, int max_pair_generations,
           PairReservoir* reservoir = nullptr)
      : keys_(keys),
        token_(token),
        envelope_(keys, token),
        reservoir_(reservoir),
        max_pair_generations_(max_pair_generations) {}

  // A random data key of `bytes` bytes.
  absl::StatusOr<DataKey> GenerateDataKey(const SealingOptions& options, size_t bytes,
                                          Plaintext plaintext, Deadline deadline);

  // `count` of them (at least 1), under one version of the key. The first that cannot be made is
  // the last that is tried, so a token that is away is not asked for each of the rest; its error is
  // the batch's shortfall, or is returned if it was the very first. DependencyTimeout once the
  // deadline has passed.
  //
  // The key's state is looked at again every kKeysAtOnce keys: one that is disabled meanwhile stops
  // sealing while the batch runs.
  absl::StatusOr<DataKeyBatch> GenerateDataKeys(const SealingOptions& options, size_t bytes,
                                                size_t count, Plaintext plaintext,
                                                Deadline deadline);
  static constexpr size_t kKeysAtOnce = 64;

  // Rejected.Throttling if no pair waits in the reservoir and as many as may be are being
  // generated.
  absl::StatusOr<KeyPair> GenerateKeyPair(const SealingOptions& options, hsm::PairSpec spec,
                                          KeyFormat format, Plaintext plaintext, Deadline deadline);

  // `plaintext` was checked with CheckPlaintext.
  absl::StatusOr<Sealed> Encrypt(const SealingOptions& options, absl::string_view plaintext,
                                 Deadline deadline);

  // Opens what any of the above sealed. InvalidCiphertext for whatever is not genuine; IncorrectKey
  // if the genuine blob is not of `expected_key`.
  absl::StatusOr<Opened> Decrypt(absl::string_view blob, const Binding& binding,
                                 const std::optional<KeyId>& expected_key,
                                 const std::optional<hsm::Iv>& iv, Deadline deadline);

  // Seals again what a blob holds. What was made without plaintext does not leave the token. Errors
  // as for Decrypt and then for Encrypt.
  absl::StatusOr<ReEncrypted> ReEncrypt(absl::string_view blob, const Binding& binding,
                                        const std::optional<KeyId>& expected_key,
                                        const SealingOptions& destination, Deadline deadline);

  absl::StatusOr<SecretBytes> GenerateRandom(size_t bytes, Deadline deadline);

  // What would keep the operations above from working, as far as it can be told without touching
  // key material: the key's state, its keys in the token, whether the token is there and can
  // generate `pair_spec`. For opening: that the blob is one and names a version that is there, not
  // whether it is genuine.
  absl::Status RehearseSealing(const KeyId& key, SealingVersion version,
                               const std::optional<hsm::PairSpec>& pair_spec, Deadline deadline);
  absl::Status RehearseOpening(absl::string_view blob, const std::optional<KeyId>& expected_key,
                               Deadline deadline);
  // The same of the token alone.
  absl::Status RehearseToken(const std::optional<hsm::PairSpec>& pair_spec, Deadline deadline);

 private:
  absl::Status Rehearse(const UsableVersion& version, const std::optional<hsm::PairSpec>& pair_spec,
                        Deadline deadline);
  // For a few keys of a batch: where the token computes in this process, batches work one at a
  // time, for two threads inside SoftHSM do less than one (docs/adr/0011). A matter of speed only:
  // who has waited for long goes on without.
  std::unique_lock<std::timed_mutex> TakeTurn(size_t count);
  static constexpr std::chrono::milliseconds kLongestTurn{20};
  // Fills `random`, of data keys or of IVs, with random bytes of the token.
  absl::Status Draw(absl::Span<uint8_t> random, Deadline deadline);
  absl::StatusOr<hsm::WrappedKeyPair> TakeOrGenerate(const UsableVersion& version,
                                                     hsm::PairSpec spec, Plaintext plaintext,
                                                     Deadline deadline);
  absl::StatusOr<SecretBytes> OpenContent(Unsealed unsealed, Deadline deadline);

  KeyRing& keys_;
  hsm::Token& token_;
  Envelope envelope_;
  PairReservoir* const reservoir_;
  const int max_pair_generations_;
  std::atomic<int> pair_generations_ = 0;
  std::timed_mutex turn_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_DATA_KEYS_H_
