#ifndef STRONGROOM_TESTS_TESTING_SOFTHSM_H_
#define STRONGROOM_TESTS_TESTING_SOFTHSM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/token.h"

namespace strongroom::testing {

// Where Debian has SoftHSM.
inline constexpr char kSoftHsmModule[] = "/usr/lib/softhsm/libsofthsm2.so";

// A SoftHSM of the test's own with one token in it: a new directory, a configuration, a random PIN
// in a file (0600).
//
// SoftHSM takes the name of its configuration from the environment, so a process has one at a time:
// that of the SoftHsmToken made last. Make it before anything opens the token, and before threads
// run, for it sets
//   SOFTHSM2_CONF           its configuration
//   STRONGROOM_TEST_MODULE  kSoftHsmModule, to which the fault module forwards
// Child processes get both with the environment.
class SoftHsmToken {
 public:
  // FAILED_PRECONDITION if the process has the module open.
  static absl::StatusOr<SoftHsmToken> Create(const std::string& label = "strongroom-test");

  // How to open it, past the fault module and on one lane; change what the test wants otherwise.
  hsm::TokenOptions options() const;

  const std::string& label() const { return label_; }
  // Everything is in here.
  const std::string& directory() const { return directory_; }
  // The tokens' files are in here: without them the token is gone.
  std::string token_directory() const { return directory_ + "/tokens"; }
  std::string config_file() const { return directory_ + "/softhsm2.conf"; }
  std::string pin_file() const { return directory_ + "/pin"; }

  // Makes one more token, with the same PIN. Labels need not differ. FAILED_PRECONDITION if the
  // process has the module open.
  absl::Status AddToken(const std::string& label) const;
  // Writes a PIN file (0600) with any content, for another `pin_file` in options(); gives its path.
  absl::StatusOr<std::string> WritePinFile(const std::string& name,
                                           const std::string& content) const;

 private:
  SoftHsmToken(std::string directory, std::string label)
      : directory_(std::move(directory)), label_(std::move(label)) {}

  std::string directory_;
  std::string label_;
};

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_SOFTHSM_H_
