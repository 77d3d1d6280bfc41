#include "client/command/progress.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace strongroom::command {
namespace {

constexpr std::chrono::milliseconds kRedraw(100);
constexpr std::chrono::seconds kLine(5);
constexpr size_t kBarWidth = 30;
// Back to the line's begin, and all of it away (ECMA-48).
constexpr char kClearLine[] = "\r\x1b[K";

std::string Text(const FileCounts& counts) {
  return absl::StrCat(counts.finished(), " of ", counts.total, " files: ", counts.done, " done, ",
                      counts.skipped, " skipped, ", counts.failed, " failed");
}

}  // namespace

void Progress::Show(const FileCounts& counts, Deadline now) {
  if (begun_ && now < next_) return;
  const bool first = !begun_;
  begun_ = true;
  if (terminal_) {
    next_ = now + kRedraw;
    const size_t full =
        counts.total == 0 ? kBarWidth : kBarWidth * counts.finished() / counts.total;
    err_ << kClearLine << '[' << std::string(full, '#') << std::string(kBarWidth - full, '.')
         << "] " << Text(counts) << std::flush;
  } else {
    next_ = now + kLine;
    if (!first) err_ << "strongroom: " << Text(counts) << std::endl;
  }
}

void Progress::Finish(const FileCounts& counts) {
  if (terminal_) {
    err_ << kClearLine << std::flush;
  } else {
    err_ << "strongroom: " << Text(counts) << std::endl;
  }
}

}  // namespace strongroom::command
