#ifndef STRONGROOM_SERVER_STORE_PAIR_RESERVE_H_
#define STRONGROOM_SERVER_STORE_PAIR_RESERVE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "platform/files.h"
#include "platform/mutex.h"
#include "server/store/ids.h"
#include "server/store/sqlite_database.h"

namespace strongroom::store {

// A key pair that waits on disk, sealed by the token under the keys of the reserve's epoch.
struct ReservedPair {
  int64_t id = 0;
  int32_t spec = 0;
  std::string sealed;
};

// The key pairs of one server that outlast its process, in one SQLite file of its own. Nothing in
// it is worth a backup, and a copy that is put back is worth nothing once the server was started
// since.
//
// Every change is on disk when the call returns: a pair that Remove() has named is not there after
// whatever crash. Thread-safe.
class PairReserve {
 public:
  virtual ~PairReserve() = default;

  // Opens the reserve at `path`, or makes it if there is none (mode 0600), for the server of this
  // store: pairs of another one's are dropped. A damaged file is put aside (`path`.damaged) and a
  // new one made. Another process cannot open it until this object is gone.
  //
  // Errors as for SqliteStore::Open(), but for what is damaged.
  static absl::StatusOr<std::unique_ptr<PairReserve>> Open(const std::string& path,
                                                           const StoreId& store);

  // What was wrong with the file, and what came of it; empty if all was well.
  virtual const std::string& notice() const = 0;

  // Whose keys seal the pairs. None in a new reserve.
  virtual absl::StatusOr<std::optional<ReserveEpochId>> GetEpoch() = 0;
  virtual absl::StatusOr<std::vector<ReservedPair>> List() = 0;
  // Puts these in the place of all that there are, sealed in another epoch: all or nothing.
  virtual absl::Status BeginEpoch(const ReserveEpochId& epoch,
                                  absl::Span<const ReservedPair> pairs) = 0;
  // All or nothing. ALREADY_EXISTS if an id is taken.
  virtual absl::Status Add(absl::Span<const ReservedPair> pairs) = 0;
  // Removes all that are there, and returns which these were: of a pair that was not, somebody else
  // may have taken another copy.
  virtual absl::StatusOr<std::vector<int64_t>> Remove(absl::Span<const int64_t> ids) = 0;
};

}  // namespace strongroom::store

#endif  // STRONGROOM_SERVER_STORE_PAIR_RESERVE_H_
