#ifndef STRONGROOM_CLIENT_CLIENT_H_
#define STRONGROOM_CLIENT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/audit_client.h"
#include "client/client_options.h"
#include "client/encryption_context.h"
#include "client/error.h"
#include "client/instance_client.h"
#include "client/key_management_client.h"
#include "client/specs.h"
#include "platform/secret_bytes.h"

namespace strongroom {

// Requests and results of Client's own operations. Common fields:
//   key_id              request: a key's id, an alias, or an ARN-shaped name that ends in either;
//                       result: the id
//   key_version_id      the version that sealed
//   encryption_context  binds what is sealed: opening takes an equal map. At most 8,192 bytes,
//                       with four for the length of each key and each value
//   grant_tokens        grants that let the call, as KeyManagementClient::CreateGrant returned
//                       them: 0 to 10. In no error and no log
//   dry_run             only asks whether the call would work. The result is always an error:
//                       WouldHaveWorked() (error.h) tells which one, ErrorDetail::dry_run the rest

struct GenerateDataKeyRequest {
  std::string key_id = {};
  DataKeySpec key_spec = DataKeySpec::kUnspecified;
  // 1 to 1,024; prevails over `key_spec`. Neither given means 32 bytes.
  std::optional<int32_t> number_of_bytes = std::nullopt;
  EncryptionContext encryption_context = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct DataKey {
  std::string key_id = {};
  std::string key_version_id = {};
  SecretBytes plaintext = {};
  std::string ciphertext_blob = {};
  std::string request_id = {};
};

struct SealedDataKey {
  std::string key_id = {};
  std::string key_version_id = {};
  std::string ciphertext_blob = {};
  std::string request_id = {};
};

struct BatchGenerateDataKeyRequest {
  std::string key_id = {};
  // How many: 1 to 1,000.
  int32_t count = 0;
  // The length of each, as in a GenerateDataKeyRequest.
  DataKeySpec key_spec = DataKeySpec::kUnspecified;
  std::optional<int32_t> number_of_bytes = std::nullopt;
  // Make each as GenerateDataKeyWithoutPlaintext does.
  bool without_plaintext = false;
  EncryptionContext encryption_context = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

// A data key of a batch that was made...
struct BatchDataKey {
  std::string key_version_id = {};
  // Within the batch's `plaintexts`, and as long there as that is; empty in one without plaintext.
  absl::Span<const uint8_t> plaintext = {};
  std::string ciphertext_blob = {};
};

// ... and why one was not. Asking for it again helps after kUnavailable, kThrottling,
// kServiceUnavailableTemporary and kDependencyTimeout.
struct BatchDataKeyError {
  Reason reason = Reason::kUnknown;
  // As it is on the wire, also where `reason` is kUnknown.
  std::string reason_name = {};
  std::string message = {};
};

struct DataKeyBatch {
  std::string key_id = {};
  // As many as were asked for; those that were made come first, and there is at least one.
  std::vector<std::variant<BatchDataKey, BatchDataKeyError>> outcomes = {};
  // All keys in the clear, one behind the other: one piece of locked memory rather than a thousand.
  SecretBytes plaintexts = {};
  std::string request_id = {};
};

struct GenerateDataKeyPairRequest {
  std::string key_id = {};
  DataKeyPairSpec key_pair_spec = DataKeyPairSpec::kUnspecified;
  KeyFormat key_format = KeyFormat::kUnspecified;
  EncryptionContext encryption_context = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct SealedDataKeyPair {
  std::string key_id = {};
  std::string key_version_id = {};
  DataKeyPairSpec key_pair_spec = DataKeyPairSpec::kUnspecified;
  KeyFormat key_format = KeyFormat::kUnspecified;
  // X.509 SubjectPublicKeyInfo.
  std::string public_key = {};
  // Opens to PKCS#8, in `key_format`.
  std::string private_key_ciphertext_blob = {};
  std::string request_id = {};
};

struct EncryptRequest {
  std::string key_id = {};
  // 1 to 4,096 bytes, the caller's to keep during the call and to wipe.
  absl::Span<const uint8_t> plaintext = {};
  EncryptionContext encryption_context = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct EncryptResult {
  std::string key_id = {};
  std::string key_version_id = {};
  std::string ciphertext_blob = {};
  std::string request_id = {};
};

struct DecryptRequest {
  std::string ciphertext_blob = {};
  // If not empty, the blob must have been sealed under this key.
  std::string key_id = {};
  // What the blob was bound to: one of these, or neither.
  EncryptionContext encryption_context = {};
  std::string aad = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct DecryptResult {
  std::string key_id = {};
  std::string key_version_id = {};
  SecretBytes plaintext = {};
  std::string request_id = {};
};

struct ReEncryptRequest {
  std::string ciphertext_blob = {};
  // What the blob was bound to: one of these, or neither.
  EncryptionContext source_encryption_context = {};
  std::string source_aad = {};
  // If not empty, the blob must have been sealed under this key.
  std::string source_key_id = {};
  // The key to seal under; may be the blob's own.
  std::string destination_key_id = {};
  // Binds the new blob, in place of what the old one was bound to.
  EncryptionContext destination_encryption_context = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct ReEncryptResult {
  std::string ciphertext_blob = {};
  // Which key and version had sealed.
  std::string source_key_id = {};
  std::string source_key_version_id = {};
  // Which sealed.
  std::string key_id = {};
  std::string key_version_id = {};
  std::string request_id = {};
};

// The requests to use a pair's private key open its blob as a DecryptRequest does; `key_id` and
// `key_version_id` of their results are those that had sealed it.

struct SignWithDataKeyPairRequest {
  std::string private_key_ciphertext_blob = {};
  std::string key_id = {};
  EncryptionContext encryption_context = {};
  std::string aad = {};
  // The message, 1 to 4,096 bytes, or its digest; the caller's to keep during the call.
  absl::Span<const uint8_t> message = {};
  MessageType message_type = MessageType::kUnspecified;
  // Must fit the pair's spec.
  SigningAlgorithm signing_algorithm = SigningAlgorithm::kUnspecified;
  EcdsaSignatureFormat ecdsa_signature_format = EcdsaSignatureFormat::kUnspecified;
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct SignWithDataKeyPairResult {
  std::string key_id = {};
  std::string key_version_id = {};
  std::string signature = {};
  SigningAlgorithm signing_algorithm = SigningAlgorithm::kUnspecified;
  DataKeyPairSpec key_pair_spec = DataKeyPairSpec::kUnspecified;
  std::string request_id = {};
};

struct DecryptWithDataKeyPairRequest {
  std::string private_key_ciphertext_blob = {};
  std::string key_id = {};
  EncryptionContext encryption_context = {};
  std::string aad = {};
  // What was encrypted with the pair's public key: as many bytes as its modulus has.
  std::string ciphertext = {};
  AsymmetricDecryptionAlgorithm decryption_algorithm = AsymmetricDecryptionAlgorithm::kUnspecified;
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct DecryptWithDataKeyPairResult {
  std::string key_id = {};
  std::string key_version_id = {};
  SecretBytes plaintext = {};
  AsymmetricDecryptionAlgorithm decryption_algorithm = AsymmetricDecryptionAlgorithm::kUnspecified;
  std::string request_id = {};
};

struct DeriveSharedSecretRequest {
  std::string private_key_ciphertext_blob = {};
  std::string key_id = {};
  EncryptionContext encryption_context = {};
  std::string aad = {};
  // The other side's, of the same curve: X.509 SubjectPublicKeyInfo, DER or PEM.
  std::string public_key = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct DeriveSharedSecretResult {
  std::string key_id = {};
  std::string key_version_id = {};
  // The x-coordinate of the shared point. Derive keys from it (e.g. by HKDF); it is none itself.
  SecretBytes shared_secret = {};
  std::string request_id = {};
};

struct RandomResult {
  SecretBytes random = {};
  std::string request_id = {};
};

// What grpc.health.v1 says of a service.
enum class Health {
  kUnknown = 0,
  kServing = 1,
  kNotServing = 2,
};

// A connection to a Strongroom service: data keys and data key pairs sealed under master keys
// that stay in a token (strongroom.v1.KmsService, whose comments say more on each operation).
//
//   absl::StatusOr<std::unique_ptr<Client>> client =
//       Client::Connect({.address = "kms.example:7443", .tls = {...}});
//   absl::StatusOr<DataKey> key = (*client)->GenerateDataKey(
//       {.key_id = "alias/orders", .encryption_context = {{"order", "42"}}});
//   Use(key->plaintext.ExposeSecret());
//   Keep(key->ciphertext_blob);
//
// Errors are what the service answered; ErrorDetailOf (error.h) gives the reason. Besides,
// UNAVAILABLE is a connection that failed and DEADLINE_EXCEEDED a timeout.
//
// Tried again, within the call's timeout and as RetryPolicy says, is what failed with UNAVAILABLE
// and does no harm when done twice: everything but what changes keys, aliases, policies and
// grants. (A data key whose answer was lost is nobody's.) Those changes are sent once, for
// UNAVAILABLE does not tell whether they were made: describe or list, then decide.
// RESOURCE_EXHAUSTED is never tried again here; ErrorDetail::retry_delay says how long the service
// would wait.
//
// Secrets are returned in SecretBytes, and wiped from the messages they came and went in. gRPC's
// and TLS's own buffers are out of reach.
//
// Thread-safe: make one and share it. Its calls block.
class Client {
 public:
  // Checks the options and reads the TLS files, but does not wait for the service: a server that
  // is not there shows in the first call (or in CheckHealth).
  //
  // INVALID_ARGUMENT names the option that is wrong; other codes are about a TLS file and name it.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // A random data key, in the clear and sealed.
  absl::StatusOr<DataKey> GenerateDataKey(const GenerateDataKeyRequest& request,
                                          const CallOptions& call = {}) const;
  // A random data key, sealed only: it never was in the clear outside the token.
  absl::StatusOr<SealedDataKey> GenerateDataKeyWithoutPlaintext(
      const GenerateDataKeyRequest& request, const CallOptions& call = {}) const;

  // Up to 1,000 data keys in one call, an outcome each. An error only if none was made.
  //
  // Where the token is slow this takes longer than ClientOptions::timeout may allow for; smaller
  // batches from several threads are then done sooner than a large one.
  absl::StatusOr<DataKeyBatch> BatchGenerateDataKey(const BatchGenerateDataKeyRequest& request,
                                                    const CallOptions& call = {}) const;

  // A pair, its private key sealed; Decrypt opens it. Both are the same operation under two names.
  //
  // The service generates a limited number of pairs at a time; beyond it: RESOURCE_EXHAUSTED,
  // Reason::kThrottling, with a retry delay.
  absl::StatusOr<SealedDataKeyPair> GenerateDataKeyPair(const GenerateDataKeyPairRequest& request,
                                                        const CallOptions& call = {}) const;
  absl::StatusOr<SealedDataKeyPair> GenerateDataKeyPairWithoutPlaintext(
      const GenerateDataKeyPairRequest& request, const CallOptions& call = {}) const;

  absl::StatusOr<EncryptResult> Encrypt(const EncryptRequest& request,
                                        const CallOptions& call = {}) const;
  // Opens what any operation of this or of the instance service sealed.
  absl::StatusOr<DecryptResult> Decrypt(const DecryptRequest& request,
                                        const CallOptions& call = {}) const;
  // Seals again what a blob holds: under another key, under the newest version of its own, or bound
  // to another context. It stays in the service.
  absl::StatusOr<ReEncryptResult> ReEncrypt(const ReEncryptRequest& request,
                                            const CallOptions& call = {}) const;

  // These use the private key of a pair inside the token: nobody sees it in the clear.
  // UNIMPLEMENTED if the token cannot; INVALID_ARGUMENT if the pair is of another kind.
  absl::StatusOr<SignWithDataKeyPairResult> SignWithDataKeyPair(
      const SignWithDataKeyPairRequest& request, const CallOptions& call = {}) const;
  // Of an RSA pair.
  absl::StatusOr<DecryptWithDataKeyPairResult> DecryptWithDataKeyPair(
      const DecryptWithDataKeyPairRequest& request, const CallOptions& call = {}) const;
  // Of an elliptic-curve pair: ECDH (SP 800-56A section 5.7.1.2).
  absl::StatusOr<DeriveSharedSecretResult> DeriveSharedSecret(
      const DeriveSharedSecretRequest& request, const CallOptions& call = {}) const;

  // 1 to 1,024 bytes.
  absl::StatusOr<RandomResult> GenerateRandom(int32_t number_of_bytes,
                                              const CallOptions& call = {}) const;

  // The health of a service by its full name, e.g. "strongroom.v1.KmsService"; of the server as a
  // whole if empty. NOT_FOUND if the server does not know the name.
  absl::StatusOr<Health> CheckHealth(const std::string& service = "",
                                     const CallOptions& call = {}) const;

  // The other services, over the same connection. They live as long as this.
  const InstanceClient& instance() const;
  const KeyManagementClient& keys() const;
  const AuditClient& audit() const;

 private:
  struct Rpc;
  explicit Client(std::unique_ptr<const Rpc> rpc);

  const std::unique_ptr<const Rpc> rpc_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_CLIENT_H_
