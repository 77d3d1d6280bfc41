#ifndef STRONGROOM_SERVER_GATE_DOCUMENT_H_
#define STRONGROOM_SERVER_GATE_DOCUMENT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

// How policies and grants read and write their JSON. Nothing here throws.
namespace strongroom::gate {

// As text, in one line. What is not UTF-8 is replaced.
std::string ToText(const nlohmann::json& document);

// How long a document is as text; empty if a text in it is not UTF-8, and JSON cannot hold it.
std::optional<size_t> SizeAsUtf8Json(const nlohmann::json& document);

// Reads the fields of an object. What is missing or of another type reads as nothing, and then ok()
// is false, so that a reader checks once, at the end.
class JsonReader {
 public:
  // `object` outlives this.
  explicit JsonReader(const nlohmann::json& object) : object_(object), ok_(object.is_object()) {}

  std::string Text(const char* name);
  // "" if there is none.
  std::string OptionalText(const char* name);
  int64_t Integer(const char* name);
  std::optional<int64_t> OptionalInteger(const char* name);
  const nlohmann::json& Array(const char* name);
  std::vector<std::string> Texts(const char* name);
  // None if there is no such field.
  std::vector<std::string> OptionalTexts(const char* name);
  // An object of texts; empty if there is none.
  std::map<std::string, std::string> OptionalMap(const char* name);

  bool ok() const { return ok_; }

 private:
  // Null, and not ok() if it is `required`, if there is none.
  const nlohmann::json* Find(const char* name, bool required);

  const nlohmann::json& object_;
  bool ok_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_DOCUMENT_H_
