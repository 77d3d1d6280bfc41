#include "server/grpc/wipe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "strongroom/instance/v1/messages.pb.h"
#include "strongroom/v1/kms_service.pb.h"

namespace strongroom::grpc_server {
namespace {

constexpr char kSecret[] = "a key that must not stay in memory";

// The memory of a field, which wiping empties but does not give back.
class Watched {
 public:
  explicit Watched(std::string* field) : field_(field) { *field = kSecret; }
  bool wiped() const {
    return field_->empty() && std::string(field_->data(), sizeof(kSecret) - 1) ==
                                  std::string(sizeof(kSecret) - 1, '\0');
  }

 private:
  std::string* field_;
};

TEST(WipeSecretsTest, SecretFieldsAreOverwrittenAndOthersAreNot) {
  v1::GenerateDataKeyResponse answer;
  const Watched plaintext(answer.mutable_plaintext());
  answer.set_ciphertext_blob("blob");
  EXPECT_FALSE(plaintext.wiped());
  WipeSecrets(answer);
  EXPECT_TRUE(plaintext.wiped());
  EXPECT_EQ(answer.ciphertext_blob(), "blob");
}

TEST(WipeSecretsTest, EveryKindOfSecretIsOverwritten) {
  v1::DeriveSharedSecretResponse derived;
  const Watched shared_secret(derived.mutable_shared_secret());
  WipeSecrets(derived);
  EXPECT_TRUE(shared_secret.wiped());
  instance::v1::GenerateDataKeyPairResponse pair;
  const Watched private_key(pair.mutable_privatekeyplaintext());
  WipeSecrets(pair);
  EXPECT_TRUE(private_key.wiped());
  instance::v1::GenerateRandomResponse drawn;
  const Watched random(drawn.mutable_random());
  WipeSecrets(drawn);
  EXPECT_TRUE(random.wiped());
}

TEST(WipeSecretsTest, DataKeysOfABatchAreOverwrittenAndFailuresStayThose) {
  v1::BatchGenerateDataKeyResponse answer;
  std::vector<Watched> keys;
  for (int i = 0; i < 3; ++i) {
    v1::BatchDataKey& key = *answer.add_outcomes()->mutable_data_key();
    keys.emplace_back(key.mutable_plaintext());
    key.set_ciphertext_blob("blob");
  }
  answer.add_outcomes()->mutable_error()->set_reason("Rejected.Unavailable");
  WipeSecrets(answer);
  for (const Watched& key : keys) EXPECT_TRUE(key.wiped());
  EXPECT_EQ(answer.outcomes(0).data_key().ciphertext_blob(), "blob");
  EXPECT_EQ(answer.outcomes(3).error().reason(), "Rejected.Unavailable");
}

}  // namespace
}  // namespace strongroom::grpc_server
