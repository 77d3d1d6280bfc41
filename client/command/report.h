#ifndef STRONGROOM_CLIENT_COMMAND_REPORT_H_
#define STRONGROOM_CLIENT_COMMAND_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/command/exit_code.h"
#include "platform/secret_bytes.h"

namespace strongroom::command {

enum class OutputFormat { kTable, kJson };

// Named values in order. Names are in snake_case; a table makes headings of them.
class Record {
 public:
  using Texts = std::vector<std::string>;
  using Pairs = std::map<std::string, std::string>;
  // Text that is JSON already.
  struct Json {
    std::string text;
  };
  using Value = std::variant<std::string, int64_t, bool, Texts, Pairs, Json>;
  struct Field {
    std::string name;
    Value value;
    bool in_table = true;
    bool in_json = true;
  };

  Record& Text(absl::string_view name, std::string value);
  // As Text, but left out if empty.
  Record& OptionalText(absl::string_view name, std::string value);
  Record& Number(absl::string_view name, int64_t value);
  Record& Flag(absl::string_view name, bool value);
  // An array and an object in JSON.
  Record& List(absl::string_view name, Texts value);
  Record& Map(absl::string_view name, Pairs value);
  // For programs only.
  Record& JsonForPrograms(absl::string_view name, std::string json);
  // RFC 3339, UTC.
  Record& Time(absl::string_view name, absl::Time value);
  // Base64.
  Record& Bytes(absl::string_view name, absl::string_view value);
  // As Bytes; a table leaves it out. For what is in a file as well.
  Record& BytesForPrograms(absl::string_view name, absl::string_view value);
  // As Text; JSON has it as Bytes. For PEM.
  Record& TextForPeople(absl::string_view name, absl::string_view value);

  // Leave the value that was added last out of a table, or out of JSON.
  Record& ForPrograms();
  Record& ForPeople();

  const std::vector<Field>& fields() const { return fields_; }
  // The other form of a TextForPeople.
  const std::vector<std::pair<std::string, std::string>>& blocks() const { return blocks_; }

 private:
  std::vector<Field> fields_;
  std::vector<std::pair<std::string, std::string>> blocks_;
};

// What a command that succeeded has to say.
struct Report {
  Record record = {};

  // Of a list: its name in JSON, and its items.
  struct List {
    std::string name = {};
    std::vector<Record> items = {};
    // Whether people see all of `record` below it, which is a summary; else only what leads on to
    // the next page.
    bool with_record = false;
  };
  std::optional<List> list = std::nullopt;

  // What a table's readers see in place of it.
  std::optional<std::string> text = std::nullopt;

  // Key bytes that the caller asked to see on standard output: as "plaintext", in base64.
  std::optional<SecretBytes> revealed = std::nullopt;

  ExitCode exit_code = ExitCode::kOk;
};

// Writes one JSON object, or an aligned table. What people wrote (descriptions, messages) cannot
// steer a terminal: control characters are escaped.
void PrintReport(const Report& report, OutputFormat format, std::ostream& out);

// What an error is called: the service's reason, or where it gave none, the code; "UsageError" and
// "LocalError" are the command's own.
std::string ReasonOf(const absl::Status& status);

// One line of text, or of JSON: {"error": {"reason", "message", "code", "http_status",
// "request_id"}}, "retry_delay_seconds" where the service gave one, and of a dry run "failed_check"
// and "token".
void PrintError(const absl::Status& status, OutputFormat format, std::ostream& err);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_REPORT_H_
