#include "server/core/pair_reservoir.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "platform/process.h"
#include "server/core/parameters.h"

namespace strongroom::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long a search or a change among the token's objects may take.
constexpr std::chrono::seconds kLongestWork(30);
constexpr milliseconds kFirstPause(1000);
constexpr milliseconds kLongestPause(60'000);
// After so many failures the pairs on disk are given up, for this run.
constexpr int kMostLoads = 5;
// How long it has to be quiet until pairs that were claimed in a hurry go back to disk.
constexpr milliseconds kBusy(1000);
// Pairs of a curve are written so many at a time: a commit costs as much as dozens of them.
constexpr size_t kWrittenTogether = 16;
// A kind that is always wanted must not keep the others out.
constexpr int kMostInARow = 32;
// After a pair was taken, another is prepared for its version. Two if it was not prepared, so that
// as many are in the end as are taken before the next one is.
constexpr int kPreparedAfterHit = 1;
constexpr int kPreparedAfterMiss = 2;

hsm::ObjectId ObjectIdOf(const ReserveEpochId& epoch) { return epoch.bytes(); }

Deadline SomeTime() { return steady_clock::now() + kLongestWork; }

bool IsRsa(hsm::PairSpec spec) {
  return spec == hsm::PairSpec::kRsa2048 || spec == hsm::PairSpec::kRsa3072 ||
         spec == hsm::PairSpec::kRsa4096;
}

}  // namespace

std::map<hsm::PairSpec, int> PairReservoir::DefaultPairs() {
  std::map<hsm::PairSpec, int> pairs;
  for (hsm::PairSpec spec : hsm::kAllPairSpecs) pairs[spec] = IsRsa(spec) ? 8 : 32;
  return pairs;
}

int64_t PairReservoir::BytesOf(hsm::PairSpec spec) { return IsRsa(spec) ? 16 << 10 : 10 << 10; }

PairReservoir::PairReservoir(hsm::Token& token, const StoreId& store, Log& log, Options options)
    : token_(token), store_(store), log_(log), options_(std::move(options)) {
  const std::vector<hsm::PairSpec>& able = token_.info().pair_specs;
  int64_t bytes = 0;
  for (const auto& [spec, size] : options_.pairs) {
    if (size <= 0) continue;
    if (std::find(able.begin(), able.end(), spec) == able.end()) {
      log_.Write(
          LogLevel::kWarning, "reservoir_spec_skipped",
          {{"spec", NameOfPairSpec(spec)}, {"detail", "the token does not generate such pairs"}});
      continue;
    }
    Shelf& shelf = shelves_.emplace_back();
    shelf.spec = spec;
    shelf.size = size;
    shelf.claimed_most = options_.path.empty() ? size : std::max(1, size / 4);
    bytes += size * BytesOf(spec);
  }
  if (bytes > options_.max_bytes) {
    log_.Write(LogLevel::kWarning, "reservoir_too_small",
               {{"detail", "max_mib is less than the pairs take; fewer of them wait"},
                {"pairs_mib", (bytes >> 20) + 1},
                {"max_mib", options_.max_bytes >> 20}});
  }
}

PairReservoir::~PairReservoir() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    fill_.NotifyAll();
    prepare_.NotifyAll();
    changed_.NotifyAll();
  }
  if (filler_.joinable()) filler_.join();
  if (preparer_.joinable()) preparer_.join();
  if (!KeepsOnDisk()) return;
  std::vector<Waiting> left;
  {
    MutexLock lock(mu_);
    for (Shelf& shelf : shelves_) {
      while (auto waiting = TakeClaimed(shelf, std::nullopt, /*or_any=*/true)) {
        if (!waiting->pair.IsLost()) left.push_back(*std::move(waiting));
      }
    }
  }
  const absl::Status written = Write(left);
  if (!written.ok()) Complain("reservoir_write_failed", written);
}

void PairReservoir::Start() {
  {
    MutexLock lock(mu_);
    started_ = true;
  }
  filler_ = std::thread([this] { Fill(); });
  preparer_ = std::thread([this] { ClaimAndPrepare(); });
}

// --- Taking ------------------------------------------------------------------------------------

std::optional<PairReservoir::Taken> PairReservoir::Take(const hsm::VersionKeys& keys,
                                                        hsm::PairSpec spec, Deadline deadline) {
  // Pairs that are lost are destroyed with the lock let go.
  std::vector<Waiting> lost;
  MutexLock lock(mu_);
  Shelf* const shelf = FindShelf(spec);
  if (shelf == nullptr || !loaded_ || stopping_) return std::nullopt;
  while (true) {
    while (std::optional<Waiting> waiting = TakeClaimed(*shelf, keys.id(), /*or_any=*/true)) {
      if (waiting->pair.IsLost()) {
        lost.push_back(*std::move(waiting));
        continue;
      }
      if (2 * shelf->claimed_count <= shelf->claimed_most) {
        shelf->busy_until = steady_clock::now() + kBusy;
      }
      const int more = waiting->wrapped.empty() ? kPreparedAfterMiss : kPreparedAfterHit;
      for (int i = 0; i < more; ++i) shelf->wanted.push_back(keys);
      shelf->last = keys;
      while (static_cast<int>(shelf->wanted.size()) > shelf->size) shelf->wanted.pop_front();
      fill_.NotifyOne();
      prepare_.NotifyOne();
      return Taken{std::move(waiting->pair), std::move(waiting->wrapped)};
    }
    if (shelf->coming > 0 || (shelf->stored_count() == 0 && shelf->preparing_stored > 0)) {
      if (deadline == kNoDeadline) {
        changed_.Wait(mu_);
      } else if (!changed_.WaitUntil(mu_, deadline)) {
        return std::nullopt;
      }
      if (stopping_) return std::nullopt;
      continue;
    }
    // To wait for the disk is less than to generate, of most kinds.
    if (shelf->stored_count() == 0 || steady_clock::now() < claim_again_at_) break;
    shelf->busy_until = steady_clock::now() + kBusy;
    Claim(*shelf, shelf->claimed_most);
    if (stopping_) return std::nullopt;
  }
  fill_.NotifyOne();
  return std::nullopt;
}

PairReservoir::Counts PairReservoir::CountsOf(hsm::PairSpec spec) {
  MutexLock lock(mu_);
  Counts counts;
  Shelf* const shelf = FindShelf(spec);
  if (shelf == nullptr) return counts;
  counts.claimed = shelf->claimed_count;
  counts.stored = shelf->stored_count();
  counts.in_hand = shelf->in_hand;
  counts.prepared = counts.claimed + counts.stored - shelf->unprepared_count();
  return counts;
}

bool PairReservoir::WaitUntilLoaded(Deadline deadline) {
  MutexLock lock(mu_);
  while (!loaded_) {
    if (!changed_.WaitUntil(mu_, deadline)) return false;
  }
  return true;
}

bool PairReservoir::WaitUntilSettled(Deadline deadline) {
  MutexLock lock(mu_);
  while (true) {
    bool settled = loaded_ && NextToFill() == nullptr;
    for (const Shelf& shelf : shelves_) {
      settled = settled && shelf.in_hand == 0 && !HasToClaim(shelf) && !HasToPrepare(shelf);
    }
    if (settled) return true;
    if (!changed_.WaitUntil(mu_, deadline)) return false;
  }
}

// --- The shelves -------------------------------------------------------------------------------

PairReservoir::Shelf* PairReservoir::FindShelf(hsm::PairSpec spec) {
  for (Shelf& shelf : shelves_) {
    if (shelf.spec == spec) return &shelf;
  }
  return nullptr;
}

void PairReservoir::PutClaimed(Shelf& shelf, Waiting waiting) {
  shelf.claimed[waiting.version].push_back(std::move(waiting));
  ++shelf.claimed_count;
}

void PairReservoir::PutStored(Shelf& shelf, Waiting waiting) {
  (waiting.version.has_value() ? shelf.stored_prepared : shelf.stored)
      .push_back(std::move(waiting));
}

std::optional<PairReservoir::Waiting> PairReservoir::TakeClaimed(
    Shelf& shelf, const std::optional<hsm::ObjectId>& version, bool or_any) {
  auto pairs = shelf.claimed.find(version);
  const bool prepared = pairs != shelf.claimed.end() && version.has_value();
  if (or_any && pairs == shelf.claimed.end()) pairs = shelf.claimed.find(std::nullopt);
  if (or_any && pairs == shelf.claimed.end()) pairs = shelf.claimed.begin();
  if (pairs == shelf.claimed.end()) return std::nullopt;
  Waiting waiting = std::move(pairs->second.front());
  pairs->second.pop_front();
  if (pairs->second.empty()) shelf.claimed.erase(pairs);
  --shelf.claimed_count;
  // What is wrapped for another version is of no use to who takes it.
  if (!prepared) {
    waiting.wrapped.clear();
    waiting.version.reset();
  }
  return waiting;
}

int PairReservoir::ClaimedMost(const Shelf& shelf) const {
  return steady_clock::now() < shelf.busy_until ? shelf.size : shelf.claimed_most;
}

PairReservoir::Shelf* PairReservoir::NextToReturn() {
  if (!MayWrite()) return nullptr;
  for (Shelf& shelf : shelves_) {
    if (shelf.claimed_count > ClaimedMost(shelf)) return &shelf;
  }
  return nullptr;
}

bool PairReservoir::HasToClaim(const Shelf& shelf) const {
  return shelf.claimed_count < ClaimedMost(shelf) && shelf.stored_count() > 0 && shelf.coming == 0;
}

bool PairReservoir::HasToPrepare(const Shelf& shelf) const {
  if (!shelf.wanted.empty()) return shelf.unprepared_count() > 0;
  // Some are left as they are for versions that have not asked yet.
  return shelf.last.has_value() && 8 * shelf.unprepared_count() > shelf.size;
}

void PairReservoir::Claim(Shelf& shelf, int most) {
  std::deque<Waiting> pairs;
  while (static_cast<int>(pairs.size()) < most && shelf.stored_count() > 0) {
    std::deque<Waiting>& from =
        shelf.stored_prepared.empty() ? shelf.stored : shelf.stored_prepared;
    pairs.push_back(std::move(from.front()));
    from.pop_front();
  }
  const int count = static_cast<int>(pairs.size());
  shelf.in_hand += count;
  ++shelf.coming;
  mu_.unlock();
  const absl::Status removed = RemoveRows(pairs);
  if (!removed.ok()) Complain("reservoir_claim_failed", removed);
  mu_.lock();
  --shelf.coming;
  shelf.in_hand -= count;
  for (Waiting& waiting : pairs) {
    // Whoever drops lost pairs has not seen those that were in hand.
    if (waiting.pair.IsLost()) {
      fill_.NotifyOne();
    } else if (removed.ok()) {
      PutClaimed(shelf, std::move(waiting));
    } else {
      PutStored(shelf, std::move(waiting));
    }
  }
  if (!removed.ok()) claim_again_at_ = steady_clock::now() + kFirstPause;
  prepare_.NotifyOne();
  changed_.NotifyAll();
}

void PairReservoir::PrepareOne(Shelf& shelf) {
  const hsm::VersionKeys keys = shelf.wanted.empty() ? *shelf.last : shelf.wanted.front();
  if (!shelf.wanted.empty()) shelf.wanted.pop_front();
  std::optional<Waiting> waiting = TakeClaimed(shelf, std::nullopt, /*or_any=*/false);
  const bool claimed = waiting.has_value();
  if (!claimed) {
    waiting = std::move(shelf.stored.front());
    shelf.stored.pop_front();
  }
  ++shelf.in_hand;
  ++(claimed ? shelf.coming : shelf.preparing_stored);
  mu_.unlock();
  absl::StatusOr<std::string> wrapped = token_.WrapKeptPair(waiting->pair, keys);
  // One that is lost is destroyed with the lock let go.
  if (absl::IsAborted(wrapped.status()) || waiting->pair.IsLost()) waiting.reset();
  mu_.lock();
  --shelf.in_hand;
  --(claimed ? shelf.coming : shelf.preparing_stored);
  if (!wrapped.ok()) {
    // Who takes a pair will be told what is wrong with the version or the token.
    shelf.last.reset();
  } else if (waiting.has_value()) {
    waiting->version = keys.id();
    waiting->wrapped = *std::move(wrapped);
  }
  if (!waiting.has_value()) {
    fill_.NotifyOne();
  } else if (claimed) {
    PutClaimed(shelf, *std::move(waiting));
  } else {
    PutStored(shelf, *std::move(waiting));
  }
  changed_.NotifyAll();
}

bool PairReservoir::HasLost() {
  MutexLock lock(mu_);
  for (const Shelf& shelf : shelves_) {
    // The oldest of each is lost first.
    if (!shelf.stored.empty() && shelf.stored.front().pair.IsLost()) return true;
    if (!shelf.stored_prepared.empty() && shelf.stored_prepared.front().pair.IsLost()) return true;
    for (const auto& [version, pairs] : shelf.claimed) {
      if (pairs.front().pair.IsLost()) return true;
    }
  }
  return false;
}

void PairReservoir::DropLost() {
  std::deque<Waiting> lost;
  {
    MutexLock lock(mu_);
    for (Shelf& shelf : shelves_) {
      const auto sort_out = [&](std::deque<Waiting>& pairs) {
        std::deque<Waiting> kept;
        for (Waiting& waiting : pairs) {
          (waiting.pair.IsLost() ? lost : kept).push_back(std::move(waiting));
        }
        pairs = std::move(kept);
      };
      sort_out(shelf.stored);
      sort_out(shelf.stored_prepared);
      shelf.claimed_count = 0;
      for (auto pairs = shelf.claimed.begin(); pairs != shelf.claimed.end();) {
        sort_out(pairs->second);
        shelf.claimed_count += static_cast<int>(pairs->second.size());
        pairs = pairs->second.empty() ? shelf.claimed.erase(pairs) : std::next(pairs);
      }
    }
  }
  std::erase_if(lost, [](const Waiting& waiting) { return waiting.row == 0; });
  // If this fails, the next start finds them: they were not handed out.
  if (!lost.empty()) RemoveRows(lost).IgnoreError();
}

PairReservoir::Shelf* PairReservoir::NextToFill() {
  int64_t bytes = 0;
  for (const Shelf& shelf : shelves_) bytes += shelf.count() * BytesOf(shelf.spec);
  Shelf* next = nullptr;
  Shelf* other = nullptr;
  const auto fuller = [](const Shelf& a, const Shelf& b) {
    return int64_t{a.count()} * b.size > int64_t{b.count()} * a.size;
  };
  for (Shelf& shelf : shelves_) {
    if (shelf.count() >= shelf.size || bytes + BytesOf(shelf.spec) > options_.max_bytes) continue;
    if (next == nullptr || fuller(*next, shelf)) next = &shelf;
    if (&shelf != last_filled_ && (other == nullptr || fuller(*other, shelf))) other = &shelf;
  }
  if (next == last_filled_ && filled_in_a_row_ >= kMostInARow && other != nullptr) return other;
  return next;
}

PairReservoir::Shelf* PairReservoir::NextToPrepare() {
  for (Shelf& shelf : shelves_) {
    if (HasToPrepare(shelf)) return &shelf;
  }
  return nullptr;
}

// --- The threads -------------------------------------------------------------------------------

bool PairReservoir::stopping() {
  MutexLock lock(mu_);
  return stopping_;
}

void PairReservoir::Pause(milliseconds time) {
  const Time end = steady_clock::now() + time;
  MutexLock lock(mu_);
  while (!stopping_ && steady_clock::now() < end) fill_.WaitUntil(mu_, end);
}

bool PairReservoir::Pace() {
  MutexLock lock(mu_);
  if (options_.refill_per_second <= 0) return !stopping_;
  const Time at = std::max(steady_clock::now(), next_pair_at_);
  next_pair_at_ = at + std::chrono::duration_cast<steady_clock::duration>(
                           std::chrono::duration<double>(1 / options_.refill_per_second));
  while (!stopping_ && steady_clock::now() < at) changed_.WaitUntil(mu_, at);
  return !stopping_;
}

absl::StatusOr<hsm::KeptPair> PairReservoir::Generate(hsm::PairSpec spec) {
  // A token elsewhere takes no processor of ours, and its module may mind interrupted reads.
  std::optional<ShortBreaks> breaks;
  if (token_.info().is_in_process()) breaks.emplace();
  return token_.GeneratePairToKeep(spec);
}

void PairReservoir::Fill() {
  LowerThreadPriority();
  Load();
  milliseconds pause = kFirstPause;
  std::vector<Waiting> unwritten;
  Shelf* unwritten_shelf = nullptr;
  while (true) {
    Shelf* shelf = nullptr;
    {
      MutexLock lock(mu_);
      while (!stopping_ && unwritten.empty() && NextToReturn() == nullptr &&
             NextToFill() == nullptr) {
        WaitForWork();
      }
      Shelf* const returning = unwritten.empty() && !stopping_ ? NextToReturn() : nullptr;
      if (returning != nullptr) {
        while (returning->claimed_count > returning->claimed_most) {
          auto waiting = TakeClaimed(*returning, std::nullopt, /*or_any=*/true);
          unwritten.push_back(*std::move(waiting));
          ++returning->in_hand;
        }
        unwritten_shelf = returning;
      } else if (!stopping_) {
        shelf = NextToFill();
      }
      if (shelf != nullptr) {
        filled_in_a_row_ = shelf == last_filled_ ? filled_in_a_row_ + 1 : 1;
        last_filled_ = shelf;
      }
    }
    // What was made is written before another kind is made, and while nothing else is to be done.
    if (!unwritten.empty() &&
        (shelf != unwritten_shelf || IsRsa(shelf->spec) || unwritten.size() >= kWrittenTogether)) {
      const int count = static_cast<int>(unwritten.size());
      const absl::Status written = Write(unwritten);
      if (!written.ok()) Complain("reservoir_write_failed", written);
      {
        MutexLock lock(mu_);
        unwritten_shelf->in_hand -= count;
        for (Waiting& waiting : unwritten) PutStored(*unwritten_shelf, std::move(waiting));
        prepare_.NotifyOne();
        changed_.NotifyAll();
      }
      unwritten.clear();
      if (!written.ok()) Pause(kFirstPause);
      continue;
    }
    if (shelf == nullptr || !Pace()) return;
    absl::StatusOr<hsm::KeptPair> pair = Generate(shelf->spec);
    if (HasLost()) DropLost();
    if (!pair.ok()) {
      log_.Write(LogLevel::kWarning, "reservoir_refill_failed",
                 {{"spec", NameOfPairSpec(shelf->spec)}, {"detail", pair.status().message()}});
      Pause(pause);
      pause = std::min(pause * 2, kLongestPause);
      continue;
    }
    pause = kFirstPause;
    MutexLock lock(mu_);
    if (!MayWrite() || shelf->claimed_count < ClaimedMost(*shelf)) {
      PutClaimed(*shelf, Waiting{*std::move(pair)});
      prepare_.NotifyOne();
      changed_.NotifyAll();
      continue;
    }
    unwritten.push_back(Waiting{*std::move(pair)});
    unwritten_shelf = shelf;
    ++shelf->in_hand;
  }
}

void PairReservoir::WaitForWork() {
  if (!std::exchange(told_of_filling_, true)) {
    int64_t pairs = 0;
    for (const Shelf& shelf : shelves_) pairs += shelf.count();
    log_.Write(LogLevel::kInfo, "reservoir_filled", {{"pairs", pairs}});
  }
  changed_.NotifyAll();
  // Until one of them is quiet again.
  Time until = Time::max();
  for (const Shelf& shelf : shelves_) {
    if (MayWrite() && shelf.claimed_count > shelf.claimed_most) {
      until = std::min(until, shelf.busy_until);
    }
  }
  if (until == Time::max()) {
    fill_.Wait(mu_);
  } else {
    fill_.WaitUntil(mu_, until);
  }
}

void PairReservoir::ClaimAndPrepare() {
  while (true) {
    {
      MutexLock lock(mu_);
      while (true) {
        if (stopping_) return;
        bool claimed = false;
        if (steady_clock::now() >= claim_again_at_) {
          for (Shelf& shelf : shelves_) {
            if (stopping_ || !HasToClaim(shelf)) continue;
            Claim(shelf, ClaimedMost(shelf) - shelf.claimed_count);
            claimed = true;
          }
        }
        if (claimed) continue;
        if (NextToPrepare() != nullptr) break;
        if (steady_clock::now() < claim_again_at_) {
          prepare_.WaitUntil(mu_, claim_again_at_);
        } else {
          prepare_.Wait(mu_);
        }
      }
    }
    if (!Pace()) return;
    MutexLock lock(mu_);
    if (Shelf* const shelf = NextToPrepare(); shelf != nullptr) PrepareOne(*shelf);
  }
}

// --- The disk ----------------------------------------------------------------------------------

void PairReservoir::Load() {
  if (!options_.path.empty()) {
    milliseconds pause = kFirstPause;
    for (int i = 1;; ++i) {
      const absl::Status status = TryToLoad();
      if (status.ok() || stopping()) break;
      Complain("reservoir_load_failed", status);
      if (i == kMostLoads) {
        reserve_ = nullptr;
        break;
      }
      Pause(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }
  MutexLock lock(mu_);
  if (stopping_ && !loaded_) return;
  if (!KeepsOnDisk()) {
    for (Shelf& shelf : shelves_) shelf.claimed_most = shelf.size;
  }
  loaded_ = true;
  prepare_.NotifyOne();
  changed_.NotifyAll();
}

absl::Status PairReservoir::TryToLoad() {
  auto opened = store::PairReserve::Open(options_.path, store_);
  if (!opened.ok()) return opened.status();
  std::unique_ptr<store::PairReserve> reserve = *std::move(opened);
  if (!reserve->notice().empty()) {
    log_.Write(LogLevel::kError, "reservoir_dropped", {{"detail", reserve->notice()}});
  }
  const absl::StatusOr<std::optional<ReserveEpochId>> old_epoch = reserve->GetEpoch();
  if (!old_epoch.ok()) return old_epoch.status();
  std::optional<PairSealer> old_sealer;
  std::optional<hsm::ObjectId> old_id;
  if (old_epoch->has_value()) {
    absl::StatusOr<hsm::VersionKeys> found =
        token_.FindReserveKeys(ObjectIdOf(**old_epoch), SomeTime());
    // Keys that are gone or not as they were made open nothing: the pairs are dropped.
    if (!found.ok() && !absl::IsNotFound(found.status()) &&
        !absl::IsFailedPrecondition(found.status())) {
      return found.status();
    }
    if (found.ok()) {
      old_id = found->id();
      old_sealer.emplace(token_, store_, **old_epoch, *std::move(found));
    }
  }
  // Whatever else is there was left by a start that was cut short, or belongs to a file that is
  // gone. Found by their label, and not by a note in the file, which may be another one by now.
  absl::Status status = token_.DestroyOtherReserveKeys(old_id, SomeTime()).status();
  if (!status.ok()) return status;

  std::array<uint8_t, 16> random;
  status = token_.GenerateRandom(absl::MakeSpan(random), SomeTime());
  if (!status.ok()) return status;
  const ReserveEpochId epoch = ReserveEpochId::FromRandom(random);
  absl::StatusOr<hsm::VersionKeys> keys = token_.CreateReserveKeys(ObjectIdOf(epoch), SomeTime());
  if (!keys.ok()) return keys.status();
  PairSealer sealer(token_, store_, epoch, *std::move(keys));

  absl::StatusOr<std::vector<store::ReservedPair>> rows = reserve->List();
  if (!rows.ok()) return rows.status();
  std::vector<store::ReservedPair> sealed_again;
  std::vector<Waiting> restored;
  std::map<hsm::PairSpec, int> room;
  {
    MutexLock lock(mu_);
    for (const Shelf& shelf : shelves_) room[shelf.spec] = shelf.size;
  }
  int64_t bytes = 0;
  for (const store::ReservedPair& row : *rows) {
    if (stopping()) return absl::CancelledError("the server stops");
    const auto spec = static_cast<hsm::PairSpec>(row.spec);
    if (!old_sealer.has_value() || room[spec] == 0 || bytes + BytesOf(spec) > options_.max_bytes) {
      continue;
    }
    absl::StatusOr<hsm::KeptPair> pair = old_sealer->Restore(row);
    // A row that is not genuine is dropped. Whatever else it is, it may pass.
    if (absl::IsInvalidArgument(pair.status())) continue;
    if (!pair.ok()) return pair.status();
    absl::StatusOr<store::ReservedPair> again = sealer.Seal(row.id, *pair);
    if (!again.ok()) return again.status();
    --room[spec];
    bytes += BytesOf(spec);
    sealed_again.push_back(*std::move(again));
    restored.push_back(Waiting{*std::move(pair), row.id});
  }
  status = reserve->BeginEpoch(epoch, sealed_again);
  if (!status.ok()) return status;
  // Before any of them is handed out: from here on, no older copy of the file opens.
  const absl::StatusOr<int> destroyed =
      token_.DestroyOtherReserveKeys(ObjectIdOf(epoch), SomeTime());
  if (!destroyed.ok()) return destroyed.status();

  sealer_.emplace(std::move(sealer));
  next_row_ = rows->empty() ? 1 : rows->back().id + 1;
  reserve_ = std::move(reserve);
  {
    MutexLock lock(mu_);
    for (Waiting& waiting : restored) {
      FindShelf(waiting.pair.spec())->stored.push_back(std::move(waiting));
    }
    loaded_ = true;
  }
  // Not before they can be taken: somebody may go by this line.
  log_.Write(LogLevel::kInfo, "reservoir_loaded",
             {{"pairs", static_cast<int64_t>(restored.size())},
              {"dropped", static_cast<int64_t>(rows->size() - restored.size())}});
  return absl::OkStatus();
}

absl::Status PairReservoir::Write(std::vector<Waiting>& pairs) {
  std::vector<store::ReservedPair> rows;
  std::vector<Waiting> sealed;
  absl::Status status = absl::OkStatus();
  for (Waiting& waiting : pairs) {
    absl::StatusOr<store::ReservedPair> row = sealer_->Seal(next_row_, waiting.pair);
    status.Update(row.status());
    if (!row.ok()) continue;
    waiting.row = next_row_++;
    rows.push_back(*std::move(row));
    sealed.push_back(std::move(waiting));
  }
  pairs.clear();
  if (rows.empty()) return status;
  const absl::Status added = reserve_->Add(rows);
  if (!added.ok()) return added;
  pairs = std::move(sealed);
  return status;
}

absl::Status PairReservoir::RemoveRows(std::deque<Waiting>& pairs) {
  std::vector<int64_t> ids;
  for (const Waiting& waiting : pairs) ids.push_back(waiting.row);
  const absl::StatusOr<std::vector<int64_t>> removed = reserve_->Remove(ids);
  if (!removed.ok()) return removed.status();
  const std::set<int64_t> gone(removed->begin(), removed->end());
  // A row that was not there any more: somebody has changed the file, and may have a copy.
  std::erase_if(pairs, [&](const Waiting& waiting) { return !gone.contains(waiting.row); });
  for (Waiting& waiting : pairs) waiting.row = 0;
  return absl::OkStatus();
}

void PairReservoir::Complain(absl::string_view event, const absl::Status& why) {
  log_.Write(LogLevel::kWarning, event, {{"detail", why.message()}});
}

}  // namespace strongroom::core
