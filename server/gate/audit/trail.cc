#include "server/gate/audit/trail.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/gate/audit/file.h"
#include "server/gate/audit/hasher.h"
#include "server/gate/audit/trail_end.h"

namespace strongroom::audit {
namespace {

constexpr absl::string_view kSealDomain = "strongroom-audit-seal-v1";
// How soon a seal that failed is tried again.
constexpr absl::Duration kSealRetry = absl::Seconds(1);

std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

std::chrono::steady_clock::time_point After(absl::Duration wait) {
  return Now() + absl::ToChronoNanoseconds(wait);
}

}  // namespace

std::string SealedBytes(int64_t sequence, const Hash& prev) {
  std::string bytes(kSealDomain);
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>((static_cast<uint64_t>(sequence) >> shift) & 0xff));
  }
  bytes.append(prev.begin(), prev.end());
  return bytes;
}

absl::StatusOr<std::unique_ptr<Trail>> Trail::Open(Options options, Sealer sealer,
                                                   HeadKeeper& keeper, const Clock& clock,
                                                   Log& log) {
  if (absl::Status status = MakeDirectory(options.directory); !status.ok()) return status;
  const int fd = open(options.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError("cannot open", options.directory);
  std::unique_ptr<Trail> trail(
      new Trail(std::move(options), std::move(sealer), keeper, clock, log, fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        trail->options_.directory, ": cannot be locked; another process writes a trail there"));
  }
  if (absl::Status status = trail->Begin(); !status.ok()) return status;
  trail->thread_ = std::thread([trail = trail.get()] { trail->Run(); });
  return trail;
}

Trail::Trail(Options options, Sealer sealer, HeadKeeper& keeper, const Clock& clock, Log& log,
             int directory_fd)
    : options_(std::move(options)),
      sealer_(std::move(sealer)),
      keeper_(keeper),
      clock_(clock),
      log_(log),
      directory_fd_(directory_fd),
      hasher_(std::make_unique<Hasher>()) {}

Trail::~Trail() {
  if (thread_.joinable()) {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      next_try_ = {};
      wake_.NotifyAll();
    }
    thread_.join();
    std::string members = ",\"type\":\"stop\"";
    AppendMember("version", options_.server_version, members);
    (void)WriteMembers(members);
    MutexLock lock(mu_);
    (void)Seal();
  }
  close(directory_fd_);
}

absl::Status Trail::Begin() {
  absl::StatusOr<std::optional<Head>> remembered = keeper_.Load();
  if (!remembered.ok()) return remembered.status();
  absl::StatusOr<std::vector<int64_t>> files = ListFiles(options_.directory);
  if (!files.ok()) return files.status();
  TrailEnd end;
  if (!files->empty()) {
    absl::StatusOr<TrailEnd> read = ReadTrailEnd(options_.directory, *files, *remembered);
    if (!read.ok()) return read.status();
    end = *std::move(read);
  } else if (remembered->has_value()) {
    end.damage = absl::StrCat("there is no file, and record ", (*remembered)->sequence,
                              " is remembered as sealed");
  }
  if (end.torn_bytes > 0) {
    const std::string path = absl::StrCat(options_.directory, "/", FileName(files->back()));
    if (truncate(path.c_str(), end.file_size) != 0) return SystemError("cannot truncate", path);
  }
  const bool damaged = !end.damage.empty();
  Head head = end.head;
  if (damaged) {
    log_.Write(LogLevel::kError, "audit_damaged",
               {{"directory", options_.directory}, {"detail", end.damage}});
    if (remembered->has_value() && (*remembered)->sequence > head.sequence) {
      // Its number is not given again; and with its hash, the trail is whole again if what is
      // missing is put back.
      head = **remembered;
    } else {
      // A gap, since the numbers alone would not show that something is wrong.
      ++head.sequence;
    }
  }
  // What is damaged is left as it is.
  absl::StatusOr<std::shared_ptr<File>> file =
      files->empty() || damaged ? File::Make(options_.directory, head.sequence + 1, options_.sync)
                                : File::Open(options_.directory, files->back(), options_.sync);
  if (!file.ok()) return file.status();

  MutexLock lock(mu_);
  written_ = head_ = head;
  UseFile(*std::move(file), damaged ? 0 : end.file_size);
  if (!damaged && end.file_began.has_value()) file_began_ = *end.file_began;
  std::string members = ",\"type\":\"start\"";
  AppendMember("version", options_.server_version, members);
  if (end.torn_bytes > 0) AppendMember("torn_bytes", end.torn_bytes, members);
  Append(members);
  if (damaged) {
    members = ",\"type\":\"damaged\"";
    AppendMember("what", end.damage, members);
    Append(members);
  }
  return Commit();
}

absl::Status Trail::Write(const Record& record) {
  // All that does not need the line before is done without the lock.
  thread_local std::string members;
  members.clear();
  AppendCall(record, members);
  MutexLock lock(mu_);
  absl::Status status = Ready();
  if (status.ok()) {
    Append(members);
    status = Commit();
  }
  if (!status.ok()) ++refused_;
  return status;
}

absl::Status Trail::WriteMembers(absl::string_view members) {
  MutexLock lock(mu_);
  if (absl::Status status = Ready(); !status.ok()) return status;
  Append(members);
  return Commit();
}

absl::Status Trail::CheckWritable() {
  if (writable_.load(std::memory_order_relaxed)) return absl::OkStatus();
  MutexLock lock(mu_);
  absl::Status status = Ready();
  if (!status.ok()) ++refused_;
  return status;
}

Head Trail::head() const {
  MutexLock lock(mu_);
  return written_;
}

absl::StatusOr<bool> Trail::VerifySeal(int64_t sequence, const Hash& prev, const Mac& mac) const {
  const std::string bytes = SealedBytes(sequence, prev);
  const absl::StatusOr<Mac> right =
      sealer_(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  if (!right.ok()) return right.status();
  return CRYPTO_memcmp(right->data(), mac.data(), mac.size()) == 0;
}

absl::Status Trail::Ready() {
  while (held_ && Now() < held_until_) released_.WaitUntil(mu_, held_until_);
  if (!IsBroken()) return absl::OkStatus();
  if (busy_ || Now() < next_try_) return Broken();
  return Recover();
}

void Trail::Append(absl::string_view members) {
  if (batch_ == nullptr) batch_ = std::make_shared<Batch>();
  const absl::Time now = clock_.Now();
  if (file_size_ == 0) file_began_ = now;
  const size_t begin = pending_.size();
  pending_.append("{\"seq\":");
  AppendNumber(head_.sequence + 1, pending_);
  pending_.append(",\"prev\":\"");
  AppendHex(head_.hash, pending_);
  pending_.append("\",\"time\":\"");
  time_writer_.Append(now, pending_);
  pending_.push_back('"');
  pending_.append(members.data(), members.size());
  pending_.push_back('}');
  ++head_.sequence;
  head_.hash = hasher_->Hash(absl::string_view(pending_).substr(begin));
  pending_.push_back('\n');
}

absl::Status Trail::Commit() {
  const std::shared_ptr<Batch> batch = batch_;
  while (!batch->done) {
    if (busy_) {
      ++waiting_;
      done_.Wait(mu_);
      --waiting_;
    } else {
      // Whoever comes first writes for all.
      Flush();
    }
  }
  return batch->error.empty() ? absl::OkStatus() : absl::UnavailableError(batch->error);
}

void Trail::Flush() {
  busy_ = true;
  std::string bytes = std::move(spare_);
  bytes.clear();
  bytes.swap(pending_);
  const std::shared_ptr<Batch> batch = std::move(batch_);
  batch_ = nullptr;
  const Head head = head_;
  File* const file = file_.get();
  const int64_t size = file_size_;
  const bool sync = options_.fsync == Fsync::kAlways;
  mu_.unlock();
  const absl::Status status = file->Append(bytes, size, sync);
  mu_.lock();
  busy_ = false;
  if (status.ok()) {
    written_ = head;
    file_size_ = size + static_cast<int64_t>(bytes.size());
    if (sync) synced_ = head.sequence;
    // A failed sync meanwhile took back all that was not written then.
    if (IsBroken()) head_ = written_;
    if (size < options_.max_file_bytes && file_size_ >= options_.max_file_bytes) {
      full_ = true;
      wake_.NotifyOne();
    }
  } else {
    Fail(status);
    batch->error = broken_;
  }
  batch->done = true;
  spare_ = std::move(bytes);
  if (waiting_ > 0) done_.NotifyAll();
}

void Trail::Fail(const absl::Status& status) {
  broken_ = absl::StrCat("the audit trail cannot be written: ", status.message());
  next_try_ = After(options_.retry_interval);
  head_ = written_;
  pending_.clear();
  if (batch_ != nullptr) {
    batch_->error = broken_;
    batch_->done = true;
    batch_ = nullptr;
    done_.NotifyAll();
  }
  // Said once, and not at each attempt to recover.
  if (writable_.exchange(false)) {
    log_.Write(LogLevel::kError, "audit_unwritable", {{"detail", broken_}});
  }
}

absl::Status Trail::Recover() {
  next_try_ = After(options_.retry_interval);
  busy_ = true;
  const std::shared_ptr<File> file = file_;
  const int64_t size = file_size_;
  const int64_t next = written_.sequence + 1;
  mu_.unlock();
  absl::StatusOr<std::shared_ptr<File>> fresh(nullptr);
  if (absl::Status status = file->Repair(size); !status.ok()) {
    // The file is not what it was: what follows goes into another.
    (void)file->Sync();
    fresh = File::Make(options_.directory, next, options_.sync);
  }
  mu_.lock();
  busy_ = false;
  if (waiting_ > 0) done_.NotifyAll();
  if (!fresh.ok()) {
    broken_ = absl::StrCat("the audit trail cannot be written: ", fresh.status().message());
    return Broken();
  }
  if (*fresh != nullptr) UseFile(*std::move(fresh), 0);
  broken_.clear();
  const int64_t refused = std::exchange(refused_, 0);
  std::string members = ",\"type\":\"recovered\"";
  AppendMember("refused", refused, members);
  Append(members);
  if (absl::Status status = Commit(); !status.ok()) {
    refused_ += refused;
    return status;
  }
  if (IsBroken()) return Broken();
  writable_ = true;
  log_.Write(LogLevel::kWarning, "audit_writable", {{"refused", refused}});
  return absl::OkStatus();
}

void Trail::UseFile(std::shared_ptr<File> file, int64_t size) {
  file_ = std::move(file);
  file_size_ = size;
  file_began_ = clock_.Now();
}

void Trail::Run() {
  MutexLock lock(mu_);
  Time next_sync = After(options_.fsync_interval);
  Time next_seal = After(options_.seal_interval);
  while (!stopping_) {
    const Time now = Now();
    const bool tick = now >= next_sync;
    if (tick) {
      next_sync = After(options_.fsync_interval);
      if (!IsBroken()) (void)Sync();
    }
    const bool look = std::exchange(full_, false) || tick;
    if (now >= next_seal || (look && RotationIsDue())) {
      const bool done = Seal();
      next_seal =
          After(done ? options_.seal_interval : std::min(options_.seal_interval, kSealRetry));
      continue;
    }
    wake_.WaitUntil(mu_, std::min(next_sync, next_seal));
  }
}

bool Trail::RotationIsDue() {
  return !IsBroken() && file_size_ > 0 &&
         (file_size_ >= options_.max_file_bytes ||
          clock_.Now() - file_began_ >= options_.max_file_age);
}

bool Trail::Seal() {
  if (IsBroken()) return false;
  if (head_ == sealed_ && saved_ && !RotationIsDue()) return true;
  held_ = true;
  held_until_ = After(options_.seal_patience);
  const bool sealed = head_ == sealed_ || SealHead();
  if (sealed && RotationIsDue() && head_ == sealed_) Rotate();
  held_ = false;
  released_.NotifyAll();
  if (!saved_) {
    const Head head = sealed_;
    mu_.unlock();
    const absl::Status status = keeper_.Save(head);
    mu_.lock();
    saved_ = status.ok();
    if (!saved_) {
      log_.Write(LogLevel::kWarning, "audit_seal_not_remembered", {{"detail", status.message()}});
    }
  }
  return sealed && saved_ && !RotationIsDue();
}

bool Trail::SealHead() {
  const Head before = head_;
  const std::string bytes = SealedBytes(before.sequence + 1, before.hash);
  mu_.unlock();
  const absl::StatusOr<Mac> mac =
      sealer_(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  mu_.lock();
  // Another head: the token took so long that records went on without it.
  if (!mac.ok() || head_ != before) {
    log_.Write(LogLevel::kWarning, "audit_seal_failed",
               {{"detail", mac.ok() ? "the token took too long" : mac.status().message()}});
    return false;
  }
  if (IsBroken()) return false;
  // The end of a file: nothing more may come before the next is there.
  if (RotationIsDue()) held_until_ = Time::max();
  std::string members = ",\"type\":\"seal\",\"mac\":\"";
  AppendHex(*mac, members);
  members.push_back('"');
  Append(members);
  const Head seal = head_;
  if (held_until_ != Time::max()) {
    held_ = false;
    released_.NotifyAll();
  }
  absl::Status status = Commit();
  if (status.ok()) status = Sync();
  if (!status.ok()) return false;
  sealed_ = seal;
  saved_ = false;
  return true;
}

absl::Status Trail::Sync() {
  const std::shared_ptr<File> file = file_;
  const int64_t sequence = written_.sequence;
  if (synced_ >= sequence) return absl::OkStatus();
  mu_.unlock();
  absl::Status status = file->Sync();
  mu_.lock();
  if (status.ok()) {
    synced_ = std::max(synced_, sequence);
  } else {
    Fail(status);
  }
  return status;
}

void Trail::Rotate() {
  held_ = true;
  held_until_ = Time::max();
  const int64_t next = written_.sequence + 1;
  mu_.unlock();
  absl::StatusOr<std::shared_ptr<File>> file = File::Make(options_.directory, next, options_.sync);
  mu_.lock();
  if (file.ok()) {
    UseFile(*std::move(file), 0);
  } else {
    log_.Write(LogLevel::kError, "audit_file_not_made", {{"detail", file.status().message()}});
  }
}

}  // namespace strongroom::audit
