#include "hsm/internal/attributes.h"

#include <utility>

namespace strongroom::hsm::internal {
namespace {

template <typename T>
absl::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}  // namespace

void Template::AddOwned(CK_ATTRIBUTE_TYPE type, absl::string_view value) {
  // A deque does not move its strings, so that the attributes can point into them.
  std::string& owned = values_.emplace_back(value);
  attributes_.push_back({type, owned.data(), owned.size()});
}

Template&& Template::AddBool(CK_ATTRIBUTE_TYPE type, bool value) && {
  const CK_BBOOL boolean = value ? CK_TRUE : CK_FALSE;
  AddOwned(type, BytesOf(boolean));
  return std::move(*this);
}

Template&& Template::AddUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value) && {
  AddOwned(type, BytesOf(value));
  return std::move(*this);
}

Template&& Template::AddBytes(CK_ATTRIBUTE_TYPE type, absl::string_view value) && {
  AddOwned(type, value);
  return std::move(*this);
}

Template&& Template::AddBytes(CK_ATTRIBUTE_TYPE type, absl::Span<const uint8_t> value) && {
  AddOwned(type, {reinterpret_cast<const char*>(value.data()), value.size()});
  return std::move(*this);
}

Template&& Template::AddAllowedMechanism(CK_MECHANISM_TYPE mechanism) && {
  AddOwned(CKA_ALLOWED_MECHANISMS, BytesOf(mechanism));
  return std::move(*this);
}

Template&& Template::AddReference(CK_ATTRIBUTE_TYPE type, absl::Span<const uint8_t> value) && {
  attributes_.push_back({type, const_cast<uint8_t*>(value.data()), value.size()});
  return std::move(*this);
}

}  // namespace strongroom::hsm::internal
