#ifndef STRONGROOM_CLIENT_INSTANCE_CLIENT_H_
#define STRONGROOM_CLIENT_INSTANCE_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/client_options.h"
#include "platform/secret_bytes.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace strongroom {

// Requests and results of InstanceClient. Common fields:
//   key_id           request: a key's id, an alias, or an ARN-shaped name that ends in either;
//                    result: the id
//   key_version_id   the version that sealed; empty from the plain operations, whose answers have
//                    none
//   number_of_bytes  1 to 1,024; 32 if not given
//   aad              binds what is sealed: at most 8,192 bytes; opening takes the same
//   algorithm        "AES_GCM"; a request may leave it empty for the same. The Advance operations
//                    take it only where they encrypt and decrypt
//   key_pair_spec    RSA_2048, RSA_3072, RSA_4096, EC_P256, EC_P384, EC_P521 or EC_P256K; curves
//                    also as ECC_NIST_P256 and so on (see specs.h). Required
//   key_format       "PEM" or "DER". Required
//   iv               12 bytes, also in the blob
//   public_key       X.509 SubjectPublicKeyInfo
//   private_key      PKCS#8
//   grant_tokens     grants that let the call: 0 to 10. In no error and no log
//   dry_run          only asks whether the call would work: the result is always an error; see
//                    Client. Both go beside the family's messages, as metadata of the call

struct InstanceGenerateDataKeyRequest {
  std::string key_id = {};
  std::optional<int32_t> number_of_bytes = std::nullopt;
  std::string aad = {};
  std::string algorithm = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct InstanceAdvanceGenerateDataKeyRequest {
  std::string key_id = {};
  std::optional<int32_t> number_of_bytes = std::nullopt;
  std::string aad = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct InstanceDataKey {
  std::string key_id = {};
  std::string key_version_id = {};
  SecretBytes plaintext = {};
  std::string ciphertext_blob = {};
  std::string iv = {};
  std::string algorithm = {};
  std::string request_id = {};
};

struct InstanceGenerateDataKeyPairRequest {
  std::string key_id = {};
  std::string key_pair_spec = {};
  std::string key_format = {};
  std::string aad = {};
  std::string algorithm = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct InstanceAdvanceGenerateDataKeyPairRequest {
  std::string key_id = {};
  std::string key_pair_spec = {};
  std::string key_format = {};
  std::string aad = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

// A pair whose private key is returned sealed only.
struct InstanceSealedDataKeyPair {
  std::string key_id = {};
  std::string key_version_id = {};
  std::string key_pair_spec = {};
  std::string public_key = {};
  std::string private_key_ciphertext_blob = {};
  std::string iv = {};
  std::string algorithm = {};
  std::string request_id = {};
};

struct InstanceDataKeyPair {
  InstanceSealedDataKeyPair sealed = {};
  SecretBytes private_key = {};
};

struct InstanceEncryptRequest {
  std::string key_id = {};
  // 1 to 4,096 bytes, the caller's to keep during the call and to wipe.
  absl::Span<const uint8_t> plaintext = {};
  std::string aad = {};
  std::string algorithm = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct InstanceEncryptResult {
  std::string key_id = {};
  std::string key_version_id = {};
  std::string ciphertext_blob = {};
  std::string iv = {};
  std::string algorithm = {};
  std::string request_id = {};
};

struct InstanceDecryptRequest {
  // Required by Decrypt; for AdvanceDecrypt it may be empty.
  std::string key_id = {};
  std::string ciphertext_blob = {};
  std::string aad = {};
  // May be empty, for the blob carries it.
  std::string iv = {};
  std::string algorithm = {};
  std::vector<std::string> grant_tokens = {};
  bool dry_run = false;
};

struct InstanceDecryptResult {
  std::string key_id = {};
  std::string key_version_id = {};
  SecretBytes plaintext = {};
  std::string algorithm = {};
  std::string request_id = {};
};

struct InstanceRandom {
  SecretBytes random = {};
  std::string request_id = {};
};

// Data keys of the instance family (strongroom.v1.KmsInstanceService). Got from
// Client::instance().
//
// Plain operations seal with a key's initial version, Advance ones with its primary version; both
// open with whichever version the blob names. Thread-safe. All are tried again; see Client.
class InstanceClient {
 public:
  InstanceClient(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options);
  ~InstanceClient();
  InstanceClient(const InstanceClient&) = delete;
  InstanceClient& operator=(const InstanceClient&) = delete;

  absl::StatusOr<InstanceDataKey> GenerateDataKey(const InstanceGenerateDataKeyRequest& request,
                                                  const CallOptions& call = {}) const;
  absl::StatusOr<InstanceDataKey> AdvanceGenerateDataKey(
      const InstanceAdvanceGenerateDataKeyRequest& request, const CallOptions& call = {}) const;

  // The service generates a limited number of pairs at a time; beyond it: RESOURCE_EXHAUSTED,
  // Reason::kThrottling, with a retry delay.
  absl::StatusOr<InstanceDataKeyPair> GenerateDataKeyPair(
      const InstanceGenerateDataKeyPairRequest& request, const CallOptions& call = {}) const;
  absl::StatusOr<InstanceDataKeyPair> AdvanceGenerateDataKeyPair(
      const InstanceAdvanceGenerateDataKeyPairRequest& request, const CallOptions& call = {}) const;
  absl::StatusOr<InstanceSealedDataKeyPair> GenerateDataKeyPairWithoutPlaintext(
      const InstanceGenerateDataKeyPairRequest& request, const CallOptions& call = {}) const;
  absl::StatusOr<InstanceSealedDataKeyPair> AdvanceGenerateDataKeyPairWithoutPlaintext(
      const InstanceAdvanceGenerateDataKeyPairRequest& request, const CallOptions& call = {}) const;

  absl::StatusOr<InstanceEncryptResult> Encrypt(const InstanceEncryptRequest& request,
                                                const CallOptions& call = {}) const;
  absl::StatusOr<InstanceEncryptResult> AdvanceEncrypt(const InstanceEncryptRequest& request,
                                                       const CallOptions& call = {}) const;

  // Opens what is bound to an Aad or to nothing, whichever service made it.
  absl::StatusOr<InstanceDecryptResult> Decrypt(const InstanceDecryptRequest& request,
                                                const CallOptions& call = {}) const;
  absl::StatusOr<InstanceDecryptResult> AdvanceDecrypt(const InstanceDecryptRequest& request,
                                                       const CallOptions& call = {}) const;

  // `length` is 1 to 1,024 bytes.
  absl::StatusOr<InstanceRandom> GenerateRandom(int32_t length, const CallOptions& call = {}) const;

 private:
  struct Rpc;
  const std::unique_ptr<const Rpc> rpc_;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_INSTANCE_CLIENT_H_
