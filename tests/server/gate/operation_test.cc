#include "server/gate/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

OperationSet Set(const std::vector<std::string>& names) {
  absl::StatusOr<OperationSet> set = OperationSet::Parse("operations", names);
  EXPECT_OK(set);
  return set.value_or(OperationSet());
}

TEST(OperationTest, EachHasItsOwnName) {
  std::set<std::string> names;
  for (const OperationInfo& info : kOperations) {
    EXPECT_TRUE(names.insert(std::string(info.service) + "." + info.name).second) << info.name;
  }
  EXPECT_EQ(Operation("KmsService.Decrypt").FullName(), "KmsService.Decrypt");
}

TEST(OperationTest, NameOfAnRpcStandsForItInEveryService) {
  EXPECT_THAT(Set({"Decrypt"}).NamesNotIn(OperationSet()),
              ElementsAre("KmsService.Decrypt", "KmsInstanceService.Decrypt"));
  EXPECT_THAT(Set({"KmsService.Decrypt"}).NamesNotIn(OperationSet()),
              ElementsAre("KmsService.Decrypt"));
}

TEST(OperationTest, UseIsSealAndOpen) {
  EXPECT_EQ(Set({"group:use"}), Set({"group:seal", "group:open"}));
  EXPECT_TRUE(Set({"group:open"}).Contains(Operation("KmsInstanceService.AdvanceDecrypt")));
  EXPECT_FALSE(Set({"group:open"}).Contains(Operation("KmsService.Encrypt")));
  EXPECT_FALSE(Set({"group:use"}).Contains(Operation("KeyManagementService.DescribeKey")));
}

TEST(OperationTest, DescribingChangesNothingAndIsPartOfAdministering) {
  EXPECT_TRUE(Set({"group:describe"}).IsSubsetOf(Set({"group:administer"})));
  EXPECT_FALSE(Set({"group:describe"}).Contains(Operation("KeyManagementService.DisableKey")));
  EXPECT_FALSE(Set({"group:administer"}).Contains(Operation("KmsService.Decrypt")));
}

TEST(OperationTest, EverythingIsMoreThanAllGroups) {
  const OperationSet all = Set({"*"});
  EXPECT_THAT(all.NamesNotIn(Set({"group:use", "group:administer"})),
              ElementsAre("KmsService.GenerateRandom", "KmsInstanceService.GenerateRandom",
                          "AuditService.VerifyAuditSeals"));
  EXPECT_THAT(Set({"group:use", "group:administer"}).NamesNotIn(all), IsEmpty());
}

TEST(OperationTest, UnknownNamesAndNoneAreRefused) {
  for (const char* name : {"", "decrypt", "Decrypt ", "KmsService.", "KmsService.DescribeKey",
                           "group:", "group:all", "group:Use", "Generate*", "**"}) {
    EXPECT_THAT(OperationSet::Parse("operations", std::vector<std::string>{"Encrypt", name}),
                FailsWith(Reason::kInvalidParameter, HasSubstr("operations: \"")))
        << name;
  }
  EXPECT_THAT(OperationSet::Parse("operations", {}), FailsWith(Reason::kMissingParameter));
}

TEST(OperationTest, ReEncryptingIsPermittedInItsTwoHalves) {
  constexpr Operation kFrom("KmsService.ReEncryptFrom");
  constexpr Operation kTo("KmsService.ReEncryptTo");
  EXPECT_TRUE(Set({"group:open"}).Contains(kFrom));
  EXPECT_FALSE(Set({"group:open"}).Contains(kTo));
  EXPECT_TRUE(Set({"group:seal"}).Contains(kTo));
  EXPECT_FALSE(Set({"group:seal"}).Contains(kFrom));
  EXPECT_THAT(Set({"ReEncryptFrom"}).NamesNotIn(OperationSet()),
              ElementsAre("KmsService.ReEncryptFrom"));
  EXPECT_TRUE(Set({"ReEncryptFrom", "ReEncryptTo"}).IsSubsetOf(OperationSet::Grantable()));
  for (const char* whole : {"ReEncrypt", "KmsService.ReEncrypt"}) {
    EXPECT_THAT(OperationSet::Parse("operations", std::vector<std::string>{"Encrypt", whole}),
                FailsWith(Reason::kInvalidParameter,
                          AllOf(HasSubstr("operations: \""), HasSubstr("ReEncryptFrom"),
                                HasSubstr("ReEncryptTo"))));
  }
  // Not even this names the RPC, which nobody asks for as a whole.
  EXPECT_FALSE(Set({"*"}).Contains(Operation("KmsService.ReEncrypt")));
  EXPECT_TRUE(Set({"*"}).Contains(kFrom));
  EXPECT_TRUE(Set({"*"}).Contains(kTo));
}

TEST(OperationTest, UsingAPrivateKeyIsOpeningAndMayBeGranted) {
  const std::vector<std::string> uses = {"SignWithDataKeyPair", "DecryptWithDataKeyPair",
                                         "DeriveSharedSecret"};
  EXPECT_TRUE(Set(uses).IsSubsetOf(Set({"group:open"})));
  EXPECT_TRUE(Set(uses).IsSubsetOf(OperationSet::Grantable()));
  EXPECT_THAT(Set(uses).NamesNotIn(Set({"group:seal", "Decrypt", "group:administer"})), SizeIs(3));
}

TEST(OperationTest, GrantsAllowUsingAKeyAndLittleElse) {
  const OperationSet grantable = OperationSet::Grantable();
  EXPECT_TRUE(Set({"group:use"}).IsSubsetOf(grantable));
  EXPECT_THAT(grantable.NamesNotIn(Set({"group:use"})),
              ElementsAre("KeyManagementService.DescribeKey", "KeyManagementService.CreateGrant",
                          "KeyManagementService.RetireGrant"));
}

}  // namespace
}  // namespace strongroom::gate
