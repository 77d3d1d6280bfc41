#ifndef STRONGROOM_SERVER_CORE_PRIVATE_KEYS_H_
#define STRONGROOM_SERVER_CORE_PRIVATE_KEYS_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/pair_spec.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"
#include "server/core/binding.h"
#include "server/core/envelope.h"
#include "server/core/key_ring.h"
#include "server/core/opened_keys.h"
#include "server/store/ids.h"

namespace strongroom::core {

// A sealed private key, as a caller hands it in. What it refers to outlives it.
struct SealedPrivateKey {
  absl::string_view blob;
  const Binding& binding;
  // IncorrectKey if the blob is genuine and of another key.
  std::optional<KeyId> expected_key = {};
};

enum class SignatureScheme { kRsaPkcs1V15, kRsaPss, kEcdsa };
enum class EcdsaFormat { kDer, kFixed };

struct SigningRequest {
  SignatureScheme scheme;
  hsm::Hash hash;
  // The message, or its digest.
  absl::string_view message;
  bool is_digest = false;
  EcdsaFormat format = EcdsaFormat::kDer;
};

// Which private key was used.
struct UsedKey {
  KeyId key_id;
  KeyVersionId key_version_id;
  hsm::PairSpec pair_spec;
};

struct Signed {
  UsedKey key;
  std::string signature;
};

struct UsedResult {
  UsedKey key;
  SecretBytes result;
};

// The private keys of data key pairs, used where they are: a sealed one is opened inside the token,
// used there, and destroyed on every way out.
//
// An opened key may stay for a while, so that signing in bulk costs a signature and not an unwrap
// each. It is found again by the very blob and binding that opened it, and used only while the
// master key's state allows opening.
//
// Errors are for the caller (server/core/error.h): those of DataKeys::Decrypt for the blob;
// InvalidParameter, naming the field of KmsService's messages, for a blob that holds no private key
// or one of another kind; UnsupportedOperation if the token cannot do it. Thread-safe.
class PrivateKeys {
 public:
  struct Options {
    // For how long an opened key stays after it was opened; none stays if zero.
    absl::Duration opened_for = absl::ZeroDuration();
    // How many stay at most; the one that was used longest ago goes first.
    int opened_at_most = 0;
    // Monotonic time, by which opened keys end.
    std::function<OpenedKeys::Moment()> now = &std::chrono::steady_clock::now;
  };
  static constexpr size_t kMaxMessageBytes = 4096;

  // Both outlive this.
  PrivateKeys(KeyRing& keys, hsm::Token& token, const Options& options)
      : keys_(keys),
        token_(token),
        envelope_(keys, token),
        opened_(options.opened_for, options.opened_at_most, options.now) {}

  // InvalidParameter for an empty or too long message, a digest of the wrong length, or a scheme
  // that is not the pair's.
  absl::StatusOr<Signed> Sign(const SealedPrivateKey& key, const SigningRequest& request,
                              Deadline deadline);
  // RSAES-OAEP. InvalidCiphertext if it does not decrypt.
  absl::StatusOr<UsedResult> Decrypt(const SealedPrivateKey& key, hsm::Hash hash,
                                     absl::string_view ciphertext, Deadline deadline);
  // `public_key` is X.509 SubjectPublicKeyInfo, DER or PEM.
  absl::StatusOr<UsedResult> DeriveSharedSecret(const SealedPrivateKey& key,
                                                absl::string_view public_key, Deadline deadline);

  // What can be told without the key. Of the request alone: the errors of Sign for its message.
  static absl::Status CheckSigning(const SigningRequest& request);
  // Of what a blob says that it holds, which nobody has checked: that this is no private key, or
  // not one for this. InvalidCiphertext if it is no blob.
  static absl::Status RehearseSigning(absl::string_view blob, const SigningRequest& request);
  static absl::Status RehearseDecryption(absl::string_view blob);
  static absl::Status RehearseDerivation(absl::string_view blob, absl::string_view public_key);

  // Closes the opened keys whose time is up. To be called now and then.
  void CloseExpired() { opened_.DropExpired(); }

 private:
  // What may be wrong with using a private key of this kind, told before it is opened.
  using Check = std::function<absl::Status(hsm::PairSpec)>;
  using Use = std::function<absl::Status(const hsm::OpenedKey&)>;

  // Opens the key, unless it is open, and uses it; once more if `use` says ABORTED, which is the
  // token's. Its other errors are for the caller.
  absl::StatusOr<UsedKey> WithKey(const SealedPrivateKey& key, Deadline deadline,
                                  const Check& check, const Use& use);
  // From among the opened ones. Null if it is not there; an error if it may not be used.
  absl::StatusOr<OpenedKeys::Entry> FindOpened(const std::string& name,
                                               const SealedPrivateKey& key);
  absl::StatusOr<OpenedKeys::Entry> Open(const SealedPrivateKey& key, Deadline deadline,
                                         const Check& check);

  KeyRing& keys_;
  hsm::Token& token_;
  Envelope envelope_;
  OpenedKeys opened_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PRIVATE_KEYS_H_
