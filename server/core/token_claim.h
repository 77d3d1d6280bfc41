#ifndef STRONGROOM_SERVER_CORE_TOKEN_CLAIM_H_
#define STRONGROOM_SERVER_CORE_TOKEN_CLAIM_H_

#include "absl/status/status.h"
#include "hsm/token.h"
#include "server/store/store.h"

namespace strongroom::core {

// Makes `store` and `token` each other's, if neither is another's: the store keeps the token's
// serial number, the token a data object with the store's id. So a second server with a store of
// its own does not use the same token by accident, nor a store a token that lacks its keys.
//
// FAILED_PRECONDITION, saying what to do, if one belongs to another.
absl::Status ClaimToken(store::Store& store, hsm::Token& token);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_TOKEN_CLAIM_H_
