#include "server/gate/upkeep.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

using core::DueWork;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kRound(1);
constexpr std::chrono::seconds kTidyingUp(60);
constexpr std::chrono::seconds kLongestWait(60);
// How long one piece of work may wait for the token.
constexpr std::chrono::seconds kLongestWork(30);

}  // namespace

Upkeep::~Upkeep() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  parts_.ring.WakeUp();
  thread_.join();
}

void Upkeep::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Upkeep::Run() {
  Time tidy_at = steady_clock::now();
  while (true) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
    }
    DoWhatIsDue();
    if (steady_clock::now() >= tidy_at) {
      TidyUp();
      tidy_at = steady_clock::now() + kTidyingUp;
    }
    parts_.ring.WaitForKeysToRotate(steady_clock::now() + kRound);
  }
}

void Upkeep::DoWhatIsDue() {
  parts_.private_keys.CloseExpired();
  absl::StatusOr<std::vector<DueWork>> due = parts_.life.ListDue();
  if (!due.ok()) {
    Complain("upkeep_failed", due.status());
    return;
  }
  // What was due by its use is told once, and here again if it failed.
  const Time now = steady_clock::now();
  for (const auto& [key, failure] : failures_) {
    if (failure.retry_at <= now) due->push_back({DueWork::Kind::kRotate, key});
  }
  for (const DueWork& work : *due) {
    const auto failed = failures_.find(work.key);
    if (failed != failures_.end() && failed->second.retry_at > now) continue;
    if (parts_.trail != nullptr && !parts_.trail->CheckWritable().ok()) return;
    const absl::Status status =
        work.kind == DueWork::Kind::kRotate ? Rotate(work.key) : Destroy(work.key);
    if (status.ok()) {
      failures_.erase(work.key);
      continue;
    }
    Failure& failure = failures_[work.key];
    failure.retry_at = steady_clock::now() + failure.wait;
    failure.wait = std::min(failure.wait * 2, kLongestWait);
  }
}

absl::Status Upkeep::Rotate(const KeyId& key) {
  absl::StatusOr<std::optional<store::KeyVersionRecord>> version =
      parts_.life.RotateIfDue(key, steady_clock::now() + kLongestWork);
  if (version.ok() && !version->has_value()) return absl::OkStatus();
  // A key that is gone by now needs nothing.
  if (core::ReasonOf(version.status()) == core::Reason::kKeyNotFound) return absl::OkStatus();
  std::optional<KeyVersionId> id;
  if (version.ok()) id = (*version)->id;
  const absl::Status recorded = Record("Upkeep.RotateKey", key, id, "", version.status());
  if (!recorded.ok()) Complain("audit_unwritable", recorded);
  return version.status();
}

absl::Status Upkeep::Destroy(const KeyId& key) {
  absl::StatusOr<bool> begun = parts_.life.BeginDestruction(key);
  if (!begun.ok()) return begun.status();
  if (!*begun) return absl::OkStatus();
  // Before it is done, for it cannot be undone: without a record, nothing is destroyed.
  absl::Status status = Record("Upkeep.DestroyKey", key, std::nullopt, "begin", absl::OkStatus());
  if (!status.ok()) return status;
  status = parts_.life.FinishDestruction(key, steady_clock::now() + kLongestWork);
  const absl::Status recorded = Record("Upkeep.DestroyKey", key, std::nullopt, "end", status);
  if (!recorded.ok()) Complain("audit_unwritable", recorded);
  return status;
}

void Upkeep::TidyUp() {
  const Deadline deadline = steady_clock::now() + kLongestWork;
  absl::StatusOr<int> reaped = parts_.ring.Reap(deadline);
  if (!reaped.ok()) Complain("upkeep_failed", reaped.status());
  if (reaped.ok() && *reaped > 0) {
    parts_.log.Write(LogLevel::kInfo, "key_versions_reaped", {{"versions", *reaped}});
  }
  const absl::Status imports = parts_.imports.DropExpired(deadline);
  if (!imports.ok()) Complain("upkeep_failed", imports);
  const absl::Status grants = parts_.authority.DropExpiredGrants().status();
  if (!grants.ok()) Complain("upkeep_failed", grants);
  if (parts_.life.ClockJumped() && !std::exchange(complained_of_clock_, true)) {
    parts_.log.Write(LogLevel::kError, "clock_jumped",
                     {{"detail",
                       "the clock was set forward by more than an hour; no key is destroyed until "
                       "the server is started anew, with the clock right"}});
  }
}

absl::Status Upkeep::Record(absl::string_view operation, const KeyId& key,
                            const std::optional<KeyVersionId>& version, absl::string_view target,
                            const absl::Status& outcome) {
  const std::string key_id = key.ToString();
  const std::string version_id = version.has_value() ? version->ToString() : std::string();
  const char* const reason = outcome.ok() ? "OK" : core::InfoOf(core::ReasonOf(outcome)).name;
  parts_.log.Write(outcome.ok() ? LogLevel::kInfo : LogLevel::kError, "upkeep",
                   {{"operation", operation},
                    {"key_id", key_id},
                    {"key_version_id", version_id},
                    {"target", target},
                    {"outcome", reason},
                    {"detail", outcome.ok() ? std::string() : core::DetailOf(outcome)}});
  if (parts_.trail == nullptr) return absl::OkStatus();
  audit::Record record;
  record.principal = kUpkeepPrincipal;
  record.operation = operation;
  record.key_id = key_id;
  record.key_version_id = version_id;
  record.target = target;
  record.outcome = outcome.ok() ? audit::Outcome::kAllowed : audit::Outcome::kFailed;
  record.reason = reason;
  return parts_.trail->Write(record);
}

void Upkeep::Complain(absl::string_view event, const absl::Status& why) {
  const std::string detail = core::DetailOf(why);
  parts_.log.Write(LogLevel::kError, event,
                   {{"detail", detail.empty() ? std::string(why.message()) : detail}});
}

}  // namespace strongroom::gate
