#include "client/command/report.h"

#include <openssl/evp.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/error.h"

namespace strongroom::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kIndent = 2;

// Text of others may be no UTF-8, which is no reason to fail.
std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// Escapes what a terminal might act on: the control characters of ASCII and of Latin-1 (in UTF-8
// C2 80 to C2 9F).
std::string Printable(absl::string_view text) {
  std::string printable;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<uint8_t>(text[i + 1]) : uint8_t{0};
    if (absl::ascii_iscntrl(byte)) {
      absl::StrAppend(&printable, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else if (byte == 0xC2 && next >= 0x80 && next <= 0x9F) {
      absl::StrAppend(&printable, "\\u00", absl::Hex(next, absl::kZeroPad2));
      ++i;
    } else {
      printable.push_back(text[i]);
    }
  }
  return printable;
}

std::string ToText(const Record::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return Printable(*text);
  if (const auto* number = std::get_if<int64_t>(&value)) return absl::StrCat(*number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (const auto* texts = std::get_if<Record::Texts>(&value)) {
    return Printable(absl::StrJoin(*texts, ", "));
  }
  if (const auto* pairs = std::get_if<Record::Pairs>(&value)) {
    return Printable(absl::StrJoin(*pairs, ", ", absl::PairFormatter("=")));
  }
  return Printable(std::get<Record::Json>(value).text);
}

Json ToJson(const Record& record) {
  Json object = Json::object();
  for (const Record::Field& field : record.fields()) {
    if (!field.in_json) continue;
    if (const auto* json = std::get_if<Record::Json>(&field.value)) {
      object[field.name] = Json::parse(json->text, /*cb=*/nullptr, /*allow_exceptions=*/false);
      continue;
    }
    std::visit(
        [&](const auto& value) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, Record::Json>) {
            object[field.name] = value;
          }
        },
        field.value);
  }
  return object;
}

// "key_id" as "Key id", for one value a line, or as "KEY ID", for columns.
std::string Label(absl::string_view name) {
  std::string label = absl::StrReplaceAll(name, {{"_", " "}});
  if (!label.empty()) label[0] = absl::ascii_toupper(label[0]);
  return label;
}
std::string Heading(absl::string_view name) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"_", " "}}));
}

// Characters rather than bytes, as far as they are one column wide.
size_t Width(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

void PrintRows(const std::vector<std::vector<std::string>>& rows, std::ostream& out) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out << row[i];
      if (i + 1 < row.size()) out << std::string(widths[i] - Width(row[i]) + 2, ' ');
    }
    out << '\n';
  }
}

// With room for the NUL that OpenSSL puts behind it.
SecretBytes SecretBase64(const SecretBytes& secret) {
  SecretBytes text((secret.size() + 2) / 3 * 4 + 1);
  const int size = EVP_EncodeBlock(text.MutableSecret().data(), secret.ExposeSecret().data(),
                                   static_cast<int>(secret.size()));
  text.Truncate(static_cast<size_t>(size));
  return text;
}

void WriteSecretText(const SecretBytes& text, std::ostream& out) {
  const absl::string_view view = text.ExposeSecretAsText();
  out.write(view.data(), static_cast<std::streamsize>(view.size()));
}

void PrintJson(const Report& report, std::ostream& out) {
  Json object = Json::object();
  if (report.list.has_value()) {
    Json& items = object[report.list->name] = Json::array();
    for (const Record& item : report.list->items) items.push_back(ToJson(item));
  }
  object.update(ToJson(report.record));
  std::string text = Dump(object, kIndent);
  if (!report.revealed.has_value()) {
    out << text << '\n';
    return;
  }
  // The secret goes around the JSON library, whose strings are not wiped. Base64 needs no escapes,
  // and there is at least the request id before it.
  text.resize(text.size() - 2);
  out << text << ",\n" << std::string(kIndent, ' ') << "\"plaintext\": \"";
  WriteSecretText(SecretBase64(*report.revealed), out);
  out << "\"\n}\n";
}

void PrintText(absl::string_view text, std::ostream& out) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    out << Printable(line) << '\n';
  }
}

void PrintTable(const Report& report, std::ostream& out) {
  if (report.text.has_value()) return PrintText(*report.text, out);
  std::vector<std::vector<std::string>> rows;
  if (report.list.has_value()) {
    for (const Record& item : report.list->items) {
      if (rows.empty()) {
        std::vector<std::string>& headings = rows.emplace_back();
        for (const auto& field : item.fields()) {
          if (field.in_table) headings.push_back(Heading(field.name));
        }
      }
      std::vector<std::string>& row = rows.emplace_back();
      for (const auto& field : item.fields()) {
        if (field.in_table) row.push_back(ToText(field.value));
      }
    }
    if (rows.empty()) rows.push_back({"none"});
    PrintRows(rows, out);
    rows.clear();
  }
  for (const Record::Field& field : report.record.fields()) {
    if (field.in_table) rows.push_back({Label(field.name), ToText(field.value)});
  }
  // Below a list only what leads on: the rest is of no use to people.
  if (report.list.has_value() && report.list->with_record) {
    out << '\n';
  } else if (report.list.has_value()) {
    std::erase_if(rows, [](const auto& row) { return row[0] != Label("next_page_token"); });
  }
  PrintRows(rows, out);
  for (const auto& [name, text] : report.record.blocks()) {
    out << Label(name) << '\n';
    PrintText(text, out);
  }
  if (report.revealed.has_value()) {
    out << "Plaintext (base64)  ";
    WriteSecretText(SecretBase64(*report.revealed), out);
    out << '\n';
  }
}

}  // namespace

Record& Record::Text(absl::string_view name, std::string value) {
  fields_.push_back({std::string(name), std::move(value)});
  return *this;
}

Record& Record::OptionalText(absl::string_view name, std::string value) {
  return value.empty() ? *this : Text(name, std::move(value));
}

Record& Record::Number(absl::string_view name, int64_t value) {
  fields_.push_back({std::string(name), value});
  return *this;
}

Record& Record::Flag(absl::string_view name, bool value) {
  fields_.push_back({std::string(name), value});
  return *this;
}

Record& Record::List(absl::string_view name, Texts value) {
  fields_.push_back({std::string(name), std::move(value)});
  return *this;
}

Record& Record::Map(absl::string_view name, Pairs value) {
  fields_.push_back({std::string(name), std::move(value)});
  return *this;
}

Record& Record::JsonForPrograms(absl::string_view name, std::string json) {
  fields_.push_back({std::string(name), Json{std::move(json)}});
  return ForPrograms();
}

Record& Record::ForPrograms() {
  fields_.back().in_table = false;
  return *this;
}

Record& Record::ForPeople() {
  fields_.back().in_json = false;
  return *this;
}

Record& Record::Time(absl::string_view name, absl::Time value) {
  return Text(name, absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", value, absl::UTCTimeZone()));
}

Record& Record::Bytes(absl::string_view name, absl::string_view value) {
  return Text(name, absl::Base64Escape(value));
}

Record& Record::BytesForPrograms(absl::string_view name, absl::string_view value) {
  return Bytes(name, value).ForPrograms();
}

Record& Record::TextForPeople(absl::string_view name, absl::string_view value) {
  BytesForPrograms(name, value);
  blocks_.emplace_back(std::string(name), std::string(value));
  return *this;
}

void PrintReport(const Report& report, OutputFormat format, std::ostream& out) {
  format == OutputFormat::kJson ? PrintJson(report, out) : PrintTable(report, out);
}

std::string ReasonOf(const absl::Status& status) {
  const ExitCode exit_code = ExitCodeOf(status);
  if (exit_code == ExitCode::kUsage) return "UsageError";
  if (exit_code == ExitCode::kLocal) return "LocalError";
  const std::string reason = ErrorDetailOf(status).value_or(ErrorDetail{}).reason_name;
  return reason.empty() ? absl::StatusCodeToString(status.code()) : reason;
}

void PrintError(const absl::Status& status, OutputFormat format, std::ostream& err) {
  const ErrorDetail detail = ErrorDetailOf(status).value_or(ErrorDetail{});
  const std::string code = absl::StatusCodeToString(status.code());
  const std::string reason = ReasonOf(status);
  const std::string message(status.message());
  if (format == OutputFormat::kJson) {
    Json error = {
        {"reason", reason},
        {"message", message},
        {"code", code},
        {"http_status", detail.http_status},
        {"request_id", detail.request_id},
    };
    if (detail.retry_delay.has_value()) {
      error["retry_delay_seconds"] = absl::ToDoubleSeconds(*detail.retry_delay);
    }
    if (detail.dry_run.has_value()) {
      error["failed_check"] = detail.dry_run->failed_check;
      error["token"] = detail.dry_run->token;
    }
    err << Dump(Json{{"error", error}}, /*indent=*/-1) << '\n';
    return;
  }
  err << "strongroom: " << Printable(reason) << ": " << Printable(message);
  if (!detail.request_id.empty()) err << " (request id " << Printable(detail.request_id) << ")";
  if (detail.retry_delay.has_value()) {
    err << "; try again in " << absl::FormatDuration(*detail.retry_delay);
  }
  if (detail.dry_run.has_value()) {
    err << "; would not work: failed check: " << Printable(detail.dry_run->failed_check)
        << ", token: " << Printable(detail.dry_run->token);
  }
  err << '\n';
}

}  // namespace strongroom::command
