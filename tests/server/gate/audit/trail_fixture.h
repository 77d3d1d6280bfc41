#ifndef STRONGROOM_TESTS_SERVER_GATE_AUDIT_TRAIL_FIXTURE_H_
#define STRONGROOM_TESTS_SERVER_GATE_AUDIT_TRAIL_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/gate/audit/record.h"
#include "server/gate/audit/trail.h"
#include "server/log/log.h"

namespace strongroom::audit {

// A clock that stands until it is moved.
class FakeClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixMicros(micros_); }
  void Advance(absl::Duration by) { micros_ += absl::ToInt64Microseconds(by); }

 private:
  std::atomic<int64_t> micros_{1700000000123456};
};

// What the token does in production: HMAC-SHA256 under a key that the files' writer has not.
class FakeToken {
 public:
  Trail::Sealer Sealer() {
    return [this](absl::Span<const uint8_t> message) { return MakeMac(message); };
  }
  absl::StatusOr<Mac> MakeMac(absl::Span<const uint8_t> message);

  // While away, every MAC fails.
  void SetAway(bool away) { away_ = away; }
  // Returns once `attempts` more MACs were asked for.
  void AwaitAttempts(int attempts);
  int attempts();

  // Called for each MAC before it is made. Set it before the trail is opened.
  std::function<void()> on_mac = [] {};

 private:
  std::atomic<bool> away_{false};
  Mutex mu_;
  CondVar asked_;
  int attempts_ ABSL_GUARDED_BY(mu_) = 0;
};

// What the store does in production.
class FakeKeeper final : public Trail::HeadKeeper {
 public:
  absl::StatusOr<std::optional<Head>> Load() override;
  absl::Status Save(const Head& head) override;
  // Returns once a seal with at least this sequence was saved.
  Head AwaitSaved(int64_t sequence);
  void Forget();

 private:
  Mutex mu_;
  CondVar saved_;
  std::optional<Head> head_ ABSL_GUARDED_BY(mu_);
};

// A trail in a directory of its own. Only the destructor seals, unless a test says otherwise.
class TrailFixture {
 public:
  TrailFixture();

  // Opens the trail, after closing the one that is open.
  absl::Status Open();
  void Close() { trail_.reset(); }
  Trail& trail() { return *trail_; }

  // Writes `count` records of calls.
  absl::Status WriteCalls(int count);

  Trail::Options options;
  FakeToken token;
  FakeKeeper keeper;
  FakeClock clock;
  Log log{LogLevel::kError};

 private:
  std::unique_ptr<Trail> trail_;
};

// A record like those of production.
Record SampleRecord();

// The names of the trail's files, ascending, and the lines in one.
std::vector<std::string> FilesIn(const std::string& directory);
std::vector<std::string> LinesOf(const std::string& path);
// The lines of all files.
std::vector<std::string> LinesIn(const std::string& directory);
std::string Content(const std::string& path);
void SetContent(const std::string& path, const std::string& content);
void SetLines(const std::string& path, const std::vector<std::string>& lines);

}  // namespace strongroom::audit

#endif  // STRONGROOM_TESTS_SERVER_GATE_AUDIT_TRAIL_FIXTURE_H_
