#include "server/core/blob.h"

#include <algorithm>
#include <array>

namespace strongroom::core {
namespace {

constexpr absl::string_view kMagic("SRKB", 4);
constexpr uint8_t kFormatVersion = 1;
// AES-256-GCM with a 96-bit IV and a 128-bit tag; what is wrapped inside is under AES-256-KWP.
constexpr uint8_t kAlgorithmGcm = 1;
constexpr uint32_t kMaxContentBytes = 65535;

// The size of RFC 5649's output for this many bytes.
size_t WrappedSize(size_t bytes) { return (bytes + 7) / 8 * 8 + 8; }

bool IsPrivateKey(ContentKind kind) {
  return kind == ContentKind::kWrappedKeyAsPem || kind == ContentKind::kWrappedKeyAsDer;
}

template <size_t N>
std::array<uint8_t, N> TakeArray(absl::string_view& rest) {
  std::array<uint8_t, N> bytes;
  std::copy_n(rest.begin(), N, bytes.begin());
  rest.remove_prefix(N);
  return bytes;
}

bool LengthsFit(const BlobHeader& header, size_t ciphertext_size) {
  if (ciphertext_size < hsm::kTagBytes) return false;
  const size_t sealed = ciphertext_size - hsm::kTagBytes;
  if (IsPrivateKey(header.kind)) {
    return header.content_bytes == 0 && sealed >= WrappedSize(1) && sealed % 8 == 0;
  }
  if (header.content_bytes == 0 || header.content_bytes > kMaxContentBytes) return false;
  return sealed == (header.kind == ContentKind::kBytes ? header.content_bytes
                                                       : WrappedSize(header.content_bytes));
}

}  // namespace

std::string BlobHeader::Encode() const {
  std::string out(kMagic);
  out.reserve(kBytes);
  out.push_back(static_cast<char>(kFormatVersion));
  out.push_back(static_cast<char>(kAlgorithmGcm));
  out.push_back(static_cast<char>(kind));
  out.push_back(pair_spec.has_value() ? static_cast<char>(*pair_spec) : '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(content_bytes >> shift));
  }
  out.append(key_id.bytes().begin(), key_id.bytes().end());
  out.append(key_version_id.bytes().begin(), key_version_id.bytes().end());
  out.append(iv.begin(), iv.end());
  return out;
}

std::optional<ParsedBlob> ParseBlob(absl::string_view blob) {
  if (blob.size() < BlobHeader::kBytes || blob.substr(0, kMagic.size()) != kMagic) {
    return std::nullopt;
  }
  ParsedBlob parsed;
  parsed.header_bytes = blob.substr(0, BlobHeader::kBytes);
  parsed.ciphertext = blob.substr(BlobHeader::kBytes);

  absl::string_view rest = parsed.header_bytes.substr(kMagic.size());
  const auto [version, algorithm, kind, spec] = TakeArray<4>(rest);
  if (version != kFormatVersion || algorithm != kAlgorithmGcm) return std::nullopt;
  if (kind < static_cast<uint8_t>(ContentKind::kBytes) ||
      kind > static_cast<uint8_t>(ContentKind::kWrappedKeyAsDer)) {
    return std::nullopt;
  }
  BlobHeader& header = parsed.header;
  header.kind = static_cast<ContentKind>(kind);
  if (IsPrivateKey(header.kind)) {
    if (spec < static_cast<uint8_t>(hsm::PairSpec::kRsa2048) ||
        spec > static_cast<uint8_t>(hsm::PairSpec::kEcP256k)) {
      return std::nullopt;
    }
    header.pair_spec = static_cast<hsm::PairSpec>(spec);
  } else if (spec != 0) {
    return std::nullopt;
  }
  for (uint8_t byte : TakeArray<4>(rest)) header.content_bytes = header.content_bytes << 8 | byte;
  header.key_id = KeyId(TakeArray<16>(rest));
  header.key_version_id = KeyVersionId(TakeArray<16>(rest));
  header.iv = TakeArray<hsm::kIvBytes>(rest);
  if (!LengthsFit(header, parsed.ciphertext.size())) return std::nullopt;
  return parsed;
}

}  // namespace strongroom::core
