#include "server/log/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace strongroom {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      break;
  }
  return "error";
}

// Quotes as JSON does (RFC 8259). Bytes above ASCII are passed on: what is logged is UTF-8.
void AppendQuoted(absl::string_view text, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  out.push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += "\\u00";
      out.push_back(kDigits[c >> 4]);
      out.push_back(kDigits[c & 0x0f]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void AppendMember(absl::string_view name, absl::string_view value, std::string& out) {
  AppendQuoted(name, out);
  out.push_back(':');
  AppendQuoted(value, out);
}

}  // namespace

Log::Log(LogLevel least)
    : logger_(std::make_shared<spdlog::logger>("strongroom",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_level(ToSpdlog(least));
  logger_->set_pattern("%v");
  logger_->flush_on(spdlog::level::debug);
}

Log::~Log() = default;

bool Log::Writes(LogLevel level) const { return logger_->should_log(ToSpdlog(level)); }

void Log::Write(LogLevel level, absl::string_view event, std::initializer_list<Field> fields) {
  const spdlog::level::level_enum spdlog_level = ToSpdlog(level);
  if (!logger_->should_log(spdlog_level)) return;
  std::string line = "{";
  AppendMember("time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone()),
               line);
  line.push_back(',');
  AppendMember("level", NameOf(level), line);
  line.push_back(',');
  AppendMember("event", event, line);
  for (const Field& field : fields) {
    line.push_back(',');
    if (const auto* text = std::get_if<absl::string_view>(&field.value)) {
      AppendMember(field.name, *text, line);
    } else {
      AppendQuoted(field.name, line);
      absl::StrAppend(&line, ":", std::get<int64_t>(field.value));
    }
  }
  line.push_back('}');
  logger_->log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace strongroom
