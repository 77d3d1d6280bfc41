#include "tests/bench/operations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "strongroom/instance/v1/messages.pb.h"

namespace strongroom::bench {
namespace {

constexpr size_t kKeyBytes = 32;

template <typename Response, typename Request>
Call MakeCall(const std::string& service, const std::string& method, const Request& request,
              bool (*is_right)(const Response&)) {
  return {absl::StrCat("/strongroom.v1.", service, "/", method), request.SerializeAsString(),
          [is_right](const std::string& answer) {
            Response response;
            return response.ParseFromString(answer) && is_right(response);
          }};
}

}  // namespace

Call GenerateDataKeyCall(const std::string& key_id) {
  v1::GenerateDataKeyRequest request;
  request.set_key_id(key_id);
  return MakeCall<v1::GenerateDataKeyResponse>(
      "KmsService", "GenerateDataKey", request, +[](const v1::GenerateDataKeyResponse& response) {
        return response.plaintext().size() == kKeyBytes && !response.ciphertext_blob().empty();
      });
}

Call BatchGenerateDataKeyCall(const std::string& key_id, int count) {
  v1::BatchGenerateDataKeyRequest request;
  request.set_key_id(key_id);
  request.set_count(count);
  return {"/strongroom.v1.KmsService/BatchGenerateDataKey", request.SerializeAsString(),
          [count](const std::string& answer) {
            v1::BatchGenerateDataKeyResponse response;
            const auto is_right = [](const v1::BatchDataKeyOutcome& outcome) {
              return outcome.data_key().plaintext().size() == kKeyBytes &&
                     !outcome.data_key().ciphertext_blob().empty();
            };
            return response.ParseFromString(answer) && response.outcomes_size() == count &&
                   std::all_of(response.outcomes().begin(), response.outcomes().end(), is_right);
          }};
}

Call GenerateDataKeyPairCall(const std::string& key_id, v1::DataKeyPairSpec spec) {
  v1::GenerateDataKeyPairRequest request;
  request.set_key_id(key_id);
  request.set_key_pair_spec(spec);
  return MakeCall<v1::GenerateDataKeyPairResponse>(
      "KmsService", "GenerateDataKeyPair", request,
      +[](const v1::GenerateDataKeyPairResponse& response) {
        return !response.public_key().empty() && !response.private_key_ciphertext_blob().empty();
      });
}

Call DecryptCall(const Target& target, const std::string& key_id) {
  v1::GenerateDataKeyResponse made;
  made.ParseFromString(CallOnce(target, GenerateDataKeyCall(key_id)));
  v1::DecryptRequest request;
  request.set_ciphertext_blob(made.ciphertext_blob());
  Call call = {"/strongroom.v1.KmsService/Decrypt", request.SerializeAsString(),
               [plaintext = made.plaintext()](const std::string& answer) {
                 v1::DecryptResponse response;
                 return response.ParseFromString(answer) && response.plaintext() == plaintext;
               }};
  return call;
}

std::vector<Operation> DataKeyOperations(const Target& target, const std::string& key_id) {
  std::vector<Operation> operations;
  operations.push_back({"GenerateDataKey", GenerateDataKeyCall(key_id)});

  v1::GenerateDataKeyWithoutPlaintextRequest without_plaintext;
  without_plaintext.set_key_id(key_id);
  operations.push_back({"GenerateDataKeyWithoutPlaintext",
                        MakeCall<v1::GenerateDataKeyWithoutPlaintextResponse>(
                            "KmsService", "GenerateDataKeyWithoutPlaintext", without_plaintext,
                            +[](const v1::GenerateDataKeyWithoutPlaintextResponse& response) {
                              return !response.ciphertext_blob().empty();
                            })});

  v1::EncryptRequest encrypt;
  encrypt.set_key_id(key_id);
  encrypt.set_plaintext(std::string(kKeyBytes, 'p'));
  operations.push_back(
      {"Encrypt", MakeCall<v1::EncryptResponse>(
                      "KmsService", "Encrypt", encrypt, +[](const v1::EncryptResponse& response) {
                        return !response.ciphertext_blob().empty();
                      })});

  operations.push_back({"Decrypt", DecryptCall(target, key_id)});
  operations.push_back(
      {"GenerateDataKeyPair", GenerateDataKeyPairCall(key_id, v1::DATA_KEY_PAIR_SPEC_EC_P256)});

  instance::v1::GenerateDataKeyRequest instance_key;
  instance_key.set_keyid(key_id);
  operations.push_back({"KmsInstanceService.GenerateDataKey",
                        MakeCall<instance::v1::GenerateDataKeyResponse>(
                            "KmsInstanceService", "GenerateDataKey", instance_key,
                            +[](const instance::v1::GenerateDataKeyResponse& response) {
                              return response.plaintext().size() == kKeyBytes;
                            })});

  instance::v1::AdvanceGenerateDataKeyRequest advance_key;
  advance_key.set_keyid(key_id);
  Call advance = MakeCall<instance::v1::AdvanceGenerateDataKeyResponse>(
      "KmsInstanceService", "AdvanceGenerateDataKey", advance_key,
      +[](const instance::v1::AdvanceGenerateDataKeyResponse& response) {
        return response.plaintext().size() == kKeyBytes;
      });

  instance::v1::AdvanceGenerateDataKeyResponse made;
  made.ParseFromString(CallOnce(target, advance));
  operations.push_back({"AdvanceGenerateDataKey", std::move(advance)});

  instance::v1::AdvanceDecryptRequest advance_decrypt;
  advance_decrypt.set_ciphertextblob(made.ciphertextblob());
  operations.push_back(
      {"AdvanceDecrypt",
       {"/strongroom.v1.KmsInstanceService/AdvanceDecrypt", advance_decrypt.SerializeAsString(),
        [plaintext = made.plaintext()](const std::string& answer) {
          instance::v1::AdvanceDecryptResponse response;
          return response.ParseFromString(answer) && response.plaintext() == plaintext;
        }}});
  return operations;
}

}  // namespace strongroom::bench
