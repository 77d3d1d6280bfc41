#include "server/config/yaml_reader.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strongroom {
namespace {

// yaml-cpp counts lines from 0, and has -1 for nodes that are not in the file.
int LineOfMark(const YAML::Mark& mark) { return mark.line < 0 ? 1 : mark.line + 1; }

}  // namespace

void YamlMistakes::Add(int line, absl::string_view field, absl::string_view what) {
  mistakes_.insert(
      {line, absl::StrCat(path_, ":", line, ": ", field, field.empty() ? "" : ": ", what)});
}

absl::Status YamlMistakes::ToStatus() const {
  std::vector<std::string> lines;
  for (const auto& [line, text] : mistakes_) lines.push_back(text);
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

YamlReader::YamlReader(YAML::Node map, std::string prefix, int line, YamlMistakes& mistakes)
    : map_(std::move(map)), prefix_(std::move(prefix)), line_(line), mistakes_(&mistakes) {}

YamlReader YamlReader::Parse(const std::string& yaml, YamlMistakes& mistakes) {
  YAML::Node root;
  bool readable = true;
  try {
    root = YAML::Load(yaml);
  } catch (const YAML::Exception& error) {
    mistakes.Add(LineOfMark(error.mark), "", absl::StrCat("is not YAML: ", error.msg));
    readable = false;
  }
  if (readable && !root.IsMap()) {
    mistakes.Add(1, "", "the file has to be a map of fields, e.g. \"token:\" and \"store:\"");
    readable = false;
  }
  YamlReader reader(root, "", 1, mistakes);
  reader.absent_ = !readable;
  return reader;
}

bool YamlReader::Has(const std::string& field) const {
  return !absent_ && map_.IsMap() && map_[field].IsDefined();
}

YAML::Node YamlReader::Get(const std::string& field) {
  known_.insert(field);
  return Has(field) ? map_[field] : YAML::Node(YAML::NodeType::Undefined);
}

int YamlReader::LineOf(const std::string& field) const {
  if (!Has(field)) return line_;
  // The name's line: a value that is left out has that of what comes next.
  for (const auto& entry : map_) {
    if (entry.first.IsScalar() && entry.first.Scalar() == field) {
      return LineOfMark(entry.first.Mark());
    }
  }
  return line_;
}

void YamlReader::Fail(const std::string& field, absl::string_view what) {
  if (!absent_) mistakes_->Add(LineOf(field), prefix_ + field, what);
}

std::string YamlReader::OptionalText(const std::string& field, const std::string& otherwise) {
  const YAML::Node node = Get(field);
  if (!node.IsDefined()) return otherwise;
  if (!node.IsScalar() || node.Scalar().empty()) {
    Fail(field, "has to be a text");
    return otherwise;
  }
  return node.Scalar();
}

std::string YamlReader::RequiredText(const std::string& field) {
  if (!Has(field)) {
    known_.insert(field);
    if (!absent_) Fail(field, "is required");
    return "";
  }
  return OptionalText(field, "");
}

std::string YamlReader::RequiredPath(const std::string& field) {
  std::string path = RequiredText(field);
  if (!path.empty() && !absl::StartsWith(path, "/")) {
    Fail(field, absl::StrCat("is \"", path, "\"; it has to be an absolute path"));
  }
  return path;
}

std::string YamlReader::OptionalPath(const std::string& field) {
  if (Has(field)) return RequiredPath(field);
  known_.insert(field);
  return "";
}

bool YamlReader::OptionalBool(const std::string& field, bool otherwise) {
  const YAML::Node node = Get(field);
  if (!node.IsDefined()) return otherwise;
  if (node.IsScalar() && node.Scalar() == "true") return true;
  if (node.IsScalar() && node.Scalar() == "false") return false;
  Fail(field, "has to be true or false");
  return otherwise;
}

int64_t YamlReader::OptionalInt(const std::string& field, int64_t otherwise, int64_t least,
                                int64_t most) {
  const YAML::Node node = Get(field);
  if (!node.IsDefined()) return otherwise;
  int64_t value = 0;
  if (!node.IsScalar() || !absl::SimpleAtoi(node.Scalar(), &value) || value < least ||
      value > most) {
    Fail(field, absl::StrCat("has to be a whole number from ", least, " to ", most));
    return otherwise;
  }
  return value;
}

double YamlReader::OptionalNumber(const std::string& field, double otherwise, double least,
                                  double most) {
  const YAML::Node node = Get(field);
  if (!node.IsDefined()) return otherwise;
  double value = 0;
  // Not the other way round: nothing is in the range of what is not a number.
  if (node.IsScalar() && absl::SimpleAtod(node.Scalar(), &value) && value >= least &&
      value <= most) {
    return value;
  }
  Fail(field, absl::StrCat("has to be a number from ", least, " to ", most));
  return otherwise;
}

std::vector<std::string> YamlReader::OptionalTexts(const std::string& field) {
  const YAML::Node node = Get(field);
  std::vector<std::string> texts;
  bool right = !node.IsDefined() || node.IsSequence();
  if (node.IsDefined() && node.IsSequence()) {
    for (const YAML::Node& entry : node) {
      right = right && entry.IsScalar();
      if (right) texts.push_back(entry.Scalar());
    }
  }
  if (!right) Fail(field, "has to be a list of texts");
  return texts;
}

std::map<std::string, std::string> YamlReader::OptionalTextMap(const std::string& field) {
  const YAML::Node node = Get(field);
  std::map<std::string, std::string> texts;
  bool right = !node.IsDefined() || node.IsMap();
  if (node.IsDefined() && node.IsMap()) {
    for (const auto& entry : node) {
      right = right && entry.first.IsScalar() && entry.second.IsScalar() &&
              texts.insert({entry.first.Scalar(), entry.second.Scalar()}).second;
    }
  }
  if (!right) Fail(field, "has to be a map of texts, each name once");
  return texts;
}

YamlReader YamlReader::OptionalMap(const std::string& field) {
  const YAML::Node node = Get(field);
  YamlReader reader(node, absl::StrCat(prefix_, field, "."), LineOf(field), *mistakes_);
  reader.absent_ = !node.IsDefined() || !node.IsMap();
  if (node.IsDefined() && !node.IsMap()) Fail(field, "has to be a map of fields");
  return reader;
}

YamlReader YamlReader::RequiredMap(const std::string& field) {
  if (!Has(field) && !absent_) Fail(field, "is required");
  return OptionalMap(field);
}

std::vector<YamlReader> YamlReader::OptionalList(const std::string& field) {
  std::vector<YamlReader> readers;
  const YAML::Node node = Get(field);
  if (!node.IsDefined()) return readers;
  if (!node.IsSequence()) {
    Fail(field, "has to be a list");
    return readers;
  }
  for (size_t i = 0; i < node.size(); ++i) {
    const YAML::Node entry = node[i];
    const std::string name = absl::StrCat(prefix_, field, "[", i, "]");
    if (!entry.IsMap()) {
      mistakes_->Add(LineOfMark(entry.Mark()), name, "has to be a map of fields");
      continue;
    }
    readers.push_back(
        YamlReader(entry, absl::StrCat(name, "."), LineOfMark(entry.Mark()), *mistakes_));
  }
  return readers;
}

void YamlReader::RefuseOthers() {
  if (absent_) return;
  std::set<std::string> seen;
  for (const auto& entry : map_) {
    const int line = LineOfMark(entry.first.Mark());
    if (!entry.first.IsScalar()) {
      mistakes_->Add(line, prefix_ + "?", "the name of a field has to be a text");
      continue;
    }
    const std::string& field = entry.first.Scalar();
    if (known_.count(field) == 0) {
      mistakes_->Add(line, prefix_ + field,
                     absl::StrCat("is not a field; valid are ", absl::StrJoin(known_, ", ")));
    } else if (!seen.insert(field).second) {
      mistakes_->Add(line, prefix_ + field, "is there twice");
    }
  }
}

}  // namespace strongroom
