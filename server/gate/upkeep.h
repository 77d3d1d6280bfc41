#ifndef STRONGROOM_SERVER_GATE_UPKEEP_H_
#define STRONGROOM_SERVER_GATE_UPKEEP_H_

#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/core/material_import.h"
#include "server/core/private_keys.h"
#include "server/gate/audit/trail.h"
#include "server/gate/authority.h"
#include "server/log/log.h"
#include "server/store/ids.h"

namespace strongroom::gate {

// What the server does with keys of itself: rotates those that are due, destroys those whose time
// has come, and takes back what failures left behind. Nobody calls for it, but it is on record all
// the same: in the audit trail, as the principal kUpkeepPrincipal. While the trail cannot be
// written, it waits.
//
// What fails is tried again, a second later at first and a minute later in the end.
class Upkeep {
 public:
  struct Parts {
    core::KeyRing& ring;
    core::KeyLife& life;
    core::MaterialImport& imports;
    core::PrivateKeys& private_keys;
    Authority& authority;
    // Null if none is kept.
    audit::Trail* trail;
    Log& log;
  };

  // All parts outlive this.
  explicit Upkeep(const Parts& parts) : parts_(parts) {}
  // Stops, after the work that is under way.
  ~Upkeep();
  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  // Goes to work on a thread of its own, from now on: when something is due, and every second.
  void Start();

  // One round of it, for one thread at a time: everything that is due.
  void DoWhatIsDue();
  // The other half, for once a minute: leftovers and what has expired.
  void TidyUp();

 private:
  using Time = std::chrono::steady_clock::time_point;

  // What failed is left alone for a while.
  struct Failure {
    Time retry_at;
    std::chrono::seconds wait{1};
  };

  void Run();
  absl::Status Rotate(const KeyId& key);
  absl::Status Destroy(const KeyId& key);
  absl::Status Record(absl::string_view operation, const KeyId& key,
                      const std::optional<KeyVersionId>& version, absl::string_view target,
                      const absl::Status& outcome);
  void Complain(absl::string_view event, const absl::Status& why);

  const Parts parts_;
  absl::flat_hash_map<KeyId, Failure> failures_;
  bool complained_of_clock_ = false;

  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

// Not a name that a client can have.
inline constexpr char kUpkeepPrincipal[] = "strongroom:upkeep";

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_UPKEEP_H_
