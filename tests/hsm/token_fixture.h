#ifndef STRONGROOM_TESTS_HSM_TOKEN_FIXTURE_H_
#define STRONGROOM_TESTS_HSM_TOKEN_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/token.h"
#include "tests/hsm/raw_token.h"
#include "tests/testing/fault_module.h"
#include "tests/testing/softhsm.h"

namespace strongroom::hsm {

inline constexpr Iv kIv = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

inline absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// A version's id that says in a failure which one it is.
constexpr ObjectId Id(uint8_t number) {
  ObjectId id = {};
  id[15] = number;
  return id;
}

// Each test has a SoftHSM of its own, reached through the fault module.
class TokenFixture : public ::testing::Test {
 protected:
  void SetUp() override;

  absl::StatusOr<std::unique_ptr<Token>> Open(int lanes = 1);
  absl::StatusOr<RawToken> OpenRaw() { return RawToken::Open(softhsm().label()); }

  const testing::SoftHsmToken& softhsm() { return *softhsm_; }
  testing::FaultModule& faults() { return *faults_; }
  // What Open() opens.
  TokenOptions& options() { return options_; }

 private:
  std::optional<testing::SoftHsmToken> softhsm_;
  std::optional<testing::FaultModule> faults_;
  TokenOptions options_;
};

// With a token open on one lane, and the keys of a version in it.
class OpenTokenFixture : public TokenFixture {
 protected:
  void SetUp() override;

  Token& token() { return *token_; }
  const VersionKeys& keys() { return *keys_; }

 private:
  std::unique_ptr<Token> token_;
  std::optional<VersionKeys> keys_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_TESTS_HSM_TOKEN_FIXTURE_H_
