// init_token: makes a SoftHSM token for strongroomd. "init_token --help" says how to run it.
//
// SoftHSM's own softhsm2-util takes PINs on its command line, where every user of the machine can
// read them. This takes files. It serves other modules too whose tokens may be initialized through
// PKCS#11 (C_InitToken, C_InitPIN); those of most HSMs want the vendor's tool.

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "platform/files.h"
#include "platform/process.h"
#include "platform/secret_bytes.h"

namespace strongroom {
namespace {

constexpr char kHelp[] =
    "Makes a token, with a user PIN, in the first slot that has none.\n"
    "A token that is there already stays as it is; one whose making was cut short is completed.\n\n"
    "Exit codes (sysexits.h): 0 the token is ready, 64 wrong arguments, 69 failed.";
constexpr char kExample[] =
    "Example:\n"
    "  SOFTHSM2_CONF=/etc/strongroom/softhsm2.conf init_token --label strongroom \\\n"
    "      --pin-file /etc/strongroom/pin --so-pin-file /root/strongroom-so-pin";

constexpr int kUsage = 64;
constexpr int kFailed = 69;

struct Arguments {
  std::string module = "/usr/lib/softhsm/libsofthsm2.so";
  std::string label;
  std::string pin_file;
  std::string so_pin_file;
};

absl::Status Check(CK_RV rv, absl::string_view function) {
  if (rv == CKR_OK) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(function, ": ", p11_kit_strerror(rv)));
}

// PKCS#11 takes what it only reads as pointers to non-const.
unsigned char* Mutable(const SecretBytes& pin) {
  return const_cast<unsigned char*>(pin.ExposeSecret().data());
}

// A loaded and initialized module, until it is destroyed.
struct ModuleClose {
  void operator()(CK_FUNCTION_LIST* functions) const {
    p11_kit_module_finalize(functions);
    p11_kit_module_release(functions);
  }
};
using Module = std::unique_ptr<CK_FUNCTION_LIST, ModuleClose>;

absl::StatusOr<Module> LoadModule(const std::string& path) {
  CK_FUNCTION_LIST* functions = p11_kit_module_load(path.c_str(), P11_KIT_MODULE_UNMANAGED);
  if (functions == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("cannot load the PKCS#11 module ", path, ": ", p11_kit_message()));
  }
  const CK_RV rv = p11_kit_module_initialize(functions);
  if (rv != CKR_OK) {
    p11_kit_module_release(functions);
    return Check(rv, "C_Initialize");
  }
  return Module(functions);
}

std::string LabelOf(const CK_TOKEN_INFO& info) {
  return std::string(reinterpret_cast<const char*>(info.label),
                     p11_kit_space_strlen(info.label, sizeof(info.label)));
}

struct Slots {
  // The slot of the token with the label, and whether that has a user PIN.
  std::optional<CK_SLOT_ID> token;
  bool has_pin = false;
  // The first slot whose token is not initialized.
  std::optional<CK_SLOT_ID> free;
};

absl::StatusOr<Slots> FindSlots(const Module& module, const std::string& label) {
  CK_ULONG count = 0;
  absl::Status status = Check(module->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
  if (!status.ok()) return status;
  std::vector<CK_SLOT_ID> ids(count);
  status = Check(module->C_GetSlotList(CK_TRUE, ids.data(), &count), "C_GetSlotList");
  if (!status.ok()) return status;
  ids.resize(count);

  Slots slots;
  for (const CK_SLOT_ID id : ids) {
    CK_TOKEN_INFO info = {};
    status = Check(module->C_GetTokenInfo(id, &info), "C_GetTokenInfo");
    if (!status.ok()) return status;
    if ((info.flags & CKF_TOKEN_INITIALIZED) == 0) {
      if (!slots.free.has_value()) slots.free = id;
    } else if (LabelOf(info) == label) {
      if (slots.token.has_value()) {
        return absl::FailedPreconditionError(
            absl::StrCat("several tokens have the label \"", label, "\"; choose another"));
      }
      slots.token = id;
      slots.has_pin = (info.flags & CKF_USER_PIN_INITIALIZED) != 0;
    }
  }
  return slots;
}

absl::Status InitToken(const Module& module, CK_SLOT_ID slot, const std::string& label,
                       const SecretBytes& so_pin) {
  std::string padded = label;
  padded.resize(sizeof(CK_TOKEN_INFO::label), ' ');
  return Check(module->C_InitToken(slot, Mutable(so_pin), so_pin.size(),
                                   reinterpret_cast<unsigned char*>(padded.data())),
               "C_InitToken");
}

absl::Status InitPin(const Module& module, CK_SLOT_ID slot, const SecretBytes& so_pin,
                     const SecretBytes& pin) {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  absl::Status status = Check(
      module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
      "C_OpenSession");
  if (!status.ok()) return status;
  status = Check(module->C_Login(session, CKU_SO, Mutable(so_pin), so_pin.size()), "C_Login");
  if (status.ok()) {
    status = Check(module->C_InitPIN(session, Mutable(pin), pin.size()), "C_InitPIN");
  }
  module->C_CloseSession(session);
  return status;
}

// Returns whether there was anything to do.
absl::StatusOr<bool> MakeToken(const Arguments& arguments) {
  absl::StatusOr<SecretBytes> pin = ReadSecretFile(arguments.pin_file);
  if (!pin.ok()) return pin.status();
  absl::StatusOr<SecretBytes> so_pin = ReadSecretFile(arguments.so_pin_file);
  if (!so_pin.ok()) return so_pin.status();
  absl::StatusOr<Module> module = LoadModule(arguments.module);
  if (!module.ok()) return module.status();
  absl::StatusOr<Slots> slots = FindSlots(*module, arguments.label);
  if (!slots.ok()) return slots.status();

  if (slots->has_pin) return false;
  if (!slots->token.has_value()) {
    if (!slots->free.has_value()) {
      return absl::FailedPreconditionError("every slot of the module has a token already");
    }
    slots->token = slots->free;
    absl::Status status = InitToken(*module, *slots->token, arguments.label, *so_pin);
    if (!status.ok()) return status;
  }
  absl::Status status = InitPin(*module, *slots->token, *so_pin, *pin);
  if (!status.ok()) return status;
  return true;
}

int Main(int argc, char** argv) {
  HardenProcess();
  Arguments arguments;
  CLI::App app(kHelp, "init_token");
  app.footer(kExample);
  app.add_option("--module", arguments.module, "the PKCS#11 module")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_option("--label", arguments.label, "the token's label: 1 to 32 bytes")
      ->required()
      ->check([](const std::string& label) {
        return label.empty() || label.size() > sizeof(CK_TOKEN_INFO::label)
                   ? "has to be 1 to 32 bytes long"
                   : "";
      });
  app.add_option("--pin-file", arguments.pin_file, "holds the user PIN: mode 0600 or 0640")
      ->type_name("FILE")
      ->required();
  app.add_option("--so-pin-file", arguments.so_pin_file,
                 "holds the security officer's PIN, which strongroomd does not need")
      ->type_name("FILE")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : kUsage;
  }

  absl::StatusOr<bool> made = MakeToken(arguments);
  if (!made.ok()) {
    std::cerr << "init_token: " << made.status().message() << "\n";
    return kFailed;
  }
  std::cout << "token \"" << arguments.label << (*made ? "\" made\n" : "\" is there already\n");
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace strongroom

int main(int argc, char** argv) { return strongroom::Main(argc, argv); }
