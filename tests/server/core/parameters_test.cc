#include "server/core/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using hsm::PairSpec;
using ::testing::AllOf;
using ::testing::Eq;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kId[] = "599fa825-17de-417e-9554-bb032cc6a001";

// What names the field first, and says more.
auto Names(const std::string& field) {
  return AllOf(StartsWith(field + ": "), Not(Eq(field + ": ")));
}

TEST(PairSpecTest, EverySpellingIsKnown) {
  constexpr std::pair<const char*, PairSpec> kSpellings[] = {
      {"RSA_2048", PairSpec::kRsa2048},        {"RSA_3072", PairSpec::kRsa3072},
      {"RSA_4096", PairSpec::kRsa4096},        {"EC_P256", PairSpec::kEcP256},
      {"EC_P384", PairSpec::kEcP384},          {"EC_P521", PairSpec::kEcP521},
      {"EC_P256K", PairSpec::kEcP256k},        {"ECC_NIST_P256", PairSpec::kEcP256},
      {"ECC_NIST_P384", PairSpec::kEcP384},    {"ECC_NIST_P521", PairSpec::kEcP521},
      {"ECC_SECG_P256K1", PairSpec::kEcP256k},
  };
  for (const auto& [name, spec] : kSpellings) {
    EXPECT_THAT(ParsePairSpec("KeyPairSpec", name), IsOkAndHolds(spec)) << name;
  }
}

TEST(PairSpecTest, AnythingElseIsRefusedWithWhatIsValid) {
  for (const char* wrong :
       {"rsa_2048", "RSA_1024", "EC_P256 ", " EC_P256", "ECC_NIST_P256K1", "AES_256", "EC"}) {
    EXPECT_THAT(ParsePairSpec("KeyPairSpec", wrong),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(Names("KeyPairSpec"), HasSubstr(absl::StrCat("\"", wrong, "\"")),
                                HasSubstr("RSA_2048"), HasSubstr("RSA_3072"), HasSubstr("RSA_4096"),
                                HasSubstr("EC_P256"), HasSubstr("EC_P384"), HasSubstr("EC_P521"),
                                HasSubstr("EC_P256K"), HasSubstr("ECC_SECG_P256K1"))))
        << wrong;
  }
  EXPECT_THAT(ParsePairSpec("KeyPairSpec", ""),
              FailsWith(Reason::kMissingParameter, Names("KeyPairSpec")));
}

TEST(KeyFormatTest, PemAndDerAreKnown) {
  EXPECT_THAT(ParseKeyFormat("KeyFormat", "PEM"), IsOkAndHolds(KeyFormat::kPem));
  EXPECT_THAT(ParseKeyFormat("KeyFormat", "DER"), IsOkAndHolds(KeyFormat::kDer));
}

TEST(KeyFormatTest, AnythingElseIsRefusedWithWhatIsValid) {
  for (const char* wrong : {"pem", "der", "Pem", "PKCS8", "PEM "}) {
    EXPECT_THAT(ParseKeyFormat("KeyFormat", wrong),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(Names("KeyFormat"), HasSubstr(absl::StrCat("\"", wrong, "\"")),
                                HasSubstr("PEM, DER"))))
        << wrong;
  }
  EXPECT_THAT(ParseKeyFormat("KeyFormat", ""),
              FailsWith(Reason::kMissingParameter, Names("KeyFormat")));
}

TEST(NumberOfBytesTest, From1To1024IsTaken) {
  for (int64_t number = 1; number <= 1024; ++number) {
    EXPECT_THAT(ParseNumberOfBytes("NumberOfBytes", number),
                IsOkAndHolds(static_cast<size_t>(number)));
  }
  EXPECT_EQ(kDefaultDataKeyBytes, 32u);
}

TEST(NumberOfBytesTest, AnythingElseIsRefusedWithWhatIsValid) {
  for (int64_t wrong : {int64_t{0}, int64_t{-1}, int64_t{1025}, INT64_MIN, INT64_MAX,
                        int64_t{1} << 32, (int64_t{1} << 32) + 32}) {
    EXPECT_THAT(ParseNumberOfBytes("NumberOfBytes", wrong),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(Names("NumberOfBytes"), HasSubstr(absl::StrCat(wrong)),
                                HasSubstr("1 to 1024"))));
  }
}

TEST(BatchCountTest, From1To1000IsTaken) {
  for (int64_t count = 1; count <= 1000; ++count) {
    EXPECT_THAT(ParseBatchCount("count", count), IsOkAndHolds(static_cast<size_t>(count)));
  }
}

TEST(BatchCountTest, AnythingElseIsRefusedWithWhatIsValid) {
  for (int64_t wrong : {int64_t{0}, int64_t{-1}, int64_t{1001}, INT64_MIN, INT64_MAX}) {
    EXPECT_THAT(
        ParseBatchCount("count", wrong),
        FailsWith(Reason::kInvalidParameter,
                  AllOf(Names("count"), HasSubstr(absl::StrCat(wrong)), HasSubstr("1 to 1000"))));
  }
}

TEST(KeyReferenceTest, IdIsTakenInEitherCase) {
  for (const char* text : {kId, "599FA825-17DE-417E-9554-BB032CC6A001"}) {
    ASSERT_OK_AND_ASSIGN(const KeyReference key, ParseKeyReference("KeyId", text));
    ASSERT_TRUE(std::holds_alternative<KeyId>(key));
    EXPECT_EQ(std::get<KeyId>(key).ToString(), kId);
  }
}

TEST(KeyReferenceTest, ArnThatEndsInAnIdIsThatKey) {
  for (const char* arn :
       {"arn:aws:kms:eu-central-1:111122223333:key/", "arn:acs:kms:cn-hangzhou:1540355511:key/",
        "arn:strongroom:kms:::key/", "arn:key/"}) {
    ASSERT_OK_AND_ASSIGN(const KeyReference key,
                         ParseKeyReference("KeyId", absl::StrCat(arn, kId)));
    ASSERT_TRUE(std::holds_alternative<KeyId>(key)) << arn;
    EXPECT_EQ(std::get<KeyId>(key).ToString(), kId);
  }
}

TEST(KeyReferenceTest, AliasIsTakenAloneAndAtTheEndOfAnArn) {
  for (const char* text : {"alias/Orders/2024_a-b", "arn:aws:kms:eu:1:alias/Orders/2024_a-b"}) {
    ASSERT_OK_AND_ASSIGN(const KeyReference key, ParseKeyReference("KeyId", text));
    ASSERT_TRUE(std::holds_alternative<AliasName>(key)) << text;
    EXPECT_EQ(std::get<AliasName>(key).text, "alias/Orders/2024_a-b");
  }
}

TEST(KeyReferenceTest, AnythingElseIsRefusedWithWhatIsRight) {
  const std::string id = kId;
  const std::vector<std::string> wrong_ones = {"orders",
                                               id + " ",
                                               " " + id,
                                               id.substr(1),
                                               "key/" + id,
                                               "{" + id + "}",
                                               "arn:aws:kms:eu:1:" + id,
                                               "arn:aws:kms:eu:1:key/",
                                               "arn:aws:kms:eu:1:key/" + id + "/x",
                                               "arn:aws:kms:eu:1:mrk/" + id,
                                               "arn:aws:kms:eu:1:alias/",
                                               "arn:",
                                               "ARN:aws:kms:eu:1:key/" + id,
                                               "Alias/orders",
                                               "alias/",
                                               id + std::string(1, '\0')};
  for (const std::string& wrong : wrong_ones) {
    EXPECT_THAT(
        ParseKeyReference("KeyId", wrong),
        FailsWith(Reason::kInvalidParameter, AllOf(Names("KeyId"), HasSubstr("alias/NAME"))))
        << wrong;
  }
  EXPECT_THAT(ParseKeyReference("KeyId", ""), FailsWith(Reason::kMissingParameter, Names("KeyId")));
}

TEST(KeyReferenceTest, WhatIsGivenBackIsShortAndPrintable) {
  const absl::Status error = ParseKeyReference("KeyId", "\x1b[31m\n\xff").status();
  EXPECT_THAT(error, FailsWith(Reason::kInvalidParameter, HasSubstr("\\x1b[31m\\n\\xff")));

  EXPECT_LT(ParseKeyReference("KeyId", std::string(2000, 'x')).status().message().size(), 300u);
  const absl::Status longer = ParseKeyReference("KeyId", std::string(2049, 'x')).status();
  EXPECT_THAT(longer, FailsWith(Reason::kInvalidParameter,
                                AllOf(Names("KeyId"), HasSubstr("2049"), Not(HasSubstr("xxx")))));
}

TEST(AliasNameTest, EveryAllowedCharacterIsTakenAndNoOther) {
  const std::string allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_-";
  for (int c = 0; c < 256; ++c) {
    const std::string name = absl::StrCat("alias/", std::string(1, static_cast<char>(c)));
    if (allowed.find(static_cast<char>(c)) != std::string::npos) {
      ASSERT_OK_AND_ASSIGN(const AliasName alias, ParseAliasName("AliasName", name));
      EXPECT_EQ(alias.text, name);
    } else {
      EXPECT_THAT(
          ParseAliasName("AliasName", name),
          FailsWith(Reason::kInvalidParameter, AllOf(Names("AliasName"), HasSubstr("alias/NAME"))))
          << c;
    }
  }
}

TEST(AliasNameTest, NameHas1To249Characters) {
  EXPECT_THAT(ParseAliasName("AliasName", "alias/" + std::string(249, 'a')), IsOk());
  for (const std::string& wrong : {"alias/" + std::string(250, 'a'), std::string("alias/"),
                                   std::string("alias"), std::string("orders")}) {
    EXPECT_THAT(
        ParseAliasName("AliasName", wrong),
        FailsWith(Reason::kInvalidParameter, AllOf(Names("AliasName"), HasSubstr("1 to 249"))));
  }
  EXPECT_THAT(ParseAliasName("AliasName", ""),
              FailsWith(Reason::kMissingParameter, Names("AliasName")));
}

TEST(PlaintextTest, From1To4096BytesAreTaken) {
  EXPECT_OK(CheckPlaintext("Plaintext", std::string(1, '\0')));
  EXPECT_OK(CheckPlaintext("Plaintext", std::string(4096, 'x')));
  EXPECT_THAT(CheckPlaintext("Plaintext", ""),
              FailsWith(Reason::kMissingParameter, Names("Plaintext")));
  EXPECT_THAT(
      CheckPlaintext("Plaintext", std::string(4097, 'x')),
      FailsWith(Reason::kInvalidParameter, AllOf(Names("Plaintext"), HasSubstr("4097"),
                                                 HasSubstr("1 to 4096"), Not(HasSubstr("xxx")))));
}

TEST(AlgorithmTest, OnlyTheOneThereIsIsTaken) {
  EXPECT_OK(CheckAlgorithm("Algorithm", ""));
  EXPECT_OK(CheckAlgorithm("Algorithm", "AES_GCM"));
  for (const char* wrong : {"aes_gcm", "RSAES_OAEP_SHA_256", "AES_GCM "}) {
    EXPECT_THAT(
        CheckAlgorithm("Algorithm", wrong),
        FailsWith(Reason::kInvalidParameter, AllOf(Names("Algorithm"), HasSubstr("AES_GCM"))));
  }
}

TEST(DescriptionTest, HasAtMost8192Bytes) {
  EXPECT_OK(CheckDescription("description", ""));
  EXPECT_OK(CheckDescription("description", std::string(8192, 'x')));
  EXPECT_THAT(CheckDescription("description", std::string(8193, 'x')),
              FailsWith(Reason::kInvalidParameter,
                        AllOf(Names("description"), HasSubstr("8193"), HasSubstr("8192"))));
}

// So many characters of two bytes each.
std::string Umlauts(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += "\xc3\xbc";
  return text;
}

TEST(TagTest, CharactersAreCountedAndNotBytes) {
  EXPECT_OK(CheckTag("tags", "n", ""));
  EXPECT_OK(CheckTag("tags", Umlauts(128), Umlauts(256)));
  EXPECT_OK(CheckTag("tags", "cost center: \xf0\x9f\x92\xb0", "a \"b\" \\ c"));
  EXPECT_THAT(CheckTag("tags", Umlauts(129), ""),
              FailsWith(Reason::kInvalidParameter,
                        AllOf(Names("tags"), HasSubstr("129"), HasSubstr("1 to 128"))));
  EXPECT_THAT(CheckTag("tags", "", "value"),
              FailsWith(Reason::kInvalidParameter, AllOf(Names("tags"), HasSubstr("1 to 128"))));
  EXPECT_THAT(CheckTag("tags", "team", Umlauts(257)),
              FailsWith(Reason::kInvalidParameter, AllOf(Names("tags"), HasSubstr("\"team\""),
                                                         HasSubstr("257"), HasSubstr("0 to 256"))));
}

TEST(TagTest, ControlCharactersAndWhatIsNotUtf8AreRefused) {
  const std::string wrong_ones[] = {
      "a\nb",     "\x1b[31m", std::string(1, '\0'), "\x7f",  // C0 and DEL
      "\xc2\x80", "\xc2\x9f",                                // C1
      "\xff",     "\xc3",     "\xc0\xaf",           "\xed\xa0\x80", "\xf4\x90\x80\x80"  // not UTF-8
  };
  for (const std::string& wrong : wrong_ones) {
    const auto refused = FailsWith(
        Reason::kInvalidParameter,
        AllOf(Names("tag_names"), HasSubstr("control characters"), Not(HasSubstr(wrong))));
    EXPECT_THAT(CheckTagName("tag_names", wrong), refused);
    EXPECT_THAT(CheckTag("tag_names", "name", wrong), refused);
  }
  EXPECT_OK(CheckTagName("tag_names", "\xc2\xa0"));
}

TEST(TagTest, AtMost50AreGivenAtATime) {
  EXPECT_OK(CheckTagCount("tags", 0));
  EXPECT_OK(CheckTagCount("tags", 50));
  EXPECT_THAT(
      CheckTagCount("tags", 51),
      FailsWith(Reason::kInvalidParameter, AllOf(Names("tags"), HasSubstr("51"), HasSubstr("50"))));
}

TEST(RotationDaysTest, From1To2560AreTakenAndNoneIsZero) {
  EXPECT_THAT(ParseRotationDays("rotation_period_days", 0), IsOkAndHolds(0));
  EXPECT_THAT(ParseRotationDays("rotation_period_days", 1), IsOkAndHolds(1));
  EXPECT_THAT(ParseRotationDays("rotation_period_days", 2560), IsOkAndHolds(2560));
  for (int64_t wrong : {int64_t{-1}, int64_t{2561}, INT64_MIN, INT64_MAX}) {
    EXPECT_THAT(ParseRotationDays("rotation_period_days", wrong),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(Names("rotation_period_days"), HasSubstr("1 to 2560 days"))));
  }
}

TEST(DeletionWindowTest, From7To30AreTakenAndNoneIs30) {
  EXPECT_THAT(ParseDeletionWindow("pending_window_days", 0), IsOkAndHolds(30));
  EXPECT_THAT(ParseDeletionWindow("pending_window_days", 7), IsOkAndHolds(7));
  EXPECT_THAT(ParseDeletionWindow("pending_window_days", 30), IsOkAndHolds(30));
  for (int64_t wrong : {int64_t{-1}, int64_t{1}, int64_t{6}, int64_t{31}, INT64_MIN, INT64_MAX}) {
    EXPECT_THAT(ParseDeletionWindow("pending_window_days", wrong),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(Names("pending_window_days"), HasSubstr("7 to 30 days"))));
  }
}

TEST(PageSizeTest, From1To1000IsTakenAndNoneIs100) {
  EXPECT_THAT(ParsePageSize("page_size", 0), IsOkAndHolds(100));
  EXPECT_THAT(ParsePageSize("page_size", 1), IsOkAndHolds(1));
  EXPECT_THAT(ParsePageSize("page_size", 1000), IsOkAndHolds(1000));
  for (int64_t wrong : {int64_t{-1}, int64_t{1001}, INT64_MIN, INT64_MAX}) {
    EXPECT_THAT(
        ParsePageSize("page_size", wrong),
        FailsWith(Reason::kInvalidParameter, AllOf(Names("page_size"), HasSubstr("1 to 1000"))));
  }
}

}  // namespace
}  // namespace strongroom::core
