#ifndef STRONGROOM_TESTS_BENCH_BELOW_GRPC_H_
#define STRONGROOM_TESTS_BENCH_BELOW_GRPC_H_

#include <memory>

#include "hsm/token.h"
#include "platform/clock.h"
#include "server/core/data_keys.h"
#include "server/core/key_life.h"
#include "server/core/key_ring.h"
#include "server/store/sqlite_store.h"
#include "tests/testing/softhsm.h"

namespace strongroom::bench {

// The rooms of a server below gRPC and the gate, in this process, with one key.
class BelowGrpc {
 public:
  // `softhsm` outlives this.
  BelowGrpc(const testing::SoftHsmToken& softhsm, const hsm::TokenOptions& options);

  hsm::Token& token() { return *token_; }
  core::KeyRing& ring() { return *ring_; }
  core::DataKeys& data_keys() { return *data_keys_; }
  const KeyId& key() const { return key_; }

 private:
  const SystemClock clock_;
  std::unique_ptr<hsm::Token> token_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<core::KeyRing> ring_;
  std::unique_ptr<core::KeyLife> life_;
  std::unique_ptr<core::DataKeys> data_keys_;
  KeyId key_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_BELOW_GRPC_H_
