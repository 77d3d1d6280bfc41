#include "tests/testing/test_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace strongroom::testing {

absl::StatusOr<std::string> MakeTestDirectory() {
  const char* base = getenv("TEST_TMPDIR");
  std::string path = absl::StrCat(base != nullptr ? base : "/tmp", "/strongroom.XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make ", path, ": ", strerror(errno)));
  }
  return path;
}

}  // namespace strongroom::testing
