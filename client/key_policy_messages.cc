#include "client/key_policy_messages.h"

namespace strongroom {

KeyPolicy ToPolicy(const v1::KeyPolicy& message) {
  KeyPolicy policy;
  for (const v1::PolicyStatement& statement : message.statements()) {
    policy.statements.push_back({
        .statement_id = statement.statement_id(),
        .principals = {statement.principals().begin(), statement.principals().end()},
        .operations = {statement.operations().begin(), statement.operations().end()},
        .conditions = ToConditions(statement.conditions()),
    });
  }
  return policy;
}

v1::KeyPolicy ToMessage(const KeyPolicy& policy) {
  v1::KeyPolicy message;
  for (const PolicyStatement& from : policy.statements) {
    v1::PolicyStatement& to = *message.add_statements();
    to.set_statement_id(from.statement_id);
    to.mutable_principals()->Assign(from.principals.begin(), from.principals.end());
    to.mutable_operations()->Assign(from.operations.begin(), from.operations.end());
    if (!IsEmpty(from.conditions)) *to.mutable_conditions() = ToMessage(from.conditions);
  }
  return message;
}

EncryptionContextConditions ToConditions(const v1::EncryptionContextConditions& message) {
  const auto& equals = message.encryption_context_equals();
  const auto& subset = message.encryption_context_subset();
  return {
      .equals = {equals.begin(), equals.end()},
      .subset = {subset.begin(), subset.end()},
  };
}

v1::EncryptionContextConditions ToMessage(const EncryptionContextConditions& conditions) {
  v1::EncryptionContextConditions message;
  message.mutable_encryption_context_equals()->insert(conditions.equals.begin(),
                                                      conditions.equals.end());
  message.mutable_encryption_context_subset()->insert(conditions.subset.begin(),
                                                      conditions.subset.end());
  return message;
}

bool IsEmpty(const EncryptionContextConditions& conditions) {
  return conditions.equals.empty() && conditions.subset.empty();
}

}  // namespace strongroom
