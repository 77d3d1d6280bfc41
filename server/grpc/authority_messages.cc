#include "server/grpc/authority_messages.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::grpc_server {
namespace {

gate::ContextConditions Decode(const v1::EncryptionContextConditions& conditions) {
  const auto& equals = conditions.encryption_context_equals();
  const auto& subset = conditions.encryption_context_subset();
  return {{equals.begin(), equals.end()}, {subset.begin(), subset.end()}};
}

void Encode(const gate::ContextConditions& conditions, v1::EncryptionContextConditions& out) {
  for (const auto& [key, value] : conditions.equals) {
    (*out.mutable_encryption_context_equals())[key] = value;
  }
  for (const auto& [key, value] : conditions.subset) {
    (*out.mutable_encryption_context_subset())[key] = value;
  }
}

// As google/protobuf/timestamp.proto has it: the years 1 to 9999.
bool IsValid(const google::protobuf::Timestamp& time) {
  return time.seconds() >= -62135596800 && time.seconds() <= 253402300799 && time.nanos() >= 0 &&
         time.nanos() < 1000000000;
}

}  // namespace

void EncodeTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out.set_seconds(seconds);
  out.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::StatusOr<gate::Policy> DecodePolicy(absl::string_view field, const v1::KeyPolicy& policy) {
  std::vector<gate::StatementText> statements;
  for (const v1::PolicyStatement& statement : policy.statements()) {
    statements.push_back({statement.statement_id(),
                          {statement.principals().begin(), statement.principals().end()},
                          {statement.operations().begin(), statement.operations().end()},
                          Decode(statement.conditions())});
  }
  return gate::Policy::Create(absl::StrCat(field, ".statements"), std::move(statements));
}

void EncodePolicy(const gate::Policy& policy, v1::KeyPolicy& out) {
  for (const gate::StatementText& statement : policy.statements()) {
    v1::PolicyStatement& to = *out.add_statements();
    to.set_statement_id(statement.id);
    for (const std::string& principal : statement.principals) to.add_principals(principal);
    for (const std::string& operation : statement.operations) to.add_operations(operation);
    if (!statement.conditions.empty()) Encode(statement.conditions, *to.mutable_conditions());
  }
}

absl::StatusOr<gate::GrantText> DecodeGrant(const v1::CreateGrantRequest& request) {
  gate::GrantText text;
  text.grantee = request.grantee_principal();
  text.retiring_principal = request.retiring_principal();
  text.operations = {request.operations().begin(), request.operations().end()};
  text.constraints = Decode(request.constraints());
  if (request.has_expire_time()) {
    if (!IsValid(request.expire_time())) {
      return core::MakeError(core::Reason::kInvalidParameter,
                             "expire_time: is no time between the years 1 and 9999");
    }
    text.expire_time = absl::FromUnixSeconds(request.expire_time().seconds()) +
                       absl::Nanoseconds(request.expire_time().nanos());
  }
  return text;
}

void EncodeGrant(const gate::Grant& grant, v1::Grant& out) {
  out.set_grant_id(grant.id.ToString());
  out.set_key_id(grant.key_id.ToString());
  out.set_grantee_principal(grant.text.grantee);
  for (const std::string& operation : grant.text.operations) out.add_operations(operation);
  if (!grant.text.constraints.empty()) Encode(grant.text.constraints, *out.mutable_constraints());
  out.set_retiring_principal(grant.text.retiring_principal);
  if (grant.text.expire_time != absl::InfiniteFuture()) {
    EncodeTime(grant.text.expire_time, *out.mutable_expire_time());
  }
  out.set_issuing_principal(grant.issuer);
  EncodeTime(grant.create_time, *out.mutable_create_time());
  if (!grant.ancestors.empty()) out.set_parent_grant_id(grant.ancestors.back().ToString());
}

}  // namespace strongroom::grpc_server
