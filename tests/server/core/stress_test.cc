// Many threads on one core, with keys rotated (by hand, and by themselves because of use),
// disabled, scheduled for deletion and renamed under them. Every answer is checked. Meant to be run
// under ThreadSanitizer too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hsm/pair_spec.h"
#include "platform/mutex.h"
#include "server/core/data_keys.h"
#include "server/core/error.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/softhsm.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using store::KeyState;
using testing::FailsWith;

constexpr int kUsers = 5;
constexpr int kRoundsOfAUser = 1500;
// How often keys are rotated, switched and renamed: until the users are done, within these bounds.
// A rotation leaves two more objects in the token, which all later ones search.
constexpr int kLeastChanges = 8;
constexpr int kMostRotations = 80;
constexpr int kMostSwitches = 2000;
constexpr int kMostMoves = 2000;
// How often a version seals before its key rotates by itself.
constexpr int kRotateAt = 50;
constexpr char kAlias[] = "alias/moving";

// Keys that are disabled or to be deleted, and enabled again, and keys between which the alias
// moves. All are rotated.
constexpr size_t kSwitchedKeys = 2;
constexpr size_t kMovedKeys = 2;
constexpr size_t kKeys = kSwitchedKeys + kMovedKeys;

struct Key {
  KeyId id;
  KeyVersionId initial;
  // Counts changes of state: 0 enabled, 1 being disabled, 2 disabled, 3 being enabled, 4 enabled...
  // Every other time it is to be deleted in place of disabled.
  std::atomic<uint64_t> phase = 0;
  // Number of the newest version that was answered.
  std::atomic<int32_t> newest = 1;

  void Made(int32_t number) {
    int32_t known = newest;
    while (known < number && !newest.compare_exchange_weak(known, number)) {
    }
  }
};

auto IsNotEnabled() {
  return ::testing::AnyOf(FailsWith(Reason::kDisabled), FailsWith(Reason::kPendingDeletion));
}

// What was sealed, by whomever.
struct Item {
  size_t key;
  KeyVersionId version;
  size_t binding;
  std::string blob;
  // Not known of what was not returned, until somebody opens it.
  std::optional<std::string> plaintext;
};

// A version that sealed, and the least number that it had to have.
struct Sealing {
  KeyVersionId version;
  int32_t least;
};

class StressTest : public KmsFixture {
 protected:
  void SetUp() override {
    use_limits() = {.rotate_at = kRotateAt, .most = int64_t{1} << 32, .block = 16};
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    // The fault module's locks could hide a race.
    token_options().module_path = testing::kSoftHsmModule;
    token_options().lanes = 4;
    ASSERT_NO_FATAL_FAILURE(Restart());
    for (Key& key : keys_) {
      key.id = CreateKey();
      ASSERT_OK_AND_ASSIGN(const KeyDescription described, ring().Describe(key.id));
      key.initial = described.record.initial_version;
    }
    CreateAlias(kAlias, keys_[kSwitchedKeys].id);
  }

  void Use(unsigned seed);
  void Rotate();
  void Switch();
  void Move();
  void Upkeep();

  bool GoesOn(int done, int most) {
    return done < kLeastChanges || (done < most && users_at_work_ > 0);
  }
  void SealUnderAKey(std::mt19937& random);
  void SealUnderTheAlias(std::mt19937& random);
  void OpenSomething(std::mt19937& random);
  void OpenSomethingWrong(std::mt19937& random);

  // Calls, and checks an outcome that depends on whether the key is enabled. True if it is OK.
  template <typename Result>
  bool CheckedAgainstState(const Key& key, const std::function<Result()>& call, Result& result);
  void Keep(Item item, int32_t least) ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<std::pair<size_t, Item>> Any(std::mt19937& random) ABSL_LOCKS_EXCLUDED(mu_);
  void CheckPlaintext(size_t index, const std::string& plaintext) ABSL_LOCKS_EXCLUDED(mu_);
  void OpenEverything() ABSL_LOCKS_EXCLUDED(mu_);
  void CheckVersions() ABSL_LOCKS_EXCLUDED(mu_);

  const std::vector<Binding> bindings_ = {Binding(), Aad("aad"), Context({{"a", "1"}})};
  std::array<Key, kKeys> keys_;
  // Even: the alias is at rest, with the key number phase / 2; odd: it is being moved.
  std::atomic<uint64_t> alias_phase_ = 0;
  std::atomic<int> users_at_work_ = kUsers;
  std::atomic<bool> upkeep_ends_ = false;
  int rotated_by_use_ = 0;
  Mutex pairs_mu_;
  Mutex mu_;
  std::vector<Item> items_ ABSL_GUARDED_BY(mu_);
  std::vector<Sealing> sealings_ ABSL_GUARDED_BY(mu_);
};

template <typename Result>
bool StressTest::CheckedAgainstState(const Key& key, const std::function<Result()>& call,
                                     Result& result) {
  const uint64_t before = key.phase;
  result = call();
  const uint64_t after = key.phase;
  const bool enabled_throughout = before == after && before % 4 == 0;
  const bool disabled_throughout = before == after && before % 4 == 2;
  if (result.ok()) {
    EXPECT_FALSE(disabled_throughout);
    return true;
  }
  EXPECT_THAT(result, IsNotEnabled());
  EXPECT_FALSE(enabled_throughout) << result.status();
  return false;
}

void StressTest::Keep(Item item, int32_t least) {
  MutexLock lock(mu_);
  sealings_.push_back({item.version, least});
  items_.push_back(std::move(item));
}

std::optional<std::pair<size_t, Item>> StressTest::Any(std::mt19937& random) {
  MutexLock lock(mu_);
  if (items_.empty()) return std::nullopt;
  const size_t index = random() % items_.size();
  return std::pair(index, items_[index]);
}

void StressTest::CheckPlaintext(size_t index, const std::string& plaintext) {
  MutexLock lock(mu_);
  std::optional<std::string>& known = items_[index].plaintext;
  EXPECT_EQ(plaintext, known.value_or(plaintext));
  known = plaintext;
}

void StressTest::SealUnderAKey(std::mt19937& random) {
  const size_t number = random() % kSwitchedKeys;
  const Key& key = keys_[number];
  const size_t binding = random() % bindings_.size();
  const bool initial = random() % 4 == 0;
  const SealingOptions options = {
      .key = key.id,
      .version = initial ? SealingVersion::kInitial : SealingVersion::kPrimary,
      .binding = bindings_[binding]};
  const Plaintext plaintext = random() % 2 == 0 ? Plaintext::kReturned : Plaintext::kNotReturned;
  const int32_t least = initial ? 1 : key.newest.load();
  Sealed sealed;
  std::optional<std::string> text;
  if (random() % 8 == 0) {
    // There are fewer places for pairs than users.
    const MutexLock one_at_a_time(pairs_mu_);
    absl::StatusOr<KeyPair> pair;
    if (!CheckedAgainstState<absl::StatusOr<KeyPair>>(
            key,
            [&] {
              return data_keys().GenerateKeyPair(options, hsm::PairSpec::kEcP256, KeyFormat::kPem,
                                                 plaintext, kNoDeadline);
            },
            pair)) {
      return;
    }
    if (pair->private_key.has_value()) text = Text(*pair->private_key);
    sealed = std::move(pair->sealed);
  } else {
    absl::StatusOr<DataKey> data_key;
    if (!CheckedAgainstState<absl::StatusOr<DataKey>>(
            key, [&] { return data_keys().GenerateDataKey(options, 32, plaintext, kNoDeadline); },
            data_key)) {
      return;
    }
    if (data_key->plaintext.has_value()) text = Text(*data_key->plaintext);
    sealed = std::move(data_key->sealed);
  }
  EXPECT_EQ(sealed.key_id, key.id);
  EXPECT_TRUE(!initial || sealed.key_version_id == key.initial);
  Keep({number, sealed.key_version_id, binding, std::move(sealed.blob), std::move(text)}, least);
}

void StressTest::SealUnderTheAlias(std::mt19937& random) {
  const size_t binding = random() % bindings_.size();
  const std::string text = std::to_string(random());
  int32_t least[kMovedKeys];
  for (size_t i = 0; i < kMovedKeys; ++i) least[i] = keys_[kSwitchedKeys + i].newest;
  const uint64_t before = alias_phase_;
  const absl::StatusOr<KeyId> named = ring().Resolve(Alias(kAlias));
  ASSERT_OK(named);
  absl::StatusOr<Sealed> sealed = data_keys().Encrypt(
      {.key = *named, .version = SealingVersion::kPrimary, .binding = bindings_[binding]}, text,
      kNoDeadline);
  const uint64_t after = alias_phase_;
  ASSERT_OK(sealed);
  size_t moved = 0;
  while (moved < kMovedKeys && keys_[kSwitchedKeys + moved].id != sealed->key_id) ++moved;
  ASSERT_LT(moved, kMovedKeys);
  const bool at_rest = before == after && before % 2 == 0;
  EXPECT_TRUE(!at_rest || moved == before / 2 % kMovedKeys);
  Keep({kSwitchedKeys + moved, sealed->key_version_id, binding, std::move(sealed->blob), text},
       least[moved]);
}

void StressTest::OpenSomething(std::mt19937& random) {
  const auto any = Any(random);
  if (!any.has_value()) return;
  const auto& [index, item] = *any;
  const Key& key = keys_[item.key];
  absl::StatusOr<Opened> opened;
  if (!CheckedAgainstState<absl::StatusOr<Opened>>(
          key, [&] { return Open(item.blob, bindings_[item.binding]); }, opened)) {
    return;
  }
  EXPECT_EQ(opened->key_id, key.id);
  EXPECT_EQ(opened->key_version_id, item.version);
  CheckPlaintext(index, Text(opened->plaintext));
}

void StressTest::OpenSomethingWrong(std::mt19937& random) {
  const auto any = Any(random);
  if (!any.has_value()) return;
  std::string blob = any->second.blob;
  size_t binding = any->second.binding;
  if (random() % 2 == 0) {
    binding = (binding + 1) % bindings_.size();
  } else {
    blob[random() % blob.size()] ^= static_cast<char>(1 << random() % 8);
  }
  const absl::Status error = Open(blob, bindings_[binding]).status();
  // The key that the blob names may be disabled, whether the blob is genuine or not.
  if (any->second.key >= kSwitchedKeys || error == InvalidCiphertext()) {
    EXPECT_EQ(error, InvalidCiphertext());
  } else {
    EXPECT_THAT(error, IsNotEnabled());
  }
}

void StressTest::Use(unsigned seed) {
  std::mt19937 random(seed);
  for (int i = 0; i < kRoundsOfAUser && !HasFailure(); ++i) {
    switch (random() % 4) {
      case 0:
        SealUnderAKey(random);
        break;
      case 1:
        SealUnderTheAlias(random);
        break;
      case 2:
        OpenSomething(random);
        break;
      default:
        OpenSomethingWrong(random);
    }
  }
  --users_at_work_;
}

void StressTest::Rotate() {
  for (int i = 0; GoesOn(i, kMostRotations); ++i) {
    Key& key = keys_[static_cast<size_t>(i) % kKeys];
    absl::StatusOr<store::KeyVersionRecord> version;
    if (CheckedAgainstState<absl::StatusOr<store::KeyVersionRecord>>(
            key, [&] { return life().CreateKeyVersion(key.id, kNoDeadline); }, version)) {
      key.Made(version->number);
    }
  }
}

void StressTest::Switch() {
  for (int i = 0; GoesOn(i, kMostSwitches); ++i) {
    Key& key = keys_[static_cast<size_t>(i) % kSwitchedKeys];
    const bool deletes = static_cast<size_t>(i) / kSwitchedKeys % 2 == 1;
    ++key.phase;
    EXPECT_OK(deletes ? life().ScheduleDeletion(key.id, 7) : life().DisableKey(key.id));
    ++key.phase;
    EXPECT_THAT(ring().ForSealing(key.id, SealingVersion::kPrimary),
                FailsWith(deletes ? Reason::kPendingDeletion : Reason::kDisabled));
    EXPECT_THAT(life().BeginDestruction(key.id), testing::IsOkAndHolds(false));
    ++key.phase;
    if (deletes) {
      EXPECT_OK(life().CancelDeletion(key.id));
    }
    EXPECT_OK(life().EnableKey(key.id));
    ++key.phase;
    EXPECT_OK(ring().ForSealing(key.id, SealingVersion::kPrimary));
  }
}

void StressTest::Move() {
  for (int i = 0; GoesOn(i, kMostMoves); ++i) {
    const uint64_t phase = ++alias_phase_;
    const absl::StatusOr<KeyId> from = ring().Resolve(Alias(kAlias));
    ASSERT_OK(from);
    const KeyId to = keys_[kSwitchedKeys + (phase + 1) / 2 % kMovedKeys].id;
    EXPECT_OK(ring().UpdateAlias({kAlias}, *from, to));
    ++alias_phase_;
    const absl::StatusOr<KeyId> now = ring().Resolve(Alias(kAlias));
    ASSERT_OK(now);
    EXPECT_EQ(*now, to);
  }
}

// What a server does of itself.
void StressTest::Upkeep() {
  while (!upkeep_ends_) {
    ring().WaitForKeysToRotate(kNoDeadline);
    const absl::StatusOr<std::vector<DueWork>> due = life().ListDue();
    ASSERT_OK(due);
    for (const DueWork& work : *due) {
      ASSERT_EQ(work.kind, DueWork::Kind::kRotate);
      const auto version = life().RotateIfDue(work.key, kNoDeadline);
      if (!version.ok()) {
        // Since it was found to be due.
        EXPECT_THAT(version, IsNotEnabled());
      } else if (version->has_value()) {
        ++rotated_by_use_;
        for (Key& key : keys_) {
          if (key.id == work.key) key.Made((*version)->number);
        }
      }
    }
    // Nobody's work is taken back.
    EXPECT_THAT(ring().Reap(kNoDeadline), testing::IsOkAndHolds(0));
  }
}

void StressTest::OpenEverything() {
  MutexLock lock(mu_);
  for (Item& item : items_) {
    const absl::StatusOr<Opened> opened = Open(item.blob, bindings_[item.binding]);
    ASSERT_OK(opened);
    const std::string plaintext = Text(opened->plaintext);
    ASSERT_EQ(plaintext, item.plaintext.value_or(plaintext));
    item.plaintext = plaintext;
  }
}

// Once a rotation was answered, no older version seals.
void StressTest::CheckVersions() {
  MutexLock lock(mu_);
  std::map<KeyVersionId, int32_t> numbers;
  for (const Key& key : keys_) {
    ASSERT_OK_AND_ASSIGN(const auto versions, ring().ListKeyVersions(key.id, 0, 1000));
    EXPECT_EQ(versions.size(), static_cast<size_t>(key.newest));
    for (const KeyVersionDescription& version : versions) {
      numbers[version.record.id] = version.record.number;
    }
  }
  for (const Sealing& sealing : sealings_) {
    ASSERT_TRUE(numbers.count(sealing.version) != 0);
    EXPECT_GE(numbers[sealing.version], sealing.least);
  }
}

TEST_F(StressTest, NoAnswerIsWrong) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kUsers; ++i) threads.emplace_back([this, i] { Use(i); });
  threads.emplace_back([this] { Rotate(); });
  threads.emplace_back([this] { Switch(); });
  threads.emplace_back([this] { Move(); });
  std::thread upkeep([this] { Upkeep(); });
  for (std::thread& thread : threads) thread.join();
  upkeep_ends_ = true;
  ring().WakeUp();
  upkeep.join();
  if (HasFailure()) return;

  int32_t rotations = 0;
  for (const Key& key : keys_) rotations += key.newest - 1;
  RecordProperty("rotations", rotations);
  // None on a machine so slow that the rotations by hand always come first.
  RecordProperty("rotations_by_use", rotated_by_use_);
  RecordProperty("moves", static_cast<int>(alias_phase_ / 2));
  CheckVersions();
  ASSERT_NO_FATAL_FAILURE(OpenEverything());
  ASSERT_NO_FATAL_FAILURE(Restart());
  OpenEverything();
  EXPECT_EQ(report().unknown, 0);
  EXPECT_EQ(report().reaped, 0);
  EXPECT_THAT(report().unusable, ::testing::IsEmpty());
}

}  // namespace
}  // namespace strongroom::core
