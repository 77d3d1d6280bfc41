#include "server/store/ids.h"

namespace strongroom::internal {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

constexpr bool IsHyphen(size_t position) {
  return position == 8 || position == 13 || position == 18 || position == 23;
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string FormatUuid(const std::array<uint8_t, 16>& bytes) {
  std::string text;
  text.reserve(36);
  for (uint8_t byte : bytes) {
    if (IsHyphen(text.size())) text.push_back('-');
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 0x0f]);
  }
  return text;
}

std::optional<std::array<uint8_t, 16>> ParseUuid(absl::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::array<uint8_t, 16> bytes = {};
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsHyphen(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int value = DigitValue(text[i]);
    if (value < 0) return std::nullopt;
    bytes[digits / 2] = static_cast<uint8_t>(bytes[digits / 2] << 4 | value);
    ++digits;
  }
  return bytes;
}

}  // namespace strongroom::internal
