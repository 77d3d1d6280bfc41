#ifndef STRONGROOM_HSM_INTERNAL_LANES_H_
#define STRONGROOM_HSM_INTERNAL_LANES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
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

// A session object that is to be destroyed later, on whichever lane.
struct LentObject {
  CK_OBJECT_HANDLE handle;
  // Its CKA_ID, which no other object has.
  std::string id;
  // LanePool::endings() before it was made.
  uint64_t endings;
};

// A fixed number of sessions, lent one at a time. Thread-safe. Outlives its lanes.
class LanePool {
 public:
  // `sessions` are logged in (login is the token's), and all on `slot` of `module`.
  LanePool(const Module& module, CK_SLOT_ID slot, std::vector<Session> sessions)
      : module_(module), slot_(slot), idle_(std::move(sessions)) {}

  // DEADLINE_EXCEEDED if none is free in time.
  absl::StatusOr<Lane> Acquire(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);

  // How many sessions have ended. A session's objects end with it, and a token may give their
  // handles to others; all sessions end when a token is away. So a handle means what it meant as
  // long as this number stays, and is not to be relied on once it has changed. It changes before a
  // handle can.
  uint64_t endings() const { return endings_; }

  // Puts a new session in the place of one that the token no longer knows, a lane's or another.
  absl::Status Replace(Session& session) ABSL_LOCKS_EXCLUDED(ending_mu_);

  // Runs `work` while no session is replaced: what handles mean stays.
  absl::Status WhileNoneEnds(const std::function<absl::Status()>& work)
      ABSL_LOCKS_EXCLUDED(ending_mu_);

  // Destroys the object now if a lane is free, and otherwise when one is given back. Never waits
  // for a lane.
  void Destroy(LentObject object) ABSL_LOCKS_EXCLUDED(mu_, ending_mu_);

 private:
  friend class Lane;

  struct Unwanted {
    LentObject object;
    int tries_left;
  };

  void GiveBack(Session session) ABSL_LOCKS_EXCLUDED(mu_, ending_mu_);
  // Fails if the object may still be there.
  absl::Status DestroyNow(Session& session, const LentObject& object)
      ABSL_LOCKS_EXCLUDED(ending_mu_);

  const Module& module_;
  const CK_SLOT_ID slot_;
  std::atomic<uint64_t> endings_ = 0;
  // Held shared while an object is looked at and destroyed, so that its handle cannot become
  // another object's in between.
  SharedMutex ending_mu_;
  Mutex mu_;
  CondVar given_back_;
  std::vector<Session> idle_ ABSL_GUARDED_BY(mu_);
  std::vector<Unwanted> unwanted_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_LANES_H_
