#include <CLI/CLI.hpp>

#include "client/command/cipher.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/command/options.h"

namespace strongroom::command {

void AddCipherCommands(const Grammar& grammar) {
  {
    auto [command, arguments] = grammar.Add(
        grammar.app(), "encrypt", "Seal up to 4,096 bytes of a file or of standard input",
        R"(  strongroom encrypt --key-id alias/orders --in secret.txt --ciphertext-out secret.blob
  pass show db | strongroom encrypt --key-id alias/orders --in - --ciphertext-out db.blob)",
        Encrypt);
    AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
    AddService(command, &arguments->service);
    command->add_option("--in", arguments->input, "the file to seal; - is standard input")
        ->type_name("FILE")
        ->required();
    AddContext(command, &arguments->binding);
    AddAad(command, &arguments->binding, " (instance)");
    AddAlgorithm(command, &arguments->algorithm);
    AddAuthority(command, &arguments->authority);
    AddCiphertextOut(command, &arguments->outputs);
    AddForce(command, &arguments->outputs);
  }
  {
    auto [command, arguments] =
        grammar.Add(grammar.app(), "decrypt", "Open a blob that any operation made",
                    R"(  strongroom decrypt --in k.blob --context order=42 --plaintext-out k.key
  strongroom decrypt --in k.blob --reveal-plaintext --output json | jq -r .plaintext | base64 -d)",
                    Decrypt);
    AddKeyId(command, &arguments->key_id,
             "the key that sealed; required by the instance service without --advance");
    AddService(command, &arguments->service);
    command->add_option("--in", arguments->input, "the blob's file; - is standard input")
        ->type_name("FILE")
        ->required();
    AddContext(command, &arguments->binding);
    AddAad(command, &arguments->binding, "");
    AddAlgorithm(command, &arguments->algorithm);
    command->add_option("--iv-hex", arguments->iv,
                        "the IV, to be compared with the blob's (instance)");
    AddAuthority(command, &arguments->authority);
    AddPlaintextOut(command, &arguments->outputs);
    AddForce(command, &arguments->outputs);
  }
  auto [command, arguments] =
      grammar.Add(grammar.app(), "random", "Get random bytes from the token",
                  "  strongroom random --bytes 32 --plaintext-out seed.bin", Random);
  command->add_option("--bytes", arguments->number_of_bytes, "how many: 1 to 1024")->required();
  AddService(command, &arguments->service, /*with_advance=*/false);
  AddPlaintextOut(command, &arguments->outputs);
  AddForce(command, &arguments->outputs);
}

}  // namespace strongroom::command
