#include "client/command/options.h"

#include "absl/strings/str_cat.h"

namespace strongroom::command {

CLI::Option* AddKeyId(CLI::App* command, std::string* key_id, const char* text) {
  return command->add_option("--key-id,--key", *key_id, text);
}

void AddKeyPosition(CLI::App* command, std::string* key_id) {
  command->add_option("KEY", *key_id, "id, alias/NAME, or an ARN that ends in either")->required();
}

void AddPage(CLI::App* command, PageRequest* page) {
  command->add_option("--page-size", page->page_size,
                      "only one page, of so many items [all pages]");
  command->add_option("--page-token", page->page_token,
                      "only one page, the one after the page that gave this token");
}

void AddService(CLI::App* command, ServiceChoice* service, bool with_advance) {
  command->add_option_function<std::string>(
      "--service",
      [service](const std::string& name) {
        if (name != "classic" && name != "instance") {
          throw CLI::ValidationError("--service", "takes classic or instance, not " + name);
        }
        service->service = name;
      },
      "classic (KmsService) or instance (KmsInstanceService) [classic]");
  if (!with_advance) return;
  command->add_flag("--advance", service->advance,
                    "the Advance operation of the instance service: the key's primary version "
                    "rather than its initial one");
}

CLI::Option* AddRepeatable(CLI::App* command, const char* flag, std::vector<std::string>* values,
                           const char* type, const std::string& text) {
  return command->add_option(flag, *values, text)->type_name(type)->allow_extra_args(false);
}

void AddContext(CLI::App* command, Binding* binding) {
  AddRepeatable(command, "--context", &binding->context, "KEY=VALUE",
                "of the encryption context, split at the first '='; repeatable (classic)");
}

void AddGrantTokens(CLI::App* command, std::vector<std::string>* files) {
  AddRepeatable(command, "--grant-token-file", files, "FILE",
                "a file with the token of a grant that lets this call; repeatable");
}

void AddAuthority(CLI::App* command, Authority* authority) {
  AddGrantTokens(command, &authority->grant_token_files);
  command->add_flag("--dry-run", authority->dry_run,
                    "only ask whether it would work (exit code 0); nothing is generated, opened "
                    "or written");
}

void AddAad(CLI::App* command, Binding* binding, const char* note) {
  command->add_option("--aad", binding->aad, absl::StrCat("the Aad, as text", note));
  command->add_option("--aad-file", binding->aad_file, absl::StrCat("a file with the Aad", note))
      ->type_name("FILE");
}

void AddAlgorithm(CLI::App* command, std::string* algorithm) {
  command->add_option("--algorithm", *algorithm, "AES_GCM (instance)");
}

CLI::Option* AddFile(CLI::App* command, const char* flag, std::string* file,
                     const std::string& text) {
  return command->add_option(flag, *file, text)->type_name("FILE");
}

void AddCiphertextOut(CLI::App* command, OutputChoice* outputs) {
  AddFile(command, "--ciphertext-out", &outputs->ciphertext_file,
          "write the sealed blob to this file");
}

void AddPublicKeyOut(CLI::App* command, OutputChoice* outputs) {
  AddFile(command, "--public-key-out", &outputs->public_key_file,
          "write the public key to this file");
}

void AddPlaintextOut(CLI::App* command, OutputChoice* outputs, const char* flags) {
  AddFile(command, flags, &outputs->plaintext_file, "write the secret bytes to this file");
  command->add_flag("--reveal-plaintext", outputs->reveal_plaintext,
                    "print the secret bytes, in base64, on standard output");
}

void AddForce(CLI::App* command, OutputChoice* outputs) {
  command->add_flag("--force", outputs->force, "replace files that are there");
}

}  // namespace strongroom::command
