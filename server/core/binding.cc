#include "server/core/binding.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

constexpr char kAad = 1;
constexpr char kContext = 2;

void AppendLengthAndBytes(absl::string_view bytes, std::string& out) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(size >> shift));
  out.append(bytes.data(), bytes.size());
}

absl::Status TooLong(absl::string_view field, size_t size) {
  return MakeError(
      Reason::kInvalidParameter,
      absl::StrCat(field, ": takes ", size, " bytes; at most ", Binding::kMaxBytes, " are valid"));
}

}  // namespace

absl::StatusOr<Binding> Binding::ToAad(absl::string_view field, absl::string_view aad) {
  if (aad.empty()) return Binding();
  if (aad.size() > kMaxBytes) return TooLong(field, aad.size());
  std::string encoded(1, kAad);
  encoded.append(aad.data(), aad.size());
  return Binding(std::move(encoded));
}

absl::StatusOr<Binding> Binding::ToContext(absl::string_view field,
                                           const std::map<std::string, std::string>& context) {
  if (context.empty()) return Binding();
  std::string encoded(1, kContext);
  // std::map is in the order of the keys' bytes, as unsigned characters.
  for (const auto& [key, value] : context) {
    AppendLengthAndBytes(key, encoded);
    AppendLengthAndBytes(value, encoded);
  }
  if (encoded.size() - 1 > kMaxBytes) return TooLong(field, encoded.size() - 1);
  return Binding(std::move(encoded));
}

}  // namespace strongroom::core
