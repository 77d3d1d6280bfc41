#include "server/core/peer_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

constexpr size_t kMaxPublicKeyBytes = 4096;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Group = std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Deleter<EC_POINT_free>>;

// 0 for RSA.
int CurveOf(hsm::PairSpec spec) {
  switch (spec) {
    case hsm::PairSpec::kEcP256:
      return NID_X9_62_prime256v1;
    case hsm::PairSpec::kEcP384:
      return NID_secp384r1;
    case hsm::PairSpec::kEcP521:
      return NID_secp521r1;
    case hsm::PairSpec::kEcP256k:
      return NID_secp256k1;
    default:
      return 0;
  }
}

// All of `text`; null if it is no public key.
Key Parse(absl::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  if (!absl::StartsWith(trimmed, "-----BEGIN PUBLIC KEY-----")) {
    const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
    const unsigned char* position = begin;
    Key key(d2i_PUBKEY(nullptr, &position, static_cast<long>(text.size())));
    return position == begin + text.size() ? std::move(key) : nullptr;
  }
  const Bio bio(BIO_new_mem_buf(trimmed.data(), static_cast<int>(trimmed.size())));
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  return BIO_pending(bio.get()) == 0 ? std::move(key) : nullptr;
}

// Nothing if it is no point of the curve, or the one at infinity.
std::string UncompressedPoint(EVP_PKEY* key, int curve) {
  unsigned char given[256];
  size_t given_size = 0;
  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, given, sizeof(given),
                                      &given_size) != 1) {
    return "";
  }
  // On the curve itself, not on what the key may say the curve was.
  const Group group(EC_GROUP_new_by_curve_name(curve));
  const Point point(EC_POINT_new(group.get()));
  if (EC_POINT_oct2point(group.get(), point.get(), given, given_size, nullptr) != 1 ||
      EC_POINT_is_on_curve(group.get(), point.get(), nullptr) != 1 ||
      EC_POINT_is_at_infinity(group.get(), point.get()) == 1) {
    return "";
  }
  unsigned char out[256];
  const size_t size = EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                                         out, sizeof(out), nullptr);
  return std::string(reinterpret_cast<const char*>(out), size);
}

}  // namespace

absl::StatusOr<std::string> ParsePeerKey(absl::string_view field, absl::string_view public_key,
                                         hsm::PairSpec spec) {
  const auto invalid = [&](absl::string_view why) {
    ERR_clear_error();
    return MakeError(Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
  };
  if (public_key.empty() || public_key.size() > kMaxPublicKeyBytes) {
    return invalid(
        absl::StrCat("has ", public_key.size(), " bytes; give 1 to ", kMaxPublicKeyBytes));
  }
  const Key key = Parse(public_key);
  if (key == nullptr) {
    return invalid("is no public key; give an X.509 SubjectPublicKeyInfo in DER or PEM");
  }
  const int curve = CurveOf(spec);
  char group[64] = {};
  if (EVP_PKEY_is_a(key.get(), "EC") != 1 ||
      EVP_PKEY_get_group_name(key.get(), group, sizeof(group), nullptr) != 1 ||
      OBJ_txt2nid(group) != curve) {
    return invalid(
        absl::StrCat("is not of the private key's curve; give one of ", OBJ_nid2sn(curve)));
  }
  std::string point = UncompressedPoint(key.get(), curve);
  if (point.empty()) return invalid("is no point of its curve");
  return point;
}

}  // namespace strongroom::core
