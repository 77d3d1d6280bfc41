#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/config/config.h"
#include "tests/testing/status_matchers.h"

namespace strongroom {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

absl::StatusOr<Config> WithKeys(const std::string& keys) {
  return ParseConfig("s.yaml", absl::StrCat(R"(
token: {module: /m.so, token: t, pin_file: /pin}
store: {path: /s.db}
listen: {unix: [{path: /s.sock, principal: p}]}
development: true
policy: [{principals: [p], operations: ["*"]}]
)",
                                            keys, "\n"));
}

TEST(KeysConfigTest, DefaultsAreThoseOfTheStandard) {
  ASSERT_OK_AND_ASSIGN(const Config config, WithKeys(""));
  EXPECT_EQ(config.key_life.rotation_days, 90);
  EXPECT_EQ(config.uses.most, int64_t{1} << 32);
  EXPECT_EQ(config.uses.rotate_at, int64_t{1} << 31);
  EXPECT_EQ(config.private_keys.opened_for, absl::Seconds(10));
  EXPECT_EQ(config.private_keys.opened_at_most, 100);
}

TEST(KeysConfigTest, AllIsRead) {
  ASSERT_OK_AND_ASSIGN(const Config config,
                       WithKeys("keys: {rotation_period_days: 0, max_uses: 1000, "
                                "rotate_after_uses: 900, uses_per_reservation: 7, "
                                "opened_private_keys: {seconds: 0, most: 3}}"));
  EXPECT_EQ(config.key_life.rotation_days, 0);
  EXPECT_EQ(config.uses.most, 1000);
  EXPECT_EQ(config.uses.rotate_at, 900);
  EXPECT_EQ(config.uses.block, 7);
  EXPECT_EQ(config.private_keys.opened_for, absl::ZeroDuration());
  EXPECT_EQ(config.private_keys.opened_at_most, 3);
}

TEST(KeysConfigTest, RotationBeginsAtHalfOfTheUses) {
  ASSERT_OK_AND_ASSIGN(const Config config, WithKeys("keys: {max_uses: 1000}"));
  EXPECT_EQ(config.uses.rotate_at, 500);
}

TEST(KeysConfigTest, MoreUsesThanTheStandardAllowsAreRefused) {
  EXPECT_OK(WithKeys("keys: {max_uses: 4294967296}"));
  EXPECT_THAT(WithKeys("keys: {max_uses: 4294967297}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keys.max_uses")));
  EXPECT_THAT(
      WithKeys("keys: {max_uses: 1000, rotate_after_uses: 1001}"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keys.rotate_after_uses: is 1001")));
}

TEST(KeysConfigTest, NumbersHaveTheirRange) {
  for (const char* wrong :
       {"rotation_period_days: 2561", "rotation_period_days: -1", "max_uses: 0",
        "rotate_after_uses: 0", "uses_per_reservation: 0", "opened_private_keys: {seconds: 3601}",
        "opened_private_keys: {most: 0}", "opened_private_keys: {often: 1}", "rotation: 1"}) {
    EXPECT_THAT(WithKeys(absl::StrCat("keys: {", wrong, "}")),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << wrong;
  }
}

}  // namespace
}  // namespace strongroom
