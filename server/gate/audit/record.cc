#include "server/gate/audit/record.h"

#include <charconv>

#include "absl/strings/str_cat.h"

namespace strongroom::audit {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

// The length of the UTF-8 character that `text` begins with (RFC 3629), or 0 if it begins with
// none.
size_t CharacterSize(absl::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto follows = [&](size_t i, uint8_t least = 0x80, uint8_t most = 0xbf) {
    return i < text.size() && byte(i) >= least && byte(i) <= most;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    // Neither overlong nor a surrogate.
    const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

bool IsPlain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f &&
         c != '"' && c != '\\';
}

// Quotes as JSON does (RFC 8259), whatever the bytes are.
void AppendQuoted(absl::string_view text, std::string& line) {
  line.push_back('"');
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && IsPlain(text[plain])) ++plain;
    line.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text[0];
    size_t size = 1;
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x80) {
      line.append("\\u00");
      line.push_back(kDigits[c >> 4]);
      line.push_back(kDigits[c & 0x0f]);
    } else if (const size_t character = CharacterSize(text); character > 0) {
      line.append(text.data(), character);
      size = character;
    } else {
      line.append("\xef\xbf\xbd");
    }
    text.remove_prefix(size);
  }
  line.push_back('"');
}

// At most `most` bytes, and no half character at the end.
absl::string_view Cut(absl::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t size = most;
  // The byte behind the cut must not be in the middle of a character.
  while (size > 0 && most - size < 3 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

void AppendName(absl::string_view name, std::string& line) {
  line.append(",\"");
  line.append(name.data(), name.size());
  line.append("\":");
}

void AppendText(absl::string_view name, absl::string_view value, std::string& line) {
  if (!value.empty()) AppendMember(name, value, line);
}

void AppendContext(absl::string_view name, const std::map<std::string, std::string>* context,
                   std::string& line) {
  if (context == nullptr || context->empty()) return;
  AppendName(name, line);
  size_t left = kLongestContext;
  bool cut = false;
  char separator = '{';
  for (const auto& [key, value] : *context) {
    // A key is written whole or not at all: cut, it could be another one's.
    if (key.size() > left) {
      cut = true;
      break;
    }
    left -= key.size();
    const absl::string_view shown = Cut(value, left);
    left -= shown.size();
    line.push_back(separator);
    separator = ',';
    AppendQuoted(key, line);
    line.push_back(':');
    AppendQuoted(shown, line);
    if (shown.size() < value.size()) {
      cut = true;
      break;
    }
  }
  if (separator == '{') line.push_back('{');
  line.push_back('}');
  if (cut) absl::StrAppend(&line, ",\"", name, "_cut\":true");
}

absl::string_view NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kAllowed:
      return "allowed";
    case Outcome::kDenied:
      return "denied";
    case Outcome::kFailed:
      break;
  }
  return "failed";
}

void AppendDigits(int64_t number, int digits, std::string& line) {
  const size_t begin = line.size();
  line.append(digits, '0');
  for (size_t i = line.size(); i > begin; number /= 10) {
    line[--i] = static_cast<char>('0' + number % 10);
  }
}

}  // namespace

void AppendMember(absl::string_view name, absl::string_view value, std::string& line) {
  AppendName(name, line);
  AppendQuoted(Cut(value, kLongestText), line);
}

void AppendMember(absl::string_view name, int64_t value, std::string& line) {
  AppendName(name, line);
  AppendNumber(value, line);
}

void AppendNumber(int64_t number, std::string& line) {
  char text[24];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), number);
  line.append(text, end.ptr);
}

void AppendHex(const std::array<uint8_t, 32>& bytes, std::string& line) {
  char text[64];
  for (size_t i = 0; i < bytes.size(); ++i) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 0x0f];
  }
  line.append(text, sizeof(text));
}

void AppendCall(const Record& record, std::string& line) {
  line.append(",\"type\":\"call\"");
  AppendText("request_id", record.request_id, line);
  AppendText("principal", record.principal, line);
  AppendText("peer", record.peer, line);
  AppendText("operation", record.operation, line);
  AppendText("key_id", record.key_id, line);
  AppendText("key_version_id", record.key_version_id, line);
  AppendContext("context", record.context, line);
  if (record.aad_sha256.has_value()) {
    line.append(",\"aad_sha256\":\"");
    AppendHex(*record.aad_sha256, line);
    line.push_back('"');
  }
  AppendContext("destination_context", record.destination_context, line);
  AppendText("target", record.target, line);
  AppendText("grant_id", record.grant_id, line);
  if (record.dry_run) line.append(",\"dry_run\":true");
  AppendMember("outcome", NameOf(record.outcome), line);
  AppendText("reason", record.reason, line);
  if (record.count != 0) AppendMember("count", record.count, line);
  AppendMember("duration_us", record.duration_us, line);
}

void TimeWriter::Append(absl::Time time, std::string& line) {
  const int64_t micros = absl::ToUnixMicros(time);
  int64_t second = micros / 1000000;
  int64_t fraction = micros % 1000000;
  if (fraction < 0) {
    fraction += 1000000;
    --second;
  }
  if (second != second_ || text_.empty()) {
    second_ = second;
    text_ =
        absl::FormatTime("%Y-%m-%dT%H:%M:%S.", absl::FromUnixSeconds(second), absl::UTCTimeZone());
  }
  line.append(text_);
  AppendDigits(fraction, 6, line);
  line.push_back('Z');
}

}  // namespace strongroom::audit
