// What Token::Open accepts, what it refuses, and that it is sparing with the PIN.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "hsm/token.h"
#include "tests/hsm/token_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusIs;

class TokenOpenTest : public TokenFixture {
 protected:
  // Nothing that Open() refuses may cost a try of the PIN or leave a session.
  void ExpectPinUntouched() {
    EXPECT_EQ(faults().Calls("C_Login"), 0u);
    EXPECT_EQ(faults().Calls("C_OpenSession"), faults().Calls("C_CloseSession"));
    EXPECT_EQ(faults().Calls("C_Initialize"), faults().Calls("C_Finalize"));
  }
};

TEST_F(TokenOpenTest, LabelFindsTheToken) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
  EXPECT_EQ(token->info().label, softhsm().label());
  EXPECT_EQ(token->info().manufacturer, "SoftHSM project");
  EXPECT_EQ(token->info().model, "SoftHSM v2");
  EXPECT_THAT(token->info().serial, ::testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_THAT(token->info().pair_specs, ElementsAreArray(kAllPairSpecs));
}

TEST_F(TokenOpenTest, ModuleIsLoadedWithoutTheFaultModuleToo) {
  EXPECT_OK(Token::Open(softhsm().options()));
}

TEST_F(TokenOpenTest, UriFindsTheToken) {
  std::string serial;
  {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
    serial = token->info().serial;
  }
  for (const std::string& uri :
       {absl::StrCat("pkcs11:token=", softhsm().label()), absl::StrCat("pkcs11:serial=", serial),
        absl::StrCat("PKCS11:token=", softhsm().label()),
        absl::StrCat("pkcs11:token=", softhsm().label(), ";serial=", serial),
        absl::StrCat("pkcs11:model=SoftHSM%20v2;token=", softhsm().label())}) {
    options().token = uri;
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
    EXPECT_EQ(token->info().serial, serial) << uri;
  }
}

TEST_F(TokenOpenTest, SecondOpeningAfterTheFirstIsClosedWorks) {
  ASSERT_OK(Open());
  ASSERT_OK(Open());
  EXPECT_EQ(faults().Calls("C_OpenSession"), faults().Calls("C_CloseSession"));
  EXPECT_EQ(faults().Calls("C_Initialize"), faults().Calls("C_Finalize"));
}

TEST_F(TokenOpenTest, UriWithPinIsRefusedWithoutRepeatingIt) {
  for (const char* uri :
       {"pkcs11:token=strongroom-test?pin-value=SesameOpen",
        "pkcs11:token=strongroom-test;pin-value=SesameOpen", "pkcs11:?pin-value=SesameOpen",
        "PKCS11:token=strongroom-test?pin-value=SesameOpen",
        "pkcs11:token=%zz?pin-value=SesameOpen"}) {
    options().token = uri;
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("SesameOpen"))))
        << uri;
    ExpectPinUntouched();
  }
  options().token = "pkcs11:token=strongroom-test?pin-value=SesameOpen";
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("file instead")));
}

TEST_F(TokenOpenTest, UriThatIsNoneIsRefusedWithAnExample) {
  for (const char* uri : {"pkcs11:token=%zz", "pkcs11:no-such-attribute=1", "pkcs11:token"}) {
    options().token = uri;
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("RFC 7512"))) << uri;
    ExpectPinUntouched();
  }
}

TEST_F(TokenOpenTest, MissingModuleIsNotFound) {
  options().module_path = "/nonexistent/module.so";
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/module.so")));
}

TEST_F(TokenOpenTest, FileThatIsNoLibraryIsRefused) {
  options().module_path = softhsm().config_file();
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(softhsm().config_file())));
}

TEST_F(TokenOpenTest, LibraryThatIsNoModuleIsRefused) {
  options().module_path = "libm.so.6";
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("libm.so.6 is not a PKCS#11 module")));
}

TEST_F(TokenOpenTest, ModuleThatFailsToInitializeIsClosedAgain) {
  ASSERT_OK(faults().Apply("fail C_Initialize CKR_DEVICE_ERROR call=1"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnavailable,
                               HasSubstr("C_Initialize: CKR_DEVICE_ERROR")));
  EXPECT_OK(Open());
}

TEST_F(TokenOpenTest, WrongLabelIsNotFoundAndListsTheTokens) {
  ASSERT_OK(softhsm().AddToken("another"));
  options().token = "payments";
  EXPECT_THAT(Open(),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("no token matches payments"),
                                                          HasSubstr("\"strongroom-test\" (serial "),
                                                          HasSubstr("\"another\" (serial "))));
  ExpectPinUntouched();
}

TEST_F(TokenOpenTest, LabelOfSeveralTokensIsRefusedAndSerialTellsThemApart) {
  std::string serial;
  {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
    serial = token->info().serial;
  }
  ASSERT_OK(softhsm().AddToken(softhsm().label()));
  faults().Reset();
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               AllOf(HasSubstr("several tokens match"), HasSubstr("serial"))));
  ExpectPinUntouched();
  options().token = absl::StrCat("pkcs11:token=", softhsm().label(), ";serial=", serial);
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
  EXPECT_EQ(token->info().serial, serial);
}

TEST_F(TokenOpenTest, MissingMechanismIsRefusedByName) {
  for (const char* mechanism : {"CKM_AES_KEY_GEN", "CKM_AES_GCM", "CKM_AES_KEY_WRAP_PAD",
                                "CKM_GENERIC_SECRET_KEY_GEN", "CKM_SHA256_HMAC"}) {
    faults().Reset();
    ASSERT_OK(faults().Apply(absl::StrCat("hide ", mechanism)));
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr("the token lacks "), HasSubstr(mechanism))));
    ExpectPinUntouched();
  }
}

TEST_F(TokenOpenTest, AllMissingMechanismsAreNamedAtOnce) {
  ASSERT_OK(faults().Apply("hide CKM_AES_GCM"));
  ASSERT_OK(faults().Apply("hide CKM_AES_KEY_WRAP_PAD"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               AllOf(HasSubstr("CKM_AES_GCM (encrypt, decrypt)"),
                                     HasSubstr("CKM_AES_KEY_WRAP_PAD (wrap, unwrap)"))));
}

TEST_F(TokenOpenTest, MissingPairMechanismShortensTheListOfSpecs) {
  ASSERT_OK(faults().Apply("hide CKM_EC_KEY_PAIR_GEN"));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
  EXPECT_THAT(token->info().pair_specs,
              ::testing::ElementsAre(PairSpec::kRsa2048, PairSpec::kRsa3072, PairSpec::kRsa4096));
}

TEST_F(TokenOpenTest, MechanismThatIsListedButFailsIsRefused) {
  ASSERT_OK(faults().Apply("fail C_EncryptInit CKR_MECHANISM_INVALID"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnimplemented,
                               AllOf(HasSubstr("trying AES-GCM"),
                                     HasSubstr("C_EncryptInit: CKR_MECHANISM_INVALID"))));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_WrapKey CKR_KEY_NOT_WRAPPABLE"));
  EXPECT_THAT(Open(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("trying key wrap (RFC 5649)")));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_UnwrapKey CKR_MECHANISM_INVALID"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnimplemented,
                               HasSubstr("trying key unwrap (RFC 5649)")));
  faults().Reset();
  ASSERT_OK(faults().Apply("fail C_SignInit CKR_MECHANISM_INVALID"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("trying HMAC-SHA256")));
}

TEST_F(TokenOpenTest, TokenWhoseMacsAreAllTheSameIsRefused) {
  // Made to look as if it had worked: the MAC stays as it was.
  ASSERT_OK(faults().Apply("fail C_SignInit 0x0"));
  ASSERT_OK(faults().Apply("fail C_Sign 0x0"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kInternal, HasSubstr("HMAC in the token")));
}

// A token may let a key do what it was not made for. That undoes the separation of seal and wrap.
TEST_F(TokenOpenTest, TokenThatIgnoresWhatAKeyIsForIsRefused) {
  // The trial wraps three times. The third is under the seal key: made to look as if it had worked.
  ASSERT_OK(faults().Apply("fail C_WrapKey 0x0 call=3-"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("the token lets a key wrap that was made to encrypt")));
}

TEST_F(TokenOpenTest, TrialLeavesNoObject) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open());
  ASSERT_OK_AND_ASSIGN(const RawToken raw, OpenRaw());
  EXPECT_EQ(raw.CountSessionObjects(), 0u);
  EXPECT_EQ(raw.CountTokenObjects(), 0u);
}

TEST_F(TokenOpenTest, WrongPinIsTriedOnce) {
  ASSERT_OK_AND_ASSIGN(options().pin_file, softhsm().WritePinFile("wrong", "not-the-pin\n"));
  EXPECT_THAT(Open(4), StatusIs(absl::StatusCode::kPermissionDenied,
                                AllOf(HasSubstr(options().pin_file), HasSubstr("CKR_PIN_INCORRECT"),
                                      HasSubstr("tried once"), Not(HasSubstr("not-the-pin")))));
  EXPECT_EQ(faults().Calls("C_Login"), 1u);
  EXPECT_EQ(faults().Calls("C_OpenSession"), faults().Calls("C_CloseSession"));
}

TEST_F(TokenOpenTest, LockedPinIsTriedOnce) {
  ASSERT_OK(faults().Apply("fail C_Login CKR_PIN_LOCKED"));
  EXPECT_THAT(Open(4), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("CKR_PIN_LOCKED")));
  EXPECT_EQ(faults().Calls("C_Login"), 1u);
}

TEST_F(TokenOpenTest, FinalTryIsNotUsed) {
  ASSERT_OK(faults().Apply("flag CKF_USER_PIN_FINAL_TRY"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kPermissionDenied,
                               AllOf(HasSubstr("one try left"), HasSubstr("No PIN was tried"))));
  ExpectPinUntouched();
}

TEST_F(TokenOpenTest, LockedTokenIsNotTried) {
  ASSERT_OK(faults().Apply("flag CKF_USER_PIN_LOCKED"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kPermissionDenied,
                               AllOf(HasSubstr("is locked"), HasSubstr("No PIN was tried"))));
  ExpectPinUntouched();
}

TEST_F(TokenOpenTest, EarlierWrongTriesDoNotStopIt) {
  ASSERT_OK(faults().Apply("flag CKF_USER_PIN_COUNT_LOW"));
  EXPECT_OK(Open());
}

TEST_F(TokenOpenTest, LoginOfAnotherCountsAsLogin) {
  // Forwarded: the token is logged in, and says that it was before.
  ASSERT_OK(faults().Apply("fail C_Login CKR_USER_ALREADY_LOGGED_IN forwarded"));
  EXPECT_OK(Open());
}

TEST_F(TokenOpenTest, TokenThatFailsAtLoginIsUnavailable) {
  ASSERT_OK(faults().Apply("fail C_Login CKR_DEVICE_ERROR"));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CKR_DEVICE_ERROR")));
  EXPECT_EQ(faults().Calls("C_Login"), 1u);
}

TEST_F(TokenOpenTest, TooManyLanesForTheTokenAreRefusedByNumber) {
  ASSERT_OK(faults().Apply("fail C_OpenSession CKR_SESSION_COUNT call=3-"));
  EXPECT_THAT(Open(4),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("session 3 of 4"), HasSubstr("CKR_SESSION_COUNT"))));
  EXPECT_EQ(faults().Calls("C_Login"), 0u);
}

TEST_F(TokenOpenTest, EachLaneIsASession) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Token> token, Open(3));
  EXPECT_EQ(faults().Calls("C_OpenSession"), 3u);
  EXPECT_EQ(faults().Calls("C_Login"), 1u);
}

TEST_F(TokenOpenTest, PinFileThatOthersMayReadIsRefused) {
  for (mode_t mode : {0604, 0602, 0620, 0644, 0666}) {
    ASSERT_EQ(chmod(softhsm().pin_file().c_str(), mode), 0);
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr(softhsm().pin_file()), HasSubstr("0600"))))
        << std::oct << mode;
    EXPECT_EQ(faults().Calls("C_Initialize"), 0u);
  }
}

// As systemd hands over credentials.
TEST_F(TokenOpenTest, PinFileThatTheGroupMayReadIsAccepted) {
  ASSERT_EQ(chmod(softhsm().pin_file().c_str(), 0440), 0);
  EXPECT_OK(Open());
}

TEST_F(TokenOpenTest, EmptyOrMissingPinFileIsRefused) {
  for (const char* content : {"", "\n", "\r\n"}) {
    ASSERT_OK_AND_ASSIGN(options().pin_file, softhsm().WritePinFile("empty", content));
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr("empty"), HasSubstr(options().pin_file))));
  }
  options().pin_file = "/nonexistent/pin";
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/pin")));
  EXPECT_EQ(faults().Calls("C_Initialize"), 0u);
}

}  // namespace
}  // namespace strongroom::hsm
