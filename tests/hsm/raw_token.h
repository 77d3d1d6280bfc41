#ifndef STRONGROOM_TESTS_HSM_RAW_TOKEN_H_
#define STRONGROOM_TESTS_HSM_RAW_TOKEN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/internal/pkcs11.h"

namespace strongroom::hsm {

struct RawAttribute {
  CK_ATTRIBUTE_TYPE type;
  std::string value;
};

std::string RawBool(bool value);
std::string RawUlong(CK_ULONG value);

// Looks into SoftHSM with PKCS#11 itself: past the code under test and past the fault module. A
// Token must be open in this process: it has initialized the library and logged in.
//
// What cannot fail in a test fails the test.
class RawToken {
 public:
  // A session on the token with this label.
  static absl::StatusOr<RawToken> Open(absl::string_view label);
  RawToken(RawToken&& other) noexcept;
  RawToken& operator=(RawToken&&) = delete;
  ~RawToken();

  std::vector<CK_OBJECT_HANDLE> Find(const std::vector<RawAttribute>& attributes) const;
  std::string Get(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) const;
  CK_OBJECT_HANDLE Create(const std::vector<RawAttribute>& attributes) const;
  CK_OBJECT_HANDLE GenerateKey(CK_MECHANISM_TYPE mechanism,
                               const std::vector<RawAttribute>& attributes) const;
  // An AES-256 key, generated with these attributes and no others.
  CK_OBJECT_HANDLE GenerateAesKey(std::vector<RawAttribute> attributes) const;
  void Destroy(CK_OBJECT_HANDLE object) const;

  size_t CountSessionObjects() const { return Find({{CKA_TOKEN, RawBool(false)}}).size(); }
  size_t CountTokenObjects() const { return Find({{CKA_TOKEN, RawBool(true)}}).size(); }

  // For calls that have no name here.
  const CK_FUNCTION_LIST& functions() const { return *functions_; }
  CK_SESSION_HANDLE session() const { return session_; }

 private:
  RawToken(const CK_FUNCTION_LIST* functions, CK_SESSION_HANDLE session)
      : functions_(functions), session_(session) {}

  const CK_FUNCTION_LIST* functions_;
  CK_SESSION_HANDLE session_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_TESTS_HSM_RAW_TOKEN_H_
