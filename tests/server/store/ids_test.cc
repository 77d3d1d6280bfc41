#include "server/store/ids.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "absl/container/flat_hash_set.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace strongroom {
namespace {

constexpr std::array<uint8_t, 16> kBytes = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                            0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
constexpr char kText[] = "00112233-4455-6677-8899-aabbccddeeff";

TEST(IdTest, FormatsInLowerCaseWithHyphens) { EXPECT_EQ(KeyId(kBytes).ToString(), kText); }

TEST(IdTest, DefaultIsTheNilUuid) {
  EXPECT_EQ(KeyId().ToString(), "00000000-0000-0000-0000-000000000000");
}

TEST(IdTest, ParsesWhatItFormats) { EXPECT_EQ(KeyId::Parse(kText), KeyId(kBytes)); }

TEST(IdTest, ParsesUpperAndMixedCase) {
  EXPECT_EQ(KeyId::Parse("00112233-4455-6677-8899-AABBCCDDEEFF"), KeyId(kBytes));
  EXPECT_EQ(KeyId::Parse("00112233-4455-6677-8899-AaBbCcDdEeFf"), KeyId(kBytes));
}

class IdMalformedTest : public ::testing::TestWithParam<std::string> {};

TEST_P(IdMalformedTest, IsNotParsed) { EXPECT_EQ(KeyId::Parse(GetParam()), std::nullopt); }

INSTANTIATE_TEST_SUITE_P(
    Texts, IdMalformedTest,
    ::testing::Values("",                                        //
                      "0",                                       //
                      "00112233445566778899aabbccddeeff",        // no hyphens
                      "{00112233-4455-6677-8899-aabbccddeeff}",  //
                      "00112233-4455-6677-8899-aabbccddeef",     // one digit short
                      "00112233-4455-6677-8899-aabbccddeeff0",   // one long
                      " 0112233-4455-6677-8899-aabbccddeeff",    //
                      "00112233-4455-6677-8899-aabbccddeefg",    //
                      "00112233-4455-6677-8899-aabbccddeef`",    // before 'a'
                      "00112233-4455-6677-8899-aabbccddeef@",    // before 'A'
                      "00112233-4455-6677-8899-aabbccddeef:",    // after '9'
                      "00112233-4455-6677-8899-aabbccddeef/",    // before '0'
                      "00112233-4455-6677-8899_aabbccddeeff",    //
                      "0011223-34455-6677-8899-aabbccddeeff",    // a hyphen out of place
                      "-0112233-4455-6677-8899-aabbccddeeff",    //
                      "00112233-4455-6677-8899-aabbccddee\xc3\xa9",
                      std::string("00112233-4455-6677-8899-aabbccddeef\0", 36)));

TEST(IdTest, FromRandomSetsVersionAndVariantAndKeepsTheRest) {
  std::array<uint8_t, 16> ones;
  ones.fill(0xff);
  EXPECT_EQ(KeyId::FromRandom(ones).ToString(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_EQ(KeyId::FromRandom({}).ToString(), "00000000-0000-4000-8000-000000000000");
}

TEST(IdTest, ComparesAndOrdersByBytes) {
  std::array<uint8_t, 16> higher = kBytes;
  higher[0] = 0x80;  // above as unsigned, below as signed
  EXPECT_EQ(KeyId(kBytes), KeyId(kBytes));
  EXPECT_NE(KeyId(kBytes), KeyId(higher));
  EXPECT_LT(KeyId(kBytes), KeyId(higher));
  EXPECT_FALSE(KeyId(higher) < KeyId(kBytes));
  EXPECT_FALSE(KeyId(kBytes) < KeyId(kBytes));
}

TEST(IdTest, HashesByBytes) {
  const absl::flat_hash_set<KeyId> ids = {KeyId(kBytes), KeyId(kBytes), KeyId()};
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_TRUE(ids.contains(KeyId(kBytes)));
}

TEST(IdTest, IdsOfDifferentThingsDoNotConvert) {
  static_assert(!std::is_convertible_v<KeyId, KeyVersionId>);
  static_assert(!std::is_constructible_v<KeyId, KeyVersionId>);
  static_assert(!std::is_convertible_v<std::array<uint8_t, 16>, KeyId>);
}

}  // namespace
}  // namespace strongroom
