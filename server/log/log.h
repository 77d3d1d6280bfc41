#ifndef STRONGROOM_SERVER_LOG_LOG_H_
#define STRONGROOM_SERVER_LOG_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace strongroom {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Structured logs: one JSON object a line, on standard error. Every line has "time" (RFC 3339,
// UTC), "level" and "event"; the fields are the caller's. Never give it a secret: it has no way to
// know.
//
// Thread-safe; lines do not mix.
class Log {
 public:
  struct Field {
    absl::string_view name;
    std::variant<absl::string_view, int64_t> value;
  };

  // Lines below `least` are not written.
  explicit Log(LogLevel least);
  ~Log();

  // Whether lines of this level are written: for those who would have to prepare much.
  bool Writes(LogLevel level) const;
  void Write(LogLevel level, absl::string_view event, std::initializer_list<Field> fields);

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_LOG_LOG_H_
