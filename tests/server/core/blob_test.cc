#include "server/core/blob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/pair_spec.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;

// Where the header's fields begin.
constexpr size_t kFormatVersionAt = 4;
constexpr size_t kAlgorithmAt = 5;
constexpr size_t kKindAt = 6;
constexpr size_t kPairSpecAt = 7;
constexpr size_t kContentBytesAt = 8;

BlobHeader MakeHeader(ContentKind kind, uint32_t content_bytes,
                      std::optional<PairSpec> spec = std::nullopt) {
  std::array<uint8_t, 16> key_id;
  std::array<uint8_t, 16> version_id;
  BlobHeader header;
  for (uint8_t i = 0; i < 16; ++i) {
    key_id[i] = static_cast<uint8_t>(0x10 + i);
    version_id[i] = static_cast<uint8_t>(0xf0 + i);
  }
  for (uint8_t i = 0; i < hsm::kIvBytes; ++i) header.iv[i] = static_cast<uint8_t>(0x80 + i);
  header.kind = kind;
  header.pair_spec = spec;
  header.content_bytes = content_bytes;
  header.key_id = KeyId(key_id);
  header.key_version_id = KeyVersionId(version_id);
  return header;
}

// A blob of this many sealed bytes; nothing here looks at the ciphertext.
std::string MakeBlob(const BlobHeader& header, size_t sealed_bytes) {
  return header.Encode() + std::string(sealed_bytes + hsm::kTagBytes, '\x5a');
}

// One blob of each kind, as small as it can be.
std::vector<std::string> SmallBlobs() {
  return {MakeBlob(MakeHeader(ContentKind::kBytes, 1), 1),
          MakeBlob(MakeHeader(ContentKind::kWrappedBytes, 1), 16),
          MakeBlob(MakeHeader(ContentKind::kWrappedKeyAsPem, 0, PairSpec::kEcP256), 16),
          MakeBlob(MakeHeader(ContentKind::kWrappedKeyAsDer, 0, PairSpec::kRsa4096), 16)};
}

void ExpectSame(const BlobHeader& a, const BlobHeader& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.pair_spec, b.pair_spec);
  EXPECT_EQ(a.content_bytes, b.content_bytes);
  EXPECT_EQ(a.key_id, b.key_id);
  EXPECT_EQ(a.key_version_id, b.key_version_id);
  EXPECT_EQ(a.iv, b.iv);
}

TEST(BlobTest, HeaderHasItsFieldsInTheirPlaces) {
  const std::string encoded = MakeHeader(ContentKind::kBytes, 0x01020304).Encode();
  ASSERT_EQ(encoded.size(), BlobHeader::kBytes);
  EXPECT_EQ(encoded.substr(0, 4), "SRKB");
  EXPECT_EQ(encoded.substr(4, 4), std::string("\1\1\1\0", 4));
  EXPECT_EQ(encoded.substr(8, 4), "\1\2\3\4");
  EXPECT_EQ(encoded.substr(12, 2), "\x10\x11");
  EXPECT_EQ(encoded.substr(28, 2), "\xf0\xf1");
  EXPECT_EQ(encoded.substr(44, 2), "\x80\x81");
}

TEST(BlobTest, EveryKindAndSpecIsParsedAsItWasEncoded) {
  std::vector<std::pair<BlobHeader, size_t>> cases = {
      {MakeHeader(ContentKind::kBytes, 1), 1},
      {MakeHeader(ContentKind::kBytes, 1024), 1024},
      {MakeHeader(ContentKind::kBytes, 65535), 65535},
      {MakeHeader(ContentKind::kWrappedBytes, 1), 16},
      {MakeHeader(ContentKind::kWrappedBytes, 8), 16},
      {MakeHeader(ContentKind::kWrappedBytes, 9), 24},
      {MakeHeader(ContentKind::kWrappedBytes, 1024), 1032},
  };
  for (PairSpec spec : hsm::kAllPairSpecs) {
    cases.push_back({MakeHeader(ContentKind::kWrappedKeyAsPem, 0, spec), 152});
    cases.push_back({MakeHeader(ContentKind::kWrappedKeyAsDer, 0, spec), 2384});
  }
  for (const auto& [header, sealed_bytes] : cases) {
    const std::string blob = MakeBlob(header, sealed_bytes);
    const std::optional<ParsedBlob> parsed = ParseBlob(blob);
    ASSERT_TRUE(parsed.has_value()) << static_cast<int>(header.kind) << " " << sealed_bytes;
    ExpectSame(parsed->header, header);
    EXPECT_EQ(parsed->header.Encode(), parsed->header_bytes);
    EXPECT_EQ(absl::StrCat(parsed->header_bytes, parsed->ciphertext), blob);
  }
}

TEST(BlobTest, EveryTruncationIsRefused) {
  for (const std::string& blob : SmallBlobs()) {
    ASSERT_TRUE(ParseBlob(blob).has_value());
    for (size_t size = 0; size < blob.size(); ++size) {
      EXPECT_FALSE(ParseBlob(blob.substr(0, size)).has_value()) << size;
    }
  }
}

TEST(BlobTest, BytesBehindItAreRefused) {
  for (const std::string& blob : SmallBlobs()) {
    EXPECT_FALSE(ParseBlob(blob + '\0').has_value());
  }
  // Further whole blocks could be a longer private key; that is for the tag to tell.
  for (size_t more : {1, 8, 16, 1024}) {
    EXPECT_FALSE(ParseBlob(SmallBlobs()[0] + std::string(more, '\0')).has_value());
    EXPECT_FALSE(ParseBlob(SmallBlobs()[1] + std::string(more, '\0')).has_value());
  }
}

// Sets a byte to each of its values; gives those with which the blob parses.
std::vector<int> ValuesThatParse(std::string blob, size_t position) {
  std::vector<int> values;
  for (int value = 0; value < 256; ++value) {
    blob[position] = static_cast<char>(value);
    if (ParseBlob(blob).has_value()) values.push_back(value);
  }
  return values;
}

TEST(BlobTest, OnlyTheOneMagicVersionAndAlgorithmAreTaken) {
  for (const std::string& blob : SmallBlobs()) {
    for (size_t position = 0; position <= kAlgorithmAt; ++position) {
      EXPECT_EQ(ValuesThatParse(blob, position),
                std::vector<int>{static_cast<uint8_t>(blob[position])})
          << position;
    }
  }
  EXPECT_EQ(SmallBlobs()[0][kFormatVersionAt], 1);
}

TEST(BlobTest, OnlyKindsThatThereAreAreTaken) {
  // The lengths fit one kind of bytes each, and both kinds of private keys.
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[0], kKindAt), std::vector<int>{1});
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[1], kKindAt), std::vector<int>{2});
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[2], kKindAt), (std::vector<int>{3, 4}));
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[3], kKindAt), (std::vector<int>{3, 4}));
}

TEST(BlobTest, PairSpecIsThereForPrivateKeysOnly) {
  const std::vector<int> none = {0};
  const std::vector<int> all = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[0], kPairSpecAt), none);
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[1], kPairSpecAt), none);
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[2], kPairSpecAt), all);
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[3], kPairSpecAt), all);
}

TEST(BlobTest, ContentLengthHasToFit) {
  for (size_t position = kContentBytesAt; position < kContentBytesAt + 3; ++position) {
    for (const std::string& blob : SmallBlobs()) {
      EXPECT_EQ(ValuesThatParse(blob, position), std::vector<int>{0}) << position;
    }
  }
  const size_t last = kContentBytesAt + 3;
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[0], last), std::vector<int>{1});
  // All that fill one block; which one it is, the tag tells.
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[1], last), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[2], last), std::vector<int>{0});
  EXPECT_EQ(ValuesThatParse(SmallBlobs()[3], last), std::vector<int>{0});
}

TEST(BlobTest, ContentThatIsEmptyOrTooLongIsRefused) {
  EXPECT_FALSE(ParseBlob(MakeBlob(MakeHeader(ContentKind::kBytes, 0), 0)).has_value());
  EXPECT_FALSE(ParseBlob(MakeBlob(MakeHeader(ContentKind::kWrappedBytes, 0), 8)).has_value());
  EXPECT_FALSE(ParseBlob(MakeBlob(MakeHeader(ContentKind::kBytes, 65536), 65536)).has_value());
  EXPECT_FALSE(
      ParseBlob(MakeBlob(MakeHeader(ContentKind::kWrappedBytes, 65536), 65544)).has_value());
  // A length whose rounding up would begin again at 0.
  EXPECT_FALSE(
      ParseBlob(MakeBlob(MakeHeader(ContentKind::kWrappedBytes, 0xffffffff), 8)).has_value());
}

TEST(BlobTest, WrappedKeyHasToBeWholeBlocks) {
  const BlobHeader header = MakeHeader(ContentKind::kWrappedKeyAsDer, 0, PairSpec::kEcP256);
  for (size_t sealed_bytes : {0, 8, 15, 17, 23, 25}) {
    EXPECT_FALSE(ParseBlob(MakeBlob(header, sealed_bytes)).has_value()) << sealed_bytes;
  }
  for (size_t sealed_bytes : {16, 24, 152}) {
    EXPECT_TRUE(ParseBlob(MakeBlob(header, sealed_bytes)).has_value()) << sealed_bytes;
  }
}

TEST(BlobTest, AnyIdsAndIvAreTaken) {
  for (const std::string& blob : SmallBlobs()) {
    for (size_t position = kContentBytesAt + 4; position < blob.size(); ++position) {
      EXPECT_EQ(ValuesThatParse(blob, position).size(), 256u) << position;
    }
  }
}

}  // namespace
}  // namespace strongroom::core
