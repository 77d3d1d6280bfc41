#ifndef STRONGROOM_TESTS_TESTING_FAULT_MODULE_H_
#define STRONGROOM_TESTS_TESTING_FAULT_MODULE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/testing/fault_control.h"

namespace strongroom::testing {

// The fault module is a PKCS#11 library that forwards to the one named in $STRONGROOM_TEST_MODULE
// and, where it is told to, fails, lies, waits, counts and listens. It is told by directives, one a
// line:
//
//   fail FUNCTION CODE [WHEN] [forwarded]
//       The function returns CODE ("CKR_DEVICE_ERROR" or "0x30"). "forwarded": the token is called
//       all the same and only its answer is replaced, which ends the operation in its session as a
//       token's own failure does.
//   hold FUNCTION FIFO [WHEN]
//       The call waits at a HoldPoint.
//   take FUNCTION MICROSECONDS
//       Each call lasts that long, or as long as the token takes, whichever is more: a token behind
//       a network.
//   vanish [WHEN]
//       The object that C_GenerateKey made is destroyed before the caller gets its handle.
//   hide MECHANISM
//       Left out of the token's mechanisms, e.g. CKM_AES_GCM.
//   flag FLAG
//       Set in the token's flags, e.g. CKF_USER_PIN_FINAL_TRY.
//   attribute LABEL ATTRIBUTE HEX
//       What is read for the attribute of an object with this label, e.g.
//       "attribute strongroom-seal CKA_EXTRACTABLE 01".
//   lend
//       What SoftHSM lacks for importing, done by the module: C_UnwrapKey with CKM_RSA_PKCS_OAEP
//       and SHA-256, and with CKM_RSA_AES_KEY_WRAP, for RSA keys that are generated from now on. In
//       the token they may then decrypt with CKM_RSA_X_509, which `attribute` can hide.
//   record
//       From now on keeps the bytes that go in and out: data, templates, what is read of
//       attributes, and mechanisms' parameters with what they point to (of CKM_AES_GCM,
//       CKM_RSA_PKCS_OAEP and CKM_ECDH1_DERIVE). Left out are C_Login, C_InitPIN, C_SetPIN,
//       C_InitToken and C_SetOperationState.
//   counts FILE
//       C_Finalize writes how often each function was called, a "FUNCTION COUNT" a line.
//
// WHEN is "call=3" for the third call of the function from the directive on, "call=3-" for that and
// all that follow, "call=3-5"; without it every call is meant. Of several `fail` lines for a call
// the first one wins. A blank line and one that begins with # mean nothing.
//
// Another process that loads the module takes its directives from the file named in
// $STRONGROOM_TEST_FAULTS. This process gives them through this class; they hold whether or not a
// token is open. The module has one state for the whole process.
class FaultModule {
 public:
  // The path to give as TokenOptions::module_path.
  static std::string Path();
  // Loads the module into this process, with nothing in force.
  static absl::StatusOr<FaultModule> Load();

  // INVALID_ARGUMENT says what is wrong with the directive.
  absl::Status Apply(absl::string_view directive);
  // Forgets all directives, counts and recorded bytes.
  void Reset() { control_->Reset(); }

  uint64_t Calls(const std::string& function) const;
  std::map<std::string, uint64_t> Calls() const { return control_->Calls(); }
  // The bytes of each value that crossed the border since `record`, one behind the other.
  std::string Recorded() const { return control_->Recorded(); }

 private:
  explicit FaultModule(FaultControl* control) : control_(control) {}

  FaultControl* control_;
};

// A place at which a call into the token waits until the test lets it go. Works across processes.
//
//   ASSERT_OK_AND_ASSIGN(HoldPoint point, HoldPoint::Create());
//   ASSERT_OK(faults.Apply(absl::StrCat("hold C_WrapKey ", point.path(), " call=1")));
//   std::thread caller([] { ... });
//   ASSERT_OK(point.WaitUntilHeld());
//   ...  // the call is inside the token
//   point.Release();
class HoldPoint {
 public:
  static absl::StatusOr<HoldPoint> Create();
  HoldPoint(HoldPoint&& other) noexcept;
  HoldPoint& operator=(HoldPoint&&) = delete;
  // Lets go of a call that waits.
  ~HoldPoint();

  const std::string& path() const { return path_; }
  // Blocks until a call has come to this point. From then on it waits for Release().
  absl::Status WaitUntilHeld();
  void Release();

 private:
  explicit HoldPoint(std::string path) : path_(std::move(path)) {}

  std::string path_;
  int fd_ = -1;
};

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_FAULT_MODULE_H_
