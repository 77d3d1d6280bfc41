// DataKeys::ReEncrypt.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/pair_spec.h"
#include "server/core/blob.h"
#include "server/core/data_keys.h"
#include "server/core/error.h"
#include "tests/hsm/raw_token.h"
#include "tests/server/core/kms_fixture.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;
using testing::FailsWith;
using testing::IsOk;
using ::testing::Not;

class ReEncryptTest : public KmsFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(KmsFixture::SetUp());
    key_ = CreateKey();
    other_key_ = CreateKey();
  }

  const KeyId& key() { return key_; }
  const KeyId& other_key() { return other_key_; }

  absl::StatusOr<ReEncrypted> ReEncrypt(absl::string_view blob, const Binding& binding,
                                        const SealingOptions& destination) {
    return data_keys().ReEncrypt(blob, binding, std::nullopt, destination, kNoDeadline);
  }

  // One blob of each kind, bound to `binding`.
  std::vector<std::string> Blobs(const Binding& binding) {
    const SealingOptions options = {.key = key(), .binding = binding};
    std::vector<std::string> blobs = {Seal(key(), "a text", binding).blob};
    for (Plaintext plaintext : {Plaintext::kReturned, Plaintext::kNotReturned}) {
      for (size_t bytes : {1, 7, 32, 1023}) {
        const auto data_key = data_keys().GenerateDataKey(options, bytes, plaintext, kNoDeadline);
        EXPECT_OK(data_key);
        if (data_key.ok()) blobs.push_back(data_key->sealed.blob);
      }
    }
    for (PairSpec spec : {PairSpec::kEcP256, PairSpec::kEcP521, PairSpec::kRsa2048}) {
      for (KeyFormat format : {KeyFormat::kPem, KeyFormat::kDer}) {
        const auto pair = data_keys().GenerateKeyPair(options, spec, format,
                                                      Plaintext::kNotReturned, kNoDeadline);
        EXPECT_OK(pair);
        if (pair.ok()) blobs.push_back(pair->sealed.blob);
      }
    }
    return blobs;
  }

  void ExpectNoSessionObjects() {
    ASSERT_OK_AND_ASSIGN(const hsm::RawToken raw, hsm::RawToken::Open(softhsm().label()));
    EXPECT_EQ(raw.CountSessionObjects(), 0u);
  }

 private:
  KeyId key_;
  KeyId other_key_;
};

TEST_F(ReEncryptTest, EachKindIsTheSameUnderTheOtherKeyAndBinding) {
  const Binding from = Context({{"a", "1"}});
  const Binding to = Aad("elsewhere");
  for (const std::string& blob : Blobs(from)) {
    ASSERT_OK_AND_ASSIGN(const Opened before, Open(blob, from));
    ASSERT_OK_AND_ASSIGN(const ReEncrypted moved,
                         ReEncrypt(blob, from, {.key = other_key(), .binding = to}));
    EXPECT_EQ(moved.source_key_id, key());
    EXPECT_EQ(moved.source_key_version_id, before.key_version_id);
    EXPECT_EQ(moved.sealed.key_id, other_key());
    ExpectOpens(moved.sealed.blob, to, Text(before.plaintext));
    EXPECT_THAT(Open(moved.sealed.blob, from), FailsWith(Reason::kInvalidCiphertext));
    // Of the same kind, too.
    const BlobHeader old_header = ParseBlob(blob)->header;
    const BlobHeader new_header = ParseBlob(moved.sealed.blob)->header;
    EXPECT_EQ(new_header.kind, old_header.kind);
    EXPECT_EQ(new_header.pair_spec, old_header.pair_spec);
    EXPECT_EQ(new_header.content_bytes, old_header.content_bytes);
    EXPECT_EQ(new_header.key_id, other_key());
    EXPECT_NE(new_header.iv, old_header.iv);
  }
  ExpectNoSessionObjects();
}

TEST_F(ReEncryptTest, OldVersionIsReplacedByTheNewOne) {
  for (const std::string& blob : Blobs({})) {
    const KeyVersionId rotated = Rotate(key());
    ASSERT_OK_AND_ASSIGN(const Opened before, Open(blob));
    ASSERT_OK_AND_ASSIGN(const ReEncrypted moved, ReEncrypt(blob, {}, {.key = key()}));
    EXPECT_EQ(moved.sealed.key_version_id, rotated);
    EXPECT_NE(moved.source_key_version_id, rotated);
    ExpectOpens(moved.sealed.blob, {}, Text(before.plaintext));
  }
}

TEST_F(ReEncryptTest, BlobThatIsNotGenuineIsAnInvalidCiphertextAndSealsNothing) {
  const Binding binding = Aad("aad");
  for (const std::string& blob : Blobs(binding)) {
    faults().Reset();
    EXPECT_THAT(ReEncrypt(blob, {}, {.key = other_key()}), FailsWith(Reason::kInvalidCiphertext));
    std::string changed = blob;
    changed.back() ^= 1;
    EXPECT_THAT(ReEncrypt(changed, binding, {.key = other_key()}),
                FailsWith(Reason::kInvalidCiphertext));
    EXPECT_EQ(faults().Calls("C_UnwrapKey"), 0u);
  }
  EXPECT_THAT(ReEncrypt("", {}, {.key = other_key()}), FailsWith(Reason::kInvalidCiphertext));
}

TEST_F(ReEncryptTest, GenuineBlobOfAnotherKeyIsAnIncorrectKey) {
  const std::string blob = Seal(key(), "a text").blob;
  EXPECT_THAT(data_keys().ReEncrypt(blob, {}, other_key(), {.key = key()}, kNoDeadline),
              FailsWith(Reason::kIncorrectKey));
  EXPECT_OK(data_keys().ReEncrypt(blob, {}, key(), {.key = key()}, kNoDeadline));
}

TEST_F(ReEncryptTest, DisabledKeyOnEitherSideRefuses) {
  for (const std::string& blob : Blobs({})) {
    for (const KeyId& disabled : {key(), other_key()}) {
      Disable(disabled);
      EXPECT_THAT(ReEncrypt(blob, {}, {.key = other_key()}), FailsWith(Reason::kDisabled));
      Enable(disabled);
    }
  }
}

TEST_F(ReEncryptTest, FailureAtAnyStepLeavesNoSessionObject) {
  ASSERT_OK_AND_ASSIGN(
      const DataKey data_key,
      data_keys().GenerateDataKey({.key = key()}, 32, Plaintext::kNotReturned, kNoDeadline));
  ASSERT_OK_AND_ASSIGN(const KeyPair pair, data_keys().GenerateKeyPair(
                                               {.key = key()}, PairSpec::kEcP256, KeyFormat::kDer,
                                               Plaintext::kNotReturned, kNoDeadline));
  for (const std::string& blob : {data_key.sealed.blob, pair.sealed.blob}) {
    for (const char* fault : {"C_DecryptInit CKR_DEVICE_ERROR", "C_Decrypt CKR_DEVICE_ERROR",
                              "C_UnwrapKey CKR_DEVICE_ERROR", "C_WrapKey CKR_DEVICE_ERROR",
                              "C_GenerateRandom CKR_DEVICE_ERROR", "C_EncryptInit CKR_DEVICE_ERROR",
                              "C_Encrypt CKR_DEVICE_ERROR"}) {
      faults().Reset();
      ASSERT_OK(faults().Apply(absl::StrCat("fail ", fault)));
      EXPECT_THAT(ReEncrypt(blob, {}, {.key = other_key()}), FailsWith(Reason::kUnavailable))
          << fault;
      ExpectNoSessionObjects();
    }
    faults().Reset();
    // What the failures left begun in the sessions ends here.
    for (int i = 0; i < 6; ++i) ReEncrypt(blob, {}, {.key = other_key()}).status().IgnoreError();
    EXPECT_OK(ReEncrypt(blob, {}, {.key = other_key()}));
  }
}

}  // namespace
}  // namespace strongroom::core
