#ifndef STRONGROOM_TESTS_BENCH_BENCH_H_
#define STRONGROOM_TESTS_BENCH_BENCH_H_

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace strongroom::bench {

// In the order in which it was made.
using Json = nlohmann::ordered_json;

// What all parts share.
struct Bench {
  // This program, and strongroomd.
  std::string self;
  std::string strongroomd;
  // For everything that is written. The path of a unix socket has at most 107 bytes, so it is
  // short.
  std::string folder;
  // Fewer and smaller of everything, for a look and for tests.
  bool quick = false;
  // Only that everything works.
  bool smoke = false;
  // Of one measurement.
  std::chrono::milliseconds duration{0};
  // How often each part is measured, unless it says otherwise.
  int rounds = 1;
  // How many real keys are used in a store that has many.
  int hot_keys = 16;
};

// Something that is measured round by round, so that a machine that changes its speed changes it
// for all parts.
class Part {
 public:
  virtual ~Part() = default;
  virtual void RunRound() = 0;
  // Adds the figures, under keys of its own. After at least one round.
  virtual void Report(Json& report) const = 0;
};

// Ends the process with a message.
[[noreturn]] void Die(const std::string& what);

inline void CheckOk(const absl::Status& status) {
  if (!status.ok()) Die(status.ToString());
}

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  CheckOk(value.status());
  return *std::move(value);
}

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_BENCH_H_
