#include "hsm/internal/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace strongroom::hsm::internal {
namespace {

using testing::StatusIs;

absl::StatusOr<std::string> Cut(absl::string_view bytes) {
  absl::StatusOr<SecretBytes> cut = CutToDerLength(SecretBytes::CopyOf(bytes));
  if (!cut.ok()) return cut.status();
  return std::string(cut->ExposeSecretAsText());
}

TEST(CutToDerLengthTest, FillingIsCutOff) {
  const std::string sequence("\x30\x03\x02\x01\x05", 5);
  EXPECT_THAT(Cut(sequence), testing::IsOkAndHolds(sequence));
  for (size_t filling = 1; filling < 8; ++filling) {
    EXPECT_THAT(Cut(sequence + std::string(filling, '\0')), testing::IsOkAndHolds(sequence));
  }
}

TEST(CutToDerLengthTest, LongLengthsAreUnderstood) {
  std::string sequence("\x30\x82\x01\x00", 4);
  sequence.append(256, 'x');
  EXPECT_THAT(Cut(sequence + std::string(4, '\0')), testing::IsOkAndHolds(sequence));
  sequence = std::string("\x30\x81\x80", 3);
  sequence.append(128, 'x');
  EXPECT_THAT(Cut(sequence), testing::IsOkAndHolds(sequence));
}

TEST(CutToDerLengthTest, WhatIsNoSequenceIsRefused) {
  const std::string kBad[] = {
      "",
      std::string("\x30", 1),
      std::string("\x30\x03\x02\x01", 4),          // shorter than it says
      std::string("\x30\x82\x01", 3),              // ends in its length
      std::string("\x30\x80\x02\x01\x05\0\0", 7),  // no length: BER, not DER
      std::string("\x30\x84\xff\xff\xff\xff", 6),
      std::string("\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", 10),
      std::string("\x04\x03\x02\x01\x05", 5),  // OCTET STRING
      std::string("\xb0\x03\x02\x01\x05", 5),  // [16]: the number is right and the class is not
      std::string(16, '\0'),
  };
  for (const std::string& bad : kBad) {
    EXPECT_THAT(Cut(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad.size();
  }
}

}  // namespace
}  // namespace strongroom::hsm::internal
