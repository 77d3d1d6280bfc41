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

template <typename Spec>
std::string NameOf(Spec spec, Names<Spec> names) {
  for (const auto& [its_spec, name] : names) {
    if (its_spec == spec) return std::string(name);
  }
  return absl::StrCat(static_cast<int>(spec));
}

template <typename Spec>
std::optional<Spec> FromName(absl::string_view name, Names<Spec> names) {
  for (const auto& [spec, its_name] : names) {
    if (its_name == name) return spec;
  }
  return std::nullopt;
}

template <typename Spec>
std::string List(Names<Spec> names) {
  std::string list;
  for (const auto& [spec, name] : names) absl::StrAppend(&list, list.empty() ? "" : ", ", name);
  return list;
}

}  // namespace

std::string DataKeySpecName(DataKeySpec spec) { return NameOf<DataKeySpec>(spec, kDataKeySpecs); }
std::string DataKeyPairSpecName(DataKeyPairSpec spec) {
  return NameOf<DataKeyPairSpec>(spec, kDataKeyPairSpecs);
}
std::string KeyFormatName(KeyFormat format) { return NameOf<KeyFormat>(format, kKeyFormats); }

std::optional<DataKeySpec> DataKeySpecFromName(absl::string_view name) {
  return FromName<DataKeySpec>(name, kDataKeySpecs);
}
std::optional<DataKeyPairSpec> DataKeyPairSpecFromName(absl::string_view name) {
  return FromName<DataKeyPairSpec>(name, kDataKeyPairSpecs);
}
std::optional<KeyFormat> KeyFormatFromName(absl::string_view name) {
  return FromName<KeyFormat>(name, kKeyFormats);
}

std::string DataKeySpecNames() { return List<DataKeySpec>(kDataKeySpecs); }
std::string DataKeyPairSpecNames() { return List<DataKeyPairSpec>(kDataKeyPairSpecs); }
std::string KeyFormatNames() { return List<KeyFormat>(kKeyFormats); }

}  // namespace strongroom
