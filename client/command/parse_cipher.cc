#include <CLI/CLI.hpp>

#include "client/command/cipher.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/command/options.h"
#include "client/command/reencrypt.h"

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
  {
    auto [command, arguments] = grammar.Add(
        grammar.app(), "reencrypt",
        "Seal the blobs in files again: under another key, the newest version of theirs, or "
        "another context",
        R"(  strongroom reencrypt --destination-key-id alias/orders --context order=42 k.blob
  strongroom reencrypt --destination-key-id alias/orders --recursive blobs/ --dry-run
  strongroom reencrypt --destination-key-id alias/new --out-dir new/ old/*.blob
Each file is one blob, and rewritten in one step: it is either old or new, also after an
interruption. Files of which it fails stay as they were and are listed; run it again for them.)",
        ReEncrypt);
    command
        ->add_option("--destination-key-id", arguments->destination_key_id,
                     "the key to seal under, with its newest version: id, alias/NAME or ARN")
        ->required();
    command->add_option("--source-key-id", arguments->source_key_id,
                        "the key that sealed, to be compared with the blobs'");
    AddRepeatable(command, "--context", &arguments->binding.context, "KEY=VALUE",
                  "of the encryption context of both the old blobs and the new ones; repeatable");
    AddRepeatable(command, "--source-context", &arguments->source_context, "KEY=VALUE",
                  "of the old blobs' only; repeatable");
    AddRepeatable(command, "--destination-context", &arguments->destination_context, "KEY=VALUE",
                  "of the new blobs' only, which without it have none then; repeatable");
    AddAad(command, &arguments->binding, " of the old blobs; the new ones have none");
    AddAuthority(command, &arguments->authority);
    AddRepeatable(command, "--recursive", &arguments->folders, "DIR",
                  "all regular files in this folder and below; repeatable");
    command
        ->add_option("--out-dir", arguments->out_folder,
                     "write the new blobs into this folder, and leave the files as they are")
        ->type_name("DIR");
    command->add_flag("--force", arguments->force, "replace files that are there, in --out-dir");
    command->add_option("--parallel", arguments->parallel, "how many at a time: 1 to 64")
        ->capture_default_str();
    command->add_option("FILE", arguments->files, "a file with one blob");
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
