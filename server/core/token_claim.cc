#include "server/core/token_claim.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace strongroom::core {

absl::Status ClaimToken(store::Store& store, hsm::Token& token) {
  const std::string& serial = token.info().serial;
  absl::StatusOr<std::optional<std::string>> bound = store.GetTokenSerial();
  if (!bound.ok()) return bound.status();
  if (bound->has_value() && **bound != serial) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the store's keys are in the token with serial ", **bound, ", but the configured token \"",
        token.info().label, "\" has serial ", serial, "; configure the store's own token"));
  }
  const std::string store_id = store.id().ToString();
  absl::StatusOr<std::optional<std::string>> owner = token.ReadOwner(kNoDeadline);
  if (!owner.ok()) return owner.status();
  if (owner->has_value() && **owner != store_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the token \"", token.info().label, "\" (serial ", serial,
        ") belongs to the store with id ", **owner, ", but the configured store has id ", store_id,
        "; configure that store, or a token of this store's own"));
  }
  // The token first: a crash between the two leaves what the next start accepts.
  if (!owner->has_value()) {
    if (absl::Status status = token.WriteOwner(store_id, kNoDeadline); !status.ok()) return status;
  }
  if (!bound->has_value()) return store.BindToken(serial);
  return absl::OkStatus();
}

}  // namespace strongroom::core
