#ifndef STRONGROOM_SERVER_STORE_IDS_H_
#define STRONGROOM_SERVER_STORE_IDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace strongroom {

namespace internal {
std::string FormatUuid(const std::array<uint8_t, 16>& bytes);
std::optional<std::array<uint8_t, 16>> ParseUuid(absl::string_view text);
}  // namespace internal

// A UUID (RFC 4122) that says of what. Keys and their versions have ids of different types, so that
// one is not taken for the other.
template <typename Tag>
class Id {
 public:
  Id() = default;
  explicit Id(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}

  // Takes 16 random bytes and marks them as a version 4 UUID.
  static Id FromRandom(std::array<uint8_t, 16> random) {
    random[6] = static_cast<uint8_t>((random[6] & 0x0f) | 0x40);
    random[8] = static_cast<uint8_t>((random[8] & 0x3f) | 0x80);
    return Id(random);
  }

  // The 8-4-4-4-12 form in lower or upper case; nothing else.
  static std::optional<Id> Parse(absl::string_view text) {
    std::optional<std::array<uint8_t, 16>> bytes = internal::ParseUuid(text);
    if (!bytes.has_value()) return std::nullopt;
    return Id(*bytes);
  }

  // Lower case.
  std::string ToString() const { return internal::FormatUuid(bytes_); }
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  friend bool operator==(const Id& a, const Id& b) { return a.bytes_ == b.bytes_; }
  friend bool operator!=(const Id& a, const Id& b) { return a.bytes_ != b.bytes_; }
  friend bool operator<(const Id& a, const Id& b) { return a.bytes_ < b.bytes_; }
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_ = {};
};

// A master key.
using KeyId = Id<struct KeyTag>;
// A version of a master key; its bytes are the CKA_ID of the version's objects in the token.
using KeyVersionId = Id<struct KeyVersionTag>;
// A grant of a master key's use.
using GrantId = Id<struct GrantTag>;
// A key pair in the token for one import of material; its bytes are the CKA_ID of the pair.
using ImportId = Id<struct ImportTag>;
// Keys of the token that seal the pairs of a server's reserve, from one start to the next; its
// bytes are the CKA_ID of the two.
using ReserveEpochId = Id<struct ReserveEpochTag>;
// A store, so that a token can tell which one it belongs to.
using StoreId = Id<struct StoreTag>;

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_STORE_IDS_H_
