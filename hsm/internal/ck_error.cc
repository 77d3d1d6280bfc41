#include "hsm/internal/ck_error.h"

#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace strongroom::hsm::internal {
namespace {

constexpr char kPayload[] = "strongroom.dev/pkcs11";

struct ReturnValue {
  CK_RV rv;
  const char* name;
  absl::StatusCode code;
};

// All codes of the standard, in its order.
constexpr ReturnValue kReturnValues[] = {
    {CKR_CANCEL, "CKR_CANCEL", absl::StatusCode::kUnavailable},
    {CKR_HOST_MEMORY, "CKR_HOST_MEMORY", absl::StatusCode::kResourceExhausted},
    {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", absl::StatusCode::kUnavailable},
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", absl::StatusCode::kInternal},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", absl::StatusCode::kInternal},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", absl::StatusCode::kInternal},
    {CKR_NO_EVENT, "CKR_NO_EVENT", absl::StatusCode::kInternal},
    {CKR_NEED_TO_CREATE_THREADS, "CKR_NEED_TO_CREATE_THREADS", absl::StatusCode::kInternal},
    {CKR_CANT_LOCK, "CKR_CANT_LOCK", absl::StatusCode::kInternal},
    {CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", absl::StatusCode::kFailedPrecondition},
    {CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", absl::StatusCode::kFailedPrecondition},
    {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", absl::StatusCode::kInternal},
    {CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", absl::StatusCode::kInternal},
    {CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED", absl::StatusCode::kFailedPrecondition},
    {CKR_DATA_INVALID, "CKR_DATA_INVALID", absl::StatusCode::kInvalidArgument},
    {CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", absl::StatusCode::kInvalidArgument},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", absl::StatusCode::kUnavailable},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", absl::StatusCode::kResourceExhausted},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", absl::StatusCode::kUnavailable},
    {CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", absl::StatusCode::kInvalidArgument},
    {CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE",
     absl::StatusCode::kInvalidArgument},
    {CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED", absl::StatusCode::kUnavailable},
    {CKR_FUNCTION_NOT_PARALLEL, "CKR_FUNCTION_NOT_PARALLEL", absl::StatusCode::kInternal},
    {CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", absl::StatusCode::kUnimplemented},
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", absl::StatusCode::kNotFound},
    {CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", absl::StatusCode::kFailedPrecondition},
    {CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", absl::StatusCode::kFailedPrecondition},
    {CKR_KEY_NOT_NEEDED, "CKR_KEY_NOT_NEEDED", absl::StatusCode::kInternal},
    {CKR_KEY_CHANGED, "CKR_KEY_CHANGED", absl::StatusCode::kInternal},
    {CKR_KEY_NEEDED, "CKR_KEY_NEEDED", absl::StatusCode::kInternal},
    {CKR_KEY_INDIGESTIBLE, "CKR_KEY_INDIGESTIBLE", absl::StatusCode::kInternal},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED",
     absl::StatusCode::kFailedPrecondition},
    {CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE", absl::StatusCode::kUnimplemented},
    {CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", absl::StatusCode::kFailedPrecondition},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", absl::StatusCode::kUnimplemented},
    {CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", absl::StatusCode::kUnimplemented},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", absl::StatusCode::kNotFound},
    {CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", absl::StatusCode::kInternal},
    {CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED", absl::StatusCode::kInternal},
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", absl::StatusCode::kPermissionDenied},
    {CKR_PIN_INVALID, "CKR_PIN_INVALID", absl::StatusCode::kPermissionDenied},
    {CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", absl::StatusCode::kPermissionDenied},
    {CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", absl::StatusCode::kPermissionDenied},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", absl::StatusCode::kPermissionDenied},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", absl::StatusCode::kUnavailable},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT", absl::StatusCode::kResourceExhausted},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", absl::StatusCode::kUnavailable},
    {CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKR_SESSION_PARALLEL_NOT_SUPPORTED",
     absl::StatusCode::kInternal},
    {CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY", absl::StatusCode::kFailedPrecondition},
    {CKR_SESSION_EXISTS, "CKR_SESSION_EXISTS", absl::StatusCode::kInternal},
    {CKR_SESSION_READ_ONLY_EXISTS, "CKR_SESSION_READ_ONLY_EXISTS", absl::StatusCode::kInternal},
    {CKR_SESSION_READ_WRITE_SO_EXISTS, "CKR_SESSION_READ_WRITE_SO_EXISTS",
     absl::StatusCode::kInternal},
    {CKR_SIGNATURE_INVALID, "CKR_SIGNATURE_INVALID", absl::StatusCode::kInvalidArgument},
    {CKR_SIGNATURE_LEN_RANGE, "CKR_SIGNATURE_LEN_RANGE", absl::StatusCode::kInvalidArgument},
    {CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", absl::StatusCode::kInternal},
    {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", absl::StatusCode::kFailedPrecondition},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", absl::StatusCode::kUnavailable},
    {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", absl::StatusCode::kUnavailable},
    {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", absl::StatusCode::kFailedPrecondition},
    {CKR_UNWRAPPING_KEY_HANDLE_INVALID, "CKR_UNWRAPPING_KEY_HANDLE_INVALID",
     absl::StatusCode::kNotFound},
    {CKR_UNWRAPPING_KEY_SIZE_RANGE, "CKR_UNWRAPPING_KEY_SIZE_RANGE",
     absl::StatusCode::kFailedPrecondition},
    {CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT",
     absl::StatusCode::kFailedPrecondition},
    {CKR_USER_ALREADY_LOGGED_IN, "CKR_USER_ALREADY_LOGGED_IN", absl::StatusCode::kInternal},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", absl::StatusCode::kUnavailable},
    {CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", absl::StatusCode::kInternal},
    {CKR_USER_TYPE_INVALID, "CKR_USER_TYPE_INVALID", absl::StatusCode::kInternal},
    {CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
     absl::StatusCode::kInternal},
    {CKR_USER_TOO_MANY_TYPES, "CKR_USER_TOO_MANY_TYPES", absl::StatusCode::kInternal},
    {CKR_WRAPPED_KEY_INVALID, "CKR_WRAPPED_KEY_INVALID", absl::StatusCode::kInvalidArgument},
    {CKR_WRAPPED_KEY_LEN_RANGE, "CKR_WRAPPED_KEY_LEN_RANGE", absl::StatusCode::kInvalidArgument},
    {CKR_WRAPPING_KEY_HANDLE_INVALID, "CKR_WRAPPING_KEY_HANDLE_INVALID",
     absl::StatusCode::kNotFound},
    {CKR_WRAPPING_KEY_SIZE_RANGE, "CKR_WRAPPING_KEY_SIZE_RANGE",
     absl::StatusCode::kFailedPrecondition},
    {CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT",
     absl::StatusCode::kFailedPrecondition},
    {CKR_RANDOM_SEED_NOT_SUPPORTED, "CKR_RANDOM_SEED_NOT_SUPPORTED",
     absl::StatusCode::kUnimplemented},
    {CKR_RANDOM_NO_RNG, "CKR_RANDOM_NO_RNG", absl::StatusCode::kUnimplemented},
    {CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", absl::StatusCode::kUnimplemented},
    {CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", absl::StatusCode::kUnimplemented},
    {CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", absl::StatusCode::kInternal},
    {CKR_SAVED_STATE_INVALID, "CKR_SAVED_STATE_INVALID", absl::StatusCode::kInternal},
    {CKR_INFORMATION_SENSITIVE, "CKR_INFORMATION_SENSITIVE", absl::StatusCode::kInternal},
    {CKR_STATE_UNSAVEABLE, "CKR_STATE_UNSAVEABLE", absl::StatusCode::kInternal},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", absl::StatusCode::kUnavailable},
    {CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED",
     absl::StatusCode::kInternal},
    {CKR_MUTEX_BAD, "CKR_MUTEX_BAD", absl::StatusCode::kInternal},
    {CKR_MUTEX_NOT_LOCKED, "CKR_MUTEX_NOT_LOCKED", absl::StatusCode::kInternal},
    {CKR_NEW_PIN_MODE, "CKR_NEW_PIN_MODE", absl::StatusCode::kInternal},
    {CKR_NEXT_OTP, "CKR_NEXT_OTP", absl::StatusCode::kInternal},
    {CKR_EXCEEDED_MAX_ITERATIONS, "CKR_EXCEEDED_MAX_ITERATIONS", absl::StatusCode::kInternal},
    {CKR_FIPS_SELF_TEST_FAILED, "CKR_FIPS_SELF_TEST_FAILED", absl::StatusCode::kInternal},
    {CKR_LIBRARY_LOAD_FAILED, "CKR_LIBRARY_LOAD_FAILED", absl::StatusCode::kUnavailable},
    {CKR_PIN_TOO_WEAK, "CKR_PIN_TOO_WEAK", absl::StatusCode::kPermissionDenied},
    {CKR_PUBLIC_KEY_INVALID, "CKR_PUBLIC_KEY_INVALID", absl::StatusCode::kUnimplemented},
    {CKR_FUNCTION_REJECTED, "CKR_FUNCTION_REJECTED", absl::StatusCode::kInternal},
};

const ReturnValue* Find(CK_RV rv) {
  for (const ReturnValue& value : kReturnValues) {
    if (value.rv == rv) return &value;
  }
  return nullptr;
}

void SetReturnValue(CK_RV rv, absl::Status& status) {
  status.SetPayload(kPayload,
                    absl::Cord(absl::string_view(reinterpret_cast<const char*>(&rv), sizeof(rv))));
}

}  // namespace

std::string ReturnValueName(CK_RV rv) {
  if (rv == CKR_OK) return "CKR_OK";
  const ReturnValue* value = Find(rv);
  return value != nullptr ? value->name : absl::StrFormat("CKR_0x%08x", rv);
}

absl::Status CkStatus(CK_RV rv, absl::string_view function) {
  if (rv == CKR_OK) return absl::OkStatus();
  const ReturnValue* value = Find(rv);
  const std::string text = absl::StrCat(function, ": ", ReturnValueName(rv));
  absl::Status status(value != nullptr ? value->code : absl::StatusCode::kInternal, text);
  SetReturnValue(rv, status);
  return status;
}

absl::Status Prefixed(absl::string_view prefix, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status prefixed(status.code(), absl::StrCat(prefix, status.message()));
  if (const std::optional<CK_RV> rv = CkReturnValue(status)) SetReturnValue(*rv, prefixed);
  return prefixed;
}

std::optional<CK_RV> CkReturnValue(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value() || payload->size() != sizeof(CK_RV)) return std::nullopt;
  const std::string bytes(*payload);
  CK_RV rv;
  std::memcpy(&rv, bytes.data(), sizeof(rv));
  return rv;
}

bool HandleIsGone(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_OBJECT_HANDLE_INVALID || rv == CKR_KEY_HANDLE_INVALID ||
         rv == CKR_WRAPPING_KEY_HANDLE_INVALID || rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID;
}

}  // namespace strongroom::hsm::internal
