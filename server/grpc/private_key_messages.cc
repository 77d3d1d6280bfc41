#include "server/grpc/private_key_messages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/grpc/status_macros.h"

namespace strongroom::grpc_server {
namespace {

using core::SignatureScheme;
using hsm::Hash;

absl::Status Invalid(absl::string_view field, int value, absl::string_view valid) {
  return core::MakeError(core::Reason::kInvalidParameter,
                         absl::StrCat(field, ": ", value, " is not valid; valid are ", valid));
}

absl::StatusOr<std::pair<SignatureScheme, Hash>> DecodeAlgorithm(v1::SigningAlgorithm algorithm) {
  switch (algorithm) {
    case v1::SIGNING_ALGORITHM_UNSPECIFIED:
      return core::MissingParameter("signing_algorithm");
    case v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_256:
      return std::pair(SignatureScheme::kRsaPkcs1V15, Hash::kSha256);
    case v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_384:
      return std::pair(SignatureScheme::kRsaPkcs1V15, Hash::kSha384);
    case v1::SIGNING_ALGORITHM_RSASSA_PKCS1_V1_5_SHA_512:
      return std::pair(SignatureScheme::kRsaPkcs1V15, Hash::kSha512);
    case v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_256:
      return std::pair(SignatureScheme::kRsaPss, Hash::kSha256);
    case v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_384:
      return std::pair(SignatureScheme::kRsaPss, Hash::kSha384);
    case v1::SIGNING_ALGORITHM_RSASSA_PSS_SHA_512:
      return std::pair(SignatureScheme::kRsaPss, Hash::kSha512);
    case v1::SIGNING_ALGORITHM_ECDSA_SHA_256:
      return std::pair(SignatureScheme::kEcdsa, Hash::kSha256);
    case v1::SIGNING_ALGORITHM_ECDSA_SHA_384:
      return std::pair(SignatureScheme::kEcdsa, Hash::kSha384);
    case v1::SIGNING_ALGORITHM_ECDSA_SHA_512:
      return std::pair(SignatureScheme::kEcdsa, Hash::kSha512);
    default:
      return Invalid("signing_algorithm", algorithm,
                     "RSASSA_PKCS1_V1_5_SHA_256, RSASSA_PKCS1_V1_5_SHA_384, "
                     "RSASSA_PKCS1_V1_5_SHA_512, RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, "
                     "RSASSA_PSS_SHA_512, ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, each with "
                     "SIGNING_ALGORITHM_ before it");
  }
}

absl::StatusOr<bool> IsDigest(v1::MessageType type) {
  switch (type) {
    case v1::MESSAGE_TYPE_UNSPECIFIED:
    case v1::MESSAGE_TYPE_RAW:
      return false;
    case v1::MESSAGE_TYPE_DIGEST:
      return true;
    default:
      return Invalid("message_type", type, "MESSAGE_TYPE_RAW, MESSAGE_TYPE_DIGEST");
  }
}

absl::StatusOr<core::EcdsaFormat> DecodeFormat(v1::EcdsaSignatureFormat format) {
  switch (format) {
    case v1::ECDSA_SIGNATURE_FORMAT_UNSPECIFIED:
    case v1::ECDSA_SIGNATURE_FORMAT_DER:
      return core::EcdsaFormat::kDer;
    case v1::ECDSA_SIGNATURE_FORMAT_FIXED:
      return core::EcdsaFormat::kFixed;
    default:
      return Invalid("ecdsa_signature_format", format,
                     "ECDSA_SIGNATURE_FORMAT_DER, ECDSA_SIGNATURE_FORMAT_FIXED");
  }
}

}  // namespace

absl::StatusOr<core::SigningRequest> DecodeSigning(const v1::SignWithDataKeyPairRequest& request) {
  if (request.message().empty()) return core::MissingParameter("message");
  STRONGROOM_ASSIGN_OR_RETURN(const auto algorithm, DecodeAlgorithm(request.signing_algorithm()));
  STRONGROOM_ASSIGN_OR_RETURN(const bool is_digest, IsDigest(request.message_type()));
  STRONGROOM_ASSIGN_OR_RETURN(const core::EcdsaFormat format,
                              DecodeFormat(request.ecdsa_signature_format()));
  const core::SigningRequest signing = {algorithm.first, algorithm.second, request.message(),
                                        is_digest, format};
  STRONGROOM_RETURN_IF_ERROR(core::PrivateKeys::CheckSigning(signing));
  return signing;
}

absl::StatusOr<Hash> DecodeOaepHash(v1::AsymmetricDecryptionAlgorithm algorithm) {
  switch (algorithm) {
    case v1::ASYMMETRIC_DECRYPTION_ALGORITHM_UNSPECIFIED:
      return core::MissingParameter("decryption_algorithm");
    case v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_256:
      return Hash::kSha256;
    case v1::ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_1:
      return Hash::kSha1;
    default:
      return Invalid("decryption_algorithm", algorithm,
                     "ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_256, "
                     "ASYMMETRIC_DECRYPTION_ALGORITHM_RSAES_OAEP_SHA_1");
  }
}

std::string NameOf(v1::SigningAlgorithm algorithm) {
  const std::string& name = v1::SigningAlgorithm_Name(algorithm);
  return std::string(absl::StripPrefix(name, "SIGNING_ALGORITHM_"));
}

std::string NameOf(v1::AsymmetricDecryptionAlgorithm algorithm) {
  const std::string& name = v1::AsymmetricDecryptionAlgorithm_Name(algorithm);
  return std::string(absl::StripPrefix(name, "ASYMMETRIC_DECRYPTION_ALGORITHM_"));
}

}  // namespace strongroom::grpc_server
