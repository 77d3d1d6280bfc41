#ifndef STRONGROOM_SERVER_CORE_PAIR_RESERVOIR_H_
#define STRONGROOM_SERVER_CORE_PAIR_RESERVOIR_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/pair_spec.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/pair_sealer.h"
#include "server/log/log.h"
#include "server/store/ids.h"
#include "server/store/pair_reserve.h"

namespace strongroom::core {

// Key pairs that are generated before anybody asks for them, and wait in the token.
//
// A pair is handed out once, ever. In this process there is one of each (hsm::KeptPair). On disk,
// where pairs wait for the next start, it is gone for good before it may be handed out: pairs are
// *claimed* by removing their rows, a block at a time and ahead of the calls, and only claimed ones
// are taken. A crash loses what was claimed: a quarter, or all that there are while pairs are taken
// in quick succession, for then the rest is claimed at once and goes back to disk when it is quiet
// again. What is on disk is sealed under keys that are the
// token's and this start's: they are made when a server starts, and those of the start before are
// destroyed before anything is handed out, so that an older copy of the file is of no use.
//
// A pair may be *prepared*: its private key is wrapped already under the wrap key of the version
// that is expected to seal it. That is a ciphertext and waits in ordinary memory. Once a version
// has taken a pair of a kind, seven of eight of those that wait are prepared for it, claimed or
// not.
//
// Two threads work here: one of low priority loads and generates, the other claims and
// prepares, in short calls. Thread-safe.
class PairReservoir {
 public:
  struct Options {
    // An SQLite file for the pairs to outlast the process. Empty: they do not.
    std::string path;
    // How many pairs of each kind wait at most; of those that are left out none.
    std::map<hsm::PairSpec, int> pairs = DefaultPairs();
    // How many pairs are generated or prepared a second at most; 0 for no limit.
    double refill_per_second = 0;
    // Of memory that waiting pairs take, by BytesOf().
    int64_t max_bytes = int64_t{256} << 20;
  };
  static std::map<hsm::PairSpec, int> DefaultPairs();
  // What a waiting pair takes, most of it in the token: measured on SoftHSM 2.6.1.
  static int64_t BytesOf(hsm::PairSpec spec);

  // A pair that is the caller's alone, for hsm::Token::TakeKeptPair. `wrapped` is empty unless the
  // pair was prepared for the version that it was taken for.
  struct Taken {
    hsm::KeptPair pair;
    std::string wrapped;
  };
  struct Counts {
    int claimed = 0;   // may be handed out
    int stored = 0;    // on disk and in the token, to be claimed
    int prepared = 0;  // of both
    int in_hand = 0;   // on the way from one to another
  };

  // `token` and `log` outlive this. `store` is whose pairs these are.
  PairReservoir(hsm::Token& token, const StoreId& store, Log& log, Options options);
  // Stops, at the latest after one generation, and puts the pairs that were claimed and not handed
  // out back on disk. Nobody takes any more.
  ~PairReservoir();
  PairReservoir(const PairReservoir&) = delete;
  PairReservoir& operator=(const PairReservoir&) = delete;

  // Goes to work, on threads of its own. Until then there is nothing to take.
  void Start();

  // Takes a pair to be sealed by this version: one that is prepared for it, one that is not
  // prepared, or any. Nothing if there is none. Claims a block if none is claimed: that waits for
  // the disk, and for less than a generation takes.
  std::optional<Taken> Take(const hsm::VersionKeys& keys, hsm::PairSpec spec, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);

  Counts CountsOf(hsm::PairSpec spec) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until pairs can be taken. False after `deadline`.
  bool WaitUntilLoaded(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until there is nothing left to do here but to be taken from. False after `deadline`.
  bool WaitUntilSettled(Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct Waiting {
    hsm::KeptPair pair;
    // On disk; 0 if it is not there.
    int64_t row = 0;
    // What it is prepared for, and as what; nothing and empty if it is not.
    std::optional<hsm::ObjectId> version = std::nullopt;
    std::string wrapped = {};
  };
  // The pairs of one kind.
  struct Shelf {
    hsm::PairSpec spec;
    int size = 0;
    int claimed_most = 0;
    // By the version that they are prepared for, if they are. No deque is empty.
    std::map<std::optional<hsm::ObjectId>, std::deque<Waiting>> claimed;
    int claimed_count = 0;
    // On disk: those that are not prepared, and those that are.
    std::deque<Waiting> stored;
    std::deque<Waiting> stored_prepared;
    // On neither list, because a thread works on them.
    int in_hand = 0;
    // How many threads claim or prepare some of these, which can be taken in a moment, and how many
    // prepare one that can then be claimed.
    int coming = 0;
    int preparing_stored = 0;
    // Pairs are taken in quick succession, and until then all may be claimed.
    Time busy_until{};
    // Versions that a pair shall be prepared for, a pair each; the oldest first.
    std::deque<hsm::VersionKeys> wanted;
    // The one that took the last pair.
    std::optional<hsm::VersionKeys> last;

    int stored_count() const { return static_cast<int>(stored.size() + stored_prepared.size()); }
    int count() const { return claimed_count + stored_count() + in_hand; }
    int unprepared_count() const {
      const auto pairs = claimed.find(std::nullopt);
      return static_cast<int>(stored.size() + (pairs == claimed.end() ? 0 : pairs->second.size()));
    }
  };

  void Fill() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<hsm::KeptPair> Generate(hsm::PairSpec spec);
  void ClaimAndPrepare() ABSL_LOCKS_EXCLUDED(mu_);

  // --- The disk ---
  void Load() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status TryToLoad() ABSL_LOCKS_EXCLUDED(mu_);
  // Writes new pairs, which then have rows. Those that could not be written are gone: they may be
  // on disk all the same.
  absl::Status Write(std::vector<Waiting>& pairs);
  // Removes the rows of these pairs. Those that stay in it may be handed out.
  absl::Status RemoveRows(std::deque<Waiting>& pairs);
  bool KeepsOnDisk() const { return reserve_ != nullptr; }
  bool MayWrite() const { return KeepsOnDisk() && sealer_->MaySeal(); }

  // --- The shelves ---
  void PutClaimed(Shelf& shelf, Waiting waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutStored(Shelf& shelf, Waiting waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Waiting> TakeClaimed(Shelf& shelf, const std::optional<hsm::ObjectId>& version,
                                     bool or_any) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // How many pairs are to be claimed now.
  int ClaimedMost(const Shelf& shelf) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Null if none has claimed pairs to go back to disk.
  Shelf* NextToReturn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WaitForWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Claims up to `most` of the stored pairs. Lets go of the lock meanwhile.
  void Claim(Shelf& shelf, int most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Prepares a pair, a claimed one if there is one. Lets go of the lock meanwhile.
  void PrepareOne(Shelf& shelf) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasLost() ABSL_LOCKS_EXCLUDED(mu_);
  void DropLost() ABSL_LOCKS_EXCLUDED(mu_);
  // Null if nothing is lacking.
  Shelf* NextToFill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasToClaim(const Shelf& shelf) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasToPrepare(const Shelf& shelf) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Shelf* NextToPrepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Shelf* FindShelf(hsm::PairSpec spec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits until one more pair may be made. False if this stops.
  bool Pace() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits, unless this stops.
  void Pause(std::chrono::milliseconds time) ABSL_LOCKS_EXCLUDED(mu_);
  bool stopping() ABSL_LOCKS_EXCLUDED(mu_);
  void Complain(absl::string_view event, const absl::Status& why);

  hsm::Token& token_;
  const StoreId store_;
  Log& log_;
  const Options options_;

  // Of the filler's alone, but for the reserve, which is thread-safe: it is there or not from when
  // the reservoir is loaded.
  std::unique_ptr<store::PairReserve> reserve_;
  std::optional<PairSealer> sealer_;
  int64_t next_row_ = 1;

  Mutex mu_;
  CondVar fill_;     // something is lacking
  CondVar prepare_;  // something is to be claimed or prepared
  CondVar changed_;  // for those who wait for a claim, or until all is done
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool loaded_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Shelf> shelves_ ABSL_GUARDED_BY(mu_);
  const Shelf* last_filled_ ABSL_GUARDED_BY(mu_) = nullptr;
  int filled_in_a_row_ ABSL_GUARDED_BY(mu_) = 0;
  bool told_of_filling_ ABSL_GUARDED_BY(mu_) = false;
  Time next_pair_at_ ABSL_GUARDED_BY(mu_){};
  // The disk failed: it is not asked before that.
  Time claim_again_at_ ABSL_GUARDED_BY(mu_){};
  std::thread filler_;
  std::thread preparer_;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PAIR_RESERVOIR_H_
