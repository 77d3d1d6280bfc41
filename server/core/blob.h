#ifndef STRONGROOM_SERVER_CORE_BLOB_H_
#define STRONGROOM_SERVER_CORE_BLOB_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "hsm/pair_spec.h"
#include "hsm/token.h"
#include "server/store/ids.h"

namespace strongroom::core {

// What a blob holds once it is opened. The numbers stand in blobs: do not change them.
enum class ContentKind : uint8_t {
  kBytes = 1,            // the bytes themselves
  kWrappedBytes = 2,     // bytes under the version's wrap key (RFC 5649)
  kWrappedKeyAsPem = 3,  // PKCS#8 under the wrap key; given out as PEM
  kWrappedKeyAsDer = 4,  // PKCS#8 under the wrap key; given out as DER
};

// The clear part of a sealed blob. docs/blob-format.md describes the bytes, with test vectors.
struct BlobHeader {
  static constexpr size_t kBytes = 56;
  // The IV is its end.
  static constexpr size_t kIvOffset = kBytes - hsm::kIvBytes;

  ContentKind kind = ContentKind::kBytes;
  // Only for the two kinds of private keys.
  std::optional<hsm::PairSpec> pair_spec;
  // Length of the content in bytes; 0 for private keys, whose DER says it itself.
  uint32_t content_bytes = 0;
  KeyId key_id;
  KeyVersionId key_version_id;
  hsm::Iv iv = {};

  std::string Encode() const;
};

struct ParsedBlob {
  BlobHeader header;
  // The header's bytes, and what follows them: ciphertext and tag. Views of what was parsed.
  absl::string_view header_bytes;
  absl::string_view ciphertext;
};

// Nothing if this is no blob: another magic or version, numbers that mean nothing, or lengths that
// do not fit together. Whether it is genuine only its tag says.
std::optional<ParsedBlob> ParseBlob(absl::string_view blob);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_BLOB_H_
