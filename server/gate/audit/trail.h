#ifndef STRONGROOM_SERVER_GATE_AUDIT_TRAIL_H_
#define STRONGROOM_SERVER_GATE_AUDIT_TRAIL_H_

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/gate/audit/record.h"
#include "server/log/log.h"

namespace strongroom::audit {

// SHA-256 of a line, without its newline.
using Hash = std::array<uint8_t, 32>;
// HMAC-SHA256.
using Mac = std::array<uint8_t, 32>;

// The newest record of a trail.
struct Head {
  int64_t sequence = 0;
  Hash hash = {};
  friend bool operator==(const Head&, const Head&) = default;
};

// What a seal is the MAC of: the chain up to the record before the seal. Injective: the domain and
// both numbers have fixed lengths. docs/audit.md has the bytes.
std::string SealedBytes(int64_t sequence, const Hash& prev);

class File;
class Hasher;

// The audit trail: files of lines, each line one record, each with the hash of the line before it,
// and now and then a seal, which only the token can make. docs/audit.md describes the format.
//
// It fails closed: a record that cannot be written is an error, and the caller of Write then keeps
// its answer back. It comes back by itself.
//
// One process at a time writes a directory. Thread-safe.
class Trail {
 public:
  // kInterval: a record is in the kernel when Write returns, and on the disk an interval later at
  // the latest. kAlways: it is on the disk when Write returns.
  enum class Fsync { kInterval, kAlways };

  struct Options {
    // Made if its parent exists.
    std::string directory;
    Fsync fsync = Fsync::kInterval;
    absl::Duration fsync_interval = absl::Seconds(1);
    // A file that is larger or older than this gets a successor once a seal ends it.
    int64_t max_file_bytes = int64_t{64} << 20;
    absl::Duration max_file_age = absl::Hours(24);
    // Records are sealed this long after they are written, at the latest.
    absl::Duration seal_interval = absl::Seconds(10);
    // How long records wait for the MAC of a seal. A token takes microseconds to milliseconds; one
    // that hangs must not take the service with it.
    absl::Duration seal_patience = absl::Milliseconds(500);
    std::string server_version;
    // While the trail cannot be written, how often that is tried.
    absl::Duration retry_interval = absl::Milliseconds(100);
    // What syncs a file; another in tests.
    std::function<int(int fd)> sync = fdatasync;
  };

  // Makes the MACs; in production the token. Thread-safe. Records wait for it, but not longer than
  // Options::seal_patience: one that is slower never seals while there are calls.
  using Sealer = std::function<absl::StatusOr<Mac>(absl::Span<const uint8_t> message)>;

  // Remembers the newest seal elsewhere, so that it is found when the end of the trail is cut off
  // while the server is down. Called by one thread at a time.
  class HeadKeeper {
   public:
    virtual ~HeadKeeper() = default;
    // Nothing if none was ever saved.
    virtual absl::StatusOr<std::optional<Head>> Load() = 0;
    virtual absl::Status Save(const Head& head) = 0;
  };

  // Takes over the trail in the directory, or begins one. Fails if another process has it, if it
  // cannot be written, or if `keeper` cannot load. A trail that lacks what `keeper` remembers, or
  // whose newest records do not chain, is carried on with a "damaged" record behind a gap.
  //
  // `keeper`, `clock` and `log` must outlive the trail.
  static absl::StatusOr<std::unique_ptr<Trail>> Open(Options options, Sealer sealer,
                                                     HeadKeeper& keeper, const Clock& clock,
                                                     Log& log);

  // Ends the trail with a "stop" record and a seal, if they can be written.
  ~Trail();
  Trail(const Trail&) = delete;
  Trail& operator=(const Trail&) = delete;

  // OK once the record is as safe as Options::fsync says. After an error (UNAVAILABLE) nothing of
  // it is in the trail, and the caller must keep its answer back.
  absl::Status Write(const Record& record);

  // For before work is begun: OK, or why the trail cannot be written at the moment. Costs next to
  // nothing while all is well. While not, it tries again, and each error is counted as a refused
  // call.
  absl::Status CheckWritable();

  // The newest record that is written.
  Head head() const;

  // Whether `mac` is what the token makes for a seal with this sequence and "prev". An error if the
  // token cannot say.
  absl::StatusOr<bool> VerifySeal(int64_t sequence, const Hash& prev, const Mac& mac) const;

 private:
  using Time = std::chrono::steady_clock::time_point;

  // Lines that are written together.
  struct Batch {
    bool done = false;
    // Why they were not written, or empty. Each writer makes a Status of its own: Debian's Abseil
    // is built without ThreadSanitizer, which sees a race where threads share one.
    std::string error;
  };

  Trail(Options options, Sealer sealer, HeadKeeper& keeper, const Clock& clock, Log& log,
        int directory_fd);

  absl::Status Begin();

  // The following in the order of a record's way.

  // Waits for a seal that is being made, and tries to recover if the trail is broken.
  absl::Status Ready() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Chains a line with these members to those that are pending. Only if the trail is
  // not broken.
  void Append(absl::string_view members) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns once what is pending is written. Releases mu_ meanwhile.
  absl::Status Commit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes what is pending. Only while nobody is writing. Releases mu_ meanwhile.
  void Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes back all that is not written, and refuses calls until Recover succeeds.
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsBroken() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !broken_.empty(); }
  absl::Status Broken() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return absl::UnavailableError(broken_);
  }
  absl::Status Recover() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UseFile(std::shared_ptr<File> file, int64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A line of another type than "call".
  absl::Status WriteMembers(absl::string_view members) ABSL_LOCKS_EXCLUDED(mu_);

  // The thread that seals, syncs and rotates.
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  bool RotationIsDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Seals what is not sealed, and begins a new file if one is due. Returns false if it is to be
  // tried again soon.
  bool Seal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes a seal. Holds the chain if the file ends with it.
  bool SealHead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Syncs the file. Releases mu_ meanwhile.
  absl::Status Sync() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Rotate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const Sealer sealer_;
  HeadKeeper& keeper_;
  const Clock& clock_;
  Log& log_;
  // Holds the directory's lock (flock(2)).
  const int directory_fd_;

  mutable Mutex mu_;
  std::unique_ptr<Hasher> hasher_ ABSL_GUARDED_BY(mu_);
  TimeWriter time_writer_ ABSL_GUARDED_BY(mu_);

  // The newest line that is written, and the newest at all.
  Head written_ ABSL_GUARDED_BY(mu_);
  Head head_ ABSL_GUARDED_BY(mu_);
  // The lines in between, unless they are being written.
  std::string pending_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Batch> batch_ ABSL_GUARDED_BY(mu_);
  // Whether somebody uses file_ to write, without mu_.
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  // A buffer to be used again.
  std::string spare_ ABSL_GUARDED_BY(mu_);
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  CondVar done_;

  std::shared_ptr<File> file_ ABSL_GUARDED_BY(mu_);
  int64_t file_size_ ABSL_GUARDED_BY(mu_) = 0;
  // When the file's first line was written.
  absl::Time file_began_ ABSL_GUARDED_BY(mu_);

  // Why the trail cannot be written, while it cannot; else empty.
  std::string broken_ ABSL_GUARDED_BY(mu_);
  std::atomic<bool> writable_{true};
  Time next_try_ ABSL_GUARDED_BY(mu_);
  int64_t refused_ ABSL_GUARDED_BY(mu_) = 0;

  // While a seal is made, the chain must not grow: its MAC is of the line before. Nobody waits
  // longer than until held_until_.
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  Time held_until_ ABSL_GUARDED_BY(mu_);
  CondVar released_;
  // The newest seal, and whether the keeper has it.
  Head sealed_ ABSL_GUARDED_BY(mu_);
  bool saved_ ABSL_GUARDED_BY(mu_) = true;
  // The newest record that is known to be on the disk.
  int64_t synced_ ABSL_GUARDED_BY(mu_) = 0;

  // The file has just become large; its age is looked at now and then.
  bool full_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  CondVar wake_;
  std::thread thread_;
};

}  // namespace strongroom::audit

#endif  // STRONGROOM_SERVER_GATE_AUDIT_TRAIL_H_
