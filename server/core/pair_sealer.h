#ifndef STRONGROOM_SERVER_CORE_PAIR_SEALER_H_
#define STRONGROOM_SERVER_CORE_PAIR_SEALER_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "hsm/token.h"
#include "hsm/version_keys.h"
#include "server/store/ids.h"
#include "server/store/pair_reserve.h"

namespace strongroom::core {

// Seals pairs that wait in the token for the disk, and brings them back, under the reserve keys of
// one epoch: the private key wrapped in the token (RFC 5649), with the public key, under AES-GCM in
// the token. A row is bound to its store, epoch, id and kind, so that it means nothing in another's
// place.
//
// Errors are the token's (hsm/token.h). For one thread at a time.
class PairSealer {
 public:
  // `token` outlives the sealer.
  PairSealer(hsm::Token& token, const StoreId& store, const ReserveEpochId& epoch,
             hsm::VersionKeys keys)
      : token_(token), store_(store), epoch_(epoch), keys_(std::move(keys)) {}

  // The row of a pair. ABORTED if the token has lost it.
  absl::StatusOr<store::ReservedPair> Seal(int64_t id, const hsm::KeptPair& pair);
  // INVALID_ARGUMENT if the row is not genuine.
  absl::StatusOr<hsm::KeptPair> Restore(const store::ReservedPair& row);

  // Whether the seal key may be used on: SP 800-38D allows 2^32 uses with random IVs, and half of
  // them is more than a start ever comes near.
  bool MaySeal() const { return sealed_ < (int64_t{1} << 31); }

 private:
  hsm::Token& token_;
  StoreId store_;
  ReserveEpochId epoch_;
  hsm::VersionKeys keys_;
  int64_t sealed_ = 0;
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PAIR_SEALER_H_
