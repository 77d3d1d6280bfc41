#include "tests/testing/fault_module.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/testing/test_directory.h"

namespace strongroom::testing {

std::string FaultModule::Path() {
  const char* runfiles = getenv("TEST_SRCDIR");
  return absl::StrCat(runfiles != nullptr ? runfiles : ".",
                      "/strongroom/tests/testing/libfault_module.so");
}

absl::StatusOr<FaultModule> FaultModule::Load() {
  // Never unloaded, so that its state outlasts the tokens that are opened and closed through it.
  void* library = dlopen(Path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::NotFoundError(dlerror());
  const auto get = reinterpret_cast<GetFaultControl>(dlsym(library, kFaultControlSymbol));
  if (get == nullptr) return absl::NotFoundError(dlerror());
  FaultModule module(get());
  module.Reset();
  return module;
}

absl::Status FaultModule::Apply(absl::string_view directive) {
  const std::string wrong = control_->Apply(std::string(directive));
  if (wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(directive, ": ", wrong));
}

uint64_t FaultModule::Calls(const std::string& function) const {
  const std::map<std::string, uint64_t> calls = control_->Calls();
  const auto found = calls.find(function);
  return found != calls.end() ? found->second : 0;
}

absl::StatusOr<HoldPoint> HoldPoint::Create() {
  absl::StatusOr<std::string> directory = MakeTestDirectory();
  if (!directory.ok()) return directory.status();
  std::string path = absl::StrCat(*directory, "/hold");
  if (mkfifo(path.c_str(), 0600) != 0) {
    return absl::InternalError(absl::StrCat("cannot make ", path, ": ", strerror(errno)));
  }
  return HoldPoint(std::move(path));
}

HoldPoint::HoldPoint(HoldPoint&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {
  other.path_.clear();
}

HoldPoint::~HoldPoint() {
  if (path_.empty()) return;
  // A call may have come that nobody waited for.
  if (fd_ < 0) fd_ = open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  Release();
}

absl::Status HoldPoint::WaitUntilHeld() {
  // Opening a FIFO waits for the other side: the call, which opens it to read and reads to its end.
  fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd_ >= 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot open ", path_, ": ", strerror(errno)));
}

void HoldPoint::Release() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

}  // namespace strongroom::testing
