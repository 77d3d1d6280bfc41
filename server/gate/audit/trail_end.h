#ifndef STRONGROOM_SERVER_GATE_AUDIT_TRAIL_END_H_
#define STRONGROOM_SERVER_GATE_AUDIT_TRAIL_END_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/gate/audit/trail.h"

namespace strongroom::audit {

// How a trail on the disk ends.
struct TrailEnd {
  // The newest record; sequence 0 if there is none.
  Head head;
  // What is wrong with it, or empty.
  std::string damage;
  // The newest file's lines: their size, and when the first was written.
  int64_t file_size = 0;
  std::optional<absl::Time> file_began;
  // Bytes behind them: a line that was being written when the server was killed.
  int64_t torn_bytes = 0;
};

// Reads the newest of a directory's `files` (their first sequences, ascending, at least one), from
// the one before that with the `remembered` record on. Checks that they chain and have that record.
absl::StatusOr<TrailEnd> ReadTrailEnd(const std::string& directory,
                                      const std::vector<int64_t>& files,
                                      const std::optional<Head>& remembered);

}  // namespace strongroom::audit

#endif  // STRONGROOM_SERVER_GATE_AUDIT_TRAIL_END_H_
