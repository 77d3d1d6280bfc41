#include "tests/bench/below_grpc.h"

#include "tests/bench/bench.h"

namespace strongroom::bench {

BelowGrpc::BelowGrpc(const testing::SoftHsmToken& softhsm, const hsm::TokenOptions& options)
    : token_(OrDie(hsm::Token::Open(options))),
      store_(OrDie(store::SqliteStore::Open(softhsm.directory() + "/store.db"))) {
  core::KeyRingReport report;
  ring_ = OrDie(core::KeyRing::Open(*store_, *token_, clock_, {}, report));
  life_ =
      std::make_unique<core::KeyLife>(*ring_, *store_, *token_, clock_, core::KeyLife::Options());
  data_keys_ = std::make_unique<core::DataKeys>(*ring_, *token_, 1);
  key_ = OrDie(life_->CreateKey({}, kNoDeadline)).record.id;
}

}  // namespace strongroom::bench
