#include "server/gate/upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "server/core/error.h"
#include "server/gate/policy.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/server/gate/audit/trail_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::KeyStatus;
using core::Reason;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class UpkeepTest : public core::KmsFixture {
 protected:
  void SetUp() override {
    life_options().rotation_days = 0;
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    ASSERT_OK(trail_.Open());
    ASSERT_NO_FATAL_FAILURE(Arrange());
  }
  void TearDown() override { upkeep_ = nullptr; }

  // What hangs on the fixture's parts, which Start() replaces.
  void Arrange() {
    ASSERT_OK(token().PrepareMacKeys(kNoDeadline));
    authority_ = std::make_unique<Authority>(store(), token(), ring(), clock(), log_, Policy());
    imports_ = std::make_unique<core::MaterialImport>(ring(), store(), token(), clock());
    private_keys_ =
        std::make_unique<core::PrivateKeys>(ring(), token(), core::PrivateKeys::Options());
    upkeep_ = std::make_unique<Upkeep>(Upkeep::Parts{ring(), life(), *imports_, *private_keys_,
                                                     *authority_, &trail_.trail(), log_});
  }

  Upkeep& upkeep() { return *upkeep_; }
  audit::TrailFixture& trail() { return trail_; }

  KeyId CreateRotatingKey(int days) {
    const KeyId key = CreateKey();
    EXPECT_OK(life().UpdateRotationPolicy(key, days));
    return key;
  }
  size_t VersionsOf(const KeyId& key) {
    const auto versions = ring().ListKeyVersions(key, 0, 1000);
    EXPECT_OK(versions);
    return versions.ok() ? versions->size() : 0;
  }
  KeyStatus StatusOf(const KeyId& key) { return ring().Describe(key)->status; }
  // "OPERATION KEY TARGET REASON" of what the trail has of the upkeep.
  std::vector<std::string> Recorded() {
    std::vector<std::string> records;
    for (const std::string& line : audit::LinesIn(trail_.options.directory)) {
      const auto record = nlohmann::json::parse(line);
      if (record.value("principal", "") != kUpkeepPrincipal) continue;
      records.push_back(record.value("operation", "") + " " + record.value("key_id", "") + " " +
                        record.value("target", "") + " " + record.value("reason", ""));
    }
    return records;
  }

 private:
  Log log_{LogLevel::kError};
  audit::TrailFixture trail_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<core::MaterialImport> imports_;
  std::unique_ptr<core::PrivateKeys> private_keys_;
  std::unique_ptr<Upkeep> upkeep_;
};

TEST_F(UpkeepTest, NothingIsDoneThatIsNotDue) {
  const KeyId key = CreateRotatingKey(1);
  ASSERT_OK(life().ScheduleDeletion(CreateKey(), 7));
  clock().Advance(absl::Hours(24) - absl::Microseconds(1));
  upkeep().DoWhatIsDue();
  EXPECT_EQ(VersionsOf(key), 1u);
  EXPECT_THAT(Recorded(), IsEmpty());
}

TEST_F(UpkeepTest, KeyIsRotatedOnceWhenItIsDueAndThatIsOnRecord) {
  const KeyId key = CreateRotatingKey(1);
  clock().Advance(absl::Hours(24) * 10);
  upkeep().DoWhatIsDue();
  upkeep().DoWhatIsDue();
  EXPECT_EQ(VersionsOf(key), 2u);
  EXPECT_THAT(Recorded(), ElementsAre("Upkeep.RotateKey " + key.ToString() + "  OK"));
}

TEST_F(UpkeepTest, KeyIsDestroyedWhenItsTimeHasComeAndThatIsOnRecord) {
  const KeyId key = CreateKey();
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(absl::Hours(24) * 7);
  upkeep().DoWhatIsDue();
  EXPECT_THAT(ring().Describe(key), FailsWith(Reason::kKeyNotFound));
  EXPECT_THAT(Recorded(), ElementsAre("Upkeep.DestroyKey " + key.ToString() + " begin OK",
                                      "Upkeep.DestroyKey " + key.ToString() + " end OK"));
}

TEST_F(UpkeepTest, NothingIsDestroyedWithoutARecord) {
  const KeyId key = CreateKey();
  ASSERT_OK(life().ScheduleDeletion(key, 7));
  clock().Advance(absl::Hours(24) * 7);
  ASSERT_EQ(
      rename(trail().options.directory.c_str(), (trail().options.directory + ".away").c_str()), 0);
  // The trail notices when it next writes.
  ASSERT_FALSE(trail().WriteCalls(1).ok());
  upkeep().DoWhatIsDue();
  EXPECT_EQ(StatusOf(key), KeyStatus::kPendingDeletion);
  EXPECT_THAT(ring().Describe(key), testing::IsOk());
}

TEST_F(UpkeepTest, FailureIsOnRecordAndTriedAgain) {
  const KeyId key = CreateRotatingKey(1);
  clock().Advance(absl::Hours(24));
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR"));
  upkeep().DoWhatIsDue();
  EXPECT_EQ(VersionsOf(key), 1u);
  EXPECT_THAT(Recorded(),
              ElementsAre("Upkeep.RotateKey " + key.ToString() + "  Rejected.Unavailable"));
  // Not at once: a token that is away is not pressed.
  upkeep().DoWhatIsDue();
  EXPECT_THAT(Recorded(), SizeIs(1));
  faults().Reset();
  // By the thread, which waits as long as it takes.
  upkeep().Start();
  while (VersionsOf(key) < 2) std::this_thread::yield();
}

TEST_F(UpkeepTest, LeftoversAreReaped) {
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=2"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR"));
  EXPECT_THAT(life().CreateKey({}, kNoDeadline), FailsWith(Reason::kUnavailable));
  ASSERT_THAT(*store().ListPendingVersions(), SizeIs(1));
  faults().Reset();
  upkeep().TidyUp();
  EXPECT_THAT(*store().ListPendingVersions(), IsEmpty());
  Restart();
  EXPECT_EQ(report().unknown, 0);
}

TEST_F(UpkeepTest, WornKeyIsRotatedWithoutWaitingForARound) {
  TearDown();
  Stop();
  use_limits() = {.rotate_at = 100, .most = 1000, .block = 10};
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(Arrange());
  const KeyId key = CreateKey();
  upkeep().Start();
  for (int i = 0; i < 100; ++i) Seal(key, "text");
  while (VersionsOf(key) < 2) std::this_thread::yield();
  EXPECT_EQ(VersionsOf(key), 2u);
}

}  // namespace
}  // namespace strongroom::gate
