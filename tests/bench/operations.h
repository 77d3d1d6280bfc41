#ifndef STRONGROOM_TESTS_BENCH_OPERATIONS_H_
#define STRONGROOM_TESTS_BENCH_OPERATIONS_H_

#include <string>
#include <vector>

#include "strongroom/v1/kms_service.pb.h"
#include "tests/bench/load.h"

namespace strongroom::bench {

// A data key of 32 bytes.
Call GenerateDataKeyCall(const std::string& key_id);
Call BatchGenerateDataKeyCall(const std::string& key_id, int count);
Call GenerateDataKeyPairCall(const std::string& key_id, v1::DataKeyPairSpec spec);
// Of a data key that the server just made.
Call DecryptCall(const Target& target, const std::string& key_id);

struct Operation {
  // "GenerateDataKey", or "KmsInstanceService.GenerateDataKey" for that of the other service.
  std::string name;
  Call call;
};
// All that make or open data keys, of both services; of pairs, on P-256.
std::vector<Operation> DataKeyOperations(const Target& target, const std::string& key_id);

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_OPERATIONS_H_
