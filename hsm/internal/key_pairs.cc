#include "hsm/internal/key_pairs.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/internal/attributes.h"

namespace strongroom::hsm::internal {
namespace {

constexpr char kKeptLabel[] = "strongroom-kept";

constexpr uint8_t kPublicExponent[] = {0x01, 0x00, 0x01};

struct Curve {
  PairSpec spec;
  absl::string_view oid;  // DER, as CKA_EC_PARAMS has it
  size_t order_bytes;     // of its order, and of its field
};

constexpr Curve kCurves[] = {
    {PairSpec::kEcP256, {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10}, 32},
    {PairSpec::kEcP384, {"\x06\x05\x2b\x81\x04\x00\x22", 7}, 48},
    {PairSpec::kEcP521, {"\x06\x05\x2b\x81\x04\x00\x23", 7}, 66},
    {PairSpec::kEcP256k, {"\x06\x05\x2b\x81\x04\x00\x0a", 7}, 32},
};

// Null for RSA.
const Curve* CurveOf(PairSpec spec) {
  for (const Curve& curve : kCurves) {
    if (curve.spec == spec) return &curve;
  }
  return nullptr;
}

CK_ULONG ModulusBits(PairSpec spec) {
  switch (spec) {
    case PairSpec::kRsa2048:
      return 2048;
    case PairSpec::kRsa3072:
      return 3072;
    case PairSpec::kRsa4096:
      return 4096;
    default:
      return 0;
  }
}

Template PublicTemplate(PairSpec spec) {
  Template attributes = Template().AddBool(CKA_TOKEN, false).AddBool(CKA_VERIFY, true);
  if (const Curve* curve = CurveOf(spec); curve != nullptr) {
    return std::move(attributes).AddBytes(CKA_EC_PARAMS, curve->oid);
  }
  return std::move(attributes)
      .AddBool(CKA_ENCRYPT, true)
      .AddUlong(CKA_MODULUS_BITS, ModulusBits(spec))
      .AddBytes(CKA_PUBLIC_EXPONENT, absl::MakeConstSpan(kPublicExponent));
}

Template PrivateTemplate(PairSpec spec) {
  const bool rsa = CurveOf(spec) == nullptr;
  return Template()
      .AddBool(CKA_TOKEN, false)
      .AddBool(CKA_PRIVATE, true)
      .AddBool(CKA_SENSITIVE, true)
      .AddBool(CKA_EXTRACTABLE, true)
      .AddBool(CKA_SIGN, true)
      .AddBool(CKA_DECRYPT, rsa);
}

// Of a private key that was wrapped, without what it may be used for.
Template UnwrappedTemplate(PairSpec spec) {
  return Template()
      .AddUlong(CKA_CLASS, CKO_PRIVATE_KEY)
      .AddUlong(CKA_KEY_TYPE, CurveOf(spec) != nullptr ? CKK_EC : CKK_RSA)
      .AddBool(CKA_TOKEN, false)
      .AddBool(CKA_PRIVATE, true)
      .AddBool(CKA_SENSITIVE, true)
      .AddBool(CKA_UNWRAP, false)
      .AddBool(CKA_SIGN_RECOVER, false);
}

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>>;
using Number = std::unique_ptr<BIGNUM, Deleter<BN_free>>;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

absl::StatusOr<std::string> ToSubjectPublicKeyInfo(const char* type, ParamBuilder builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return absl::InternalError("the token gave a public key that is none");
  }
  const Key key(raw);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return absl::InternalError("cannot encode the public key");
  std::string encoded(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return encoded;
}

// CKA_EC_POINT is a DER OCTET STRING around the point; some tokens leave the wrapping out.
std::string UnwrapOctetString(const std::string& value) {
  const unsigned char* position = Bytes(value);
  std::unique_ptr<ASN1_OCTET_STRING, Deleter<ASN1_OCTET_STRING_free>> octets(
      d2i_ASN1_OCTET_STRING(nullptr, &position, static_cast<long>(value.size())));
  if (octets == nullptr || position != Bytes(value) + value.size()) return value;
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(octets.get())),
                     static_cast<size_t>(ASN1_STRING_length(octets.get())));
}

// One DER element. Its content is shorter than 256 bytes.
std::string DerElement(char tag, absl::string_view content) {
  std::string element(1, tag);
  if (content.size() >= 0x80) element += '\x81';
  element += static_cast<char>(content.size());
  element.append(content.data(), content.size());
  return element;
}

// Of an uncompressed point (RFC 5480). What is before the point is the same for all of a curve:
// OpenSSL need not take in a key that the token has just made.
absl::StatusOr<std::string> ToSubjectPublicKeyInfo(const Curve& curve, absl::string_view point) {
  if (point.size() != 1 + 2 * curve.order_bytes || point[0] != '\x04') {
    return absl::InternalError("the token gave a public key that is none");
  }
  constexpr absl::string_view kEcPublicKey("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", 9);
  const std::string algorithm = DerElement('\x30', absl::StrCat(kEcPublicKey, curve.oid));
  const std::string bits = DerElement('\x03', absl::StrCat(absl::string_view("\0", 1), point));
  return DerElement('\x30', absl::StrCat(algorithm, bits));
}

}  // namespace

CK_MECHANISM_TYPE PairGenerationMechanism(PairSpec spec) {
  return CurveOf(spec) != nullptr ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN;
}

absl::StatusOr<KeyPairHandles> GeneratePair(Session& session, PairSpec spec) {
  return session.GenerateKeyPair(PairGenerationMechanism(spec), PublicTemplate(spec),
                                 PrivateTemplate(spec));
}

absl::StatusOr<KeyPairHandles> GeneratePairToKeep(Session& session, PairSpec spec,
                                                  absl::string_view id) {
  return session.GenerateKeyPair(PairGenerationMechanism(spec), PublicTemplate(spec),
                                 Template()
                                     .AddBool(CKA_TOKEN, false)
                                     .AddBool(CKA_PRIVATE, true)
                                     .AddBool(CKA_SENSITIVE, true)
                                     .AddBool(CKA_EXTRACTABLE, true)
                                     .AddBytes(CKA_LABEL, absl::string_view(kKeptLabel))
                                     .AddBytes(CKA_ID, id)
                                     .AddBool(CKA_SIGN, false)
                                     .AddBool(CKA_SIGN_RECOVER, false)
                                     .AddBool(CKA_DECRYPT, false)
                                     .AddBool(CKA_DERIVE, false)
                                     .AddBool(CKA_UNWRAP, false));
}

absl::StatusOr<std::string> EncodePublicKey(Session& session, CK_OBJECT_HANDLE public_key,
                                            PairSpec spec) {
  if (const Curve* curve = CurveOf(spec); curve != nullptr) {
    absl::StatusOr<std::string> wrapped = session.GetAttribute(public_key, CKA_EC_POINT);
    if (!wrapped.ok()) return wrapped.status();
    return ToSubjectPublicKeyInfo(*curve, UnwrapOctetString(*wrapped));
  }
  absl::StatusOr<std::string> modulus = session.GetAttribute(public_key, CKA_MODULUS);
  if (!modulus.ok()) return modulus.status();
  absl::StatusOr<std::string> exponent = session.GetAttribute(public_key, CKA_PUBLIC_EXPONENT);
  if (!exponent.ok()) return exponent.status();
  const Number n(BN_bin2bn(Bytes(*modulus), static_cast<int>(modulus->size()), nullptr));
  const Number e(BN_bin2bn(Bytes(*exponent), static_cast<int>(exponent->size()), nullptr));
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  return ToSubjectPublicKeyInfo("RSA", std::move(builder));
}

absl::StatusOr<CK_OBJECT_HANDLE> UnwrapPrivateKeyToMove(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                        absl::string_view wrapped, PairSpec spec,
                                                        absl::string_view id) {
  Template attributes = UnwrappedTemplate(spec)
                            .AddBool(CKA_EXTRACTABLE, true)
                            .AddBool(CKA_SIGN, false)
                            .AddBool(CKA_DECRYPT, false)
                            .AddBool(CKA_DERIVE, false);
  if (!id.empty()) {
    std::move(attributes).AddBytes(CKA_LABEL, absl::string_view(kKeptLabel)).AddBytes(CKA_ID, id);
  }
  return session.UnwrapKey(wrap_key, wrapped, attributes);
}

absl::StatusOr<CK_OBJECT_HANDLE> UnwrapPrivateKeyToUse(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                       absl::string_view wrapped, PairSpec spec,
                                                       absl::string_view id) {
  return session.UnwrapKey(wrap_key, wrapped,
                           UnwrappedTemplate(spec)
                               .AddBytes(CKA_LABEL, absl::string_view("strongroom-opened"))
                               .AddBytes(CKA_ID, id)
                               .AddBool(CKA_EXTRACTABLE, false)
                               .AddBool(CKA_SIGN, true)
                               .AddBool(CKA_DECRYPT, !IsCurve(spec))
                               .AddBool(CKA_DERIVE, IsCurve(spec)));
}

size_t ModulusBytes(PairSpec spec) { return ModulusBits(spec) / 8; }

size_t OrderBytes(PairSpec spec) {
  const Curve* curve = CurveOf(spec);
  return curve != nullptr ? curve->order_bytes : 0;
}

bool IsCurve(PairSpec spec) { return CurveOf(spec) != nullptr; }

}  // namespace strongroom::hsm::internal
