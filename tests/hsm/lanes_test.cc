// Sessions are lent to one call at a time, deadlines hold, and many threads get along.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using testing::HoldPoint;
using testing::IsOkAndHolds;
using testing::StatusIs;

constexpr char kAad[] = "aad";

class LanesTest : public TokenFixture {};

absl::Status DrawRandom(Token& token, Deadline deadline) {
  std::array<uint8_t, 8> bytes;
  return token.GenerateRandom(absl::MakeSpan(bytes), deadline);
}

TEST_F(LanesTest, DeadlineHoldsWhileAllLanesAreBusy) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(1));
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_keys, token->CreateVersionKeys(Id(1), kNoDeadline));
  const VersionKeys& keys = new_keys.keys;
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateRandom ", point.path(), " call=1")));
  absl::Status held;
  std::thread holder([&] { held = DrawRandom(*token, kNoDeadline); });
  ASSERT_OK(point.WaitUntilHeld());

  const Deadline passed = std::chrono::steady_clock::now();
  EXPECT_THAT(DrawRandom(*token, passed), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(token->Seal(keys, kIv, Bytes(kAad), Bytes("x"), passed),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(token->FindVersionKeys(Id(1), passed), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(DrawRandom(*token, passed + std::chrono::milliseconds(5)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));

  point.Release();
  holder.join();
  EXPECT_OK(held);
  EXPECT_OK(DrawRandom(*token, passed + std::chrono::hours(1)));
}

// A free lane is lent even so: the call decides what its time is worth.
TEST_F(LanesTest, PassedDeadlineTakesALaneThatIsFree) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(1));
  EXPECT_OK(DrawRandom(*token, std::chrono::steady_clock::now() - std::chrono::seconds(1)));
}

TEST_F(LanesTest, HangingCallLeavesTheOtherLanes) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(2));
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateRandom ", point.path(), " call=1")));
  absl::Status held;
  std::thread holder([&] { held = DrawRandom(*token, kNoDeadline); });
  ASSERT_OK(point.WaitUntilHeld());
  for (int i = 0; i < 10; ++i) EXPECT_OK(DrawRandom(*token, kNoDeadline));
  point.Release();
  holder.join();
  EXPECT_OK(held);
}

TEST_F(LanesTest, WaitingCallGetsTheLaneThatIsGivenBack) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(1));
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateRandom ", point.path(), " call=1")));
  std::array<absl::Status, 5> results;
  std::thread holder([&] { results[0] = DrawRandom(*token, kNoDeadline); });
  ASSERT_OK(point.WaitUntilHeld());
  std::vector<std::thread> waiters;
  for (size_t i = 1; i < results.size(); ++i) {
    const Deadline deadline =
        i % 2 == 0 ? kNoDeadline : std::chrono::steady_clock::now() + std::chrono::hours(1);
    waiters.emplace_back([&, i, deadline] { results[i] = DrawRandom(*token, deadline); });
  }
  point.Release();
  holder.join();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_THAT(results, ::testing::Each(testing::IsOk()));
}

// At no time are there more calls in the token than lanes, so no session is used by two.
TEST_F(LanesTest, LostSessionIsReplacedAndNotAdded) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(3));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_GenerateRandom CKR_SESSION_HANDLE_INVALID call=5-7"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) DrawRandom(*token, kNoDeadline).IgnoreError();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults().Calls("C_OpenSession"), faults().Calls("C_CloseSession"));
  EXPECT_OK(DrawRandom(*token, kNoDeadline));
}

// Creation beside searches is what SoftHSM does not survive without the lock in Token.
TEST_F(LanesTest, NothingIsSearchedForWhileObjectsAreMade) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(2));
  ASSERT_OK(token->CreateVersionKeys(Id(1), kNoDeadline));
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_GenerateKey ", point.path(), " call=1")));
  absl::Status made;
  std::thread maker([&] { made = token->CreateVersionKeys(Id(2), kNoDeadline).status(); });
  ASSERT_OK(point.WaitUntilHeld());
  const uint64_t searches = faults().Calls("C_FindObjectsInit");

  absl::Status found;
  std::atomic<bool> searched = false;
  std::thread searcher([&] {
    found = token->FindVersionKeys(Id(1), kNoDeadline).status();
    searched = true;
  });
  // It has the other lane once there is none left, and goes no further however long that lasts.
  const Deadline passed = std::chrono::steady_clock::now();
  for (int refused = 0; refused < 1000 && !searched;) {
    if (!DrawRandom(*token, passed).ok()) ++refused;
  }
  EXPECT_FALSE(searched);
  EXPECT_EQ(faults().Calls("C_FindObjectsInit"), searches);

  point.Release();
  maker.join();
  searcher.join();
  EXPECT_OK(made);
  EXPECT_OK(found);
}

TEST_F(LanesTest, ThreadsThatDoEverythingAtOnceDoNotDisturbEachOther) {
  constexpr int kThreads = 8;
  constexpr int kLanes = 6;
  constexpr int kRounds = 6;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(kLanes));
  ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_keys, token->CreateVersionKeys(Id(1), kNoDeadline));
  const VersionKeys& keys = new_keys.keys;
  ASSERT_OK(token->PrepareMacKeys(kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const Mac mac,
                       token->ComputeMac(MacPurpose::kAuditSeal, Bytes(kAad), kNoDeadline));

  std::vector<std::thread> threads;
  for (uint8_t number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      const std::string text = absl::StrCat("text of ", number);
      for (uint8_t round = 0; round < kRounds; ++round) {
        Iv iv = {number, round};
        ASSERT_OK_AND_ASSIGN(const std::string sealed,
                             token->Seal(keys, iv, Bytes(kAad), Bytes(text), kNoDeadline));
        ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                             token->Unseal(keys, iv, Bytes(kAad), sealed, kNoDeadline));
        EXPECT_EQ(opened.ExposeSecretAsText(), text);
        std::string tampered = sealed;
        tampered[0] ^= 1;
        EXPECT_THAT(token->Unseal(keys, iv, Bytes(kAad), tampered, kNoDeadline),
                    StatusIs(absl::StatusCode::kInvalidArgument));

        ASSERT_OK_AND_ASSIGN(const std::string wrapped,
                             token->GenerateWrappedSecret(keys, 32, kNoDeadline));
        ASSERT_OK_AND_ASSIGN(const SecretBytes secret,
                             token->ExportWrappedSecret(keys, wrapped, 32, kNoDeadline));
        ASSERT_OK_AND_ASSIGN(
            const WrappedKeyPair pair,
            token->GenerateWrappedKeyPair(keys, PairSpec::kEcP256, true, kNoDeadline));
        ASSERT_OK_AND_ASSIGN(const SecretBytes private_key,
                             token->ExportWrappedPrivateKey(keys, pair.wrapped_private_key,
                                                            PairSpec::kEcP256, kNoDeadline));
        EXPECT_TRUE(private_key == *pair.private_key);

        EXPECT_THAT(token->ComputeMac(MacPurpose::kAuditSeal, Bytes(kAad), kNoDeadline),
                    IsOkAndHolds(mac));
        EXPECT_OK(token->PrepareMacKeys(kNoDeadline));
        EXPECT_OK(token->CheckVersionKeys(keys, kNoDeadline));
        EXPECT_OK(token->CheckAlive(kNoDeadline));

        const ObjectId id = {1, number, round};
        ASSERT_OK_AND_ASSIGN(const NewVersionKeys new_made,
                             token->CreateVersionKeys(id, kNoDeadline));
        const VersionKeys& made = new_made.keys;
        EXPECT_OK(token->FindVersionKeys(Id(1), kNoDeadline));
        EXPECT_OK(token->Seal(made, iv, Bytes(kAad), Bytes(text), kNoDeadline));
        if (round % 2 == 0) {
          EXPECT_OK(token->DestroyVersionKeys(id, kNoDeadline));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  int found = 0;
  ASSERT_OK(token->FindAllVersionKeys(
      [&](const ObjectId&, absl::StatusOr<VersionKeys> version) {
        EXPECT_OK(version);
        ++found;
      },
      kNoDeadline));
  EXPECT_EQ(found, 1 + kThreads * kRounds / 2);
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountSessionObjects(), 0u);
}

}  // namespace
}  // namespace strongroom::hsm
