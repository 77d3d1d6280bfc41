#include "tests/testing/fault_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/testing/softhsm.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::testing {
namespace {

using ::testing::HasSubstr;

TEST(FaultModuleTest, DirectiveThatIsNoneIsRefused) {
  ASSERT_OK_AND_ASSIGN(FaultModule faults, FaultModule::Load());
  for (const char* directive : {"explode",
                                "fail",
                                "fail C_Login",
                                "fail C_Logon CKR_PIN_LOCKED",
                                "fail C_Login CKR_NONE",
                                "fail C_Login 0x",
                                "fail C_Login 0xzz",
                                "fail C_Login CKR_PIN_LOCKED call=0",
                                "fail C_Login CKR_PIN_LOCKED call=1-x",
                                "fail C_Login CKR_PIN_LOCKED 1",
                                "hold C_Login",
                                "hold C_Logon /fifo",
                                "take C_Login",
                                "take C_Logon 1",
                                "take C_Login soon",
                                "hide CKM_NONE",
                                "flag",
                                "attribute label CKA_ID 0",
                                "attribute label CKA_NONE 00",
                                "record everything",
                                "counts",
                                "vanish call=x"}) {
    EXPECT_THAT(faults.Apply(directive), StatusIs(absl::StatusCode::kInvalidArgument)) << directive;
  }
}

TEST(FaultModuleTest, BlankLinesAndCommentsMeanNothing) {
  ASSERT_OK_AND_ASSIGN(FaultModule faults, FaultModule::Load());
  EXPECT_OK(faults.Apply(""));
  EXPECT_OK(faults.Apply("   "));
  EXPECT_OK(faults.Apply("# fail C_Login CKR_PIN_LOCKED"));
}

// The module reads the file once in a process, when the first token is opened, so this is one test
// and the first that opens one.
TEST(FaultModuleTest, DirectivesComeFromTheFileAndCountsGoToTheirs) {
  ASSERT_OK_AND_ASSIGN(SoftHsmToken softhsm, SoftHsmToken::Create());
  const std::string directives = softhsm.directory() + "/faults";
  const std::string counts = softhsm.directory() + "/counts";
  std::ofstream(directives) << "# comment\n\n"
                            << "fail C_GenerateRandom CKR_DEVICE_ERROR call=100-\n"
                            << "counts " << counts << "\n";
  setenv("STRONGROOM_TEST_FAULTS", directives.c_str(), 1);
  ASSERT_OK_AND_ASSIGN(FaultModule faults, FaultModule::Load());
  hsm::TokenOptions options = softhsm.options();
  options.module_path = FaultModule::Path();
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<hsm::Token> token, hsm::Token::Open(options));

  uint8_t byte;
  while (faults.Calls("C_GenerateRandom") < 99) {
    ASSERT_OK(token->GenerateRandom(absl::MakeSpan(&byte, 1), kNoDeadline));
  }
  EXPECT_THAT(token->GenerateRandom(absl::MakeSpan(&byte, 1), kNoDeadline),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CKR_DEVICE_ERROR")));

  token = nullptr;
  std::ifstream file(counts);
  const std::string written((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(written, HasSubstr("C_GenerateRandom 100\n"));
  EXPECT_THAT(written, HasSubstr("C_Login 1\n"));
}

TEST(FaultModuleTest, CallLastsAsLongAsItIsTold) {
  ASSERT_OK_AND_ASSIGN(SoftHsmToken softhsm, SoftHsmToken::Create());
  ASSERT_OK_AND_ASSIGN(FaultModule faults, FaultModule::Load());
  hsm::TokenOptions options = softhsm.options();
  options.module_path = FaultModule::Path();
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<hsm::Token> token, hsm::Token::Open(options));

  ASSERT_OK(faults.Apply("take C_GenerateRandom 20000"));
  uint8_t byte;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_OK(token->GenerateRandom(absl::MakeSpan(&byte, 1), kNoDeadline));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(20));
}

}  // namespace
}  // namespace strongroom::testing
