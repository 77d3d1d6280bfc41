#ifndef STRONGROOM_HSM_INTERNAL_CK_ERROR_H_
#define STRONGROOM_HSM_INTERNAL_CK_ERROR_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/pkcs11.h"

namespace strongroom::hsm::internal {

// "CKR_PIN_INCORRECT", or "CKR_0x..." for a code the standard does not name.
std::string ReturnValueName(CK_RV rv);

// The status for what a PKCS#11 function returned: OK for CKR_OK, otherwise a code by what a caller
// can do about it, a message that names the function and the code, and both as a payload.
//
//   UNAVAILABLE         the token, its session or the library is away
//   RESOURCE_EXHAUSTED  out of sessions or memory
//   PERMISSION_DENIED   the PIN was wrong or is locked
//   UNIMPLEMENTED       the token cannot do this
//   INVALID_ARGUMENT    the token refuses the data
//   FAILED_PRECONDITION the key may not be used so
//   NOT_FOUND           the object's handle is no longer good
//   INTERNAL            everything else
absl::Status CkStatus(CK_RV rv, absl::string_view function);

// `status` with a text before its message. A code of CkStatus stays in it.
absl::Status Prefixed(absl::string_view prefix, const absl::Status& status);

// The code in a status that CkStatus made.
std::optional<CK_RV> CkReturnValue(const absl::Status& status);

// Whether the token says that it does not know the handle of a key or another object.
bool HandleIsGone(const absl::Status& status);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_CK_ERROR_H_
