#include "client/client.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "client/channel.h"
#include "client/secret_fields.h"
#include "client/unary_call.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom {
namespace {

using Stub = v1::KmsService::StubInterface;
using HealthStub = grpc::health::v1::Health::StubInterface;

static_assert(static_cast<int>(DataKeySpec::kAes256) == v1::DATA_KEY_SPEC_AES_256);
static_assert(static_cast<int>(DataKeySpec::kAes128) == v1::DATA_KEY_SPEC_AES_128);
static_assert(static_cast<int>(DataKeyPairSpec::kRsa2048) == v1::DATA_KEY_PAIR_SPEC_RSA_2048);
static_assert(static_cast<int>(DataKeyPairSpec::kRsa3072) == v1::DATA_KEY_PAIR_SPEC_RSA_3072);
static_assert(static_cast<int>(DataKeyPairSpec::kRsa4096) == v1::DATA_KEY_PAIR_SPEC_RSA_4096);
static_assert(static_cast<int>(DataKeyPairSpec::kEcP256) == v1::DATA_KEY_PAIR_SPEC_EC_P256);
static_assert(static_cast<int>(DataKeyPairSpec::kEcP384) == v1::DATA_KEY_PAIR_SPEC_EC_P384);
static_assert(static_cast<int>(DataKeyPairSpec::kEcP521) == v1::DATA_KEY_PAIR_SPEC_EC_P521);
static_assert(static_cast<int>(DataKeyPairSpec::kEcP256k) == v1::DATA_KEY_PAIR_SPEC_EC_P256K);
static_assert(static_cast<int>(KeyFormat::kPem) == v1::KEY_FORMAT_PEM);
static_assert(static_cast<int>(KeyFormat::kDer) == v1::KEY_FORMAT_DER);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPkcs1V15Sha256) ==
              v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_256);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPkcs1V15Sha384) ==
              v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_384);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPkcs1V15Sha512) ==
              v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_512);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPssSha256) ==
              v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_256);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPssSha384) ==
              v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_384);
static_assert(static_cast<int>(SigningAlgorithm::kRsassaPssSha512) ==
              v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_512);
static_assert(static_cast<int>(SigningAlgorithm::kEcdsaSha256) ==
              v1::SIGNING_ALGORITHM_ECDSA_SHA_256);
static_assert(static_cast<int>(SigningAlgorithm::kEcdsaSha384) ==
              v1::SIGNING_ALGORITHM_ECDSA_SHA_384);
static_assert(static_cast<int>(SigningAlgorithm::kEcdsaSha512) ==
              v1::SIGNING_ALGORITHM_ECDSA_SHA_512);
static_assert(static_cast<int>(MessageType::kRaw) == v1::MESSAGE_TYPE_RAW);
static_assert(static_cast<int>(MessageType::kDigest) == v1::MESSAGE_TYPE_DIGEST);
static_assert(static_cast<int>(EcdsaSignatureFormat::kDer) == v1::ECDSA_SIGNATURE_FORMAT_DER);
static_assert(static_cast<int>(EcdsaSignatureFormat::kFixed) == v1::ECDSA_SIGNATURE_FORMAT_FIXED);
static_assert(static_cast<int>(AsymmetricDecryptionAlgorithm::kRsaesOaepSha256) ==
              v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_256);
static_assert(static_cast<int>(AsymmetricDecryptionAlgorithm::kRsaesOaepSha1) ==
              v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_1);

// The fields that all requests have.
template <typename Request, typename Message>
void SetCommon(const Request& request, Message* message) {
  message->set_key_id(request.key_id);
  message->mutable_encryption_context()->insert(request.encryption_context.begin(),
                                                request.encryption_context.end());
  message->mutable_grant_tokens()->Assign(request.grant_tokens.begin(), request.grant_tokens.end());
  message->set_dry_run(request.dry_run);
}

// Of a data key, or of many.
template <typename Message, typename Request>
Message DataKeyMessage(const Request& request) {
  Message message;
  SetCommon(request, &message);
  message.set_key_spec(static_cast<v1::DataKeySpec>(request.key_spec));
  if (request.number_of_bytes.has_value()) message.set_number_of_bytes(*request.number_of_bytes);
  return message;
}

template <typename Message>
Message PairMessage(const GenerateDataKeyPairRequest& request) {
  Message message;
  SetCommon(request, &message);
  message.set_key_pair_spec(static_cast<v1::DataKeyPairSpec>(request.key_pair_spec));
  message.set_key_format(static_cast<v1::KeyFormat>(request.key_format));
  return message;
}

// Of what uses a pair's private key.
template <typename Message, typename Request>
Message PrivateKeyMessage(const Request& request) {
  Message message;
  SetCommon(request, &message);
  message.set_private_key_ciphertext_blob(request.private_key_ciphertext_blob);
  message.set_aad(request.aad);
  return message;
}

constexpr auto kToSealedPair = [](auto& response) {
  return SealedDataKeyPair{
      .key_id = response.key_id(),
      .key_version_id = response.key_version_id(),
      .key_pair_spec = static_cast<DataKeyPairSpec>(response.key_pair_spec()),
      .key_format = static_cast<KeyFormat>(response.key_format()),
      .public_key = response.public_key(),
      .private_key_ciphertext_blob = response.private_key_ciphertext_blob(),
      .request_id = response.request_id(),
  };
};

// Wipes what is secret in `response`.
DataKeyBatch ToBatch(v1::BatchGenerateDataKeyResponse& response) {
  DataKeyBatch batch;
  batch.key_id = response.key_id();
  batch.request_id = response.request_id();
  size_t bytes = 0;
  for (const v1::BatchDataKeyOutcome& outcome : response.outcomes()) {
    bytes += outcome.data_key().plaintext().size();
  }
  batch.plaintexts = SecretBytes(bytes);
  absl::Span<uint8_t> rest = batch.plaintexts.MutableSecret();
  batch.outcomes.reserve(static_cast<size_t>(response.outcomes_size()));
  for (v1::BatchDataKeyOutcome& outcome : *response.mutable_outcomes()) {
    if (!outcome.has_data_key()) {
      batch.outcomes.push_back(BatchDataKeyError{.reason = ReasonFromName(outcome.error().reason()),
                                                 .reason_name = outcome.error().reason(),
                                                 .message = outcome.error().message()});
      continue;
    }
    v1::BatchDataKey& key = *outcome.mutable_data_key();
    std::string& plaintext = *key.mutable_plaintext();
    std::copy(plaintext.begin(), plaintext.end(), rest.begin());
    batch.outcomes.push_back(
        BatchDataKey{.key_version_id = std::move(*key.mutable_key_version_id()),
                     .plaintext = rest.first(plaintext.size()),
                     .ciphertext_blob = std::move(*key.mutable_ciphertext_blob())});
    rest.remove_prefix(plaintext.size());
    Wipe(&plaintext);
  }
  return batch;
}

absl::Status CheckOptions(const ClientOptions& options) {
  if (options.timeout <= absl::ZeroDuration() || options.pair_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("a timeout is more than 0, e.g. 5s");
  }
  if (options.retry.max_attempts < 1) {
    return absl::InvalidArgumentError("retry.max_attempts is 1 or more");
  }
  if (options.retry.initial_backoff < absl::ZeroDuration() ||
      options.retry.max_backoff < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("a retry's back-off is 0 or more");
  }
  return absl::OkStatus();
}

}  // namespace

struct Client::Rpc {
  Rpc(const std::shared_ptr<grpc::Channel>& channel, const ClientOptions& options)
      : kms(channel, options),
        health(channel, options),
        instance(channel, options),
        keys(channel, options),
        audit(channel, options) {}

  Caller<v1::KmsService> kms;
  Caller<grpc::health::v1::Health> health;
  InstanceClient instance;
  KeyManagementClient keys;
  AuditClient audit;
};

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  absl::Status valid = CheckOptions(options);
  if (!valid.ok()) return valid;
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(options);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<Client>(new Client(std::make_unique<Rpc>(*channel, options)));
}

Client::Client(std::unique_ptr<const Rpc> rpc) : rpc_(std::move(rpc)) {}

Client::~Client() = default;

const InstanceClient& Client::instance() const { return rpc_->instance; }

const KeyManagementClient& Client::keys() const { return rpc_->keys; }

const AuditClient& Client::audit() const { return rpc_->audit; }

absl::StatusOr<DataKey> Client::GenerateDataKey(const GenerateDataKeyRequest& request,
                                                const CallOptions& call) const {
  return rpc_->kms.Call(&Stub::GenerateDataKey, DataKeyMessage<v1::GenerateDataKeyRequest>(request),
                        CallKind::kRepeatable, call, [](auto& response) {
                          return DataKey{
                              .key_id = response.key_id(),
                              .key_version_id = response.key_version_id(),
                              .plaintext = TakeSecret(response.mutable_plaintext()),
                              .ciphertext_blob = response.ciphertext_blob(),
                              .request_id = response.request_id(),
                          };
                        });
}

absl::StatusOr<SealedDataKey> Client::GenerateDataKeyWithoutPlaintext(
    const GenerateDataKeyRequest& request, const CallOptions& call) const {
  return rpc_->kms.Call(&Stub::GenerateDataKeyWithoutPlaintext,
                        DataKeyMessage<v1::GenerateDataKeyWithoutPlaintextRequest>(request),
                        CallKind::kRepeatable, call, [](auto& response) {
                          return SealedDataKey{
                              .key_id = response.key_id(),
                              .key_version_id = response.key_version_id(),
                              .ciphertext_blob = response.ciphertext_blob(),
                              .request_id = response.request_id(),
                          };
                        });
}

absl::StatusOr<DataKeyBatch> Client::BatchGenerateDataKey(
    const BatchGenerateDataKeyRequest& request, const CallOptions& call) const {
  auto message = DataKeyMessage<v1::BatchGenerateDataKeyRequest>(request);
  message.set_count(request.count);
  message.set_without_plaintext(request.without_plaintext);
  return rpc_->kms.Call(&Stub::BatchGenerateDataKey, message, CallKind::kRepeatable, call, ToBatch);
}

absl::StatusOr<SealedDataKeyPair> Client::GenerateDataKeyPair(
    const GenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->kms.Call(&Stub::GenerateDataKeyPair,
                        PairMessage<v1::GenerateDataKeyPairRequest>(request),
                        CallKind::kRepeatablePair, call, kToSealedPair);
}

absl::StatusOr<SealedDataKeyPair> Client::GenerateDataKeyPairWithoutPlaintext(
    const GenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->kms.Call(&Stub::GenerateDataKeyPairWithoutPlaintext,
                        PairMessage<v1::GenerateDataKeyPairWithoutPlaintextRequest>(request),
                        CallKind::kRepeatablePair, call, kToSealedPair);
}

absl::StatusOr<EncryptResult> Client::Encrypt(const EncryptRequest& request,
                                              const CallOptions& call) const {
  v1::EncryptRequest message;
  const ScopedWipe wipe(message.mutable_plaintext());
  SetCommon(request, &message);
  message.set_plaintext(request.plaintext.data(), request.plaintext.size());
  return rpc_->kms.Call(&Stub::Encrypt, message, CallKind::kRepeatable, call, [](auto& response) {
    return EncryptResult{
        .key_id = response.key_id(),
        .key_version_id = response.key_version_id(),
        .ciphertext_blob = response.ciphertext_blob(),
        .request_id = response.request_id(),
    };
  });
}

absl::StatusOr<DecryptResult> Client::Decrypt(const DecryptRequest& request,
                                              const CallOptions& call) const {
  v1::DecryptRequest message;
  SetCommon(request, &message);
  message.set_ciphertext_blob(request.ciphertext_blob);
  message.set_aad(request.aad);
  return rpc_->kms.Call(&Stub::Decrypt, message, CallKind::kRepeatable, call, [](auto& response) {
    return DecryptResult{
        .key_id = response.key_id(),
        .key_version_id = response.key_version_id(),
        .plaintext = TakeSecret(response.mutable_plaintext()),
        .request_id = response.request_id(),
    };
  });
}

absl::StatusOr<ReEncryptResult> Client::ReEncrypt(const ReEncryptRequest& request,
                                                  const CallOptions& call) const {
  v1::ReEncryptRequest message;
  message.set_ciphertext_blob(request.ciphertext_blob);
  message.mutable_source_encryption_context()->insert(request.source_encryption_context.begin(),
                                                      request.source_encryption_context.end());
  message.set_source_aad(request.source_aad);
  message.set_source_key_id(request.source_key_id);
  message.set_destination_key_id(request.destination_key_id);
  message.mutable_destination_encryption_context()->insert(
      request.destination_encryption_context.begin(), request.destination_encryption_context.end());
  message.mutable_grant_tokens()->Assign(request.grant_tokens.begin(), request.grant_tokens.end());
  message.set_dry_run(request.dry_run);
  return rpc_->kms.Call(&Stub::ReEncrypt, message, CallKind::kRepeatable, call, [](auto& response) {
    return ReEncryptResult{
        .ciphertext_blob = response.ciphertext_blob(),
        .source_key_id = response.source_key_id(),
        .source_key_version_id = response.source_key_version_id(),
        .key_id = response.key_id(),
        .key_version_id = response.key_version_id(),
        .request_id = response.request_id(),
    };
  });
}

absl::StatusOr<SignWithDataKeyPairResult> Client::SignWithDataKeyPair(
    const SignWithDataKeyPairRequest& request, const CallOptions& call) const {
  auto message = PrivateKeyMessage<v1::SignWithDataKeyPairRequest>(request);
  // What is signed may be secret, too.
  const ScopedWipe wipe(message.mutable_message());
  message.set_message(request.message.data(), request.message.size());
  message.set_message_type(static_cast<v1::MessageType>(request.message_type));
  message.set_signing_algorithm(static_cast<v1::SigningAlgorithm>(request.signing_algorithm));
  message.set_ecdsa_signature_format(
      static_cast<v1::EcdsaSignatureFormat>(request.ecdsa_signature_format));
  return rpc_->kms.Call(
      &Stub::SignWithDataKeyPair, message, CallKind::kRepeatable, call, [](auto& response) {
        return SignWithDataKeyPairResult{
            .key_id = response.key_id(),
            .key_version_id = response.key_version_id(),
            .signature = response.signature(),
            .signing_algorithm = static_cast<SigningAlgorithm>(response.signing_algorithm()),
            .key_pair_spec = static_cast<DataKeyPairSpec>(response.key_pair_spec()),
            .request_id = response.request_id(),
        };
      });
}

absl::StatusOr<DecryptWithDataKeyPairResult> Client::DecryptWithDataKeyPair(
    const DecryptWithDataKeyPairRequest& request, const CallOptions& call) const {
  auto message = PrivateKeyMessage<v1::DecryptWithDataKeyPairRequest>(request);
  message.set_ciphertext(request.ciphertext);
  message.set_decryption_algorithm(
      static_cast<v1::AsymmetricDecryptionAlgorithm>(request.decryption_algorithm));
  return rpc_->kms.Call(
      &Stub::DecryptWithDataKeyPair, message, CallKind::kRepeatable, call, [](auto& response) {
        return DecryptWithDataKeyPairResult{
            .key_id = response.key_id(),
            .key_version_id = response.key_version_id(),
            .plaintext = TakeSecret(response.mutable_plaintext()),
            .decryption_algorithm =
                static_cast<AsymmetricDecryptionAlgorithm>(response.decryption_algorithm()),
            .request_id = response.request_id(),
        };
      });
}

absl::StatusOr<DeriveSharedSecretResult> Client::DeriveSharedSecret(
    const DeriveSharedSecretRequest& request, const CallOptions& call) const {
  auto message = PrivateKeyMessage<v1::DeriveSharedSecretRequest>(request);
  message.set_public_key(request.public_key);
  return rpc_->kms.Call(&Stub::DeriveSharedSecret, message, CallKind::kRepeatable, call,
                        [](auto& response) {
                          return DeriveSharedSecretResult{
                              .key_id = response.key_id(),
                              .key_version_id = response.key_version_id(),
                              .shared_secret = TakeSecret(response.mutable_shared_secret()),
                              .request_id = response.request_id(),
                          };
                        });
}

absl::StatusOr<RandomResult> Client::GenerateRandom(int32_t number_of_bytes,
                                                    const CallOptions& call) const {
  v1::GenerateRandomRequest message;
  message.set_number_of_bytes(number_of_bytes);
  return rpc_->kms.Call(&Stub::GenerateRandom, message, CallKind::kRepeatable, call,
                        [](auto& response) {
                          return RandomResult{.random = TakeSecret(response.mutable_plaintext()),
                                              .request_id = response.request_id()};
                        });
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service,
                                           const CallOptions& call) const {
  grpc::health::v1::HealthCheckRequest message;
  message.set_service(service);
  return rpc_->health.Call(&HealthStub::Check, message, CallKind::kRepeatable, call,
                           [](auto& response) {
                             switch (response.status()) {
                               case grpc::health::v1::HealthCheckResponse::SERVING:
                                 return Health::kServing;
                               case grpc::health::v1::HealthCheckResponse::NOT_SERVING:
                                 return Health::kNotServing;
                               default:
                                 return Health::kUnknown;
                             }
                           });
}

}  // namespace strongroom
