#include "server/gate/document.h"

namespace strongroom::gate {

std::string ToText(const nlohmann::json& document) {
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<size_t> SizeAsUtf8Json(const nlohmann::json& document) {
  const std::string text = ToText(document);
  // What is not UTF-8 was replaced, and is not the same any more.
  if (nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false) != document) {
    return std::nullopt;
  }
  return text.size();
}

const nlohmann::json* JsonReader::Find(const char* name, bool required) {
  if (object_.is_object()) {
    const auto it = object_.find(name);
    if (it != object_.end()) return &*it;
  }
  if (required) ok_ = false;
  return nullptr;
}

std::string JsonReader::Text(const char* name) {
  if (Find(name, true) == nullptr) return "";
  return OptionalText(name);
}

std::string JsonReader::OptionalText(const char* name) {
  const nlohmann::json* value = Find(name, false);
  if (value == nullptr) return "";
  if (const auto* text = value->get_ptr<const std::string*>()) return *text;
  ok_ = false;
  return "";
}

int64_t JsonReader::Integer(const char* name) {
  const std::optional<int64_t> value = OptionalInteger(name);
  if (!value.has_value()) ok_ = false;
  return value.value_or(0);
}

std::optional<int64_t> JsonReader::OptionalInteger(const char* name) {
  const nlohmann::json* value = Find(name, false);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_integer()) return value->get<int64_t>();
  ok_ = false;
  return std::nullopt;
}

const nlohmann::json& JsonReader::Array(const char* name) {
  static const nlohmann::json* const kNone = new nlohmann::json(nlohmann::json::array());
  const nlohmann::json* value = Find(name, true);
  if (value != nullptr && value->is_array()) return *value;
  ok_ = false;
  return *kNone;
}

std::vector<std::string> JsonReader::Texts(const char* name) {
  std::vector<std::string> texts;
  for (const nlohmann::json& element : Array(name)) {
    const auto* text = element.get_ptr<const std::string*>();
    if (text == nullptr) {
      ok_ = false;
      return {};
    }
    texts.push_back(*text);
  }
  return texts;
}

std::vector<std::string> JsonReader::OptionalTexts(const char* name) {
  return Find(name, false) == nullptr ? std::vector<std::string>() : Texts(name);
}

std::map<std::string, std::string> JsonReader::OptionalMap(const char* name) {
  std::map<std::string, std::string> map;
  const nlohmann::json* value = Find(name, false);
  if (value == nullptr) return map;
  if (!value->is_object()) {
    ok_ = false;
    return map;
  }
  for (auto it = value->begin(); it != value->end(); ++it) {
    const auto* text = it->get_ptr<const std::string*>();
    if (text == nullptr) {
      ok_ = false;
      return {};
    }
    map[it.key()] = *text;
  }
  return map;
}

}  // namespace strongroom::gate
