#ifndef STRONGROOM_HSM_INTERNAL_SELF_TEST_H_
#define STRONGROOM_HSM_INTERNAL_SELF_TEST_H_

#include <chrono>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"

namespace strongroom::hsm::internal {

// Whether a token can carry a key-management service, found out before it has to. Errors say what
// is missing and what to do.

// FAILED_PRECONDITION naming the mechanisms that the token lacks.
absl::Status CheckMechanisms(const Module& module, CK_SLOT_ID slot);

// Whether the token's flags let the PIN be tried: FAILED_PRECONDITION if there is none yet,
// PERMISSION_DENIED if it is locked or one try from it.
absl::Status CheckPinFlags(CK_FLAGS flags);

// Makes a MAC and makes it again, and checks that another text has another one.
absl::Status TryMacKey(Session& session, CK_OBJECT_HANDLE mac_key);

// Checks on session objects that the token does, and keeps to, what our keys are made for.
absl::Status TryKeys(Session& session);

// How long the token takes to seal a short text, the median of a few: with a session object, which
// says what kind of token it is and is not more than that.
absl::StatusOr<std::chrono::nanoseconds> MeasureSeal(Session& session);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_SELF_TEST_H_
