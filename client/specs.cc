#include "client/specs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace strongroom {
namespace {

template <typename Spec>
using Names = absl::Span<const std::pair<Spec, absl::string_view>>;

// Where two names mean the same, the one to give out comes first.
constexpr std::pair<DataKeySpec, absl::string_view> kDataKeySpecs[] = {
    {DataKeySpec::kAes256, "AES_256"},
    {DataKeySpec::kAes128, "AES_128"},
};
constexpr std::pair<DataKeyPairSpec, absl::string_view> kDataKeyPairSpecs[] = {
    {DataKeyPairSpec::kRsa2048, "RSA_2048"},        {DataKeyPairSpec::kRsa3072, "RSA_3072"},
    {DataKeyPairSpec::kRsa4096, "RSA_4096"},        {DataKeyPairSpec::kEcP256, "EC_P256"},
    {DataKeyPairSpec::kEcP384, "EC_P384"},          {DataKeyPairSpec::kEcP521, "EC_P521"},
    {DataKeyPairSpec::kEcP256k, "EC_P256K"},        {DataKeyPairSpec::kEcP256, "ECC_NIST_P256"},
    {DataKeyPairSpec::kEcP384, "ECC_NIST_P384"},    {DataKeyPairSpec::kEcP521, "ECC_NIST_P521"},
    {DataKeyPairSpec::kEcP256k, "ECC_SECG_P256K1"},
};
constexpr std::pair<KeyFormat, absl::string_view> kKeyFormats[] = {
    {KeyFormat::kPem, "PEM"},
    {KeyFormat::kDer, "DER"},
};

constexpr std::pair<SigningAlgorithm, absl::string_view> kSigningAlgorithms[] = {
    {SigningAlgorithm::kRsassaPkcs1V15Sha256, "RSASSA_PKCS1_V1_5_SHA_256"},
    {SigningAlgorithm::kRsassaPkcs1V15Sha384, "RSASSA_PKCS1_V1_5_SHA_384"},
    {SigningAlgorithm::kRsassaPkcs1V15Sha512, "RSASSA_PKCS1_V1_5_SHA_512"},
    {SigningAlgorithm::kRsassaPssSha256, "RSASSA_PSS_SHA_256"},
    {SigningAlgorithm::kRsassaPssSha384, "RSASSA_PSS_SHA_384"},
    {SigningAlgorithm::kRsassaPssSha512, "RSASSA_PSS_SHA_512"},
    {SigningAlgorithm::kEcdsaSha256, "ECDSA_SHA_256"},
    {SigningAlgorithm::kEcdsaSha384, "ECDSA_SHA_384"},
    {SigningAlgorithm::kEcdsaSha512, "ECDSA_SHA_512"},
};
constexpr std::pair<MessageType, absl::string_view> kMessageTypes[] = {
    {MessageType::kRaw, "RAW"},
    {MessageType::kDigest, "DIGEST"},
};
constexpr std::pair<EcdsaSignatureFormat, absl::string_view> kEcdsaSignatureFormats[] = {
    {EcdsaSignatureFormat::kDer, "DER"},
    {EcdsaSignatureFormat::kFixed, "FIXED"},
};
constexpr std::pair<AsymmetricDecryptionAlgorithm, absl::string_view> kDecryptionAlgorithms[] = {
    {AsymmetricDecryptionAlgorithm::kRsaesOaepSha256, "RSAES_OAEP_SHA_256"},
    {AsymmetricDecryptionAlgorithm::kRsaesOaepSha1, "RSAES_OAEP_SHA_1"},
};
constexpr std::pair<KeyState, absl::string_view> kKeyStates[] = {
    {KeyState::kEnabled, "ENABLED"},
    {KeyState::kDisabled, "DISABLED"},
    {KeyState::kCreating, "CREATING"},
    {KeyState::kPendingDeletion, "PENDING_DELETION"},
    {KeyState::kPendingImport, "PENDING_IMPORT"},
    {KeyState::kUnavailable, "UNAVAILABLE"},
};
constexpr std::pair<KeyOrigin, absl::string_view> kKeyOrigins[] = {
    {KeyOrigin::kToken, "TOKEN"},
    {KeyOrigin::kExternal, "EXTERNAL"},
};
constexpr std::pair<ImportWrappingAlgorithm, absl::string_view> kImportAlgorithms[] = {
    {ImportWrappingAlgorithm::kRsaesOaepSha256, "RSAES_OAEP_SHA_256"},
    {ImportWrappingAlgorithm::kRsaesOaepSha1, "RSAES_OAEP_SHA_1"},
    {ImportWrappingAlgorithm::kRsaAesKeyWrapSha256, "RSA_AES_KEY_WRAP_SHA_256"},
};
constexpr std::pair<ImportWrappingKeySpec, absl::string_view> kImportKeySpecs[] = {
    {ImportWrappingKeySpec::kRsa2048, "RSA_2048"},
    {ImportWrappingKeySpec::kRsa3072, "RSA_3072"},
    {ImportWrappingKeySpec::kRsa4096, "RSA_4096"},
};

// The names of each enumeration; the argument tells which.
Names<DataKeySpec> NamesOf(DataKeySpec) { return kDataKeySpecs; }
Names<DataKeyPairSpec> NamesOf(DataKeyPairSpec) { return kDataKeyPairSpecs; }
Names<KeyFormat> NamesOf(KeyFormat) { return kKeyFormats; }
Names<SigningAlgorithm> NamesOf(SigningAlgorithm) { return kSigningAlgorithms; }
Names<MessageType> NamesOf(MessageType) { return kMessageTypes; }
Names<EcdsaSignatureFormat> NamesOf(EcdsaSignatureFormat) { return kEcdsaSignatureFormats; }
Names<AsymmetricDecryptionAlgorithm> NamesOf(AsymmetricDecryptionAlgorithm) {
  return kDecryptionAlgorithms;
}
Names<KeyState> NamesOf(KeyState) { return kKeyStates; }
Names<KeyOrigin> NamesOf(KeyOrigin) { return kKeyOrigins; }
Names<ImportWrappingAlgorithm> NamesOf(ImportWrappingAlgorithm) { return kImportAlgorithms; }
Names<ImportWrappingKeySpec> NamesOf(ImportWrappingKeySpec) { return kImportKeySpecs; }

}  // namespace

template <typename Spec>
std::string SpecName(Spec spec) {
  for (const auto& [its_spec, name] : NamesOf(spec)) {
    if (its_spec == spec) return std::string(name);
  }
  return absl::StrCat(static_cast<int>(spec));
}

template <typename Spec>
std::optional<Spec> SpecFromName(absl::string_view name) {
  for (const auto& [spec, its_name] : NamesOf(Spec())) {
    if (its_name == name) return spec;
  }
  return std::nullopt;
}

template <typename Spec>
std::string SpecNames() {
  std::string list;
  for (const auto& [spec, name] : NamesOf(Spec())) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", name);
  }
  return list;
}

template std::string SpecName(DataKeySpec);
template std::optional<DataKeySpec> SpecFromName(absl::string_view);
template std::string SpecNames<DataKeySpec>();
template std::string SpecName(DataKeyPairSpec);
template std::optional<DataKeyPairSpec> SpecFromName(absl::string_view);
template std::string SpecNames<DataKeyPairSpec>();
template std::string SpecName(KeyFormat);
template std::optional<KeyFormat> SpecFromName(absl::string_view);
template std::string SpecNames<KeyFormat>();
template std::string SpecName(SigningAlgorithm);
template std::optional<SigningAlgorithm> SpecFromName(absl::string_view);
template std::string SpecNames<SigningAlgorithm>();
template std::string SpecName(MessageType);
template std::optional<MessageType> SpecFromName(absl::string_view);
template std::string SpecNames<MessageType>();
template std::string SpecName(EcdsaSignatureFormat);
template std::optional<EcdsaSignatureFormat> SpecFromName(absl::string_view);
template std::string SpecNames<EcdsaSignatureFormat>();
template std::string SpecName(AsymmetricDecryptionAlgorithm);
template std::optional<AsymmetricDecryptionAlgorithm> SpecFromName(absl::string_view);
template std::string SpecNames<AsymmetricDecryptionAlgorithm>();
template std::string SpecName(KeyState);
template std::optional<KeyState> SpecFromName(absl::string_view);
template std::string SpecNames<KeyState>();
template std::string SpecName(KeyOrigin);
template std::optional<KeyOrigin> SpecFromName(absl::string_view);
template std::string SpecNames<KeyOrigin>();
template std::string SpecName(ImportWrappingAlgorithm);
template std::optional<ImportWrappingAlgorithm> SpecFromName(absl::string_view);
template std::string SpecNames<ImportWrappingAlgorithm>();
template std::string SpecName(ImportWrappingKeySpec);
template std::optional<ImportWrappingKeySpec> SpecFromName(absl::string_view);
template std::string SpecNames<ImportWrappingKeySpec>();

}  // namespace strongroom
