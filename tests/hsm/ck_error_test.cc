#include "hsm/internal/ck_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::hsm::internal {
namespace {

using ::testing::Not;
using ::testing::Optional;
using testing::StatusIs;

// All codes of the standard, from the header itself: lines like "#define CKR_CANCEL (0x1UL)".
std::map<std::string, CK_RV> CodesOfTheHeader() {
  std::ifstream header(absl::StrCat(getenv("TEST_SRCDIR"), "/p11_kit/p11-kit/pkcs11.h"));
  std::map<std::string, CK_RV> codes;
  std::string define, name, value;
  for (std::string line; std::getline(header, line);) {
    const size_t at = line.find("#define CKR_");
    const size_t open = line.find('(');
    if (at != 0 || open == std::string::npos) continue;
    const size_t end = line.find_first_of(" \t", 8);
    codes[line.substr(8, end - 8)] = strtoul(line.c_str() + open + 1, nullptr, 16);
  }
  return codes;
}

TEST(CkErrorTest, EveryCodeOfTheHeaderHasItsName) {
  const std::map<std::string, CK_RV> codes = CodesOfTheHeader();
  ASSERT_GT(codes.size(), 85u);
  for (const auto& [name, rv] : codes) {
    if (name == "CKR_VENDOR_DEFINED") continue;
    EXPECT_EQ(ReturnValueName(rv), name);
  }
}

TEST(CkErrorTest, EveryCodeBecomesAStatusThatNamesFunctionAndCode) {
  for (const auto& [name, rv] : CodesOfTheHeader()) {
    const absl::Status status = CkStatus(rv, "C_Function");
    if (rv == CKR_OK) {
      EXPECT_OK(status);
      EXPECT_EQ(CkReturnValue(status), std::nullopt);
      continue;
    }
    EXPECT_THAT(status, Not(testing::IsOk())) << name;
    EXPECT_NE(status.code(), absl::StatusCode::kUnknown) << name;
    EXPECT_EQ(status.message(), absl::StrCat("C_Function: ", ReturnValueName(rv)));
    EXPECT_THAT(CkReturnValue(status), Optional(rv)) << name;
  }
}

TEST(CkErrorTest, CodeThatTheStandardDoesNotNameIsShownAsANumber) {
  EXPECT_THAT(CkStatus(CKR_VENDOR_DEFINED + 0x12, "C_Login"),
              StatusIs(absl::StatusCode::kInternal, "C_Login: CKR_0x80000012"));
  EXPECT_THAT(CkReturnValue(CkStatus(0xffffffffffffffff, "C_Login")),
              Optional(CK_RV{0xffffffffffffffff}));
}

struct Mapping {
  absl::StatusCode code;
  std::vector<CK_RV> rvs;
};

// What a caller can do about it, where that matters.
TEST(CkErrorTest, CodesSayWhatACallerCanDo) {
  const Mapping kMappings[] = {
      {absl::StatusCode::kUnavailable,
       {CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT,
        CKR_TOKEN_NOT_RECOGNIZED, CKR_DEVICE_ERROR, CKR_CRYPTOKI_NOT_INITIALIZED,
        CKR_USER_NOT_LOGGED_IN, CKR_SLOT_ID_INVALID, CKR_FUNCTION_CANCELED}},
      {absl::StatusCode::kResourceExhausted,
       {CKR_HOST_MEMORY, CKR_DEVICE_MEMORY, CKR_SESSION_COUNT}},
      {absl::StatusCode::kPermissionDenied,
       {CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_EXPIRED, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE}},
      {absl::StatusCode::kUnimplemented,
       {CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_FUNCTION_NOT_SUPPORTED,
        CKR_KEY_NOT_WRAPPABLE, CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID}},
      {absl::StatusCode::kInvalidArgument,
       {CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_WRAPPED_KEY_INVALID,
        CKR_WRAPPED_KEY_LEN_RANGE, CKR_SIGNATURE_INVALID}},
      {absl::StatusCode::kFailedPrecondition,
       {CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_UNEXTRACTABLE, CKR_ATTRIBUTE_READ_ONLY,
        CKR_TOKEN_WRITE_PROTECTED, CKR_SESSION_READ_ONLY}},
      {absl::StatusCode::kNotFound,
       {CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID,
        CKR_UNWRAPPING_KEY_HANDLE_INVALID}},
      // Stands for anything: to blame the data for it would be wrong.
      {absl::StatusCode::kInternal, {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_ARGUMENTS_BAD}},
  };
  for (const Mapping& mapping : kMappings) {
    for (CK_RV rv : mapping.rvs) {
      EXPECT_THAT(CkStatus(rv, "C_Function"), StatusIs(mapping.code));
    }
  }
}

TEST(CkErrorTest, StatusOfAnotherOriginHasNoCode) {
  EXPECT_EQ(CkReturnValue(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(CkReturnValue(absl::InternalError("C_Login: CKR_PIN_INCORRECT")), std::nullopt);
}

TEST(CkErrorTest, PrefixKeepsStatusAndCode) {
  EXPECT_OK(Prefixed("reading: ", absl::OkStatus()));
  EXPECT_THAT(Prefixed("reading: ", absl::NotFoundError("nothing")),
              StatusIs(absl::StatusCode::kNotFound, "reading: nothing"));
  const absl::Status status = Prefixed("reading: ", CkStatus(CKR_SESSION_CLOSED, "C_Encrypt"));
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kUnavailable, "reading: C_Encrypt: CKR_SESSION_CLOSED"));
  EXPECT_THAT(CkReturnValue(status), Optional(CK_RV{CKR_SESSION_CLOSED}));
}

}  // namespace
}  // namespace strongroom::hsm::internal
