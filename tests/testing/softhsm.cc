#include "tests/testing/softhsm.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "hsm/internal/pkcs11.h"
#include "platform/files.h"
#include "platform/secret_bytes.h"
#include "tests/testing/test_directory.h"

namespace strongroom::testing {
namespace {

absl::Status Check(CK_RV rv, absl::string_view function) {
  if (rv == CKR_OK) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(function, ": 0x", absl::Hex(rv)));
}

std::string RandomPin() {
  std::array<uint8_t, 16> bytes;
  // At this size it gives all that is asked for.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) abort();
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

absl::Status InitializeToken(const CK_FUNCTION_LIST& p11, const std::string& label,
                             std::string pin) {
  CK_ULONG count = 0;
  if (absl::Status status = Check(p11.C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
      !status.ok()) {
    return status;
  }
  std::vector<CK_SLOT_ID> slots(count);
  if (absl::Status status =
          Check(p11.C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
      !status.ok()) {
    return status;
  }
  // SoftHSM always has one slot more than tokens, and it is the last.
  const CK_SLOT_ID slot = slots.back();
  std::string so_pin = RandomPin();
  std::string padded_label = label;
  padded_label.resize(32, ' ');
  if (absl::Status status = Check(
          p11.C_InitToken(slot, Bytes(so_pin), so_pin.size(), Bytes(padded_label)), "C_InitToken");
      !status.ok()) {
    return status;
  }
  CK_SESSION_HANDLE session;
  absl::Status status = Check(
      p11.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
      "C_OpenSession");
  if (!status.ok()) return status;
  status = Check(p11.C_Login(session, CKU_SO, Bytes(so_pin), so_pin.size()), "C_Login");
  if (status.ok()) status = Check(p11.C_InitPIN(session, Bytes(pin), pin.size()), "C_InitPIN");
  p11.C_CloseSession(session);
  return status;
}

// Done in this process: starting softhsm2-util takes longer, and it wants PINs on its command line.
absl::Status MakeToken(const std::string& label, const std::string& pin) {
  // It stays loaded: unloading it gains nothing.
  void* library = dlopen(kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::NotFoundError(dlerror());
  CK_FUNCTION_LIST* p11 = nullptr;
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  if (absl::Status status = Check(get(&p11), "C_GetFunctionList"); !status.ok()) return status;
  CK_C_INITIALIZE_ARGS args = {};
  args.flags = CKF_OS_LOCKING_OK;
  const CK_RV rv = p11->C_Initialize(&args);
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    return absl::FailedPreconditionError(
        "this process has SoftHSM open already; make tokens before one is opened");
  }
  if (absl::Status status = Check(rv, "C_Initialize"); !status.ok()) return status;
  absl::Status status = InitializeToken(*p11, label, pin);
  status.Update(Check(p11->C_Finalize(nullptr), "C_Finalize"));
  return status;
}

absl::Status WriteText(const std::string& path, const std::string& text) {
  return WriteSecretFile(
      path, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

}  // namespace

absl::StatusOr<SoftHsmToken> SoftHsmToken::Create(const std::string& label) {
  absl::StatusOr<std::string> directory = MakeTestDirectory();
  if (!directory.ok()) return directory.status();
  SoftHsmToken token(*std::move(directory), label);
  if (mkdir(token.token_directory().c_str(), 0700) != 0) {
    return absl::InternalError(absl::StrCat("cannot make ", token.token_directory()));
  }
  absl::Status status = WriteText(token.config_file(),
                                  absl::StrCat("directories.tokendir = ", token.token_directory(),
                                               "\n"
                                               "objectstore.backend = file\n"
                                               "log.level = ERROR\n"));
  if (!status.ok()) return status;
  if (status = WriteText(token.pin_file(), RandomPin() + "\n"); !status.ok()) return status;
  setenv("SOFTHSM2_CONF", token.config_file().c_str(), 1);
  setenv("STRONGROOM_TEST_MODULE", kSoftHsmModule, 1);
  if (status = token.AddToken(label); !status.ok()) return status;
  return token;
}

hsm::TokenOptions SoftHsmToken::options() const {
  return {.module_path = kSoftHsmModule, .token = label_, .pin_file = pin_file(), .lanes = 1};
}

absl::Status SoftHsmToken::AddToken(const std::string& label) const {
  absl::StatusOr<SecretBytes> pin = ReadSecretFile(pin_file());
  if (!pin.ok()) return pin.status();
  return MakeToken(label, std::string(pin->ExposeSecretAsText()));
}

absl::StatusOr<std::string> SoftHsmToken::WritePinFile(const std::string& name,
                                                       const std::string& content) const {
  const std::string path = absl::StrCat(directory_, "/", name);
  if (absl::Status status = WriteText(path, content); !status.ok()) return status;
  return path;
}

}  // namespace strongroom::testing
