#ifndef STRONGROOM_TESTS_TESTING_TEST_DIRECTORY_H_
#define STRONGROOM_TESTS_TESTING_TEST_DIRECTORY_H_

#include <string>

#include "absl/status/statusor.h"

namespace strongroom::testing {

// Makes a new, empty directory for one test under $TEST_TMPDIR, or under /tmp where a test is run
// by hand. Nobody removes it: Bazel empties $TEST_TMPDIR.
absl::StatusOr<std::string> MakeTestDirectory();

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_TEST_DIRECTORY_H_
