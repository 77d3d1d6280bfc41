#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "client/command/data_key.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/command/options.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

void AddDataKeyOptions(CLI::App* command, DataKeyArguments* arguments) {
  AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
  AddService(command, &arguments->service);
  command->add_option("--bytes", arguments->number_of_bytes,
                      "length, 1 to 1024; prevails over --key-spec [32]");
  command->add_option("--key-spec", arguments->key_spec,
                      absl::StrCat("length by name: ", SpecNames<DataKeySpec>(), " (classic)"));
  AddContext(command, &arguments->binding);
  AddAad(command, &arguments->binding, " (instance)");
  AddAlgorithm(command, &arguments->algorithm);
  AddAuthority(command, &arguments->authority);
  AddCiphertextOut(command, &arguments->outputs);
}

void AddDataKeyPairOptions(CLI::App* command, DataKeyPairArguments* arguments) {
  AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
  AddService(command, &arguments->service);
  command
      ->add_option("--spec", arguments->key_pair_spec, absl::StrCat(SpecNames<DataKeyPairSpec>()))
      ->required();
  command->add_option("--format", arguments->key_format, "PEM or DER")->capture_default_str();
  AddContext(command, &arguments->binding);
  AddAad(command, &arguments->binding, " (instance)");
  AddAlgorithm(command, &arguments->algorithm);
  AddAuthority(command, &arguments->authority);
  AddCiphertextOut(command, &arguments->outputs);
  AddPublicKeyOut(command, &arguments->outputs);
}

}  // namespace

void AddDataKeyCommands(const Grammar& grammar) {
  CLI::App* group =
      grammar.AddGroup("data-key", "Data keys, sealed under a master key",
                       R"(  strongroom data-key generate --key-id alias/orders --plaintext-out k.key
  strongroom data-key generate-without-plaintext --key-id alias/orders --ciphertext-out k.blob)");
  {
    auto [command, arguments] =
        grammar.Add(group, "generate", "Generate a data key: in the clear and sealed",
                    R"(  strongroom data-key generate --key-id alias/orders --context order=42 \
      --ciphertext-out k.blob --plaintext-out k.key
  strongroom data-key generate --key-id alias/orders --service instance --advance --bytes 64 \
      --aad-file row.id --ciphertext-out k.blob --plaintext-out k.key --output json)",
                    GenerateDataKey);
    AddDataKeyOptions(command, arguments);
    AddPlaintextOut(command, &arguments->outputs);
    AddForce(command, &arguments->outputs);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "generate-without-plaintext",
                    "Generate a data key inside the token: sealed only (classic)",
                    R"(  strongroom data-key generate-without-plaintext --key-id alias/orders \
      --key-spec AES_128 --ciphertext-out k.blob)",
                    GenerateDataKeyWithoutPlaintext);
    AddDataKeyOptions(command, arguments);
    AddForce(command, &arguments->outputs);
  }
}

void AddDataKeyPairCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup(
      "data-key-pair", "Data key pairs, the private key sealed under a master key",
      R"(  strongroom data-key-pair generate --key-id alias/orders --spec EC_P256 --format PEM \
      --ciphertext-out k.blob --public-key-out k.pub)");
  {
    auto [command, arguments] = grammar.Add(
        group, "generate",
        "Generate a pair; the instance service returns the private key in the clear too",
        R"(  strongroom data-key-pair generate --key-id alias/orders --spec RSA_2048 \
      --ciphertext-out k.blob --public-key-out k.pub
  strongroom data-key-pair generate --key-id alias/orders --spec EC_P256 --format PEM \
      --service instance --advance --ciphertext-out k.blob --private-key-out k.pem)",
        GenerateDataKeyPair);
    AddDataKeyPairOptions(command, arguments);
    AddPlaintextOut(command, &arguments->outputs);
    AddForce(command, &arguments->outputs);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "generate-without-plaintext",
                    "Generate a pair; the private key is returned sealed only",
                    R"(  strongroom data-key-pair generate-without-plaintext --key-id alias/orders \
      --spec EC_P384 --ciphertext-out k.blob --public-key-out k.pub)",
                    GenerateDataKeyPairWithoutPlaintext);
    AddDataKeyPairOptions(command, arguments);
    AddForce(command, &arguments->outputs);
  }
}

}  // namespace strongroom::command
