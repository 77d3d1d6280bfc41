#include "server/gate/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr Operation kEncrypt("KmsService.Encrypt");
constexpr Operation kDecrypt("KmsService.Decrypt");
constexpr Operation kInstanceDecrypt("KmsInstanceService.Decrypt");
constexpr Operation kDescribeKey("KeyManagementService.DescribeKey");
constexpr Operation kPutKeyPolicy("KeyManagementService.PutKeyPolicy");

const EncryptionContext kNoPairs;

Policy MakePolicy(std::vector<StatementText> statements) {
  absl::StatusOr<Policy> policy = Policy::Create("statements", std::move(statements));
  EXPECT_OK(policy);
  return policy.ok() ? *std::move(policy) : Policy();
}

StatementText Allow(const std::string& principal, const std::string& operation) {
  return {.principals = {principal}, .operations = {operation}};
}

TEST(PolicyTest, EmptyPolicyAllowsNothing) {
  EXPECT_FALSE(Policy().Allows("orders", kEncrypt, {&kNoPairs}));
  EXPECT_FALSE(Policy().AllowsAlways("orders", kEncrypt));
  EXPECT_FALSE(Policy().AllowsSomebody(kEncrypt));
}

TEST(PolicyTest, PrincipalAndOperationMustBothMatchInOneStatement) {
  const Policy policy = MakePolicy({Allow("orders", "Encrypt"), Allow("billing", "group:open"),
                                    Allow("spiffe://bank.example/ops/*", "group:administer")});
  const struct {
    const char* principal;
    Operation operation;
    bool allowed;
  } kCases[] = {
      {"orders", kEncrypt, true},
      {"orders", kDecrypt, false},
      {"billing", kEncrypt, false},
      {"billing", kDecrypt, true},
      {"billing", kInstanceDecrypt, true},
      {"spiffe://bank.example/ops/anna", kPutKeyPolicy, true},
      {"spiffe://bank.example/ops/anna", kDecrypt, false},
      {"spiffe://bank.example/ops", kPutKeyPolicy, false},
      {"Orders", kEncrypt, false},
      {"", kEncrypt, false},
      {"*", kEncrypt, false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(policy.Allows(c.principal, c.operation, {&kNoPairs}), c.allowed)
        << c.principal << " " << c.operation.FullName();
    EXPECT_EQ(policy.AllowsAlways(c.principal, c.operation), c.allowed)
        << c.principal << " " << c.operation.FullName();
  }
}

TEST(PolicyTest, ConditionsAreMetByTheRightContextsOnly) {
  const EncryptionContext none, a = {{"a", "1"}}, ab = {{"a", "1"}, {"b", "2"}},
                                other = {{"a", "2"}}, name = {{"A", "1"}},
                                empty_value = {{"a", ""}};
  const struct {
    ContextConditions conditions;
    const EncryptionContext* context;
    bool met;
  } kCases[] = {
      {{}, nullptr, true},
      {{}, &none, true},
      {{}, &ab, true},
      {{.equals = a}, &a, true},
      {{.equals = a}, &ab, false},
      {{.equals = a}, &other, false},
      {{.equals = a}, &name, false},
      {{.equals = a}, &empty_value, false},
      {{.equals = a}, &none, false},
      {{.equals = a}, nullptr, false},
      {{.equals = ab}, &a, false},
      {{.subset = a}, &a, true},
      {{.subset = a}, &ab, true},
      {{.subset = a}, &other, false},
      {{.subset = a}, &empty_value, false},
      {{.subset = a}, &none, false},
      {{.subset = a}, nullptr, false},
      {{.subset = ab}, &a, false},
      {{.equals = ab, .subset = a}, &ab, true},
      {{.equals = ab, .subset = a}, &a, false},
      {{.equals = a, .subset = ab}, &a, false},
      {{.equals = a, .subset = ab}, &ab, false},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    EXPECT_EQ(kCases[i].conditions.AreMetBy({kCases[i].context}), kCases[i].met) << "case " << i;
  }
}

TEST(PolicyTest, StatementWithConditionsDoesNotAllowWhatTakesNoContext) {
  StatementText statement = Allow("orders", "*");
  statement.conditions.subset = {{"tenant", "a"}};
  const Policy policy = MakePolicy({statement});
  const EncryptionContext right = {{"tenant", "a"}};
  EXPECT_TRUE(policy.Allows("orders", kDecrypt, {&right}));
  EXPECT_FALSE(policy.Allows("orders", kDecrypt, {&kNoPairs}));
  EXPECT_FALSE(policy.Allows("orders", kDecrypt, {}));
  EXPECT_FALSE(policy.Allows("orders", kDescribeKey, {}));
  // Whatever the face passes on.
  EXPECT_FALSE(policy.Allows("orders", kDescribeKey, {&right}));
  EXPECT_FALSE(policy.AllowsAlways("orders", kDecrypt));
  EXPECT_FALSE(policy.AllowsSomebody(kPutKeyPolicy));
}

TEST(PolicyTest, DocumentGivesThePolicyBack) {
  const std::vector<StatementText> statements = {
      {.id = "ops",
       .principals = {"spiffe://bank.example/ops/*", "anna"},
       .operations = {"group:administer", "KmsService.Decrypt"},
       .conditions = {}},
      {.id = "",
       .principals = {"orders"},
       .operations = {"*"},
       .conditions = {.equals = {{"k\"\n", "\xc3\xa4"}}, .subset = {{"", ""}, {"b", "2"}}}}};
  const Policy policy = MakePolicy(statements);
  EXPECT_EQ(policy.statements(), statements);
  ASSERT_OK_AND_ASSIGN(const Policy read, Policy::FromDocument(policy.ToDocument()));
  EXPECT_EQ(read.statements(), statements);
  EXPECT_EQ(read.ToDocument(), policy.ToDocument());
  EXPECT_THAT(policy.ToDocument(), HasSubstr("\"version\":1"));
}

TEST(PolicyTest, WhatIsNoDocumentIsRefused) {
  const std::string right = MakePolicy({Allow("orders", "Encrypt")}).ToDocument();
  ASSERT_OK(Policy::FromDocument(right));
  for (const char* document :
       {"", "null", "{}", "[]", "1", "{\"version\":1}", "{\"version\":1,\"statements\":[]}",
        "{\"version\":1,\"statements\":{}}", "{\"version\":1,\"statements\":[1]}",
        "{\"version\":2,\"statements\":[{\"operations\":[\"*\"],\"principals\":[\"a\"]}]}",
        "{\"version\":\"1\",\"statements\":[{\"operations\":[\"*\"],\"principals\":[\"a\"]}]}",
        "{\"version\":1,\"statements\":[{\"operations\":\"*\",\"principals\":[\"a\"]}]}",
        "{\"version\":1,\"statements\":[{\"operations\":[1],\"principals\":[\"a\"]}]}",
        "{\"version\":1,\"statements\":[{\"operations\":[\"*\"]}]}",
        "{\"version\":1,\"statements\":[{\"operations\":[\"*\"],\"principals\":[\"*\"]}]}",
        "{\"version\":1,\"statements\":[{\"equals\":[],\"operations\":[\"*\"],"
        "\"principals\":[\"a\"]}]}",
        "{\"version\":1,\"statements\":[{\"equals\":{\"a\":1},\"operations\":[\"*\"],"
        "\"principals\":[\"a\"]}]}"}) {
    EXPECT_THAT(Policy::FromDocument(document), StatusIs(absl::StatusCode::kInvalidArgument))
        << document;
  }
  for (size_t size = 0; size < right.size(); ++size) {
    EXPECT_FALSE(Policy::FromDocument(right.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(Policy::FromDocument(right + "x").ok());
}

TEST(PolicyTest, MistakesAreNamedByTheirFields) {
  const auto create = [](std::vector<StatementText> statements) {
    return Policy::Create("policy.statements", std::move(statements));
  };
  EXPECT_THAT(create({}), FailsWith(Reason::kMissingParameter, HasSubstr("policy.statements: ")));
  EXPECT_THAT(create({Allow("a", "*"), {.operations = {"*"}}}),
              FailsWith(Reason::kMissingParameter, HasSubstr("policy.statements[1].principals: ")));
  EXPECT_THAT(
      create({{.principals = {"a", "*"}, .operations = {"*"}}}),
      FailsWith(Reason::kInvalidParameter, HasSubstr("policy.statements[0].principals[1]: \"*\"")));
  EXPECT_THAT(create({{.principals = {"a"}}}),
              FailsWith(Reason::kMissingParameter, HasSubstr("policy.statements[0].operations: ")));
  EXPECT_THAT(
      create({Allow("a", "Sing")}),
      FailsWith(Reason::kInvalidParameter, HasSubstr("policy.statements[0].operations: \"Sing\"")));
  StatementText statement = Allow("a", "*");
  for (const std::string& id :
       {std::string(65, 'x'), std::string("a b"), std::string("\xc3\xa4")}) {
    statement.id = id;
    EXPECT_THAT(create({statement}), FailsWith(Reason::kInvalidParameter,
                                               HasSubstr("policy.statements[0].id: valid are")));
  }
  statement.id = "x";
  EXPECT_THAT(create({statement, statement}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("policy.statements[1].id: \"x\"")));
}

TEST(PolicyTest, LimitsHold) {
  EXPECT_OK(Policy::Create("s", std::vector<StatementText>(100, Allow("a", "*"))));
  EXPECT_THAT(Policy::Create("s", std::vector<StatementText>(101, Allow("a", "*"))),
              FailsWith(Reason::kInvalidParameter, HasSubstr("has 101 statements")));

  StatementText statement = Allow("a", "*");
  statement.principals.assign(100, "a");
  EXPECT_OK(Policy::Create("s", {statement}));
  statement.principals.push_back("a");
  EXPECT_THAT(Policy::Create("s", {statement}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("has 101 principals")));

  statement = Allow("a", "*");
  statement.conditions.equals = {{"k", std::string(32 * 1024 - 200, 'v')}};
  EXPECT_OK(Policy::Create("s", {statement}));
  statement.conditions.equals = {{"k", std::string(32 * 1024, 'v')}};
  EXPECT_THAT(Policy::Create("s", {statement}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("at most 32768")));
}

TEST(PolicyTest, TextThatIsNotUtf8IsRefused) {
  StatementText statement = Allow("a", "*");
  statement.conditions.equals = {{"k", "\xff"}};
  EXPECT_THAT(Policy::Create("s", {statement}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("UTF-8")));
  statement.conditions.equals = {{"\xc3", "v"}};
  EXPECT_THAT(Policy::Create("s", {statement}),
              FailsWith(Reason::kInvalidParameter, HasSubstr("UTF-8")));
}

}  // namespace
}  // namespace strongroom::gate
