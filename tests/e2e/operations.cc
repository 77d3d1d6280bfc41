#include "tests/e2e/operations.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <type_traits>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace strongroom::e2e {
namespace {

constexpr std::chrono::seconds kDeadline(120);
constexpr char kPlaintext[] = "what the caller wants sealed";

using Kms = v1::KmsService::Stub;
using Instance = v1::KmsInstanceService::Stub;

// Reads a UUID where docs/blob-format.md says that the blob has one.
std::string UuidAt(const std::string& blob, size_t position) {
  if (blob.size() < position + 16) return "";
  std::string text = absl::BytesToHexString(blob.substr(position, 16));
  for (size_t hyphen : {8, 13, 18, 23}) text.insert(hyphen, "-");
  return text;
}

// The fields of the messages of both services; what a message does not have is passed over.

template <typename Request>
void Fill(Request& q, const std::string& key, const Bound& bound) {
  if constexpr (requires { q.mutable_encryption_context(); }) {
    q.mutable_encryption_context()->insert(bound.context.begin(), bound.context.end());
  }
  if constexpr (requires { q.set_aad(bound.aad); }) q.set_aad(bound.aad);
  if constexpr (requires { q.set_key_id(key); }) q.set_key_id(key);
  if constexpr (requires { q.set_keyid(key); }) q.set_keyid(key);
  if constexpr (requires { q.set_plaintext(kPlaintext); }) q.set_plaintext(kPlaintext);
  if constexpr (requires { q.set_count(1); }) q.set_count(1);
  if constexpr (requires { q.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_EC_P256); }) {
    q.set_key_pair_spec(v1::DATA_KEY_PAIR_SPEC_EC_P256);
  }
  if constexpr (requires { q.set_keypairspec("EC_P256"); }) {
    q.set_keypairspec("EC_P256");
    q.set_keyformat("DER");
  }
}

template <typename Answer>
std::string BlobOf(const Answer& a) {
  if constexpr (requires { a.ciphertext_blob(); }) return a.ciphertext_blob();
  if constexpr (requires { a.ciphertextblob(); }) return a.ciphertextblob();
  if constexpr (requires { a.private_key_ciphertext_blob(); }) {
    return a.private_key_ciphertext_blob();
  }
  if constexpr (requires { a.privatekeyciphertextblob(); }) return a.privatekeyciphertextblob();
  if constexpr (requires { a.outcomes(0); }) return a.outcomes(0).data_key().ciphertext_blob();
}

template <typename Answer>
std::string KeyOf(const Answer& a) {
  if constexpr (requires { a.key_id(); }) {
    return a.key_id();
  } else {
    return a.keyid();
  }
}

// Of an answer that does not tell it, the blob's.
template <typename Answer>
std::string VersionOf(const Answer& a, const std::string& of_blob) {
  if constexpr (requires { a.key_version_id(); }) return a.key_version_id();
  if constexpr (requires { a.keyversionid(); }) return a.keyversionid();
  if constexpr (requires { a.outcomes(0); }) return a.outcomes(0).data_key().key_version_id();
  return of_blob;
}

template <typename Request, typename Answer>
std::optional<std::string> PlaintextOf(const Request& q, const Answer& a) {
  if constexpr (requires { a.plaintext(); }) return a.plaintext();
  if constexpr (requires { a.privatekeyplaintext(); }) return a.privatekeyplaintext();
  if constexpr (requires { a.outcomes(0); }) return a.outcomes(0).data_key().plaintext();
  if constexpr (requires { q.plaintext(); }) return q.plaintext();
  return std::nullopt;
}

template <typename Stub>
Stub& StubOf(Stubs& stubs) {
  if constexpr (std::is_same_v<Stub, Kms>) {
    return *stubs.kms;
  } else {
    return *stubs.instance;
  }
}

template <auto kMethod>
struct Call;

// One RPC, by its method of the stub.
template <typename Stub, typename Request, typename Answer,
          grpc::Status (Stub::*kMethod)(grpc::ClientContext*, const Request&, Answer*)>
struct Call<kMethod> {
  static grpc::Status Run(Stubs& stubs, const Request& q, Answer& a) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    return (StubOf<Stub>(stubs).*kMethod)(&context, q, &a);
  }

  static grpc::Status Seal(Stubs& stubs, const std::string& key, const Bound& bound,
                           Sealed& sealed) {
    Request q;
    Fill(q, key, bound);
    Answer a;
    if (grpc::Status status = Run(stubs, q, a); !status.ok()) return status;
    sealed.blob = BlobOf(a);
    sealed.key_id = UuidAt(sealed.blob, 12);
    sealed.key_version_id = UuidAt(sealed.blob, 28);
    sealed.plaintext = PlaintextOf(q, a);
    if constexpr (requires { a.public_key(); }) sealed.public_key = a.public_key();
    if constexpr (requires { a.publickey(); }) sealed.public_key = a.publickey();
    return CheckIds(a, sealed);
  }

  static grpc::Status Open(Stubs& stubs, const Sealed& sealed, const Bound& bound,
                           std::string& content) {
    Request q;
    Fill(q, sealed.key_id, bound);
    if constexpr (requires { q.set_ciphertext_blob(sealed.blob); }) {
      q.set_ciphertext_blob(sealed.blob);
    } else {
      q.set_ciphertextblob(sealed.blob);
    }
    Answer a;
    if (grpc::Status status = Run(stubs, q, a); !status.ok()) return status;
    content = a.plaintext();
    return CheckIds(a, sealed);
  }

  static grpc::Status CheckIds(const Answer& a, const Sealed& sealed) {
    if (KeyOf(a) == sealed.key_id && VersionOf(a, sealed.key_version_id) == sealed.key_version_id) {
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::DATA_LOSS, "the answer names another key or version than the blob"};
  }
};

template <auto kMethod>
SealingOperation Sealing(const char* name, bool makes_pair, bool primary) {
  return {name, absl::StartsWith(name, "KmsService."), makes_pair, primary, &Call<kMethod>::Seal};
}

template <auto kMethod>
OpeningOperation Opening(const char* name) {
  return {name, absl::StartsWith(name, "KmsService."), &Call<kMethod>::Open};
}

}  // namespace

Stubs::Stubs(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  kms = v1::KmsService::NewStub(channel);
  instance = v1::KmsInstanceService::NewStub(channel);
  keys = v1::KeyManagementService::NewStub(channel);
}

const std::vector<SealingOperation>& SealingOperations() {
  static const auto& operations = *new std::vector<SealingOperation>{
      Sealing<&Kms::GenerateDataKey>("KmsService.GenerateDataKey", false, true),
      Sealing<&Kms::GenerateDataKeyWithoutPlaintext>("KmsService.GenerateDataKeyWithoutPlaintext",
                                                     false, true),
      Sealing<&Kms::BatchGenerateDataKey>("KmsService.BatchGenerateDataKey", false, true),
      Sealing<&Kms::GenerateDataKeyPair>("KmsService.GenerateDataKeyPair", true, true),
      Sealing<&Kms::GenerateDataKeyPairWithoutPlaintext>(
          "KmsService.GenerateDataKeyPairWithoutPlaintext", true, true),
      Sealing<&Kms::Encrypt>("KmsService.Encrypt", false, true),
      Sealing<&Instance::GenerateDataKey>("KmsInstanceService.GenerateDataKey", false, false),
      Sealing<&Instance::AdvanceGenerateDataKey>("KmsInstanceService.AdvanceGenerateDataKey", false,
                                                 true),
      Sealing<&Instance::GenerateDataKeyPair>("KmsInstanceService.GenerateDataKeyPair", true,
                                              false),
      Sealing<&Instance::GenerateDataKeyPairWithoutPlaintext>(
          "KmsInstanceService.GenerateDataKeyPairWithoutPlaintext", true, false),
      Sealing<&Instance::AdvanceGenerateDataKeyPair>(
          "KmsInstanceService.AdvanceGenerateDataKeyPair", true, true),
      Sealing<&Instance::AdvanceGenerateDataKeyPairWithoutPlaintext>(
          "KmsInstanceService.AdvanceGenerateDataKeyPairWithoutPlaintext", true, true),
      Sealing<&Instance::Encrypt>("KmsInstanceService.Encrypt", false, false),
      Sealing<&Instance::AdvanceEncrypt>("KmsInstanceService.AdvanceEncrypt", false, true),
  };
  return operations;
}

const std::vector<OpeningOperation>& OpeningOperations() {
  static const auto& operations = *new std::vector<OpeningOperation>{
      Opening<&Kms::Decrypt>("KmsService.Decrypt"),
      Opening<&Instance::Decrypt>("KmsInstanceService.Decrypt"),
      Opening<&Instance::AdvanceDecrypt>("KmsInstanceService.AdvanceDecrypt"),
  };
  return operations;
}

std::string ReasonOf(const grpc::Status& error) {
  google::rpc::Status status;
  google::rpc::ErrorInfo info;
  if (status.ParseFromString(error.error_details()) && status.details_size() > 0 &&
      status.details(0).UnpackTo(&info)) {
    return info.reason();
  }
  return absl::StrCat("(code ", static_cast<int>(error.error_code()), ": ", error.error_message(),
                      ")");
}

bool Match(const std::string& private_key, const std::string& public_key) {
  const auto* position = reinterpret_cast<const unsigned char*>(private_key.data());
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, decltype(&PKCS8_PRIV_KEY_INFO_free)> pkcs8(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &position, static_cast<long>(private_key.size())),
      &PKCS8_PRIV_KEY_INFO_free);
  if (pkcs8 == nullptr) return false;
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_PKCS82PKEY(pkcs8.get()),
                                                                &EVP_PKEY_free);
  if (key == nullptr) return false;
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return false;
  const std::string derived(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return derived == public_key;
}

}  // namespace strongroom::e2e
