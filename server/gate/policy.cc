#include "server/gate/policy.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/core/error.h"
#include "server/gate/document.h"

namespace strongroom::gate {
namespace {

constexpr int kDocumentVersion = 1;

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return core::MakeError(core::Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
}

absl::Status Missing(absl::string_view field, absl::string_view right) {
  return core::MakeError(core::Reason::kMissingParameter,
                         absl::StrCat(field, ": is required; ", right));
}

bool IsStatementId(absl::string_view id) {
  return id.size() <= Policy::kMaxStatementId &&
         std::all_of(id.begin(), id.end(), absl::ascii_isgraph);
}

bool HasAtLeast(const EncryptionContext& context, const EncryptionContext& pairs) {
  return std::all_of(pairs.begin(), pairs.end(), [&](const auto& pair) {
    const auto it = context.find(pair.first);
    return it != context.end() && it->second == pair.second;
  });
}

nlohmann::json ToJson(const std::vector<StatementText>& texts) {
  nlohmann::json statements = nlohmann::json::array();
  for (const StatementText& text : texts) {
    nlohmann::json statement = {{"principals", text.principals}, {"operations", text.operations}};
    if (!text.id.empty()) statement["id"] = text.id;
    if (!text.conditions.equals.empty()) statement["equals"] = text.conditions.equals;
    if (!text.conditions.subset.empty()) statement["subset"] = text.conditions.subset;
    statements.push_back(std::move(statement));
  }
  return {{"version", kDocumentVersion}, {"statements", std::move(statements)}};
}

}  // namespace

bool ContextConditions::AreMetBy(const CallContext& context) const {
  if (empty()) return true;
  if (context.encryption_context == nullptr) return false;
  return (equals.empty() || *context.encryption_context == equals) &&
         HasAtLeast(*context.encryption_context, subset);
}

absl::StatusOr<Policy> Policy::Create(absl::string_view field,
                                      std::vector<StatementText> statements) {
  if (statements.empty()) return Missing(field, "a policy has 1 to 100 statements");
  if (statements.size() > kMaxStatements) {
    return Invalid(field,
                   absl::StrCat("has ", statements.size(), " statements; valid are 1 to 100"));
  }
  Policy policy;
  std::set<absl::string_view> ids;
  for (size_t i = 0; i < statements.size(); ++i) {
    const StatementText& text = statements[i];
    const std::string name = absl::StrCat(field, "[", i, "]");
    if (!IsStatementId(text.id)) {
      return Invalid(absl::StrCat(name, ".id"),
                     "valid are at most 64 printable ASCII characters without blanks, or none");
    }
    if (!text.id.empty() && !ids.insert(text.id).second) {
      return Invalid(absl::StrCat(name, ".id"),
                     absl::StrCat("\"", text.id,
                                  "\" is another statement's as well; give each its own, or none"));
    }
    const std::string principals = absl::StrCat(name, ".principals");
    if (text.principals.empty()) return Missing(principals, "name at least one principal");
    if (text.principals.size() > kMaxPrincipals) {
      return Invalid(principals, absl::StrCat("has ", text.principals.size(),
                                              " principals; valid are 1 to 100"));
    }
    Statement statement;
    for (size_t j = 0; j < text.principals.size(); ++j) {
      absl::StatusOr<PrincipalPattern> pattern =
          PrincipalPattern::Parse(absl::StrCat(principals, "[", j, "]"), text.principals[j]);
      if (!pattern.ok()) return pattern.status();
      statement.principals.push_back(*std::move(pattern));
    }
    absl::StatusOr<OperationSet> operations =
        OperationSet::Parse(absl::StrCat(name, ".operations"), text.operations);
    if (!operations.ok()) return operations.status();
    statement.operations = *operations;
    statement.conditions = text.conditions;
    policy.statements_.push_back(std::move(statement));
  }
  const std::optional<size_t> size = SizeAsUtf8Json(ToJson(statements));
  if (!size.has_value()) return Invalid(field, "has text that is not UTF-8");
  if (*size > kMaxDocumentBytes) {
    return Invalid(field, absl::StrCat("takes ", *size, " bytes as JSON; at most ",
                                       kMaxDocumentBytes, " are valid"));
  }
  policy.texts_ = std::move(statements);
  return policy;
}

std::string Policy::ToDocument() const { return ToText(ToJson(texts_)); }

absl::StatusOr<Policy> Policy::FromDocument(absl::string_view document) {
  const nlohmann::json json =
      nlohmann::json::parse(document.begin(), document.end(), nullptr, /*allow_exceptions=*/false);
  JsonReader reader(json);
  if (reader.Integer("version") != kDocumentVersion) {
    return absl::InvalidArgumentError("the policy's document is not of version 1");
  }
  std::vector<StatementText> statements;
  for (const nlohmann::json& statement : reader.Array("statements")) {
    JsonReader fields(statement);
    statements.push_back({.id = fields.OptionalText("id"),
                          .principals = fields.Texts("principals"),
                          .operations = fields.Texts("operations"),
                          .conditions = {.equals = fields.OptionalMap("equals"),
                                         .subset = fields.OptionalMap("subset")}});
    if (!fields.ok()) return absl::InvalidArgumentError("a statement's document has another form");
  }
  if (!reader.ok()) return absl::InvalidArgumentError("the policy's document has another form");
  absl::StatusOr<Policy> policy = Create("statements", std::move(statements));
  if (!policy.ok()) return absl::InvalidArgumentError(policy.status().message());
  return policy;
}

bool Policy::Statement::Names(absl::string_view principal) const {
  return std::any_of(principals.begin(), principals.end(),
                     [&](const PrincipalPattern& pattern) { return pattern.Matches(principal); });
}

bool Policy::Allows(absl::string_view principal, Operation operation,
                    const CallContext& context) const {
  // Not even if the caller gives one: what does not take a context cannot be bound by it.
  const CallContext taken = operation.info().takes_context ? context : CallContext();
  return std::any_of(statements_.begin(), statements_.end(), [&](const Statement& statement) {
    return statement.operations.Contains(operation) && statement.Names(principal) &&
           statement.conditions.AreMetBy(taken);
  });
}

bool Policy::AllowsAlways(absl::string_view principal, Operation operation) const {
  return std::any_of(statements_.begin(), statements_.end(), [&](const Statement& statement) {
    return statement.conditions.empty() && statement.operations.Contains(operation) &&
           statement.Names(principal);
  });
}

bool Policy::AllowsSomebody(Operation operation) const {
  return std::any_of(statements_.begin(), statements_.end(), [&](const Statement& statement) {
    return statement.conditions.empty() && statement.operations.Contains(operation);
  });
}

}  // namespace strongroom::gate
