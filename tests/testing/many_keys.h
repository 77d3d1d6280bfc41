#ifndef STRONGROOM_TESTS_TESTING_MANY_KEYS_H_
#define STRONGROOM_TESTS_TESTING_MANY_KEYS_H_

#include <string>

#include "absl/status/status.h"

namespace strongroom::testing {

// Adds `keys` keys to the store in a file, each with one committed version, as CreateKey leaves
// them there; a token has nothing of them. A hundred thousand take some seconds, which no token
// could do. The store was made by a server (or SqliteStore::Open) and nobody has it open.
absl::Status AddSyntheticKeys(const std::string& database_path, int keys);

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_MANY_KEYS_H_
