#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "client/command/data_key.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/command/options.h"
#include "client/command/private_key.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

template <typename Arguments>
void AddDataKeyLength(CLI::App* command, Arguments* arguments) {
  command->add_option("--bytes", arguments->number_of_bytes,
                      "length, 1 to 1024; prevails over --key-spec [32]");
  command->add_option("--key-spec", arguments->key_spec,
                      absl::StrCat("length by name: ", SpecNames<DataKeySpec>(), " (classic)"));
}

void AddDataKeyOptions(CLI::App* command, DataKeyArguments* arguments) {
  AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
  AddService(command, &arguments->service);
  AddDataKeyLength(command, arguments);
  AddContext(command, &arguments->binding);
  AddAad(command, &arguments->binding, " (instance)");
  AddAlgorithm(command, &arguments->algorithm);
  AddAuthority(command, &arguments->authority);
  AddCiphertextOut(command, &arguments->outputs);
}

void AddDataKeyBatchOptions(CLI::App* command, DataKeyBatchArguments* arguments) {
  AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
  command->add_option("--count", arguments->count, "how many, 1 to 1000")->required();
  AddDataKeyLength(command, arguments);
  command->add_flag("--without-plaintext", arguments->without_plaintext,
                    "generate them inside the token: sealed only");
  AddContext(command, &arguments->binding);
  AddAuthority(command, &arguments->authority);
  command
      ->add_option("--ciphertext-out-dir", arguments->ciphertext_folder,
                   "write the blobs to this folder, which is there: 0001.blob, ...")
      ->type_name("FOLDER")
      ->required();
  command
      ->add_option(
          "--plaintext-out-dir", arguments->plaintext_folder,
          "write the keys in the clear to this folder, for their owner only: 0001.key, ...")
      ->type_name("FOLDER");
  command->add_flag("--force", arguments->force, "replace files that exist");
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

// What all uses of a private key have.
void AddPrivateKeyOptions(CLI::App* command, PrivateKeyArguments* arguments) {
  AddFile(command, "--private-key-blob", &arguments->blob_file,
          "the sealed private key, as `data-key-pair generate` wrote it to --ciphertext-out; - is "
          "standard input")
      ->required();
  AddKeyId(command, &arguments->key_id, "the key that sealed it, to be compared with the blob's");
  AddContext(command, &arguments->binding);
  AddAad(command, &arguments->binding, "");
  AddAuthority(command, &arguments->authority);
  AddForce(command, &arguments->outputs);
}

void AddPrivateKeyCommands(const Grammar& grammar, CLI::App* group) {
  {
    auto [command, arguments] =
        grammar.Add(group, "sign", "Sign with a pair's private key, inside the token (classic)",
                    R"(  strongroom data-key-pair sign --private-key-blob k.blob --in message \
      --algorithm RSASSA_PSS_SHA_256 --signature-out message.sig
  strongroom data-key-pair sign --private-key-blob k.blob --digest-in message.sha256 \
      --algorithm ECDSA_SHA_256 --format fixed --output json)",
                    Sign);
    AddPrivateKeyOptions(command, arguments);
    AddFile(command, "--in", &arguments->input,
            "the message, at most 4,096 bytes; - is standard input");
    AddFile(command, "--digest-in", &arguments->digest,
            "in place of --in: its digest, as it is; - is standard input");
    command
        ->add_option("--algorithm", arguments->algorithm,
                     absl::StrCat("must fit the pair: ", SpecNames<SigningAlgorithm>()))
        ->required();
    command->add_option("--format", arguments->format,
                        "of an ECDSA signature: der, or fixed (r and s, as in JWS) [der]");
    AddFile(command, "--signature-out", &arguments->outputs.signature_file,
            "write the signature to this file");
  }
  {
    auto [command, arguments] = grammar.Add(
        group, "decrypt", "Decrypt with an RSA pair's private key, inside the token (classic)",
        R"(  strongroom data-key-pair decrypt --private-key-blob k.blob --in ciphertext \
      --algorithm RSAES_OAEP_SHA_256 --plaintext-out plaintext)",
        DecryptWithPair);
    AddPrivateKeyOptions(command, arguments);
    AddFile(command, "--in", &arguments->input,
            "what was encrypted with the public key; - is standard input")
        ->required();
    command
        ->add_option("--algorithm", arguments->algorithm,
                     SpecNames<AsymmetricDecryptionAlgorithm>())
        ->required();
    AddPlaintextOut(command, &arguments->outputs, "--plaintext-out");
  }
  {
    auto [command, arguments] = grammar.Add(
        group, "derive",
        "Agree on a secret (ECDH) with a curve pair's private key, inside the token (classic)",
        R"(  strongroom data-key-pair derive --private-key-blob k.blob --public-key-in their.pub \
      --shared-secret-out secret)",
        DeriveSecret);
    AddPrivateKeyOptions(command, arguments);
    AddFile(command, "--public-key-in", &arguments->input,
            "the other side's public key, of the same curve, DER or PEM; - is standard input")
        ->required();
    AddPlaintextOut(command, &arguments->outputs, "--plaintext-out,--shared-secret-out");
  }
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
  {
    auto [command, arguments] = grammar.Add(
        group, "batch", "Generate up to 1000 data keys in one call (classic)",
        R"(  strongroom data-key batch --key-id alias/orders --count 1000 --context order=42 \
      --ciphertext-out-dir blobs --plaintext-out-dir keys
  strongroom data-key batch --key-id alias/orders --count 8 --without-plaintext \
      --ciphertext-out-dir blobs)",
        GenerateDataKeyBatch);
    AddDataKeyBatchOptions(command, arguments);
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
  AddPrivateKeyCommands(grammar, group);
}

}  // namespace strongroom::command
