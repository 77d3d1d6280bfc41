// Many data keys in one call: on a real token, whose calls are counted.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/core/blob.h"
#include "server/core/data_keys.h"
#include "server/core/error.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using testing::FailsWith;
using ::testing::HasSubstr;
using testing::HoldPoint;
using testing::IsOk;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

class ManyDataKeysTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
  }

  const KeyId& key() { return key_; }

  absl::StatusOr<DataKeyBatch> Generate(size_t count, Plaintext plaintext = Plaintext::kReturned,
                                        size_t bytes = 32, Deadline deadline = kNoDeadline) {
    return data_keys().GenerateDataKeys({.key = key(), .binding = Context({{"table", "accounts"}})},
                                        bytes, count, plaintext, deadline);
  }

  // That every blob opens, to what is in the clear if that was returned, and that no two are alike.
  void Check(const DataKeyBatch& batch, size_t bytes) {
    std::set<std::string> keys;
    std::set<hsm::Iv> ivs;
    for (size_t i = 0; i < batch.sealed.size(); ++i) {
      const Sealed& sealed = batch.sealed[i];
      const std::optional<ParsedBlob> parsed = ParseBlob(sealed.blob);
      ASSERT_TRUE(parsed.has_value());
      EXPECT_EQ(parsed->header.iv, sealed.iv);
      EXPECT_EQ(parsed->header.key_version_id, sealed.key_version_id);
      EXPECT_THAT(Open(sealed.blob), FailsWith(Reason::kInvalidCiphertext));
      ASSERT_OK_AND_ASSIGN(const Opened opened,
                           Open(sealed.blob, Context({{"table", "accounts"}})));
      EXPECT_EQ(opened.plaintext.size(), bytes);
      if (batch.plaintexts.has_value()) {
        EXPECT_EQ(Text(opened.plaintext), Text(*batch.plaintexts).substr(i * bytes, bytes));
      }
      keys.insert(Text(opened.plaintext));
      ivs.insert(sealed.iv);
    }
    EXPECT_EQ(keys.size(), batch.sealed.size());
    EXPECT_EQ(ivs.size(), batch.sealed.size());
    if (batch.plaintexts.has_value()) {
      EXPECT_EQ(batch.plaintexts->size(), batch.sealed.size() * bytes);
    }
  }

  int64_t UsesLeft() {
    const absl::StatusOr<KeyDescription> description = ring().Describe(key());
    return description.ok() ? description->primary_uses_left : -1;
  }

 private:
  KeyId key_;
};

TEST_F(ManyDataKeysTest, EveryKeyIsNewAndOpens) {
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    // One, whole blocks, and more than that.
    for (size_t count : {size_t{1}, DataKeys::kKeysAtOnce, 2 * DataKeys::kKeysAtOnce + 3}) {
      ASSERT_OK_AND_ASSIGN(const DataKeyBatch batch, Generate(count, plaintext));
      EXPECT_THAT(batch.sealed, SizeIs(count));
      EXPECT_THAT(batch.shortfall, IsOk());
      EXPECT_EQ(batch.plaintexts.has_value(), plaintext == Plaintext::kReturned);
      ASSERT_NO_FATAL_FAILURE(Check(batch, 32));
    }
  }
}

TEST_F(ManyDataKeysTest, KeysOfEveryLengthOpen) {
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    for (size_t bytes : {16, 1023, 1024}) {
      ASSERT_OK_AND_ASSIGN(const DataKeyBatch batch, Generate(9, plaintext, bytes));
      EXPECT_THAT(batch.sealed, SizeIs(9));
      ASSERT_NO_FATAL_FAILURE(Check(batch, bytes));
    }
  }
}

TEST_F(ManyDataKeysTest, KeysWithoutPlaintextAreMadeInTheToken) {
  faults().Reset();
  ASSERT_OK(Generate(5, Plaintext::kNotReturned));
  EXPECT_EQ(faults().Calls("C_GenerateKey"), 5u);
  EXPECT_EQ(faults().Calls("C_DestroyObject"), 5u);
  EXPECT_EQ(faults().Calls("C_Encrypt"), 5u);
}

TEST_F(ManyDataKeysTest, TokenIsAskedForRandomBytesOfManyKeysAtATime) {
  faults().Reset();
  ASSERT_OK(Generate(1000));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 1000u);
  EXPECT_THAT(faults().Calls("C_GenerateRandom"), Le(2 * (1000 / DataKeys::kKeysAtOnce + 1)));
}

TEST_F(ManyDataKeysTest, UsesAreCountedExactly) {
  const int64_t before = UsesLeft();
  ASSERT_OK(Generate(100));
  ASSERT_OK(Generate(17, Plaintext::kNotReturned));
  EXPECT_EQ(UsesLeft(), before - 117);
}

TEST_F(ManyDataKeysTest, LimitInTheMiddleLeavesWhatWasMade) {
  // The proof of the version is its first use.
  use_limits() = {.rotate_at = 100, .most = 151, .block = 4096};
  ASSERT_NO_FATAL_FAILURE(Restart());
  const KeyId limited = CreateKey();
  faults().Reset();
  ASSERT_OK_AND_ASSIGN(
      const DataKeyBatch batch,
      data_keys().GenerateDataKeys({.key = limited, .binding = Context({{"table", "accounts"}})},
                                   32, 1000, Plaintext::kReturned, kNoDeadline));
  EXPECT_THAT(batch.sealed, SizeIs(150));
  EXPECT_THAT(batch.shortfall, FailsWith(Reason::kLimitExceeded));
  EXPECT_EQ(faults().Calls("C_Encrypt"), 150u);
  ASSERT_NO_FATAL_FAILURE(Check(batch, 32));
  EXPECT_THAT(
      data_keys().GenerateDataKeys({.key = limited}, 32, 1000, Plaintext::kReturned, kNoDeadline),
      FailsWith(Reason::kLimitExceeded));
  EXPECT_THAT(ring().TakeKeysToRotate(), ::testing::Contains(limited));
}

TEST_F(ManyDataKeysTest, TokenThatFailsInTheMiddleIsNotAskedForTheRest) {
  struct Case {
    const char* fault;
    Plaintext plaintext;
    size_t made;
  };
  for (const Case& c : {
           Case{"fail C_Encrypt CKR_DEVICE_REMOVED call=71-", Plaintext::kReturned, 70},
           Case{"fail C_EncryptInit CKR_DEVICE_REMOVED call=71-", Plaintext::kNotReturned, 70},
           Case{"fail C_GenerateKey CKR_DEVICE_REMOVED call=71-", Plaintext::kNotReturned, 70},
           // The second block's.
           Case{"fail C_GenerateRandom CKR_DEVICE_REMOVED call=3-", Plaintext::kReturned, 64},
           Case{"fail C_GenerateRandom CKR_DEVICE_REMOVED call=4-", Plaintext::kReturned, 64},
       }) {
    SCOPED_TRACE(c.fault);
    faults().Reset();
    ASSERT_OK(faults().Apply(c.fault));
    ASSERT_OK_AND_ASSIGN(const DataKeyBatch batch, Generate(1000, c.plaintext));
    EXPECT_THAT(batch.sealed, SizeIs(c.made));
    EXPECT_THAT(batch.shortfall, FailsWith(Reason::kUnavailable, Not(HasSubstr("CKR"))));
    EXPECT_TRUE(RetryDelayOf(batch.shortfall).has_value());
    for (const auto& [function, calls] : faults().Calls()) {
      // C_WrapKey is asked for the size first.
      EXPECT_LE(calls, 2 * (c.made + 1)) << function;
    }
    EXPECT_LE(faults().Calls("C_Encrypt"), c.made + 1);
    faults().Reset();
    ASSERT_NO_FATAL_FAILURE(Check(batch, 32));
  }
}

TEST_F(ManyDataKeysTest, TokenThatFailsAtOnceMakesTheBatchFail) {
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    faults().Reset();
    ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_DEVICE_REMOVED"));
    EXPECT_THAT(Generate(1000, plaintext), FailsWith(Reason::kUnavailable));
    EXPECT_EQ(faults().Calls("C_EncryptInit"), 1u);
  }
}

TEST_F(ManyDataKeysTest, DeadlineInTheMiddleEndsIt) {
  for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
    ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("hold C_Encrypt ", point.path(), " call=1")));
    const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::thread token_that_takes_its_time([&] {
      EXPECT_OK(point.WaitUntilHeld());
      std::this_thread::sleep_until(deadline);
      point.Release();
    });
    const absl::StatusOr<DataKeyBatch> batch = Generate(1000, plaintext, 32, deadline);
    EXPECT_EQ(faults().Calls("C_Encrypt"), 1u);
    // On a machine so slow that there was no first call, this is one.
    if (faults().Calls("C_Encrypt") == 0) Seal(key(), "text");
    token_that_takes_its_time.join();
    ASSERT_OK(batch);
    EXPECT_THAT(batch->sealed, SizeIs(1));
    EXPECT_THAT(batch->shortfall, FailsWith(Reason::kDependencyTimeout));
    ASSERT_NO_FATAL_FAILURE(Check(*batch, 32));
  }
}

TEST_F(ManyDataKeysTest, DeadlineThatHasPassedCallsNoToken) {
  faults().Reset();
  EXPECT_THAT(Generate(1000, Plaintext::kReturned, 32, std::chrono::steady_clock::now()),
              FailsWith(Reason::kDependencyTimeout));
  EXPECT_EQ(faults().Calls("C_GenerateRandom") + faults().Calls("C_EncryptInit"), 0u);
}

TEST_F(ManyDataKeysTest, KeyThatIsDisabledMeanwhileStopsSealing) {
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  faults().Reset();
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_Encrypt ", point.path(), " call=10")));
  std::thread operator_who_disables([&] {
    EXPECT_OK(point.WaitUntilHeld());
    Disable(key());
    point.Release();
  });
  const absl::StatusOr<DataKeyBatch> batch = Generate(1000);
  operator_who_disables.join();
  ASSERT_OK(batch);
  EXPECT_THAT(batch->sealed, SizeIs(DataKeys::kKeysAtOnce));
  EXPECT_THAT(batch->shortfall, FailsWith(Reason::kDisabled));
  Enable(key());
  ASSERT_NO_FATAL_FAILURE(Check(*batch, 32));
}

TEST_F(ManyDataKeysTest, RotationMeanwhileDoesNotMatter) {
  ASSERT_OK_AND_ASSIGN(const KeyDescription before, ring().Describe(key()));
  ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
  faults().Reset();
  ASSERT_OK(faults().Apply(absl::StrCat("hold C_Encrypt ", point.path(), " call=10")));
  std::thread operator_who_rotates([&] {
    EXPECT_OK(point.WaitUntilHeld());
    Rotate(key());
    point.Release();
  });
  const absl::StatusOr<DataKeyBatch> batch = Generate(200);
  operator_who_rotates.join();
  ASSERT_OK(batch);
  EXPECT_THAT(batch->sealed, SizeIs(200));
  for (const Sealed& sealed : batch->sealed) {
    EXPECT_EQ(sealed.key_version_id, before.record.primary_version);
  }
  ASSERT_NO_FATAL_FAILURE(Check(*batch, 32));
}

TEST_F(ManyDataKeysTest, UnknownOrDisabledKeyCallsNoToken) {
  Disable(key());
  faults().Reset();
  EXPECT_THAT(Generate(1000), FailsWith(Reason::kDisabled));
  EXPECT_THAT(
      data_keys().GenerateDataKeys({.key = *KeyId::Parse("00000000-0000-4000-8000-000000000000")},
                                   32, 1000, Plaintext::kReturned, kNoDeadline),
      FailsWith(Reason::kKeyNotFound));
  EXPECT_TRUE(faults().Calls().empty());
}

}  // namespace
}  // namespace strongroom::core
