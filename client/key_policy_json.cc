#include "client/key_policy_json.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/key_policy_messages.h"

namespace strongroom {
namespace {

using Json = nlohmann::ordered_json;

// Where `json` is no JSON, or has a name twice in an object, of which a reader may see only one.
// protobuf's parser is lenient, and does not name lines.
absl::Status CheckSyntax(absl::string_view json) {
  std::vector<std::set<std::string>> names;
  std::string twice;
  const auto look = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      const std::string name = parsed.get<std::string>();
      if (!names.back().insert(name).second) twice = name;
    }
    return true;
  };
  try {
    [[maybe_unused]] const Json value = Json::parse(json.begin(), json.end(), look);
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const absl::string_view text = error.what();
    const size_t tag = text.find("] ");
    return absl::InvalidArgumentError(tag == absl::string_view::npos ? text : text.substr(tag + 2));
  }
  if (!twice.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("an object has \"", twice, "\" twice"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyPolicy> KeyPolicyFromJson(absl::string_view json) {
  absl::Status syntax = CheckSyntax(json);
  if (!syntax.ok()) return syntax;
  v1::KeyPolicy message;
  const google::protobuf::util::Status parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message);
  if (!parsed.ok()) {
    // "(statements[0]) colour: Cannot find field."
    const google::protobuf::StringPiece why = parsed.message();
    if (why.starts_with("(")) {
      return absl::InvalidArgumentError(absl::string_view(why.data(), why.size()));
    }
    // An object where a context has text: the one mistake for which protobuf names no field.
    return absl::InvalidArgumentError(
        "a policy is an object with \"statements\"; the contexts of \"conditions\" have texts as "
        "values");
  }
  return ToPolicy(message);
}

std::string KeyPolicyToJson(const KeyPolicy& policy) {
  Json statements = Json::array();
  for (const PolicyStatement& from : policy.statements) {
    Json& to = statements.emplace_back(Json::object());
    if (!from.statement_id.empty()) to["statementId"] = from.statement_id;
    to["principals"] = from.principals;
    to["operations"] = from.operations;
    const auto& [equals, subset] = from.conditions;
    if (!equals.empty()) to["conditions"]["encryptionContextEquals"] = equals;
    if (!subset.empty()) to["conditions"]["encryptionContextSubset"] = subset;
  }
  return Json{{"statements", statements}}.dump(/*indent=*/2, ' ', /*ensure_ascii=*/false,
                                               Json::error_handler_t::replace);
}

}  // namespace strongroom
