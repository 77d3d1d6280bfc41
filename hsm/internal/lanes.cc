#include "hsm/internal/lanes.h"

#include <utility>

#include "hsm/internal/ck_error.h"

namespace strongroom::hsm::internal {
namespace {

// An object whose destruction the token refuses so often stays until its session ends.
constexpr int kDestructionTries = 3;

}  // namespace

Lane::Lane(Lane&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), session_(std::move(other.session_)) {}

Lane::~Lane() {
  if (pool_ != nullptr) pool_->GiveBack(*std::move(session_));
}

absl::Status Lane::Reopen() { return pool_->Replace(*session_); }

absl::Status LanePool::Replace(Session& session) {
  absl::StatusOr<Session> fresh = Session::Open(module_, slot_);
  if (!fresh.ok()) return fresh.status();
  WriterLock lock(ending_mu_);
  // First, for the token may give away the handles of this session's objects once it is closed.
  ++endings_;
  session = *std::move(fresh);
  return absl::OkStatus();
}

absl::Status LanePool::WhileNoneEnds(const std::function<absl::Status()>& work) {
  ReaderLock lock(ending_mu_);
  return work();
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

void LanePool::Destroy(LentObject object) {
  std::optional<Session> session;
  {
    MutexLock lock(mu_);
    unwanted_.push_back({std::move(object), kDestructionTries});
    if (idle_.empty()) return;
    session = std::move(idle_.back());
    idle_.pop_back();
  }
  GiveBack(*std::move(session));
}

absl::Status LanePool::DestroyNow(Session& session, const LentObject& object) {
  ReaderLock lock(ending_mu_);
  if (endings() != object.endings) {
    // Perhaps its own session has not ended, so it is there yet; perhaps the handle is that of
    // another object, which must not be destroyed in its place.
    absl::StatusOr<std::string> id = session.GetAttribute(object.handle, CKA_ID);
    if (HandleIsGone(id.status())) return absl::OkStatus();
    if (!id.ok()) return id.status();
    if (*id != object.id) return absl::OkStatus();
  }
  absl::Status destroyed = session.DestroyObject(object.handle);
  return HandleIsGone(destroyed) ? absl::OkStatus() : destroyed;
}

void LanePool::GiveBack(Session session) {
  std::vector<Unwanted> kept;
  while (true) {
    std::vector<Unwanted> unwanted;
    {
      MutexLock lock(mu_);
      if (unwanted_.empty()) {
        // For the next lane that is given back.
        unwanted_ = std::move(kept);
        idle_.push_back(std::move(session));
        break;
      }
      unwanted.swap(unwanted_);
    }
    for (Unwanted& entry : unwanted) {
      if (DestroyNow(session, entry.object).ok()) continue;
      if (--entry.tries_left > 0) kept.push_back(std::move(entry));
    }
  }
  given_back_.NotifyOne();
}

}  // namespace strongroom::hsm::internal
