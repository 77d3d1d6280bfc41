#include "server/grpc/kms_service.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/grpc/private_key_messages.h"
#include "server/grpc/status_macros.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::grpc_server {
namespace {

using core::Binding;
using core::KeyFormat;
using core::KeyReference;
using core::Plaintext;
using core::SealingOptions;
using core::SealingVersion;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

using Context = google::protobuf::Map<std::string, std::string>;

absl::StatusOr<Binding> ContextOf(absl::string_view field, const Context& context,
                                  gate::Call& call) {
  call.encryption_context = {context.begin(), context.end()};
  return Binding::ToContext(field, call.encryption_context);
}

// What every request that seals says besides what is sealed.
struct Sealing {
  KeyReference key;
  Binding binding;
};

template <typename Request>
absl::StatusOr<Sealing> SealingOf(const Request& request, gate::Call& call) {
  call.key_id = request.key_id();
  STRONGROOM_ASSIGN_OR_RETURN(KeyReference key,
                              core::ParseKeyReference("key_id", request.key_id()));
  STRONGROOM_ASSIGN_OR_RETURN(Binding binding,
                              ContextOf("encryption_context", request.encryption_context(), call));
  return Sealing{std::move(key), std::move(binding)};
}

template <typename Request>
absl::StatusOr<size_t> DataKeyBytesOf(const Request& request) {
  if (request.has_number_of_bytes()) {
    return core::ParseNumberOfBytes("number_of_bytes", request.number_of_bytes());
  }
  switch (request.key_spec()) {
    case v1::DATA_KEY_SPEC_UNSPECIFIED:
      return core::kDefaultDataKeyBytes;
    case v1::DATA_KEY_SPEC_AES_256:
      return size_t{32};
    case v1::DATA_KEY_SPEC_AES_128:
      return size_t{16};
    default:
      return core::MakeError(
          core::Reason::kInvalidParameter,
          absl::StrCat("key_spec: ", request.key_spec(),
                       " is not valid; valid are DATA_KEY_SPEC_AES_256, DATA_KEY_SPEC_AES_128"));
  }
}

absl::StatusOr<hsm::PairSpec> PairSpecOf(v1::DataKeyPairSpec spec) {
  // The enumerators of both have the same numbers; the first is "unspecified".
  if (spec == v1::DATA_KEY_PAIR_SPEC_UNSPECIFIED) return core::MissingParameter("key_pair_spec");
  if (!v1::DataKeyPairSpec_IsValid(spec)) {
    return core::MakeError(
        core::Reason::kInvalidParameter,
        absl::StrCat("key_pair_spec: ", spec,
                     " is not valid; valid are RSA_2048, RSA_3072, RSA_4096, EC_P256, EC_P384, "
                     "EC_P521, EC_P256K, each with DATA_KEY_PAIR_SPEC_ before it"));
  }
  return static_cast<hsm::PairSpec>(spec);
}

static_assert(static_cast<int>(hsm::PairSpec::kRsa2048) == v1::DATA_KEY_PAIR_SPEC_RSA_2048);
static_assert(static_cast<int>(hsm::PairSpec::kRsa3072) == v1::DATA_KEY_PAIR_SPEC_RSA_3072);
static_assert(static_cast<int>(hsm::PairSpec::kRsa4096) == v1::DATA_KEY_PAIR_SPEC_RSA_4096);
static_assert(static_cast<int>(hsm::PairSpec::kEcP256) == v1::DATA_KEY_PAIR_SPEC_EC_P256);
static_assert(static_cast<int>(hsm::PairSpec::kEcP384) == v1::DATA_KEY_PAIR_SPEC_EC_P384);
static_assert(static_cast<int>(hsm::PairSpec::kEcP521) == v1::DATA_KEY_PAIR_SPEC_EC_P521);
static_assert(static_cast<int>(hsm::PairSpec::kEcP256k) == v1::DATA_KEY_PAIR_SPEC_EC_P256K);

absl::StatusOr<KeyFormat> KeyFormatOf(v1::KeyFormat format) {
  switch (format) {
    case v1::KEY_FORMAT_PEM:
      return KeyFormat::kPem;
    case v1::KEY_FORMAT_UNSPECIFIED:
    case v1::KEY_FORMAT_DER:
      return KeyFormat::kDer;
    default:
      return core::MakeError(
          core::Reason::kInvalidParameter,
          absl::StrCat("key_format: ", format,
                       " is not valid; valid are KEY_FORMAT_PEM, KEY_FORMAT_DER"));
  }
}

template <typename Response>
void SetKey(const KeyId& key_id, const KeyVersionId& key_version_id, gate::Call& call,
            Response& response) {
  call.key_id = key_id.ToString();
  call.key_version_id = key_version_id.ToString();
  response.set_key_id(call.key_id);
  response.set_key_version_id(call.key_version_id);
}

using S = v1::KmsService;
using Base = S::WithRawCallbackMethod_GenerateDataKey<
    S::WithRawCallbackMethod_GenerateDataKeyWithoutPlaintext<
        S::WithRawCallbackMethod_BatchGenerateDataKey<S::WithRawCallbackMethod_GenerateDataKeyPair<
            S::WithRawCallbackMethod_GenerateDataKeyPairWithoutPlaintext<
                S::WithRawCallbackMethod_Encrypt<S::WithRawCallbackMethod_Decrypt<
                    S::WithRawCallbackMethod_ReEncrypt<S::WithRawCallbackMethod_SignWithDataKeyPair<
                        S::WithRawCallbackMethod_DecryptWithDataKeyPair<
                            S::WithRawCallbackMethod_DeriveSharedSecret<
                                S::WithRawCallbackMethod_GenerateRandom<S::Service>>>>>>>>>>>>;

class KmsFace final : public Base {
 public:
  KmsFace(Desk& desk, core::DataKeys& data_keys, core::PrivateKeys& private_keys)
      : desk_(desk), data_keys_(data_keys), private_keys_(private_keys) {}

  ServerUnaryReactor* GenerateDataKey(CallbackServerContext* context, const ByteBuffer* request,
                                      ByteBuffer* response) override {
    return desk_.Serve<v1::GenerateDataKeyRequest, v1::GenerateDataKeyResponse>(
        context, request, response, gate::Operation("KmsService.GenerateDataKey"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          return MakeDataKey(q, Plaintext::kReturned, call, a);
        });
  }

  ServerUnaryReactor* GenerateDataKeyWithoutPlaintext(CallbackServerContext* context,
                                                      const ByteBuffer* request,
                                                      ByteBuffer* response) override {
    return desk_.Serve<v1::GenerateDataKeyWithoutPlaintextRequest,
                       v1::GenerateDataKeyWithoutPlaintextResponse>(
        context, request, response, gate::Operation("KmsService.GenerateDataKeyWithoutPlaintext"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          return MakeDataKey(q, Plaintext::kNotReturned, call, a);
        });
  }

  ServerUnaryReactor* BatchGenerateDataKey(CallbackServerContext* context,
                                           const ByteBuffer* request,
                                           ByteBuffer* response) override {
    return desk_.Serve<v1::BatchGenerateDataKeyRequest, v1::BatchGenerateDataKeyResponse>(
        context, request, response, gate::Operation("KmsService.BatchGenerateDataKey"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          call.count = q.count();
          STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const size_t bytes, DataKeyBytesOf(q));
          STRONGROOM_ASSIGN_OR_RETURN(const size_t count,
                                      core::ParseBatchCount("count", q.count()));
          STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options,
                                      Authorize(std::move(sealing), call));
          if (call.dry_run) return Rehearse(options, call);
          const Plaintext plaintext =
              q.without_plaintext() ? Plaintext::kNotReturned : Plaintext::kReturned;
          STRONGROOM_ASSIGN_OR_RETURN(
              core::DataKeyBatch batch,
              data_keys_.GenerateDataKeys(options, bytes, count, plaintext, call.deadline));
          SetOutcomes(std::move(batch), bytes, count, call, a);
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* GenerateDataKeyPair(CallbackServerContext* context, const ByteBuffer* request,
                                          ByteBuffer* response) override {
    return desk_.Serve<v1::GenerateDataKeyPairRequest, v1::GenerateDataKeyPairResponse>(
        context, request, response, gate::Operation("KmsService.GenerateDataKeyPair"),
        [this](const auto& q, gate::Call& call, auto& a) { return MakeKeyPair(q, call, a); });
  }

  ServerUnaryReactor* GenerateDataKeyPairWithoutPlaintext(CallbackServerContext* context,
                                                          const ByteBuffer* request,
                                                          ByteBuffer* response) override {
    return desk_.Serve<v1::GenerateDataKeyPairWithoutPlaintextRequest,
                       v1::GenerateDataKeyPairWithoutPlaintextResponse>(
        context, request, response,
        gate::Operation("KmsService.GenerateDataKeyPairWithoutPlaintext"),
        [this](const auto& q, gate::Call& call, auto& a) { return MakeKeyPair(q, call, a); });
  }

  ServerUnaryReactor* Encrypt(CallbackServerContext* context, const ByteBuffer* request,
                              ByteBuffer* response) override {
    return desk_.Serve<v1::EncryptRequest, v1::EncryptResponse>(
        context, request, response, gate::Operation("KmsService.Encrypt"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(q, call));
          STRONGROOM_RETURN_IF_ERROR(core::CheckPlaintext("plaintext", q.plaintext()));
          STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options,
                                      Authorize(std::move(sealing), call));
          if (call.dry_run) return Rehearse(options, call);
          STRONGROOM_ASSIGN_OR_RETURN(core::Sealed sealed,
                                      data_keys_.Encrypt(options, q.plaintext(), call.deadline));
          SetKey(sealed.key_id, sealed.key_version_id, call, a);
          a.set_ciphertext_blob(std::move(sealed.blob));
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* Decrypt(CallbackServerContext* context, const ByteBuffer* request,
                              ByteBuffer* response) override {
    return desk_.Serve<v1::DecryptRequest, v1::DecryptResponse>(
        context, request, response, gate::Operation("KmsService.Decrypt"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.ciphertext_blob().empty()) return core::MissingParameter("ciphertext_blob");
          STRONGROOM_ASSIGN_OR_RETURN(const auto expected, ExpectedKeyOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const Binding binding, BindingOf(q, call));
          STRONGROOM_ASSIGN_OR_RETURN(const std::optional<KeyId> expected_key,
                                      call.AuthorizeOpening(q.ciphertext_blob(), expected));
          if (call.dry_run) {
            return data_keys_.RehearseOpening(q.ciphertext_blob(), expected_key, call.deadline);
          }
          STRONGROOM_ASSIGN_OR_RETURN(const core::Opened opened,
                                      data_keys_.Decrypt(q.ciphertext_blob(), binding, expected_key,
                                                         std::nullopt, call.deadline));
          SetKey(opened.key_id, opened.key_version_id, call, a);
          const absl::string_view plaintext = opened.plaintext.ExposeSecretAsText();
          a.set_plaintext(plaintext.data(), plaintext.size());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* ReEncrypt(CallbackServerContext* context, const ByteBuffer* request,
                                ByteBuffer* response) override {
    return desk_.Serve<v1::ReEncryptRequest, v1::ReEncryptResponse>(
        context, request, response, gate::Operation("KmsService.ReEncrypt"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.ciphertext_blob().empty()) return core::MissingParameter("ciphertext_blob");
          call.key_id = q.destination_key_id();
          STRONGROOM_ASSIGN_OR_RETURN(
              const KeyReference destination,
              core::ParseKeyReference("destination_key_id", q.destination_key_id()));
          std::optional<KeyReference> expected;
          if (!q.source_key_id().empty()) {
            STRONGROOM_ASSIGN_OR_RETURN(
                expected, core::ParseKeyReference("source_key_id", q.source_key_id()));
          }
          STRONGROOM_ASSIGN_OR_RETURN(
              const Binding source,
              BindingOf("source_encryption_context", q.source_encryption_context(), "source_aad",
                        q.source_aad(), call));
          const gate::EncryptionContext new_context(q.destination_encryption_context().begin(),
                                                    q.destination_encryption_context().end());
          SealingOptions options;
          STRONGROOM_ASSIGN_OR_RETURN(
              options.binding, Binding::ToContext("destination_encryption_context", new_context));
          STRONGROOM_ASSIGN_OR_RETURN(
              const gate::ReEncryptionPermit permit,
              call.AuthorizeReEncryption(q.ciphertext_blob(), expected, destination, new_context));
          options.key = permit.destination;
          if (call.dry_run) {
            STRONGROOM_RETURN_IF_ERROR(data_keys_.RehearseOpening(
                q.ciphertext_blob(), permit.expected_source, call.deadline));
            return Rehearse(options, call);
          }
          STRONGROOM_ASSIGN_OR_RETURN(
              core::ReEncrypted done,
              data_keys_.ReEncrypt(q.ciphertext_blob(), source, permit.expected_source, options,
                                   call.deadline));
          a.set_source_key_id(done.source_key_id.ToString());
          a.set_source_key_version_id(done.source_key_version_id.ToString());
          call.target = absl::StrCat("from ", a.source_key_id(), "/", a.source_key_version_id());
          SetKey(done.sealed.key_id, done.sealed.key_version_id, call, a);
          a.set_ciphertext_blob(std::move(done.sealed.blob));
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* SignWithDataKeyPair(CallbackServerContext* context, const ByteBuffer* request,
                                          ByteBuffer* response) override {
    return desk_.Serve<v1::SignWithDataKeyPairRequest, v1::SignWithDataKeyPairResponse>(
        context, request, response, gate::Operation("KmsService.SignWithDataKeyPair"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(const core::SigningRequest signing, DecodeSigning(q));
          call.target = NameOf(q.signing_algorithm());
          STRONGROOM_ASSIGN_OR_RETURN(const PrivateKeyUse use, AuthorizePrivateKey(q, call));
          if (call.dry_run) {
            STRONGROOM_RETURN_IF_ERROR(
                data_keys_.RehearseOpening(use.blob, use.expected_key, call.deadline));
            return core::PrivateKeys::RehearseSigning(use.blob, signing);
          }
          STRONGROOM_ASSIGN_OR_RETURN(core::Signed done,
                                      private_keys_.Sign(use.key(), signing, call.deadline));
          SetKey(done.key.key_id, done.key.key_version_id, call, a);
          a.set_signature(std::move(done.signature));
          a.set_signing_algorithm(q.signing_algorithm());
          a.set_key_pair_spec(static_cast<v1::DataKeyPairSpec>(done.key.pair_spec));
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* DecryptWithDataKeyPair(CallbackServerContext* context,
                                             const ByteBuffer* request,
                                             ByteBuffer* response) override {
    return desk_.Serve<v1::DecryptWithDataKeyPairRequest, v1::DecryptWithDataKeyPairResponse>(
        context, request, response, gate::Operation("KmsService.DecryptWithDataKeyPair"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.ciphertext().empty()) return core::MissingParameter("ciphertext");
          STRONGROOM_ASSIGN_OR_RETURN(const hsm::Hash hash,
                                      DecodeOaepHash(q.decryption_algorithm()));
          call.target = NameOf(q.decryption_algorithm());
          STRONGROOM_ASSIGN_OR_RETURN(const PrivateKeyUse use, AuthorizePrivateKey(q, call));
          if (call.dry_run) {
            STRONGROOM_RETURN_IF_ERROR(
                data_keys_.RehearseOpening(use.blob, use.expected_key, call.deadline));
            return core::PrivateKeys::RehearseDecryption(use.blob);
          }
          STRONGROOM_ASSIGN_OR_RETURN(
              const core::UsedResult done,
              private_keys_.Decrypt(use.key(), hash, q.ciphertext(), call.deadline));
          SetKey(done.key.key_id, done.key.key_version_id, call, a);
          const absl::string_view plaintext = done.result.ExposeSecretAsText();
          a.set_plaintext(plaintext.data(), plaintext.size());
          a.set_decryption_algorithm(q.decryption_algorithm());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* DeriveSharedSecret(CallbackServerContext* context, const ByteBuffer* request,
                                         ByteBuffer* response) override {
    return desk_.Serve<v1::DeriveSharedSecretRequest, v1::DeriveSharedSecretResponse>(
        context, request, response, gate::Operation("KmsService.DeriveSharedSecret"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          if (q.public_key().empty()) return core::MissingParameter("public_key");
          STRONGROOM_ASSIGN_OR_RETURN(const PrivateKeyUse use, AuthorizePrivateKey(q, call));
          if (call.dry_run) {
            STRONGROOM_RETURN_IF_ERROR(
                data_keys_.RehearseOpening(use.blob, use.expected_key, call.deadline));
            return core::PrivateKeys::RehearseDerivation(use.blob, q.public_key());
          }
          STRONGROOM_ASSIGN_OR_RETURN(
              const core::UsedResult done,
              private_keys_.DeriveSharedSecret(use.key(), q.public_key(), call.deadline));
          SetKey(done.key.key_id, done.key.key_version_id, call, a);
          const absl::string_view secret = done.result.ExposeSecretAsText();
          a.set_shared_secret(secret.data(), secret.size());
          return absl::OkStatus();
        });
  }

  ServerUnaryReactor* GenerateRandom(CallbackServerContext* context, const ByteBuffer* request,
                                     ByteBuffer* response) override {
    return desk_.Serve<v1::GenerateRandomRequest, v1::GenerateRandomResponse>(
        context, request, response, gate::Operation("KmsService.GenerateRandom"),
        [this](const auto& q, gate::Call& call, auto& a) -> absl::Status {
          STRONGROOM_ASSIGN_OR_RETURN(
              const size_t bytes, core::ParseNumberOfBytes("number_of_bytes", q.number_of_bytes()));
          STRONGROOM_RETURN_IF_ERROR(call.Authorize({}).status());
          STRONGROOM_ASSIGN_OR_RETURN(const SecretBytes random,
                                      data_keys_.GenerateRandom(bytes, call.deadline));
          const absl::string_view plaintext = random.ExposeSecretAsText();
          a.set_plaintext(plaintext.data(), plaintext.size());
          return absl::OkStatus();
        });
  }

 private:
  // The key that a request to open names, if it names one.
  template <typename Request>
  static absl::StatusOr<std::optional<KeyReference>> ExpectedKeyOf(const Request& request,
                                                                   gate::Call& call) {
    if (request.key_id().empty()) return std::nullopt;
    call.key_id = request.key_id();
    return core::ParseKeyReference("key_id", request.key_id());
  }

  template <typename Request>
  static absl::StatusOr<Binding> BindingOf(const Request& request, gate::Call& call) {
    return BindingOf("encryption_context", request.encryption_context(), "aad", request.aad(),
                     call);
  }

  static absl::StatusOr<Binding> BindingOf(absl::string_view context_field, const Context& context,
                                           absl::string_view aad_field, const std::string& aad,
                                           gate::Call& call) {
    if (aad.empty()) return ContextOf(context_field, context, call);
    if (context.empty()) {
      call.aad = aad;
      return Binding::ToAad(aad_field, aad);
    }
    return core::MakeError(core::Reason::kInvalidParameter,
                           absl::StrCat(aad_field, ": is given together with ", context_field,
                                        "; a blob is bound to one of them at most"));
  }

  // A sealed private key that the caller may use.
  struct PrivateKeyUse {
    absl::string_view blob;
    Binding binding;
    std::optional<KeyId> expected_key;

    core::SealedPrivateKey key() const { return {blob, binding, expected_key}; }
  };

  template <typename Request>
  static absl::StatusOr<PrivateKeyUse> AuthorizePrivateKey(const Request& request,
                                                           gate::Call& call) {
    const std::string& blob = request.private_key_ciphertext_blob();
    if (blob.empty()) return core::MissingParameter("private_key_ciphertext_blob");
    STRONGROOM_ASSIGN_OR_RETURN(const auto expected, ExpectedKeyOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(Binding binding, BindingOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const std::optional<KeyId> expected_key,
                                call.AuthorizeOpening(blob, expected));
    return PrivateKeyUse{blob, std::move(binding), expected_key};
  }

  // May the caller seal so?
  static absl::StatusOr<SealingOptions> Authorize(Sealing sealing, gate::Call& call) {
    STRONGROOM_ASSIGN_OR_RETURN(const gate::Permit permit, call.Authorize({sealing.key}));
    return SealingOptions{permit.key(0), SealingVersion::kPrimary, std::move(sealing.binding)};
  }

  absl::Status Rehearse(const SealingOptions& options, const gate::Call& call) {
    return data_keys_.RehearseSealing(options.key, options.version, call.pair_spec, call.deadline);
  }

  // Both data-key operations.
  template <typename Request, typename Response>
  absl::Status MakeDataKey(const Request& request, Plaintext plaintext, gate::Call& call,
                           Response& response) {
    STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const size_t bytes, DataKeyBytesOf(request));
    STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options, Authorize(std::move(sealing), call));
    if (call.dry_run) return Rehearse(options, call);
    STRONGROOM_ASSIGN_OR_RETURN(
        core::DataKey key, data_keys_.GenerateDataKey(options, bytes, plaintext, call.deadline));
    SetKey(key.sealed.key_id, key.sealed.key_version_id, call, response);
    response.set_ciphertext_blob(std::move(key.sealed.blob));
    if constexpr (requires { response.mutable_plaintext(); }) {
      const absl::string_view clear = key.plaintext->ExposeSecretAsText();
      response.set_plaintext(clear.data(), clear.size());
    }
    return absl::OkStatus();
  }

  // The keys of `bytes` bytes that were made, and for the rest of `count` why they were not.
  static void SetOutcomes(core::DataKeyBatch batch, size_t bytes, size_t count, gate::Call& call,
                          v1::BatchGenerateDataKeyResponse& response) {
    const size_t made = batch.sealed.size();
    call.key_id = batch.sealed.front().key_id.ToString();
    call.key_version_id = batch.sealed.front().key_version_id.ToString();
    response.set_key_id(call.key_id);
    response.mutable_outcomes()->Reserve(static_cast<int>(count));
    for (size_t i = 0; i < made; ++i) {
      v1::BatchDataKey& key = *response.add_outcomes()->mutable_data_key();
      key.set_key_version_id(call.key_version_id);
      key.set_ciphertext_blob(std::move(batch.sealed[i].blob));
      if (batch.plaintexts.has_value()) {
        const absl::string_view clear =
            batch.plaintexts->ExposeSecretAsText().substr(i * bytes, bytes);
        key.set_plaintext(clear.data(), clear.size());
      }
    }
    if (batch.shortfall.ok()) return;
    const std::string reason = core::InfoOf(core::ReasonOf(batch.shortfall)).name;
    const std::string message = core::MessageOf(batch.shortfall);
    for (size_t i = made; i < count; ++i) {
      v1::BatchDataKeyError& error = *response.add_outcomes()->mutable_error();
      error.set_reason(reason);
      error.set_message(message);
    }
    call.target = absl::StrCat("made ", made, ", then ", reason);
    call.shortfall = std::move(batch.shortfall);
  }

  // Both pair operations.
  template <typename Request, typename Response>
  absl::Status MakeKeyPair(const Request& request, gate::Call& call, Response& response) {
    STRONGROOM_ASSIGN_OR_RETURN(Sealing sealing, SealingOf(request, call));
    STRONGROOM_ASSIGN_OR_RETURN(const hsm::PairSpec spec, PairSpecOf(request.key_pair_spec()));
    STRONGROOM_ASSIGN_OR_RETURN(const KeyFormat format, KeyFormatOf(request.key_format()));
    call.pair_spec = spec;
    STRONGROOM_ASSIGN_OR_RETURN(const SealingOptions options, Authorize(std::move(sealing), call));
    if (call.dry_run) return Rehearse(options, call);
    STRONGROOM_ASSIGN_OR_RETURN(
        core::KeyPair pair,
        data_keys_.GenerateKeyPair(options, spec, format, Plaintext::kNotReturned, call.deadline));
    SetKey(pair.sealed.key_id, pair.sealed.key_version_id, call, response);
    response.set_key_pair_spec(request.key_pair_spec());
    response.set_key_format(format == KeyFormat::kPem ? v1::KEY_FORMAT_PEM : v1::KEY_FORMAT_DER);
    response.set_public_key(std::move(pair.public_key));
    response.set_private_key_ciphertext_blob(std::move(pair.sealed.blob));
    return absl::OkStatus();
  }

  Desk& desk_;
  core::DataKeys& data_keys_;
  core::PrivateKeys& private_keys_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKmsService(Desk& desk, core::DataKeys& data_keys,
                                              core::PrivateKeys& private_keys) {
  return std::make_unique<KmsFace>(desk, data_keys, private_keys);
}

}  // namespace strongroom::grpc_server
