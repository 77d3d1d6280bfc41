#ifndef STRONGROOM_CLIENT_COMMAND_PROGRESS_H_
#define STRONGROOM_CLIENT_COMMAND_PROGRESS_H_

#include <cstddef>
#include <ostream>
#include <string>

#include "platform/clock.h"

namespace strongroom::command {

// How many files there are, and what became of them so far.
struct FileCounts {
  size_t total = 0;
  size_t done = 0;
  size_t skipped = 0;
  size_t failed = 0;

  size_t finished() const { return done + skipped + failed; }
};

// Says how far a command is: a bar that is drawn over and over where somebody watches (ten times a
// second at most), else a line now and then (every five seconds at most). Thread-compatible.
class Progress {
 public:
  // `err` outlives it.
  Progress(std::ostream& err, bool terminal) : err_(err), terminal_(terminal) {}

  // `now` is monotonic. The first call says nothing where nobody watches.
  void Show(const FileCounts& counts, Deadline now);
  // The last state: a bar is taken away, for a summary follows; a line is written.
  void Finish(const FileCounts& counts);

 private:
  std::ostream& err_;
  const bool terminal_;
  bool begun_ = false;
  Deadline next_ = {};
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_PROGRESS_H_
