#include "hsm/internal/lanes.h"

#include <utility>

namespace strongroom::hsm::internal {

Lane::Lane(Lane&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), session_(std::move(other.session_)) {}

Lane::~Lane() {
  if (pool_ != nullptr) pool_->GiveBack(*std::move(session_));
}

absl::Status Lane::Reopen() {
  absl::StatusOr<Session> session = Session::Open(pool_->module_, pool_->slot_);
  if (!session.ok()) return session.status();
  *session_ = *std::move(session);
  return absl::OkStatus();
}

absl::StatusOr<Lane> LanePool::Acquire(Deadline deadline) {
  MutexLock lock(mu_);
  while (idle_.empty()) {
    if (deadline == kNoDeadline) {
      given_back_.Wait(mu_);
    } else if (!given_back_.WaitUntil(mu_, deadline) && idle_.empty()) {
      return absl::DeadlineExceededError("no session of the token was free in time");
    }
  }
  // The last one given back is the one whose state is warm.
  Session session = std::move(idle_.back());
  idle_.pop_back();
  return Lane(this, std::move(session));
}

void LanePool::GiveBack(Session session) {
  {
    MutexLock lock(mu_);
    idle_.push_back(std::move(session));
  }
  given_back_.NotifyOne();
}

}  // namespace strongroom::hsm::internal
