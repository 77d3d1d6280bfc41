#include "server/grpc/kms_instance_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/grpc/status_macros.h"
#include "strongroom/v1/kms_instance_service.grpc.pb.h"

namespace strongroom::grpc_server {
namespace {

namespace pb = instance::v1;

using core::Binding;
using core::KeyFormat;
using core::KeyReference;
using core::Plaintext;
using core::SealingOptions;
using core::SealingVersion;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// The Advance requests have no Algorithm where the plain ones have one, and so with other fields.
template <typename Request>
absl::Status CheckGcm(const Request& request) {
  if constexpr (requires { request.algorithm(); }) {
    STRONGROOM_RETURN_IF_ERROR(core::CheckAlgorithm("Algorithm", request.algorithm()));
  }
  if constexpr (requires { request.paddingmode(); }) {
    if (!request.paddingmode().empty()) {
      return core::MakeError(core::Reason::kInvalidParameter,
                             "PaddingMode: must be empty; AES_GCM takes no padding");
    }
  }
  return absl::OkStatus();
}

// What every request that seals says besides what is sealed.
struct Sealing {
  KeyReference key;
  Binding binding;
};

template <typename Request>
absl::StatusOr<Sealing> SealingOf(const Request& request, gate::Call& call) {
  call.key_id = request.keyid();
  call.aad = request.aad();
  STRONGROOM_ASSIGN_OR_RETURN(KeyReference key, core::ParseKeyReference("KeyId", request.keyid()));
  STRONGROOM_RETURN_IF_ERROR(CheckGcm(request));
  STRONGROOM_ASSIGN_OR_RETURN(Binding binding, Binding::ToAad("Aad", request.aad()));
  return Sealing{std::move(key), std::move(binding)};
}

// May the caller seal so?
absl::StatusOr<SealingOptions> Authorize(Sealing sealing, SealingVersion version,
                                         gate::Call& call) {
  STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({sealing.key}));
  return SealingOptions{permit.key(0), version, std::move(sealing.binding)};
}

absl::StatusOr<std::optional<hsm::Iv>> IvOf(absl::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  hsm::Iv iv;
  if (bytes.size() != iv.size()) {
    return core::MakeError(core::Reason::kInvalidParameter,
                           absl::StrCat("Iv: has ", bytes.size(), " bytes; valid are the ",
                                        iv.size(), " that sealing answered, or none"));
  }
  std::copy(bytes.begin(), bytes.end(), iv.begin());
  return iv;
}

// Only the Advance answers tell the version.
template <typename Response>
void SetVersion(const KeyVersionId& key_version_id, gate::Call& call, Response& response) {
  call.key_version_id = key_version_id.ToString();
  if constexpr (requires { response.set_keyversionid(call.key_version_id); }) {
    response.set_keyversionid(call.key_version_id);
  }
}

// What every answer that seals has, but for the blob, whose names differ.
template <typename Response>
void SetSealed(const core::Sealed& sealed, gate::Call& call, Response& response) {
  call.key_id = sealed.key_id.ToString();
  response.set_keyid(call.key_id);
  SetVersion(sealed.key_version_id, call, response);
  response.set_iv(sealed.iv.data(), sealed.iv.size());
  response.set_algorithm(core::kAlgorithmName);
}

using S = v1::KmsInstanceService;
using Base = S::WithRawCallbackMethod_GenerateDataKey<
    S::WithRawCallbackMethod_AdvanceGenerateDataKey<S::WithRawCallbackMethod_GenerateDataKeyPair<
        S::WithRawCallbackMethod_GenerateDataKeyPairWithoutPlaintext<
            S::WithRawCallbackMethod_AdvanceGenerateDataKeyPair<
                S::WithRawCallbackMethod_AdvanceGenerateDataKeyPairWithoutPlaintext<
                    S::WithRawCallbackMethod_Encrypt<
                        S::WithRawCallbackMethod_Decrypt<S::WithRawCallbackMethod_AdvanceEncrypt<
                            S::WithRawCallbackMethod_AdvanceDecrypt<
                                S::WithRawCallbackMethod_GenerateRandom<S::Service>>>>>>>>>>>;

class KmsInstanceFace final : public Base {
 public:
  KmsInstanceFace(Desk& desk, core::DataKeys& data_keys) : desk_(desk), data_keys_(data_keys) {}

  ServerUnaryReactor* GenerateDataKey(CallbackServerContext* context, const ByteBuffer* request,
                                      ByteBuffer* response) override {
    return desk_.Serve<pb::GenerateDataKeyRequest, pb::GenerateDataKeyResponse>(
        context, request, response, gate::Operation("KmsInstanceService.GenerateDataKey"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return MakeDataKey(q, SealingVersion::kInitial, call, a);
        });
  }

  ServerUnaryReactor* AdvanceGenerateDataKey(CallbackServerContext* context,
                                             const ByteBuffer* request,
                                             ByteBuffer* response) override {
    return desk_.Serve<pb::AdvanceGenerateDataKeyRequest, pb::AdvanceGenerateDataKeyResponse>(
        context, request, response, gate::Operation("KmsInstanceService.AdvanceGenerateDataKey"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return MakeDataKey(q, SealingVersion::kPrimary, call, a);
        });
  }

  ServerUnaryReactor* GenerateDataKeyPair(CallbackServerContext* context, const ByteBuffer* request,
                                          ByteBuffer* response) override {
    return desk_.Serve<pb::GenerateDataKeyPairRequest, pb::GenerateDataKeyPairResponse>(
        context, request, response, gate::Operation("KmsInstanceService.GenerateDataKeyPair"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return MakeKeyPair(q, SealingVersion::kInitial, call, a);
        });
  }

  ServerUnaryReactor* GenerateDataKeyPairWithoutPlaintext(CallbackServerContext* context,
                                                          const ByteBuffer* request,
                                                          ByteBuffer* response) override {
    return desk_.Serve<pb::GenerateDataKeyPairWithoutPlaintextRequest,
                       pb::GenerateDataKeyPairWithoutPlaintextResponse>(
        context, request, response,
        gate::Operation("KmsInstanceService.GenerateDataKeyPairWithoutPlaintext"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return MakeKeyPair(q, SealingVersion::kInitial, call, a);
        });
  }

  ServerUnaryReactor* AdvanceGenerateDataKeyPair(CallbackServerContext* context,
                                                 const ByteBuffer* request,
                                                 ByteBuffer* response) override {
    return desk_
        .Serve<pb::AdvanceGenerateDataKeyPairRequest, pb::AdvanceGenerateDataKeyPairResponse>(
            context, request, response,
            gate::Operation("KmsInstanceService.AdvanceGenerateDataKeyPair"),
            [this](const auto& q, gate::Call& call, auto& a) {
              return MakeKeyPair(q, SealingVersion::kPrimary, call, a);
            });
  }

  ServerUnaryReactor* AdvanceGenerateDataKeyPairWithoutPlaintext(CallbackServerContext* context,
                                                                 const ByteBuffer* request,
                                                                 ByteBuffer* response) override {
    return desk_.Serve<pb::AdvanceGenerateDataKeyPairWithoutPlaintextRequest,
                       pb::AdvanceGenerateDataKeyPairWithoutPlaintextResponse>(
        context, request, response,
        gate::Operation("KmsInstanceService.AdvanceGenerateDataKeyPairWithoutPlaintext"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return MakeKeyPair(q, SealingVersion::kPrimary, call, a);
        });
  }

  ServerUnaryReactor* Encrypt(CallbackServerContext* context, const ByteBuffer* request,
                              ByteBuffer* response) override {
    return desk_.Serve<pb::EncryptRequest, pb::EncryptResponse>(
        context, request, response, gate::Operation("KmsInstanceService.Encrypt"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return SealPlaintext(q, SealingVersion::kInitial, call, a);
        });
  }

  ServerUnaryReactor* AdvanceEncrypt(CallbackServerContext* context, const ByteBuffer* request,
                                     ByteBuffer* response) override {
    return desk_.Serve<pb::AdvanceEncryptRequest, pb::AdvanceEncryptResponse>(
        context, request, response, gate::Operation("KmsInstanceService.AdvanceEncrypt"),
        [this](const auto& q, gate::Call& call, auto& a) {
          return SealPlaintext(q, SealingVersion::kPrimary, call, a);
        });
  }

  ServerUnaryReactor* Decrypt(CallbackServerContext* context, const ByteBuffer* request,
                              ByteBuffer* response) override {
    return desk_.Serve<pb::DecryptRequest, pb::DecryptResponse>(
        context, request, response, gate::Operation("KmsInstanceService.Decrypt"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.keyid().empty()) return core::MissingParameter("KeyId");
          return OpenBlob(q, call, a);
        });
  }

  ServerUnaryReactor* AdvanceDecrypt(CallbackServerContext* context, const ByteBuffer* request,
                                     ByteBuffer* response) override {
    return desk_.Serve<pb::AdvanceDecryptRequest, pb::AdvanceDecryptResponse>(
        context, request, response, gate::Operation("KmsInstanceService.AdvanceDecrypt"),
        [this](const auto& q, gate::Call& call, auto& a) { return OpenBlob(q, call, a); });
  }

  ServerUnaryReactor* GenerateRandom(CallbackServerContext* context, const ByteBuffer* request,
                                     ByteBuffer* response) override {
    return desk_.Serve<pb::GenerateRandomRequest, pb::GenerateRandomResponse>(
        context, request, response, gate::Operation("KmsInstanceService.GenerateRandom"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const size_t bytes,
                                      core::ParseNumberOfBytes("Length", q.length()));
          STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          STRONGROOM_ASSIGN_OR_RETURN(const SecretBytes random,
                                      data_keys_.GenerateRandom(bytes, call.deadline));
          const absl::string_view text = random.ExposeSecretAsText();
          a.set_random(text.data(), text.size());
          return absl::OkStatus();
        });
  }

 private:
  template <typename Request, typename Response>
  absl::Status MakeDataKey(const Request& request, SealingVersion version, gate::Call& call,
                           Response& response) {
    STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(request, call));
    size_t bytes = core::kDefaultDataKeyBytes;
    if (request.has_numberofbytes()) {
      STRONGROOM_ASSIGN_OR_RETURN(
          bytes, core::ParseNumberOfBytes("NumberOfBytes", request.numberofbytes()));
    }
    STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options,
                                Authorize(std::move(sealing), version, call));
    if (call.dry_run) return Rehearse(options, call);
    STRONGROOM_ASSIGN_OR_RETURN(
        core::DataKey key,
        data_keys_.GenerateDataKey(options, bytes, Plaintext::kReturned, call.deadline));
    SetSealed(key.sealed, call, response);
    response.set_ciphertextblob(std::move(key.sealed.blob));
    const absl::string_view plaintext = key.plaintext->ExposeSecretAsText();
    response.set_plaintext(plaintext.data(), plaintext.size());
    return absl::OkStatus();
  }

  // All four pair operations; those whose answer has no place for the private key do not get it.
  template <typename Request, typename Response>
  absl::Status MakeKeyPair(const Request& request, SealingVersion version, gate::Call& call,
                           Response& response) {
    constexpr bool kReturnsPlaintext = requires { response.mutable_privatekeyplaintext(); };
    STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const hsm::PairSpec spec,
                                core::ParsePairSpec("KeyPairSpec", request.keypairspec()));
    STRONGROOM_ASSIGN_OR_RETURN(const KeyFormat format,
                                core::ParseKeyFormat("KeyFormat", request.keyformat()));
    call.pair_spec = spec;
    STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options,
                                Authorize(std::move(sealing), version, call));
    if (call.dry_run) return Rehearse(options, call);
    STRONGROOM_ASSIGN_OR_RETURN(
        core::KeyPair pair,
        data_keys_.GenerateKeyPair(
            options, spec, format,
            kReturnsPlaintext ? Plaintext::kReturned : Plaintext::kNotReturned, call.deadline));
    SetSealed(pair.sealed, call, response);
    response.set_keypairspec(request.keypairspec());
    response.set_privatekeyciphertextblob(std::move(pair.sealed.blob));
    response.set_publickey(std::move(pair.public_key));
    if constexpr (kReturnsPlaintext) {
      const absl::string_view private_key = pair.private_key->ExposeSecretAsText();
      response.set_privatekeyplaintext(private_key.data(), private_key.size());
    }
    return absl::OkStatus();
  }

  template <typename Request, typename Response>
  absl::Status SealPlaintext(const Request& request, SealingVersion version, gate::Call& call,
                             Response& response) {
    STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(request, call));
    if (!request.iv().empty()) {
      return core::MakeError(core::Reason::kInvalidParameter,
                             "Iv: must be empty; the service draws a fresh one for every sealing");
    }
    STRONGROOM_RETURN_IF_ERROR(core::CheckPlaintext("Plaintext", request.plaintext()));
    STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options,
                                Authorize(std::move(sealing), version, call));
    if (call.dry_run) return Rehearse(options, call);
    STRONGROOM_ASSIGN_OR_RETURN(core::Sealed sealed,
                                data_keys_.Encrypt(options, request.plaintext(), call.deadline));
    SetSealed(sealed, call, response);
    response.set_ciphertextblob(std::move(sealed.blob));
    return absl::OkStatus();
  }

  template <typename Request, typename Response>
  absl::Status OpenBlob(const Request& request, gate::Call& call, Response& response) {
    if (request.ciphertextblob().empty()) return core::MissingParameter("CiphertextBlob");
    std::optional<KeyReference> expected;
    if (!request.keyid().empty()) {
      call.key_id = request.keyid();
      STRONGROOM_ASSIGN_OR_RETURN(expected, core::ParseKeyReference("KeyId", request.keyid()));
    }
    STRONGROOM_RETURN_IF_ERROR(CheckGcm(request));
    call.aad = request.aad();
    STRONGROOM_ASSIGN_OR_RETURN(const Binding binding, Binding::ToAad("Aad", request.aad()));
    STRONGROOM_ASSIGN_OR_RETURN(const std::optional<hsm::Iv> iv, IvOf(request.iv()));
    STRONGROOM_ASSIGN_OR_RETURN(const std::optional<KeyId> expected_key,
                                call.AuthorizeOpening(request.ciphertextblob(), expected));
    if (call.dry_run) {
      return data_keys_.RehearseOpening(request.ciphertextblob(), expected_key, call.deadline);
    }
    STRONGROOM_ASSIGN_OR_RETURN(
        const core::Opened opened,
        data_keys_.Decrypt(request.ciphertextblob(), binding, expected_key, iv, call.deadline));
    call.key_id = opened.key_id.ToString();
    response.set_keyid(call.key_id);
    SetVersion(opened.key_version_id, call, response);
    response.set_algorithm(core::kAlgorithmName);
    const absl::string_view plaintext = opened.plaintext.ExposeSecretAsText();
    response.set_plaintext(plaintext.data(), plaintext.size());
    return absl::OkStatus();
  }

  absl::Status Rehearse(const SealingOptions& options, const gate::Call& call) {
    return data_keys_.RehearseSealing(options.key, options.version, call.pair_spec, call.deadline);
  }

  Desk& desk_;
  core::DataKeys& data_keys_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKmsInstanceService(Desk& desk, core::DataKeys& data_keys) {
  return std::make_unique<KmsInstanceFace>(desk, data_keys);
}

}  // namespace strongroom::grpc_server
