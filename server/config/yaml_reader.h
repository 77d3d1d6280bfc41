#ifndef STRONGROOM_SERVER_CONFIG_YAML_READER_H_
#define STRONGROOM_SERVER_CONFIG_YAML_READER_H_

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace strongroom {

// What is wrong with a file, in the order of its lines.
class YamlMistakes {
 public:
  explicit YamlMistakes(std::string path) : path_(std::move(path)) {}

  // `line` counts from 1.
  void Add(int line, absl::string_view field, absl::string_view what);
  bool ok() const { return mistakes_.empty(); }
  absl::Status ToStatus() const;

 private:
  std::string path_;
  std::set<std::pair<int, std::string>> mistakes_;
};

// One map of a YAML file, read field by field. Whatever is wrong becomes a mistake, and reading
// goes on with a harmless value, so that all mistakes are found at once.
class YamlReader {
 public:
  // The map that a file is. `mistakes` outlives the reader and all that come from it.
  static YamlReader Parse(const std::string& yaml, YamlMistakes& mistakes);

  bool Has(const std::string& field) const;

  std::string RequiredText(const std::string& field);
  std::string OptionalText(const std::string& field, const std::string& otherwise);
  // An absolute path.
  std::string RequiredPath(const std::string& field);
  // The same; empty if it is left out.
  std::string OptionalPath(const std::string& field);
  bool OptionalBool(const std::string& field, bool otherwise);
  int64_t OptionalInt(const std::string& field, int64_t otherwise, int64_t least, int64_t most);
  // A decimal number.
  double OptionalNumber(const std::string& field, double otherwise, double least, double most);
  // A list of texts.
  std::vector<std::string> OptionalTexts(const std::string& field);
  // A map whose fields are the file's own choice, and texts.
  std::map<std::string, std::string> OptionalTextMap(const std::string& field);
  YamlReader RequiredMap(const std::string& field);
  YamlReader OptionalMap(const std::string& field);
  // A list of maps.
  std::vector<YamlReader> OptionalList(const std::string& field);

  // Adds a mistake at a field.
  void Fail(const std::string& field, absl::string_view what);
  // Adds a mistake for every field that was not asked for, and for those that are there twice.
  void RefuseOthers();

 private:
  YamlReader(YAML::Node map, std::string prefix, int line, YamlMistakes& mistakes);

  YAML::Node Get(const std::string& field);
  int LineOf(const std::string& field) const;

  YAML::Node map_;
  // The name of this map with a dot, e.g. "token."; empty for the whole file.
  std::string prefix_;
  int line_;
  // Set if the map itself was missing, which is mistake enough.
  bool absent_ = false;
  std::set<std::string> known_;
  YamlMistakes* mistakes_;
};

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_CONFIG_YAML_READER_H_
