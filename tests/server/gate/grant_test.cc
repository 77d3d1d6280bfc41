#include "server/gate/grant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::gate {
namespace {

using core::Reason;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr Operation kEncrypt("KmsService.Encrypt");
constexpr Operation kDecrypt("KmsService.Decrypt");
constexpr Operation kDescribeKey("KeyManagementService.DescribeKey");

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

KeyId Key(uint8_t number) { return KeyId::FromRandom({number}); }
GrantId GrantNumber(uint8_t number) { return GrantId::FromRandom({number}); }

// A grant with everything a grant can have.
Grant Whole() {
  absl::StatusOr<Grant> grant = ParseGrant(
      {.grantee = "orders",
       .retiring_principal = "spiffe://bank.example/ops",
       .operations = {"group:use", "CreateGrant"},
       .constraints = {.equals = {{"a", "1"}, {"b", "\xc3\xa4\""}}, .subset = {{"a", "1"}}},
       .expire_time = kNow + absl::Hours(1)},
      kNow);
  EXPECT_OK(grant);
  grant->id = GrantNumber(1);
  grant->key_id = Key(1);
  grant->ancestors = {GrantNumber(2), GrantNumber(3)};
  grant->issuer = "anna";
  grant->create_time = kNow;
  return *std::move(grant);
}

void ExpectSame(const Grant& a, const Grant& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.key_id, b.key_id);
  EXPECT_EQ(a.text.grantee, b.text.grantee);
  EXPECT_EQ(a.text.retiring_principal, b.text.retiring_principal);
  EXPECT_EQ(a.text.operations, b.text.operations);
  EXPECT_EQ(a.text.constraints, b.text.constraints);
  EXPECT_EQ(a.text.expire_time, b.text.expire_time);
  EXPECT_EQ(a.operations, b.operations);
  EXPECT_EQ(a.ancestors, b.ancestors);
  EXPECT_EQ(a.issuer, b.issuer);
  EXPECT_EQ(a.create_time, b.create_time);
}

TEST(GrantTest, ConstraintsApplyToWhatTakesAContext) {
  absl::StatusOr<Grant> grant = ParseGrant({.grantee = "orders",
                                            .operations = {"Encrypt", "DescribeKey"},
                                            .constraints = {.subset = {{"tenant", "a"}}}},
                                           kNow);
  ASSERT_OK(grant);
  const EncryptionContext right = {{"tenant", "a"}, {"x", "y"}}, wrong = {{"tenant", "b"}};
  EXPECT_TRUE(grant->Allows(kEncrypt, {&right}));
  EXPECT_FALSE(grant->Allows(kEncrypt, {&wrong}));
  EXPECT_FALSE(grant->Allows(kEncrypt, {}));
  EXPECT_TRUE(grant->Allows(kDescribeKey, {}));
  EXPECT_FALSE(grant->Allows(kDecrypt, {&right}));
}

TEST(GrantTest, MistakesAreNamedByTheirFields) {
  const GrantText right = {.grantee = "orders", .operations = {"group:use"}};
  ASSERT_OK(ParseGrant(right, kNow));
  const struct {
    std::function<void(GrantText&)> spoil;
    Reason reason;
    const char* message;
  } kCases[] = {
      {[](GrantText& t) { t.grantee = ""; }, Reason::kMissingParameter, "grantee_principal: "},
      {[](GrantText& t) { t.grantee = "*"; }, Reason::kInvalidParameter, "grantee_principal: "},
      {[](GrantText& t) { t.grantee = "spiffe://bank.example/*"; }, Reason::kInvalidParameter,
       "grantee_principal: "},
      {[](GrantText& t) { t.retiring_principal = "a b"; }, Reason::kInvalidParameter,
       "retiring_principal: "},
      {[](GrantText& t) { t.operations = {}; }, Reason::kMissingParameter, "operations: "},
      {[](GrantText& t) { t.operations = {"Sing"}; }, Reason::kInvalidParameter,
       "operations: \"Sing\""},
      {[](GrantText& t) { t.operations = {"*"}; }, Reason::kInvalidParameter,
       "KeyManagementService.PutKeyPolicy"},
      {[](GrantText& t) {
         t.operations = {"Decrypt", "DisableKey", "GenerateRandom"};
       },
       Reason::kInvalidParameter,
       "a grant cannot allow KmsService.GenerateRandom, KmsInstanceService.GenerateRandom, "
       "KeyManagementService.DisableKey; it can"},
      {[](GrantText& t) { t.operations = {"group:describe"}; }, Reason::kInvalidParameter,
       "KeyManagementService.ListKeys"},
      {[](GrantText& t) { t.expire_time = kNow; }, Reason::kInvalidParameter, "expire_time: "},
      {[](GrantText& t) { t.expire_time = absl::InfinitePast(); }, Reason::kInvalidParameter,
       "expire_time: "},
      {[](GrantText& t) {
         t.constraints.equals = {{"a", "\xff"}};
       },
       Reason::kInvalidParameter, "constraints: "},
  };
  for (const auto& c : kCases) {
    GrantText text = right;
    c.spoil(text);
    EXPECT_THAT(ParseGrant(text, kNow), FailsWith(c.reason, HasSubstr(c.message)));
  }
}

TEST(GrantTest, NarrowsIsHeldInEveryField) {
  const Grant parent = Whole();
  const struct {
    const char* name;
    std::function<void(Grant&)> change;
    const char* field;  // null if it narrows
  } kCases[] = {
      {"same", [](Grant&) {}, nullptr},
      {"another grantee", [](Grant& g) { g.text.grantee = "billing"; }, nullptr},
      {"fewer operations",
       [](Grant& g) {
         g.operations = *OperationSet::Parse("", std::vector<std::string>{"Encrypt"});
       },
       nullptr},
      {"one more operation",
       [](Grant& g) {
         g.operations =
             *OperationSet::Parse("", std::vector<std::string>{"Encrypt", "DescribeKey"});
       },
       "operations: "},
      {"another key", [](Grant& g) { g.key_id = Key(2); }, "key_id: "},
      {"earlier", [](Grant& g) { g.text.expire_time -= absl::Microseconds(1); }, nullptr},
      {"later", [](Grant& g) { g.text.expire_time += absl::Microseconds(1); }, "expire_time: "},
      {"never", [](Grant& g) { g.text.expire_time = absl::InfiniteFuture(); }, "expire_time: "},
      {"no equals", [](Grant& g) { g.text.constraints.equals = {}; }, "constraints: "},
      {"fewer equals", [](Grant& g) { g.text.constraints.equals.erase("b"); }, "constraints: "},
      {"more equals", [](Grant& g) { g.text.constraints.equals["c"] = "3"; }, "constraints: "},
      {"other equals", [](Grant& g) { g.text.constraints.equals["a"] = "2"; }, "constraints: "},
      {"equals as subset",
       [](Grant& g) {
         g.text.constraints.subset = g.text.constraints.equals;
         g.text.constraints.equals = {};
       },
       "constraints: "},
      {"more subset", [](Grant& g) { g.text.constraints.subset["c"] = "3"; }, nullptr},
      {"no subset but in equals", [](Grant& g) { g.text.constraints.subset = {}; }, nullptr},
  };
  for (const auto& c : kCases) {
    Grant child = parent;
    c.change(child);
    if (c.field == nullptr) {
      EXPECT_OK(CheckNarrows(child, parent)) << c.name;
    } else {
      EXPECT_THAT(CheckNarrows(child, parent),
                  FailsWith(Reason::kInvalidParameter, HasSubstr(c.field)))
          << c.name;
    }
  }
}

TEST(GrantTest, SubsetIsNarrowedByAtLeastItsPairs) {
  Grant parent = Whole();
  parent.text.constraints = {.subset = {{"a", "1"}, {"b", "2"}}};
  const struct {
    ContextConditions constraints;
    bool narrows;
  } kCases[] = {
      {{}, false},
      {{.subset = {{"a", "1"}}}, false},
      {{.subset = {{"a", "1"}, {"b", "3"}}}, false},
      {{.equals = {{"a", "1"}}}, false},
      {{.equals = {{"x", "1"}}}, false},
      {{.subset = {{"a", "1"}, {"b", "2"}}}, true},
      {{.subset = {{"a", "1"}, {"b", "2"}, {"c", "3"}}}, true},
      {{.equals = {{"a", "1"}, {"b", "2"}, {"c", "3"}}}, true},
      {{.equals = {{"a", "1"}, {"x", "1"}}, .subset = {{"b", "2"}}}, true},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    Grant child = parent;
    child.text.constraints = kCases[i].constraints;
    EXPECT_EQ(CheckNarrows(child, parent).ok(), kCases[i].narrows) << "case " << i;
  }
}

TEST(GrantTest, DocumentGivesTheGrantBack) {
  const Grant whole = Whole();
  ASSERT_OK_AND_ASSIGN(const Grant read, GrantFromDocument(ToDocument(whole)));
  ExpectSame(read, whole);
  EXPECT_EQ(ToDocument(read), ToDocument(whole));

  ASSERT_OK_AND_ASSIGN(const Grant least,
                       ParseGrant({.grantee = "orders", .operations = {"Encrypt"}}, kNow));
  ASSERT_OK_AND_ASSIGN(const Grant read_least, GrantFromDocument(ToDocument(least)));
  ExpectSame(read_least, least);
}

TEST(GrantTest, DifferentGrantsHaveDifferentDocuments) {
  const std::vector<std::function<void(Grant&)>> changes = {
      [](Grant&) {},
      [](Grant& g) { g.id = GrantNumber(9); },
      [](Grant& g) { g.key_id = Key(9); },
      [](Grant& g) { g.text.grantee = "order"; },
      [](Grant& g) { g.text.retiring_principal = ""; },
      [](Grant& g) { g.text.operations = {"group:use,CreateGrant"}; },
      [](Grant& g) {
        g.text.operations = {"CreateGrant", "group:use"};
      },
      [](Grant& g) { std::swap(g.text.constraints.equals, g.text.constraints.subset); },
      [](Grant& g) {
        g.text.constraints.subset = {{"a", "1\",\"b\":\"2"}};
      },
      [](Grant& g) {
        g.text.constraints.subset = {{"a", "1"}, {"b", "2"}};
      },
      [](Grant& g) { g.text.expire_time += absl::Microseconds(1); },
      [](Grant& g) { g.text.expire_time = absl::InfiniteFuture(); },
      [](Grant& g) { g.ancestors = {}; },
      [](Grant& g) {
        g.ancestors = {GrantNumber(3), GrantNumber(2)};
      },
      [](Grant& g) { g.issuer = "ann"; },
      [](Grant& g) { g.create_time += absl::Microseconds(1); },
  };
  std::set<std::string> documents;
  for (const auto& change : changes) {
    Grant grant = Whole();
    change(grant);
    documents.insert(ToDocument(grant));
  }
  EXPECT_EQ(documents.size(), changes.size());
}

TEST(GrantTest, WhatIsNoDocumentIsRefused) {
  const std::string right = ToDocument(Whole());
  for (size_t size = 0; size < right.size(); ++size) {
    EXPECT_THAT(GrantFromDocument(right.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string document = right;
    const size_t at = document.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? "" : document.replace(at, from.size(), to);
  };
  for (const std::string& document :
       {std::string("{}"), std::string("null"), with("\"version\":1", "\"version\":2"),
        with(GrantNumber(1).ToString(), "x"), with(Key(1).ToString(), "x"), with("\"orders\"", "1"),
        with("\"orders\"", "\"\""), with("group:use", "*"), with("group:use", "DisableKey"),
        with("group:use", "Sing"), with(GrantNumber(3).ToString(), "x"),
        with("\"issuer\"", "\"other\""), with("\"expires\":", "\"expires\":0.")}) {
    EXPECT_THAT(GrantFromDocument(document), StatusIs(absl::StatusCode::kInvalidArgument))
        << document;
  }
}

SignedGrant Signed() {
  SignedGrant grant = {ToDocument(Whole()), {}};
  for (size_t i = 0; i < grant.mac.size(); ++i) grant.mac[i] = static_cast<uint8_t>(i * 37);
  return grant;
}

TEST(GrantTokenTest, GivesDocumentAndMacBack) {
  const SignedGrant grant = Signed();
  const std::string token = ToGrantToken(grant);
  EXPECT_THAT(token, ::testing::MatchesRegex("srg1\\.[A-Za-z0-9_-]*"));
  const std::optional<SignedGrant> parsed = ParseGrantToken(token);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->document, grant.document);
  EXPECT_EQ(parsed->mac, grant.mac);
}

TEST(GrantTokenTest, GrantHasOneToken) {
  for (size_t extra = 0; extra < 3; ++extra) {
    SignedGrant grant = Signed();
    grant.document.append(extra, ' ');
    const std::string token = ToGrantToken(grant);
    for (const std::string& other :
         {token + "=", token + "==", token + " ", " " + token, token + "\n",
          token.substr(0, 20) + "\n" + token.substr(20), "SRG1." + token.substr(5),
          "srg2." + token.substr(5), token.substr(5), std::string("srg1."), std::string()}) {
      EXPECT_FALSE(ParseGrantToken(other).has_value()) << other;
    }
    // Any change of a character gives another grant, or none.
    for (size_t i = 0; i < token.size(); ++i) {
      for (char flip : {'\x01', '\x02', '\x04', '\x20'}) {
        std::string flipped = token;
        flipped[i] = static_cast<char>(flipped[i] ^ flip);
        const std::optional<SignedGrant> parsed = ParseGrantToken(flipped);
        EXPECT_FALSE(parsed.has_value() && parsed->document == grant.document &&
                     parsed->mac == grant.mac)
            << i;
      }
    }
  }
}

TEST(GrantTokenTest, TooLongIsRefused) {
  Grant grant = Whole();
  grant.text.constraints = {.equals = {{"k", std::string(5000, 'v')}}};
  EXPECT_OK(CheckGrantTokenLength(ToDocument(grant)));
  EXPECT_TRUE(ParseGrantToken(ToGrantToken({ToDocument(grant), {}})).has_value());
  grant.text.constraints = {.equals = {{"k", std::string(6000, 'v')}}};
  EXPECT_THAT(CheckGrantTokenLength(ToDocument(grant)),
              FailsWith(Reason::kInvalidParameter, HasSubstr("constraints: ")));
  EXPECT_FALSE(ParseGrantToken(ToGrantToken({ToDocument(grant), {}})).has_value());
}

}  // namespace
}  // namespace strongroom::gate
