#include "tests/hsm/token_fixture.h"

#include <utility>

#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {

void TokenFixture::SetUp() {
  ASSERT_OK_AND_ASSIGN(softhsm_, testing::SoftHsmToken::Create());
  ASSERT_OK_AND_ASSIGN(faults_, testing::FaultModule::Load());
  options_ = softhsm_->options();
  options_.module_path = testing::FaultModule::Path();
}

absl::StatusOr<std::unique_ptr<Token>> TokenFixture::Open(int lanes) {
  options_.lanes = lanes;
  return Token::Open(options_);
}

void OpenTokenFixture::SetUp() {
  ASSERT_NO_FATAL_FAILURE(TokenFixture::SetUp());
  ASSERT_OK_AND_ASSIGN(token_, Open());
  ASSERT_OK_AND_ASSIGN(NewVersionKeys made, token_->CreateVersionKeys(Id(1), kNoDeadline));
  keys_ = made.keys;
}

}  // namespace strongroom::hsm
