#ifndef STRONGROOM_HSM_INTERNAL_MODULE_H_
#define STRONGROOM_HSM_INTERNAL_MODULE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/internal/pkcs11.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {

// A loaded and initialized PKCS#11 library. A process may hold one for each library at a time, and
// must not fork while it does: the child would inherit logged-in sessions.
//
// Thread-safe (the library is told to lock with the operating system's own primitives).
class Module {
 public:
  // NOT_FOUND if there is no such library; FAILED_PRECONDITION if it is not a PKCS#11 module;
  // otherwise what C_Initialize says.
  static absl::StatusOr<std::unique_ptr<Module>> Load(const std::string& path);
  // Calls C_Finalize. All sessions must be closed.
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const CK_FUNCTION_LIST& functions() const { return *functions_; }

  // The slot of the one initialized token that `token` names: a label, or a "pkcs11:" URI (RFC
  // 7512) without a PIN in it. NOT_FOUND and FAILED_PRECONDITION (several) list the tokens there
  // are.
  absl::StatusOr<CK_SLOT_ID> FindToken(const std::string& token) const;
  absl::StatusOr<CK_TOKEN_INFO> GetTokenInfo(CK_SLOT_ID slot) const;
  // Whether the token lists the mechanism, with all of these CKF_ flags.
  bool HasMechanism(CK_SLOT_ID slot, CK_MECHANISM_TYPE mechanism, CK_FLAGS flags) const;

 private:
  Module(void* library, CK_FUNCTION_LIST* functions) : library_(library), functions_(functions) {}

  void* library_;
  CK_FUNCTION_LIST* functions_;
};

// A text field of PKCS#11 structures: padded with blanks, not terminated.
std::string PaddedText(const unsigned char* text, size_t size);

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_MODULE_H_
