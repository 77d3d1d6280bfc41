#include "server/gate/grant.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "server/core/error.h"
#include "server/gate/document.h"
#include "server/gate/principal.h"

namespace strongroom::gate {
namespace {

constexpr int kDocumentVersion = 1;
constexpr absl::string_view kTokenPrefix = "srg1.";
// With the NUL that ends it, so that it is the beginning of no other.
constexpr absl::string_view kMacDomain("strongroom grant v1\0", 20);

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return core::MakeError(core::Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
}

bool HasPair(const EncryptionContext& context, const EncryptionContext::value_type& pair) {
  const auto it = context.find(pair.first);
  return it != context.end() && it->second == pair.second;
}

nlohmann::json ToJson(const Grant& grant) {
  const GrantText& text = grant.text;
  nlohmann::json ancestors = nlohmann::json::array();
  for (const GrantId& ancestor : grant.ancestors) ancestors.push_back(ancestor.ToString());
  nlohmann::json document = {{"version", kDocumentVersion},
                             {"id", grant.id.ToString()},
                             {"key", grant.key_id.ToString()},
                             {"grantee", text.grantee},
                             {"operations", text.operations},
                             {"issuer", grant.issuer},
                             {"created", absl::ToUnixMicros(grant.create_time)}};
  // What is not there takes no room in the token.
  if (!text.retiring_principal.empty()) document["retiring"] = text.retiring_principal;
  if (!text.constraints.equals.empty()) document["equals"] = text.constraints.equals;
  if (!text.constraints.subset.empty()) document["subset"] = text.constraints.subset;
  if (text.expire_time != absl::InfiniteFuture()) {
    document["expires"] = absl::ToUnixMicros(text.expire_time);
  }
  if (!ancestors.empty()) document["ancestors"] = std::move(ancestors);
  return document;
}

}  // namespace

bool Grant::Allows(Operation operation, const CallContext& context) const {
  if (!operations.Contains(operation)) return false;
  return !operation.info().takes_context || text.constraints.AreMetBy(context);
}

absl::StatusOr<Grant> ParseGrant(GrantText text, absl::Time now) {
  if (absl::Status status = CheckPrincipal("grantee_principal", text.grantee); !status.ok())
    return status;
  if (!text.retiring_principal.empty()) {
    absl::Status status = CheckPrincipal("retiring_principal", text.retiring_principal);
    if (!status.ok()) return status;
  }
  absl::StatusOr<OperationSet> operations = OperationSet::Parse("operations", text.operations);
  if (!operations.ok()) return operations.status();
  const std::vector<std::string> others = operations->NamesNotIn(OperationSet::Grantable());
  if (!others.empty()) {
    return Invalid("operations",
                   absl::StrCat("a grant cannot allow ", absl::StrJoin(others, ", "),
                                "; it can allow \"group:seal\", \"group:open\", \"group:use\" or "
                                "RPCs of these, DescribeKey, CreateGrant and RetireGrant"));
  }
  if (text.expire_time <= now) {
    return Invalid("expire_time", "is in the past; give a time to come, or none");
  }
  if (text.expire_time != absl::InfiniteFuture()) {
    // To what is kept, and never later.
    text.expire_time = absl::FromUnixMicros(absl::ToUnixMicros(text.expire_time));
  }
  Grant grant;
  grant.operations = *operations;
  grant.text = std::move(text);
  if (!SizeAsUtf8Json(ToJson(grant)).has_value()) {
    return Invalid("constraints", "have text that is not UTF-8");
  }
  return grant;
}

absl::Status CheckNarrows(const Grant& child, const Grant& parent) {
  constexpr char kWhy[] = "a grant made under a grant cannot allow more: ";
  if (child.key_id != parent.key_id) {
    return Invalid("key_id", absl::StrCat(kWhy, "that grant is for another key"));
  }
  const std::vector<std::string> more = child.operations.NamesNotIn(parent.operations);
  if (!more.empty()) {
    return Invalid("operations",
                   absl::StrCat(kWhy, "that grant does not allow ", absl::StrJoin(more, ", ")));
  }
  const ContextConditions& own = child.text.constraints;
  const ContextConditions& given = parent.text.constraints;
  if (!given.equals.empty() && own.equals != given.equals) {
    return Invalid(
        "constraints",
        absl::StrCat(kWhy, "ask for the same encryption context that that one asks for"));
  }
  for (const auto& pair : given.subset) {
    if (!HasPair(own.subset, pair) && !HasPair(own.equals, pair)) {
      return Invalid("constraints",
                     absl::StrCat(kWhy,
                                  "ask for all pairs of the encryption context that that one "
                                  "asks for"));
    }
  }
  if (child.text.expire_time > parent.text.expire_time) {
    return Invalid("expire_time",
                   absl::StrCat(kWhy, "that grant expires at ",
                                absl::FormatTime(parent.text.expire_time, absl::UTCTimeZone()),
                                "; give this time or an earlier one"));
  }
  return absl::OkStatus();
}

std::string ToDocument(const Grant& grant) { return ToText(ToJson(grant)); }

absl::StatusOr<Grant> GrantFromDocument(absl::string_view document) {
  const nlohmann::json json =
      nlohmann::json::parse(document.begin(), document.end(), nullptr, /*allow_exceptions=*/false);
  JsonReader reader(json);
  const absl::Status other_form =
      absl::InvalidArgumentError("the grant's document is not of version 1 or has another form");
  if (reader.Integer("version") != kDocumentVersion) return other_form;
  Grant grant;
  const std::optional<GrantId> id = GrantId::Parse(reader.Text("id"));
  const std::optional<KeyId> key_id = KeyId::Parse(reader.Text("key"));
  if (!id.has_value() || !key_id.has_value()) return other_form;
  grant.id = *id;
  grant.key_id = *key_id;
  grant.text.grantee = reader.Text("grantee");
  grant.text.retiring_principal = reader.OptionalText("retiring");
  grant.text.operations = reader.Texts("operations");
  grant.text.constraints = {.equals = reader.OptionalMap("equals"),
                            .subset = reader.OptionalMap("subset")};
  const std::optional<int64_t> expires = reader.OptionalInteger("expires");
  if (expires.has_value()) grant.text.expire_time = absl::FromUnixMicros(*expires);
  for (const std::string& text : reader.OptionalTexts("ancestors")) {
    const std::optional<GrantId> ancestor = GrantId::Parse(text);
    if (!ancestor.has_value()) return other_form;
    grant.ancestors.push_back(*ancestor);
  }
  grant.issuer = reader.Text("issuer");
  grant.create_time = absl::FromUnixMicros(reader.Integer("created"));
  if (!reader.ok() || grant.text.grantee.empty()) return other_form;
  absl::StatusOr<OperationSet> operations =
      OperationSet::Parse("operations", grant.text.operations);
  if (!operations.ok()) return absl::InvalidArgumentError(operations.status().message());
  grant.operations = *operations;
  // Whatever it says: a later server may have meant more by a name than this one.
  if (!grant.operations.IsSubsetOf(OperationSet::Grantable())) return other_form;
  return grant;
}

std::string GrantMacInput(absl::string_view document) { return absl::StrCat(kMacDomain, document); }

std::string ToGrantToken(const SignedGrant& grant) {
  const absl::string_view mac(reinterpret_cast<const char*>(grant.mac.data()), grant.mac.size());
  return absl::StrCat(kTokenPrefix, absl::WebSafeBase64Escape(absl::StrCat(mac, grant.document)));
}

std::optional<SignedGrant> ParseGrantToken(absl::string_view token) {
  if (token.size() > kMaxGrantTokenLength || !absl::StartsWith(token, kTokenPrefix)) {
    return std::nullopt;
  }
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token.substr(kTokenPrefix.size()), &bytes) ||
      bytes.size() <= hsm::kMacBytes) {
    return std::nullopt;
  }
  SignedGrant grant;
  std::copy_n(bytes.begin(), hsm::kMacBytes, grant.mac.begin());
  grant.document = bytes.substr(hsm::kMacBytes);
  // Decoders pass over blanks, padding and bits that count for nothing. A grant has one token.
  if (ToGrantToken(grant) != token) return std::nullopt;
  return grant;
}

absl::Status CheckGrantTokenLength(absl::string_view document) {
  const size_t length = ToGrantToken({std::string(document), {}}).size();
  if (length <= kMaxGrantTokenLength) return absl::OkStatus();
  return Invalid("constraints",
                 absl::StrCat("the grant's token would have ", length, " characters, and at most ",
                              kMaxGrantTokenLength,
                              " are valid; give shorter constraints, name fewer operations or "
                              "their groups, or use shorter names of principals"));
}

}  // namespace strongroom::gate
