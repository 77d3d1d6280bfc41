// A store of many keys, most of which nobody uses.

#include "tests/testing/many_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <optional>
#include <string>
#include <vector>

#include "server/core/error.h"
#include "server/core/key_ring.h"
#include "server/core/key_state.h"
#include "server/store/store.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using ::testing::Each;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kPrimary = SealingVersion::kPrimary;
constexpr int kMany = 2000;

class ManyKeysTest : public KmsFixture {
 protected:
  void AddSynthetic(int keys) {
    Stop();
    ASSERT_OK(testing::AddSyntheticKeys(store_path(), keys));
    ASSERT_NO_FATAL_FAILURE(Start());
  }

  // All that a filter lets through.
  std::vector<KeyDescription> List(const KeyFilter& filter) {
    std::vector<KeyDescription> keys;
    std::optional<KeyId> after;
    do {
      absl::StatusOr<KeyPage> page = ring().ListKeys(filter, after, 700);
      EXPECT_OK(page);
      if (!page.ok()) break;
      keys.insert(keys.end(), page->keys.begin(), page->keys.end());
      after = page->next;
    } while (after.has_value());
    return keys;
  }

  store::KeyRecord OneSynthetic() {
    const std::vector<KeyDescription> keys = List({.statuses = {KeyStatus::kUnavailable}});
    EXPECT_THAT(keys, Not(IsEmpty()));
    return keys.empty() ? store::KeyRecord() : keys.back().record;
  }
};

TEST_F(ManyKeysTest, KeysThatTheTokenLacksAreCountedAndTheOthersServe) {
  const std::vector<KeyId> hot = {CreateKey(), CreateKey(), CreateKey()};
  const std::string blob = Seal(hot[0], "before").blob;
  ASSERT_NO_FATAL_FAILURE(AddSynthetic(kMany));
  EXPECT_EQ(report().versions, kMany + 3);
  EXPECT_EQ(report().unusable_versions, kMany);
  EXPECT_THAT(report().unusable, SizeIs(KeyRingReport::kMostUnusableLines));
  EXPECT_THAT(report().unusable, Each(HasSubstr("the token has no keys of this version")));
  EXPECT_EQ(report().unknown, 0);

  ExpectOpens(blob, {}, "before");
  for (const KeyId& key : hot) ExpectOpens(Seal(key, "after").blob, {}, "after");
  EXPECT_THAT(List({}), SizeIs(kMany + 3));
  EXPECT_THAT(List({.statuses = {KeyStatus::kUnavailable}}), SizeIs(kMany));
  EXPECT_THAT(List({.statuses = {KeyStatus::kEnabled}}), SizeIs(3));
}

TEST_F(ManyKeysTest, KeyThatTheTokenLacksIsRefusedWithoutTheToken) {
  const KeyId hot = CreateKey();
  ASSERT_NO_FATAL_FAILURE(AddSynthetic(kMany));
  const store::KeyRecord key = OneSynthetic();
  const auto unusable = FailsWith(Reason::kUnavailable, HasSubstr(key.primary_version.ToString()));
  faults().Reset();
  EXPECT_THAT(ring().Resolve(key.id), IsOkAndHolds(key.id));
  EXPECT_THAT(ring().ForSealing(key.id, kPrimary), unusable);
  EXPECT_THAT(ring().ForOpening(key.id, key.primary_version), unusable);
  EXPECT_THAT(ring().ForOpening(hot, key.primary_version), FailsWith(Reason::kInvalidCiphertext));
  const auto unknown = *KeyVersionId::Parse("00000000-0000-4000-8000-000000000001");
  EXPECT_THAT(ring().ForOpening(key.id, unknown), FailsWith(Reason::kInvalidCiphertext));
  EXPECT_THAT(faults().Calls(), IsEmpty());

  ASSERT_OK_AND_ASSIGN(const KeyDescription described, ring().Describe(key.id));
  EXPECT_EQ(described.status, KeyStatus::kUnavailable);
  // One went into its proof.
  EXPECT_EQ(described.primary_uses_left, use_limits().most - 1);
  ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(key.id, 0, 10));
  ASSERT_THAT(versions, SizeIs(1));
  EXPECT_EQ(versions[0].uses_left, use_limits().most - 1);
  // It is an enabled key, so it can get a version that works.
  Rotate(key.id);
  EXPECT_THAT(ring().ForSealing(key.id, kPrimary), IsOk());
  EXPECT_THAT(ring().ForSealing(key.id, SealingVersion::kInitial), unusable);
}

// A version that somebody has tampered with is not lost among those that are missing.
TEST_F(ManyKeysTest, VersionsThatDriftedAreReportedFirst) {
  const KeyId key = CreateKey();
  Stop();
  ASSERT_OK(testing::AddSyntheticKeys(store_path(), kMany));
  ASSERT_OK(faults().Apply("attribute strongroom-seal CKA_EXTRACTABLE 01"));
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(report().unusable_versions, kMany + 1);
  ASSERT_THAT(report().unusable, SizeIs(KeyRingReport::kMostUnusableLines));
  EXPECT_THAT(report().unusable[0], HasSubstr(key.ToString()));
  EXPECT_THAT(report().unusable[0], HasSubstr("CKA_EXTRACTABLE"));
}

TEST_F(ManyKeysTest, StartDoesNotAskForEachKey) {
  CreateKey();
  Stop();
  faults().Reset();
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto calls = faults().Calls();
  Stop();
  ASSERT_OK(testing::AddSyntheticKeys(store_path(), kMany));
  faults().Reset();
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  for (const char* member : {"GetKey", "GetKeyVersion", "ListKeyVersions", "ListKeys"}) {
    store().Fail(member, absl::UnavailableError("asked"));
  }
  EXPECT_THAT(OpenRing(), IsOk());
  EXPECT_EQ(report().versions, kMany + 1);
  EXPECT_EQ(faults().Calls(), calls);
}

// Of the ring alone, by the bytes that it has of malloc: docs/operations.md says what a server
// takes. Sanitizers have a malloc of their own, which tells nothing.
TEST_F(ManyKeysTest, MemoryForAKeyIsBounded) {
  constexpr int kKeys = 10000;
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return static_cast<int64_t>(info.uordblks + info.hblkhd);
  };
  Stop();
  ASSERT_OK(testing::AddSyntheticKeys(store_path(), kKeys));
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  ASSERT_THAT(OpenRing(), IsOk());  // and closes it: the store's own memory is warm
  const int64_t before = in_use();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<KeyRing> ring, OpenRing());
  EXPECT_LE((in_use() - before) / kKeys, 160);

  // And when all have been looked at.
  std::vector<KeyId> keys;
  std::optional<KeyId> after;
  do {
    ASSERT_OK_AND_ASSIGN(const KeyPage page, ring->ListKeys({}, after, 1000));
    for (const KeyDescription& key : page.keys) keys.push_back(key.record.id);
    after = page.next;
  } while (after.has_value());
  ASSERT_THAT(keys, SizeIs(kKeys));
  const int64_t listed = in_use();
  for (const KeyId& key : keys) ASSERT_THAT(ring->Resolve(key), IsOk());
  EXPECT_LE((in_use() - listed) / kKeys, 160);
}

}  // namespace
}  // namespace strongroom::core
