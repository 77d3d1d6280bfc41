#ifndef STRONGROOM_TESTS_TESTING_FAULT_CONTROL_H_
#define STRONGROOM_TESTS_TESTING_FAULT_CONTROL_H_

#include <cstdint>
#include <map>
#include <string>

namespace strongroom::testing {

// What the fault module lets the process that loaded it do. Tests use FaultModule, which finds it.
// Thread-safe.
class FaultControl {
 public:
  // Obeys one directive (see fault_module.h). Returns what is wrong with it; nothing if it is good.
  virtual std::string Apply(const std::string& directive) = 0;
  // Forgets all directives, counts and recorded bytes.
  virtual void Reset() = 0;
  // How often each PKCS#11 function was called; those that were not are left out.
  virtual std::map<std::string, uint64_t> Calls() = 0;
  virtual std::string Recorded() = 0;

 protected:
  ~FaultControl() = default;
};

// The name of the module's function that returns its FaultControl*, and its type.
inline constexpr char kFaultControlSymbol[] = "StrongroomFaultControl";
using GetFaultControl = FaultControl* (*)();

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_FAULT_CONTROL_H_
