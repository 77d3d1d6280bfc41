#ifndef STRONGROOM_HSM_INTERNAL_LANES_H_
#define STRONGROOM_HSM_INTERNAL_LANES_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/internal/module.h"
#include "hsm/internal/session.h"
#include "platform/clock.h"
#include "platform/mutex.h"

namespace strongroom::hsm::internal {

class LanePool;

// A session that one thread has to itself, given back when this goes.
class Lane {
 public:
  Lane(Lane&& other) noexcept;
  ~Lane();
  Session& session() { return *session_; }
  // Replaces the session, which the token no longer knows, by a new one.
  absl::Status Reopen();

 private:
  friend class LanePool;
  Lane(LanePool* pool, Session session) : pool_(pool), session_(std::move(session)) {}

  LanePool* pool_;
  std::optional<Session> session_;
};

// A fixed number of sessions, lent one at a time. Thread-safe. Outlives its lanes.
class LanePool {
 public:
  // `sessions` are logged in (login is the token's), and all on `slot` of `module`.
  LanePool(const Module& module, CK_SLOT_ID slot, std::vector<Session> sessions)
      : module_(module), slot_(slot), idle_(std::move(sessions)) {}

  // DEADLINE_EXCEEDED if none is free in time.
  absl::StatusOr<Lane> Acquire(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Lane;
  void GiveBack(Session session) ABSL_LOCKS_EXCLUDED(mu_);

  const Module& module_;
  const CK_SLOT_ID slot_;
  Mutex mu_;
  CondVar given_back_;
  std::vector<Session> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_LANES_H_
