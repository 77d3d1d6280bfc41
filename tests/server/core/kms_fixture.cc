#include "tests/server/core/kms_fixture.h"

#include <utility>

#include "tests/testing/status_matchers.h"

namespace strongroom::core {

Binding Aad(absl::string_view aad) {
  absl::StatusOr<Binding> binding = Binding::ToAad("aad", aad);
  EXPECT_OK(binding);
  return binding.ok() ? *std::move(binding) : Binding();
}

Binding Context(const std::map<std::string, std::string>& context) {
  absl::StatusOr<Binding> binding = Binding::ToContext("context", context);
  EXPECT_OK(binding);
  return binding.ok() ? *std::move(binding) : Binding();
}

void KmsFixture::SetUp() {
  ASSERT_OK_AND_ASSIGN(softhsm_, testing::SoftHsmToken::Create());
  ASSERT_OK_AND_ASSIGN(faults_, testing::FaultModule::Load());
  token_options_ = softhsm_->options();
  token_options_.module_path = testing::FaultModule::Path();
  token_options_.lanes = kPairGenerations + 1;
  store_path_ = softhsm_->directory() + "/store.db";
  Start();
}

void KmsFixture::OpenTokenAndStore() {
  ASSERT_OK_AND_ASSIGN(token_, hsm::Token::Open(token_options_));
  ASSERT_OK_AND_ASSIGN(sqlite_store_, store::SqliteStore::Open(store_path_));
  store_ = std::make_unique<FaultyStore>(*sqlite_store_);
}

absl::StatusOr<std::unique_ptr<KeyRing>> KmsFixture::OpenRing() {
  report_ = KeyRingReport();
  return KeyRing::Open(*store_, *token_, clock_, use_limits_, report_);
}

void KmsFixture::Start() {
  ASSERT_NO_FATAL_FAILURE(OpenTokenAndStore());
  ASSERT_OK_AND_ASSIGN(ring_, OpenRing());
  life_ = std::make_unique<KeyLife>(*ring_, *store_, *token_, clock_, life_options_);
  data_keys_ = std::make_unique<DataKeys>(*ring_, *token_, kPairGenerations);
}

void KmsFixture::Stop() {
  data_keys_ = nullptr;
  life_ = nullptr;
  ring_ = nullptr;
  store_ = nullptr;
  sqlite_store_ = nullptr;
  token_ = nullptr;
}

void KmsFixture::Restart() {
  Stop();
  Start();
}

KeyId KmsFixture::CreateKey() {
  const absl::StatusOr<KeyDescription> key = life().CreateKey({}, kNoDeadline);
  EXPECT_OK(key);
  return key.ok() ? key->record.id : KeyId();
}

KeyVersionId KmsFixture::Rotate(const KeyId& key) {
  const absl::StatusOr<store::KeyVersionRecord> version = life().CreateKeyVersion(key, kNoDeadline);
  EXPECT_OK(version);
  return version.ok() ? version->id : KeyVersionId();
}

void KmsFixture::Enable(const KeyId& key) { EXPECT_OK(life().EnableKey(key)); }

void KmsFixture::Disable(const KeyId& key) { EXPECT_OK(life().DisableKey(key)); }

void KmsFixture::CreateAlias(const std::string& name, const KeyId& key) {
  EXPECT_OK(ring().CreateAlias(AliasName{name}, key));
}

Sealed KmsFixture::Seal(const KeyId& key, absl::string_view plaintext, const Binding& binding) {
  absl::StatusOr<Sealed> sealed =
      data_keys().Encrypt({.key = key, .version = SealingVersion::kPrimary, .binding = binding},
                          plaintext, kNoDeadline);
  EXPECT_OK(sealed);
  return sealed.ok() ? *std::move(sealed) : Sealed();
}

void KmsFixture::ExpectOpens(absl::string_view blob, const Binding& binding,
                             absl::string_view plaintext) {
  const absl::StatusOr<Opened> opened = Open(blob, binding);
  ASSERT_OK(opened);
  EXPECT_EQ(Text(opened->plaintext), std::string(plaintext));
}

}  // namespace strongroom::core
