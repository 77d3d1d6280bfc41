#include "client/instance_client.h"

#include "client/secret_fields.h"
#include "client/unary_call.h"
#include "strongroom/v1/kms_instance_service.grpc.pb.h"

namespace strongroom {
namespace {

namespace pb = ::strongroom::instance::v1;
using Stub = v1::KmsInstanceService::StubInterface;

// The plain and the Advance messages have fields of the same names; the Advance ones lack some in
// requests and have the key version in answers.

template <typename Message>
std::string KeyVersionIdOf(const Message& message) {
  if constexpr (requires { message.keyversionid(); }) {
    return message.keyversionid();
  } else {
    return "";
  }
}

template <typename Message, typename Request>
Message DataKeyMessage(const Request& request) {
  Message message;
  message.set_keyid(request.key_id);
  if (request.number_of_bytes.has_value()) message.set_numberofbytes(*request.number_of_bytes);
  message.set_aad(request.aad);
  if constexpr (requires { request.algorithm; }) message.set_algorithm(request.algorithm);
  return message;
}

template <typename Message, typename Request>
Message PairMessage(const Request& request) {
  Message message;
  message.set_keyid(request.key_id);
  message.set_keypairspec(request.key_pair_spec);
  message.set_keyformat(request.key_format);
  message.set_aad(request.aad);
  if constexpr (requires { request.algorithm; }) message.set_algorithm(request.algorithm);
  return message;
}

template <typename Message>
Message EncryptMessage(const InstanceEncryptRequest& request) {
  Message message;
  message.set_keyid(request.key_id);
  message.set_plaintext(request.plaintext.data(), request.plaintext.size());
  message.set_aad(request.aad);
  message.set_algorithm(request.algorithm);
  return message;
}

template <typename Message>
Message DecryptMessage(const InstanceDecryptRequest& request) {
  Message message;
  message.set_keyid(request.key_id);
  message.set_ciphertextblob(request.ciphertext_blob);
  message.set_aad(request.aad);
  message.set_iv(request.iv);
  message.set_algorithm(request.algorithm);
  return message;
}

constexpr auto kToDataKey = [](auto& response) {
  return InstanceDataKey{
      .key_id = response.keyid(),
      .key_version_id = KeyVersionIdOf(response),
      .plaintext = TakeSecret(response.mutable_plaintext()),
      .ciphertext_blob = response.ciphertextblob(),
      .iv = response.iv(),
      .algorithm = response.algorithm(),
      .request_id = response.requestid(),
  };
};

constexpr auto kToSealedPair = [](auto& response) {
  return InstanceSealedDataKeyPair{
      .key_id = response.keyid(),
      .key_version_id = KeyVersionIdOf(response),
      .key_pair_spec = response.keypairspec(),
      .public_key = response.publickey(),
      .private_key_ciphertext_blob = response.privatekeyciphertextblob(),
      .iv = response.iv(),
      .algorithm = response.algorithm(),
      .request_id = response.requestid(),
  };
};

constexpr auto kToPair = [](auto& response) {
  return InstanceDataKeyPair{
      .sealed = kToSealedPair(response),
      .private_key = TakeSecret(response.mutable_privatekeyplaintext()),
  };
};

constexpr auto kToEncryptResult = [](auto& response) {
  return InstanceEncryptResult{
      .key_id = response.keyid(),
      .key_version_id = KeyVersionIdOf(response),
      .ciphertext_blob = response.ciphertextblob(),
      .iv = response.iv(),
      .algorithm = response.algorithm(),
      .request_id = response.requestid(),
  };
};

constexpr auto kToDecryptResult = [](auto& response) {
  return InstanceDecryptResult{
      .key_id = response.keyid(),
      .key_version_id = KeyVersionIdOf(response),
      .plaintext = TakeSecret(response.mutable_plaintext()),
      .algorithm = response.algorithm(),
      .request_id = response.requestid(),
  };
};

template <typename Request>
CallMetadata MetadataOf(const Request& request) {
  return {.grant_tokens = request.grant_tokens, .dry_run = request.dry_run};
}

}  // namespace

struct InstanceClient::Rpc : Caller<v1::KmsInstanceService> {
  using Caller::Caller;
};

InstanceClient::InstanceClient(const std::shared_ptr<grpc::Channel>& channel,
                               const ClientOptions& options)
    : rpc_(std::make_unique<Rpc>(channel, options)) {}

InstanceClient::~InstanceClient() = default;

absl::StatusOr<InstanceDataKey> InstanceClient::GenerateDataKey(
    const InstanceGenerateDataKeyRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::GenerateDataKey, DataKeyMessage<pb::GenerateDataKeyRequest>(request),
                    CallKind::kRepeatable, call, kToDataKey, MetadataOf(request));
}

absl::StatusOr<InstanceDataKey> InstanceClient::AdvanceGenerateDataKey(
    const InstanceAdvanceGenerateDataKeyRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::AdvanceGenerateDataKey,
                    DataKeyMessage<pb::AdvanceGenerateDataKeyRequest>(request),
                    CallKind::kRepeatable, call, kToDataKey, MetadataOf(request));
}

absl::StatusOr<InstanceDataKeyPair> InstanceClient::GenerateDataKeyPair(
    const InstanceGenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::GenerateDataKeyPair,
                    PairMessage<pb::GenerateDataKeyPairRequest>(request), CallKind::kRepeatablePair,
                    call, kToPair, MetadataOf(request));
}

absl::StatusOr<InstanceDataKeyPair> InstanceClient::AdvanceGenerateDataKeyPair(
    const InstanceAdvanceGenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::AdvanceGenerateDataKeyPair,
                    PairMessage<pb::AdvanceGenerateDataKeyPairRequest>(request),
                    CallKind::kRepeatablePair, call, kToPair, MetadataOf(request));
}

absl::StatusOr<InstanceSealedDataKeyPair> InstanceClient::GenerateDataKeyPairWithoutPlaintext(
    const InstanceGenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::GenerateDataKeyPairWithoutPlaintext,
                    PairMessage<pb::GenerateDataKeyPairWithoutPlaintextRequest>(request),
                    CallKind::kRepeatablePair, call, kToSealedPair, MetadataOf(request));
}

absl::StatusOr<InstanceSealedDataKeyPair>
InstanceClient::AdvanceGenerateDataKeyPairWithoutPlaintext(
    const InstanceAdvanceGenerateDataKeyPairRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::AdvanceGenerateDataKeyPairWithoutPlaintext,
                    PairMessage<pb::AdvanceGenerateDataKeyPairWithoutPlaintextRequest>(request),
                    CallKind::kRepeatablePair, call, kToSealedPair, MetadataOf(request));
}

absl::StatusOr<InstanceEncryptResult> InstanceClient::Encrypt(const InstanceEncryptRequest& request,
                                                              const CallOptions& call) const {
  auto message = EncryptMessage<pb::EncryptRequest>(request);
  const ScopedWipe wipe(message.mutable_plaintext());
  return rpc_->Call(&Stub::Encrypt, message, CallKind::kRepeatable, call, kToEncryptResult,
                    MetadataOf(request));
}

absl::StatusOr<InstanceEncryptResult> InstanceClient::AdvanceEncrypt(
    const InstanceEncryptRequest& request, const CallOptions& call) const {
  auto message = EncryptMessage<pb::AdvanceEncryptRequest>(request);
  const ScopedWipe wipe(message.mutable_plaintext());
  return rpc_->Call(&Stub::AdvanceEncrypt, message, CallKind::kRepeatable, call, kToEncryptResult,
                    MetadataOf(request));
}

absl::StatusOr<InstanceDecryptResult> InstanceClient::Decrypt(const InstanceDecryptRequest& request,
                                                              const CallOptions& call) const {
  return rpc_->Call(&Stub::Decrypt, DecryptMessage<pb::DecryptRequest>(request),
                    CallKind::kRepeatable, call, kToDecryptResult, MetadataOf(request));
}

absl::StatusOr<InstanceDecryptResult> InstanceClient::AdvanceDecrypt(
    const InstanceDecryptRequest& request, const CallOptions& call) const {
  return rpc_->Call(&Stub::AdvanceDecrypt, DecryptMessage<pb::AdvanceDecryptRequest>(request),
                    CallKind::kRepeatable, call, kToDecryptResult, MetadataOf(request));
}

absl::StatusOr<InstanceRandom> InstanceClient::GenerateRandom(int32_t length,
                                                              const CallOptions& call) const {
  pb::GenerateRandomRequest message;
  message.set_length(length);
  return rpc_->Call(&Stub::GenerateRandom, message, CallKind::kRepeatable, call,
                    [](auto& response) {
                      return InstanceRandom{.random = TakeSecret(response.mutable_random()),
                                            .request_id = response.requestid()};
                    });
}

}  // namespace strongroom
