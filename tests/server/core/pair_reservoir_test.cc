// Pairs that wait: that they are as good as those made on demand, cost a seal, are there after a
// restart, and that no pair is handed out twice, whatever ends the server and whatever becomes of
// its file.

#include "server/core/pair_reservoir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/pair_spec.h"
#include "server/core/data_keys.h"
#include "server/core/error.h"
#include "server/log/log.h"
#include "server/store/pair_reserve.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/openssl_keys.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;
using testing::FailsWith;
using testing::HoldPoint;
using testing::OpenSslKey;

// What takes a fraction of it; instrumented programs are slow.
Deadline Patience() { return std::chrono::steady_clock::now() + std::chrono::minutes(2); }

class PairReservoirTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
    options_.pairs = {{PairSpec::kEcP256, 8}};
    options_.path = softhsm().directory() + "/pairs.db";
  }
  void TearDown() override { Close(); }

  const KeyId& key() { return key_; }
  PairReservoir::Options& options() { return options_; }
  PairReservoir& reservoir() { return *reservoir_; }
  DataKeys& kms() { return *kms_; }

  void Open() {
    reservoir_ = std::make_unique<PairReservoir>(token(), store().id(), log_, options_);
    kms_ = std::make_unique<DataKeys>(ring(), token(), kPairGenerations, reservoir_.get());
    reservoir_->Start();
  }
  void OpenAndSettle() {
    Open();
    Settle();
  }
  void Settle() { ASSERT_TRUE(reservoir().WaitUntilSettled(Patience())); }
  void Close() {
    kms_ = nullptr;
    reservoir_ = nullptr;
  }
  // As another process would find things.
  void CloseAndRestart() {
    Close();
    ASSERT_NO_FATAL_FAILURE(Restart());
  }

  absl::StatusOr<KeyPair> Generate(PairSpec spec = PairSpec::kEcP256,
                                   Plaintext plaintext = Plaintext::kNotReturned) {
    return kms().GenerateKeyPair({.key = key()}, spec, KeyFormat::kDer, plaintext, kNoDeadline);
  }
  // From now on nothing is generated, so that what is given comes from the reservoir.
  void GenerateNothing() { ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_DEVICE_ERROR")); }
  // The public keys of all pairs that wait, which are handed out with that.
  std::set<std::string> TakeAll(PairSpec spec = PairSpec::kEcP256) {
    const absl::StatusOr<UsableVersion> version =
        ring().ForSealing(key(), SealingVersion::kPrimary);
    EXPECT_OK(version);
    std::set<std::string> taken;
    // No more than wait now: they are made again meanwhile.
    for (int left = Waiting(spec); left > 0; --left) {
      auto pair = reservoir().Take(version->keys, spec, kNoDeadline);
      if (!pair.has_value()) break;
      EXPECT_TRUE(taken.insert(pair->pair.public_key()).second);
    }
    return taken;
  }
  int Waiting(PairSpec spec = PairSpec::kEcP256) {
    const PairReservoir::Counts counts = reservoir().CountsOf(spec);
    return counts.claimed + counts.stored + counts.in_hand;
  }

  // What is on disk at this moment, as a loss of power leaves it.
  void CopyFile(const std::string& from, const std::string& to) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(to + suffix);
      // The shared memory is made anew from the others.
      if (absl::string_view(suffix) == "-shm" || !std::filesystem::exists(from + suffix)) continue;
      std::filesystem::copy_file(from + suffix, to + suffix);
    }
  }

 private:
  KeyId key_;
  Log log_{LogLevel::kInfo};
  PairReservoir::Options options_;
  std::unique_ptr<PairReservoir> reservoir_;
  std::unique_ptr<DataKeys> kms_;
};

std::set<std::string> Both(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> both;
  for (const std::string& one : a) {
    if (b.contains(one)) both.insert(one);
  }
  return both;
}

// --- What is given -----------------------------------------------------------------------------

class PairReservoirSpecTest : public PairReservoirTest,
                              public ::testing::WithParamInterface<PairSpec> {};

TEST_P(PairReservoirSpecTest, PairsOpenAndMatchTheirPublicKeys) {
  options().pairs = {{GetParam(), 3}};
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  // Also after they were on disk.
  ASSERT_NO_FATAL_FAILURE(CloseAndRestart());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  for (const Plaintext plaintext :
       {Plaintext::kNotReturned, Plaintext::kReturned, Plaintext::kNotReturned}) {
    ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate(GetParam(), plaintext));
    ASSERT_OK_AND_ASSIGN(const Opened opened, KmsFixture::Open(pair.sealed.blob));
    const OpenSslKey private_key = testing::ParsePrivateKey(Text(opened.plaintext));
    ASSERT_NE(private_key, nullptr);
    EXPECT_EQ(testing::EncodePublicKey(private_key.get()), pair.public_key);
    ASSERT_EQ(pair.private_key.has_value(), plaintext == Plaintext::kReturned);
    if (pair.private_key.has_value()) {
      EXPECT_EQ(Text(*pair.private_key), Text(opened.plaintext));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Specs, PairReservoirSpecTest, ::testing::ValuesIn(hsm::kAllPairSpecs),
                         [](const auto& spec) { return std::string(NameOfPairSpec(spec.param)); });

// What waits costs no more than a data key: what it needs of the token is a seal.
TEST_F(PairReservoirTest, PreparedPairIsOnlySealed) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_OK(Generate());
  ASSERT_NO_FATAL_FAILURE(Settle());
  // All of the eight but one, those on disk too.
  EXPECT_GE(reservoir().CountsOf(PairSpec::kEcP256).prepared, 7);
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  for (const char* function : {"C_WrapKey", "C_UnwrapKey", "C_GenerateKey", "C_CreateObject"}) {
    ASSERT_OK(faults().Apply(absl::StrCat("fail ", function, " CKR_DEVICE_ERROR")));
  }
  for (int i = 0; i < 7; ++i) EXPECT_OK(Generate());
}

TEST_F(PairReservoirTest, PairIsPreparedForTheVersionThatWasAskedLast) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_OK(Generate());
  ASSERT_NO_FATAL_FAILURE(Settle());
  // What was wrapped for the first version is of no use to the second, and not given to it.
  Rotate(key());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  for (int i = 0; i < 8; ++i) {
    ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate());
    ASSERT_OK_AND_ASSIGN(const Opened opened, KmsFixture::Open(pair.sealed.blob));
    const OpenSslKey private_key = testing::ParsePrivateKey(Text(opened.plaintext));
    EXPECT_EQ(testing::EncodePublicKey(private_key.get()), pair.public_key);
  }
}

TEST_F(PairReservoirTest, WhatIsTakenIsMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  std::set<std::string> seen = TakeAll();
  ASSERT_EQ(seen.size(), 8u);
  ASSERT_NO_FATAL_FAILURE(Settle());
  EXPECT_EQ(Waiting(), 8);
  EXPECT_TRUE(Both(seen, TakeAll()).empty());
}

TEST_F(PairReservoirTest, PrivateKeysAreDestroyedWhenTheyAreGiven) {
  options().path.clear();
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  faults().Reset();
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  for (int i = 1; i <= 3; ++i) {
    ASSERT_OK(Generate());
    EXPECT_EQ(faults().Calls("C_DestroyObject"), static_cast<uint64_t>(i));
  }
  // And when the server ends.
  Close();
  EXPECT_EQ(faults().Calls("C_DestroyObject"), 8u);
}

TEST_F(PairReservoirTest, EmptyReservoirGeneratesUnderTheLimitAndFullOneDoesNotCount) {
  options().path.clear();
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  std::vector<HoldPoint> points;
  for (int i = 1; i <= kPairGenerations + 1; ++i) {
    ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
    points.push_back(std::move(point));
  }
  faults().Reset();
  for (int i = 0; i <= kPairGenerations; ++i) {
    ASSERT_OK(
        faults().Apply(absl::StrCat("hold C_GenerateKeyPair ", points[i].path(), " call=", i + 1)));
  }
  std::vector<std::thread> callers;
  for (int i = 0; i < kPairGenerations; ++i) {
    callers.emplace_back([&] { EXPECT_OK(Generate(PairSpec::kEcP384)); });
  }
  for (int i = 0; i < kPairGenerations; ++i) ASSERT_OK(points[i].WaitUntilHeld());
  EXPECT_THAT(Generate(PairSpec::kEcP384), FailsWith(Reason::kThrottling));
  // Its refill is held as well, so there are these and no more.
  for (int i = 0; i < 8; ++i) EXPECT_OK(Generate());
  EXPECT_THAT(Generate(), FailsWith(Reason::kThrottling));
  ASSERT_OK(points.back().WaitUntilHeld());
  for (HoldPoint& point : points) point.Release();
  for (std::thread& caller : callers) caller.join();
}

TEST_F(PairReservoirTest, RehearsalTakesNothing) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  ASSERT_OK(kms().RehearseSealing(key(), SealingVersion::kPrimary, PairSpec::kEcP256, kNoDeadline));
  EXPECT_EQ(Waiting(), 8);
}

TEST_F(PairReservoirTest, KeyThatMayNotSealTakesNothing) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  Disable(key());
  EXPECT_THAT(Generate(), FailsWith(Reason::kDisabled));
  EXPECT_EQ(Waiting(), 8);
}

TEST_F(PairReservoirTest, MemoryBoundsWhatWaits) {
  options().max_bytes = 3 * PairReservoir::BytesOf(PairSpec::kEcP256);
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 3);
}

TEST_F(PairReservoirTest, SpecThatTheTokenLacksIsSkipped) {
  Stop();
  ASSERT_OK(faults().Apply("hide CKM_RSA_PKCS_KEY_PAIR_GEN"));
  ASSERT_NO_FATAL_FAILURE(Start());
  options().pairs[PairSpec::kRsa2048] = 2;
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 8);
  EXPECT_EQ(Waiting(PairSpec::kRsa2048), 0);
}

// --- What the token does -----------------------------------------------------------------------

TEST_F(PairReservoirTest, PairsOfASessionThatEndedAreMadeAnew) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_SESSION_HANDLE_INVALID call=1"));
  ASSERT_OK(Generate());
  ASSERT_NO_FATAL_FAILURE(Settle());
  ASSERT_GE(faults().Calls("C_GenerateKeyPair"), 8u);
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  EXPECT_EQ(Waiting(), 8);
  for (int i = 0; i < 8; ++i) {
    ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate(PairSpec::kEcP256, Plaintext::kReturned));
    const OpenSslKey private_key = testing::ParsePrivateKey(Text(*pair.private_key));
    EXPECT_EQ(testing::EncodePublicKey(private_key.get()), pair.public_key);
  }
}

TEST_F(PairReservoirTest, GenerationThatFailsIsTriedAgain) {
  ASSERT_OK(faults().Apply("fail C_GenerateKeyPair CKR_DEVICE_ERROR call=1"));
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 8);
}

// --- From start to start -----------------------------------------------------------------------

TEST_F(PairReservoirTest, WarmReservoirIsWarmAfterARestart) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_NO_FATAL_FAILURE(CloseAndRestart());
  EXPECT_EQ(report().unknown, 0);
  EXPECT_EQ(report().reaped, 0);
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 8);
  for (int i = 0; i < 8; ++i) EXPECT_OK(Generate());
}

// Whoever takes pairs in quick succession has them all claimed; when it is quiet they go back.
TEST_F(PairReservoirTest, PairsThatWereClaimedInAHurryGoBackToDisk) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  for (int i = 0; i < 3; ++i) ASSERT_OK(Generate());
  const auto quiet = [&] {
    const PairReservoir::Counts counts = reservoir().CountsOf(PairSpec::kEcP256);
    return counts.claimed == 2 && counts.stored == 6;
  };
  while (!quiet()) std::this_thread::yield();
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  CopyFile(options().path, options().path + ".crashed");
  Close();
  options().path += ".crashed";
  Open();
  ASSERT_TRUE(reservoir().WaitUntilLoaded(Patience()));
  EXPECT_EQ(TakeAll().size(), 6u);
}

TEST_F(PairReservoirTest, StartThatCannotBeFinishedLosesNothing) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  ASSERT_NO_FATAL_FAILURE(CloseAndRestart());
  // The keys of this start are not made at first, and those of the last not destroyed.
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  ASSERT_OK(faults().Apply("fail C_GenerateKey CKR_DEVICE_ERROR call=1"));
  ASSERT_OK(faults().Apply("fail C_DestroyObject CKR_DEVICE_ERROR call=1"));
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(TakeAll().size(), 8u);
}

TEST_F(PairReservoirTest, FileOfNoUseBeginsEmpty) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  const std::set<std::string> first = TakeAll();
  Close();
  std::filesystem::resize_file(options().path, std::filesystem::file_size(options().path) / 2);
  std::filesystem::remove(options().path + "-wal");
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 8);
  EXPECT_TRUE(Both(first, TakeAll()).empty());
  ASSERT_NO_FATAL_FAILURE(Settle());
  // And it is kept from then on.
  ASSERT_NO_FATAL_FAILURE(CloseAndRestart());
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_EQ(Waiting(), 8);
}

// --- Never twice -------------------------------------------------------------------------------

// Power goes after any number of pairs was handed out: the next start has none of them.
TEST_F(PairReservoirTest, WhatWasHandedOutIsNotThereAfterACrash) {
  const std::string path = options().path;
  const std::string crashed = path + ".crashed";
  for (size_t handed_out = 0; handed_out <= 8; ++handed_out) {
    SCOPED_TRACE(handed_out);
    options().path = path;
    ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
    ASSERT_EQ(Waiting(), 8);
    ASSERT_NO_FATAL_FAILURE(GenerateNothing());
    std::set<std::string> given;
    for (size_t i = 0; i < handed_out; ++i) {
      ASSERT_OK_AND_ASSIGN(const KeyPair pair, Generate());
      given.insert(pair.public_key);
    }
    ASSERT_EQ(given.size(), handed_out);
    CopyFile(path, crashed);
    Close();
    options().path = crashed;
    Open();
    // Those that were not claimed are there.
    ASSERT_TRUE(reservoir().WaitUntilLoaded(Patience()));
    const std::set<std::string> loaded = TakeAll();
    if (handed_out == 0) {
      EXPECT_GE(loaded.size(), 6u);
    }
    EXPECT_TRUE(Both(given, loaded).empty());
    Close();
    faults().Reset();
    std::filesystem::remove(path);
  }
}

// The same while many take, and the file is copied at any moment meanwhile.
TEST_F(PairReservoirTest, CopyOfAnyMomentHasNothingThatWasHandedOutBefore) {
  options().pairs = {{PairSpec::kEcP256, 64}};
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  const std::string copy = options().path + ".copy";
  ASSERT_OK_AND_ASSIGN(const UsableVersion version,
                       ring().ForSealing(key(), SealingVersion::kPrimary));
  Mutex mu;
  std::set<std::string> given;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      for (int n = 0; n < 30; ++n) {
        auto taken = reservoir().Take(version.keys, PairSpec::kEcP256, kNoDeadline);
        if (!taken.has_value()) continue;
        MutexLock lock(mu);
        EXPECT_TRUE(given.insert(taken->pair.public_key()).second);
      }
    });
  }
  std::set<std::string> before;
  while (before.size() < 20) {
    {
      MutexLock lock(mu);
      before = given;
    }
    CopyFile(options().path, copy);
  }
  for (std::thread& caller : callers) caller.join();
  Close();
  options().path = copy;
  Open();
  ASSERT_TRUE(reservoir().WaitUntilLoaded(Patience()));
  EXPECT_TRUE(Both(before, TakeAll()).empty());
}

// Somebody keeps a copy of the file and puts it back after a later start.
TEST_F(PairReservoirTest, OldFileThatIsPutBackGivesNothing) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  Close();
  const std::string copy = options().path + ".copy";
  CopyFile(options().path, copy);
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  const std::set<std::string> given = TakeAll();
  ASSERT_EQ(given.size(), 8u);
  Close();
  CopyFile(copy, options().path);
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  const std::set<std::string> again = TakeAll();
  EXPECT_EQ(again.size(), 8u);
  EXPECT_TRUE(Both(given, again).empty());
}

// Of two copies that take turns, neither is of use: keys that the file at hand does not name go.
TEST_F(PairReservoirTest, KeysThatTheFileDoesNotNameAreDestroyed) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  Close();
  const std::string copy = options().path + ".copy";
  CopyFile(options().path, copy);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<store::PairReserve> reserve,
                       store::PairReserve::Open(copy, store().id()));
  ASSERT_OK_AND_ASSIGN(const std::optional<ReserveEpochId> epoch, reserve->GetEpoch());
  ASSERT_OK(token().FindReserveKeys(epoch->bytes(), kNoDeadline));
  // A new file, which knows nothing of the keys.
  std::filesystem::remove(options().path);
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  EXPECT_THAT(token().FindReserveKeys(epoch->bytes(), kNoDeadline),
              testing::StatusIs(absl::StatusCode::kNotFound));
}

// A row that is not there any more, or in another's place, is not handed out.
TEST_F(PairReservoirTest, RowThatIsNotGenuineIsDropped) {
  ASSERT_NO_FATAL_FAILURE(OpenAndSettle());
  Close();
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<store::PairReserve> reserve,
                         store::PairReserve::Open(options().path, store().id()));
    ASSERT_OK_AND_ASSIGN(const std::vector<store::ReservedPair> rows, reserve->List());
    ASSERT_EQ(rows.size(), 8u);
    // A second row of the first pair.
    store::ReservedPair second = rows[0];
    second.id = rows.back().id + 1;
    store::ReservedPair flipped = rows[1];
    flipped.sealed.back() = static_cast<char>(flipped.sealed.back() ^ 1);
    ASSERT_OK(reserve->Remove({flipped.id}));
    ASSERT_OK(reserve->Add({second, flipped}));
  }
  ASSERT_NO_FATAL_FAILURE(GenerateNothing());
  Open();
  ASSERT_TRUE(reservoir().WaitUntilLoaded(Patience()));
  EXPECT_EQ(TakeAll().size(), 7u);
}

TEST_F(PairReservoirTest, ThreadsNeverGetTheSamePair) {
  options().pairs = {{PairSpec::kEcP256, 16}, {PairSpec::kEcP384, 4}};
  Open();
  Mutex mu;
  std::set<std::string> seen;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; n < 60; ++n) {
        const PairSpec spec = (i + n) % 3 == 0 ? PairSpec::kEcP384 : PairSpec::kEcP256;
        const absl::StatusOr<KeyPair> pair = Generate(spec);
        if (!pair.ok()) {
          EXPECT_THAT(pair, FailsWith(Reason::kThrottling));
          continue;
        }
        MutexLock lock(mu);
        EXPECT_TRUE(seen.insert(pair->public_key).second);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  // How many are refused as too many at a time is a matter of speed.
  EXPECT_FALSE(seen.empty());
  ASSERT_NO_FATAL_FAILURE(CloseAndRestart());
  Open();
  ASSERT_TRUE(reservoir().WaitUntilLoaded(Patience()));
  EXPECT_TRUE(Both(seen, TakeAll()).empty());
}

}  // namespace
}  // namespace strongroom::core
