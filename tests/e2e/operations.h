#ifndef STRONGROOM_TESTS_E2E_OPERATIONS_H_
#define STRONGROOM_TESTS_E2E_OPERATIONS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "strongroom/v1/key_management_service.grpc.pb.h"
#include "strongroom/v1/kms_instance_service.grpc.pb.h"
#include "strongroom/v1/kms_service.grpc.pb.h"

namespace strongroom::e2e {

// The stubs of all services, on a connection of their own. Every call has a deadline.
struct Stubs {
  explicit Stubs(const std::string& target);

  std::unique_ptr<v1::KmsService::Stub> kms;
  std::unique_ptr<v1::KmsInstanceService::Stub> instance;
  std::unique_ptr<v1::KeyManagementService::Stub> keys;
};

// What a blob is bound to: one of them at most.
struct Bound {
  std::map<std::string, std::string> context;
  std::string aad;
};

// What sealing answered. The ids are those in the blob, which the answer's are checked against.
struct Sealed {
  std::string blob;
  std::string key_id;
  std::string key_version_id;
  // Not from the operations that do not return it.
  std::optional<std::string> plaintext;
  // From those that make pairs: X.509 SubjectPublicKeyInfo, DER.
  std::string public_key;
};

// An operation that seals, in the one form that all of them have here. Pairs are EC_P256, DER.
struct SealingOperation {
  const char* name;
  bool takes_context;
  bool makes_pair;
  // Whether the primary version seals, rather than the initial one.
  bool primary;
  grpc::Status (*seal)(Stubs& stubs, const std::string& key, const Bound& bound, Sealed& sealed);
};

// All of both services.
const std::vector<SealingOperation>& SealingOperations();

// An operation that opens. Gives the content, and checks that the answer names the blob's key.
struct OpeningOperation {
  const char* name;
  bool takes_context;
  grpc::Status (*open)(Stubs& stubs, const Sealed& sealed, const Bound& bound,
                       std::string& content);
};

const std::vector<OpeningOperation>& OpeningOperations();

// The reason in an error's google.rpc.ErrorInfo, e.g. "Rejected.Disabled"; of an error without one
// what there is, in parentheses.
std::string ReasonOf(const grpc::Status& error);

// Whether a private key (PKCS#8, DER) is that of a public key (SubjectPublicKeyInfo, DER).
bool Match(const std::string& private_key, const std::string& public_key);

}  // namespace strongroom::e2e

#endif  // STRONGROOM_TESTS_E2E_OPERATIONS_H_
