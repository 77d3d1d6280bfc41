#ifndef STRONGROOM_TESTS_TESTING_ALL_KEY_VERSIONS_H_
#define STRONGROOM_TESTS_TESTING_ALL_KEY_VERSIONS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/store.h"

namespace strongroom::testing {

// What Store::VisitKeyVersions shows, in the order in which it does.
inline absl::StatusOr<std::vector<store::KeyVersionRecord>> AllKeyVersions(store::Store& store) {
  std::vector<store::KeyVersionRecord> versions;
  absl::Status status = store.VisitKeyVersions(
      [&](const store::VersionOfKey& version) { versions.push_back(version.version); });
  if (!status.ok()) return status;
  return versions;
}

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_ALL_KEY_VERSIONS_H_
