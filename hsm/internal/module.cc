#include "hsm/internal/module.h"

#include <dlfcn.h>
#include <p11-kit/uri.h>
#include <pthread.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "hsm/internal/ck_error.h"

namespace strongroom::hsm::internal {
namespace {

// Mutexes for a module that computes in this process. It holds them for a microsecond, many times a
// call; a thread that waits spins that long before it goes to sleep, for to be woken up takes
// longer.
CK_RV CreateMutex(void** mutex) {
  auto created = std::make_unique<pthread_mutex_t>();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
  const int error = pthread_mutex_init(created.get(), &attributes);
  pthread_mutexattr_destroy(&attributes);
  if (error != 0) return CKR_HOST_MEMORY;
  *mutex = created.release();
  return CKR_OK;
}

CK_RV DestroyMutex(void* mutex) {
  const std::unique_ptr<pthread_mutex_t> owned(static_cast<pthread_mutex_t*>(mutex));
  return pthread_mutex_destroy(owned.get()) == 0 ? CKR_OK : CKR_MUTEX_BAD;
}

CK_RV LockMutex(void* mutex) {
  return pthread_mutex_lock(static_cast<pthread_mutex_t*>(mutex)) == 0 ? CKR_OK : CKR_MUTEX_BAD;
}

CK_RV UnlockMutex(void* mutex) {
  return pthread_mutex_unlock(static_cast<pthread_mutex_t*>(mutex)) == 0 ? CKR_OK
                                                                         : CKR_MUTEX_NOT_LOCKED;
}

struct UriFree {
  void operator()(P11KitUri* uri) const { p11_kit_uri_free(uri); }
};
using Uri = std::unique_ptr<P11KitUri, UriFree>;

absl::StatusOr<Uri> ParseUri(const std::string& text) {
  Uri uri(p11_kit_uri_new());
  const int result = p11_kit_uri_parse(
      text.c_str(), static_cast<P11KitUriType>(P11_KIT_URI_FOR_TOKEN | P11_KIT_URI_FOR_SLOT),
      uri.get());
  // The text is not repeated: it might hold a PIN.
  if (result != P11_KIT_URI_OK) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token's URI is not an RFC 7512 token URI (", p11_kit_uri_message(result),
                     "); a right one is pkcs11:token=LABEL or pkcs11:token=LABEL;serial=SERIAL"));
  }
  if (p11_kit_uri_any_unrecognized(uri.get())) {
    return absl::InvalidArgumentError(
        "the token's URI has an attribute that RFC 7512 does not name");
  }
  if (p11_kit_uri_get_pin_value(uri.get()) != nullptr) {
    return absl::InvalidArgumentError(
        "the token's URI holds a PIN; put the PIN into a file and name the file instead");
  }
  return uri;
}

std::string Describe(const CK_TOKEN_INFO& info) {
  return absl::StrCat("\"", PaddedText(info.label, sizeof(info.label)), "\" (serial ",
                      PaddedText(info.serialNumber, sizeof(info.serialNumber)), ")");
}

}  // namespace

std::string PaddedText(const unsigned char* text, size_t size) {
  const absl::string_view view(reinterpret_cast<const char*>(text), size);
  return std::string(absl::StripTrailingAsciiWhitespace(view.substr(0, view.find('\0'))));
}

absl::StatusOr<std::unique_ptr<Module>> Module::Load(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot load the PKCS#11 module: ", dlerror()));
  }
  const auto get_functions =
      reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get_functions == nullptr || get_functions(&functions) != CKR_OK || functions == nullptr) {
    dlclose(library);
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a PKCS#11 module: it has no C_GetFunctionList"));
  }
  // With both, a module may use either (PKCS#11 v2.40, 5.4); SoftHSM uses what it is given.
  CK_C_INITIALIZE_ARGS args = {};
  args.flags = CKF_OS_LOCKING_OK;
  args.CreateMutex = &CreateMutex;
  args.DestroyMutex = &DestroyMutex;
  args.LockMutex = &LockMutex;
  args.UnlockMutex = &UnlockMutex;
  if (absl::Status status = CkStatus(functions->C_Initialize(&args), "C_Initialize");
      !status.ok()) {
    dlclose(library);
    return Prefixed(
        "the module does not start; is its own configuration there and right (for SoftHSM, the "
        "file "
        "that SOFTHSM2_CONF names, and the token folder in it)? ",
        status);
  }
  return std::unique_ptr<Module>(new Module(library, functions));
}

Module::~Module() {
  functions_->C_Finalize(nullptr);
  dlclose(library_);
}

absl::StatusOr<CK_TOKEN_INFO> Module::GetTokenInfo(CK_SLOT_ID slot) const {
  CK_TOKEN_INFO info = {};
  absl::Status status = CkStatus(functions_->C_GetTokenInfo(slot, &info), "C_GetTokenInfo");
  if (!status.ok()) return status;
  return info;
}

absl::StatusOr<CK_SLOT_ID> Module::FindToken(const std::string& token) const {
  Uri uri;
  // A URI's scheme is the same in capitals (RFC 3986, section 3.1). To take one for a label would
  // repeat a PIN in it.
  if (absl::StartsWithIgnoreCase(token, "pkcs11:")) {
    absl::StatusOr<Uri> parsed = ParseUri(token);
    if (!parsed.ok()) return parsed.status();
    uri = *std::move(parsed);
  }
  CK_ULONG count = 0;
  absl::Status status =
      CkStatus(functions_->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
  if (!status.ok()) return status;
  std::vector<CK_SLOT_ID> slots(count);
  status = CkStatus(functions_->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
  if (!status.ok()) return status;
  slots.resize(count);

  std::vector<CK_SLOT_ID> matching;
  std::vector<std::string> present;
  for (CK_SLOT_ID slot : slots) {
    absl::StatusOr<CK_TOKEN_INFO> info = GetTokenInfo(slot);
    if (!info.ok() || (info->flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    present.push_back(Describe(*info));
    bool matches;
    if (uri != nullptr) {
      const CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri.get());
      matches = p11_kit_uri_match_token_info(uri.get(), &*info) != 0 &&
                (wanted == static_cast<CK_SLOT_ID>(-1) || wanted == slot);
    } else {
      matches = PaddedText(info->label, sizeof(info->label)) == token;
    }
    if (matches) matching.push_back(slot);
  }
  const std::string listed = present.empty()
                                 ? std::string("the module shows no initialized token")
                                 : absl::StrCat("the module shows ", absl::StrJoin(present, ", "));
  if (matching.empty()) {
    return absl::NotFoundError(absl::StrCat("no token matches ", token, "; ", listed));
  }
  if (matching.size() > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "several tokens match ", token, "; name the serial in a pkcs11: URI; ", listed));
  }
  return matching.front();
}

bool Module::HasMechanism(CK_SLOT_ID slot, CK_MECHANISM_TYPE mechanism, CK_FLAGS flags) const {
  CK_ULONG count = 0;
  if (functions_->C_GetMechanismList(slot, nullptr, &count) != CKR_OK) return false;
  std::vector<CK_MECHANISM_TYPE> listed(count);
  if (functions_->C_GetMechanismList(slot, listed.data(), &count) != CKR_OK) return false;
  listed.resize(count);
  if (std::find(listed.begin(), listed.end(), mechanism) == listed.end()) return false;
  CK_MECHANISM_INFO info = {};
  return functions_->C_GetMechanismInfo(slot, mechanism, &info) == CKR_OK &&
         (info.flags & flags) == flags;
}

}  // namespace strongroom::hsm::internal
