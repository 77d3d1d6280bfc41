#ifndef STRONGROOM_TESTS_TESTING_WRAPPED_MATERIAL_H_
#define STRONGROOM_TESTS_TESTING_WRAPPED_MATERIAL_H_

#include <string>

#include "hsm/token.h"

namespace strongroom::testing {

// Key material wrapped as a caller wraps it, under a SubjectPublicKeyInfo (DER): with OpenSSL, not
// with code of ours. What cannot fail in a test fails the test.
std::string WrapMaterial(const std::string& public_key, hsm::ImportAlgorithm algorithm,
                         const std::string& material);

}  // namespace strongroom::testing

#endif  // STRONGROOM_TESTS_TESTING_WRAPPED_MATERIAL_H_
