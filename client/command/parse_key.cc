#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/command/grammar.h"
#include "client/command/key.h"
#include "client/command/key_import.h"
#include "client/command/nouns.h"
#include "client/command/options.h"
#include "client/command/policy.h"
#include "client/specs.h"

namespace strongroom::command {
namespace {

void AddPolicyCommands(const Grammar& grammar, CLI::App* parent) {
  CLI::App* group = grammar.AddGroup(parent, "policy", "A key's policy: who may do what with it",
                                     R"(  strongroom key policy get alias/orders > policy.json
  strongroom key policy put alias/orders --file policy.json)");
  {
    auto [command, arguments] =
        grammar.Add(group, "get", "Show a key's policy, in the form that `put` takes",
                    "  strongroom key policy get alias/orders > policy.json", GetPolicy);
    AddKeyPosition(command, &arguments->key_id);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "put", "Give a key another policy in place of the one it has",
                    R"(  strongroom key policy put alias/orders --file policy.json
with a file like
  {"statements": [
    {"statementId": "operators", "principals": ["spiffe://example.org/operator"],
     "operations": ["group:administer"]},
    {"statementId": "billing", "principals": ["spiffe://example.org/billing/*"],
     "operations": ["group:use"],
     "conditions": {"encryptionContextSubset": {"department": "billing"}}}]})",
                    PutPolicy);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--file", arguments->file, "the policy in JSON; - is standard input")
        ->type_name("FILE")
        ->required();
  }
}

void AddWrapping(CLI::App* command, WrappingChoice* wrapping, const char* standard) {
  command->add_option("--algorithm", wrapping->algorithm,
                      absl::StrCat("how it is wrapped: ", SpecNames<ImportWrappingAlgorithm>(),
                                   " [", standard, "]"));
  command->add_option(
      "--wrapping-key-spec", wrapping->key_spec,
      absl::StrCat("the RSA key that wraps: ", SpecNames<ImportWrappingKeySpec>(), " [RSA_3072]"));
}

void AddImportCommands(const Grammar& grammar, CLI::App* group) {
  {
    auto [command, arguments] = grammar.Add(
        group, "import-parameters",
        "Get what the material of an external key is to be wrapped with",
        R"(  strongroom key import-parameters alias/orders --public-key-out k.pub --token-out k.token
  openssl pkeyutl -encrypt -pubin -inkey k.pub -keyform DER -in material -out material.wrapped \
      -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
  strongroom key import alias/orders --token k.token --in material.wrapped)",
        GetImportParameters);
    AddKeyPosition(command, &arguments->key_id);
    AddWrapping(command, &arguments->wrapping, "RSAES_OAEP_SHA_256");
    AddFile(command, "--public-key-out", &arguments->public_key_file,
            "write the RSA public key (DER) to this file")
        ->required();
    AddFile(command, "--token-out", &arguments->token_file, "write the import token to this file")
        ->required();
    command->add_flag("--force", arguments->force, "replace files that are there");
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "import", "Bring the material of an external key into the token",
                    R"(  strongroom key import alias/orders --token k.token --in material.wrapped
  strongroom key import alias/orders --material-in material)",
                    ImportKey);
    AddKeyPosition(command, &arguments->key_id);
    AddFile(command, "--token", &arguments->token_file,
            "the import token, of `key import-parameters`; - is standard input");
    AddFile(command, "--in", &arguments->input,
            "the material, wrapped under its public key; - is standard input");
    AddFile(command, "--material-in", &arguments->material_file,
            "in place of both: the material in the clear, 32 bytes, to be wrapped here; - is "
            "standard input");
    AddWrapping(command, &arguments->wrapping,
                "RSAES_OAEP_SHA_256, or SHA_1 where the token knows no other");
  }
}

void AddLifeCommands(const Grammar& grammar, CLI::App* group) {
  {
    auto [command, arguments] = grammar.Add(
        group, "update", "Say what a key is for, in other words",
        "  strongroom key update alias/orders --description \"orders until 2030\"", UpdateKey);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--description", arguments->description, "what the key is for")->required();
  }
  {
    auto [command, arguments] = grammar.Add(
        group, "tag", "Give a key tags, in place of those of the same names",
        "  strongroom key tag alias/orders --tag team=billing --tag stage=live", TagKey);
    AddKeyPosition(command, &arguments->key_id);
    AddRepeatable(command, "--tag", &arguments->tags, "NAME=VALUE", "a tag; repeatable")
        ->required();
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "untag", "Take tags from a key",
                    "  strongroom key untag alias/orders --tag stage", UntagKey);
    AddKeyPosition(command, &arguments->key_id);
    AddRepeatable(command, "--tag", &arguments->tags, "NAME", "a tag's name; repeatable")
        ->required();
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "rotation", "Say how often the service rotates a key by itself",
                    R"(  strongroom key rotation alias/orders --days 90
  strongroom key rotation alias/orders --off)",
                    SetRotation);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--days", arguments->days,
                        "so many days after its newest version was made: 1 to 2560");
    command->add_flag("--off", arguments->off, "not by time");
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "delete",
                    "Have a key destroyed, and with it what is sealed under it, after a waiting "
                    "time",
                    R"(  strongroom key delete alias/orders --window-days 7
  strongroom key cancel-deletion alias/orders)",
                    DeleteKey);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--window-days", arguments->window_days,
                        "how many days to wait: 7 to 30 [30]");
  }
}

}  // namespace

void AddKeyCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup("key", "Master keys: create, show, rotate, import, delete",
                                     R"(  strongroom key create --description "orders database"
  strongroom key rotate alias/orders
  strongroom key list --output json)");
  {
    auto [command, arguments] =
        grammar.Add(group, "create", "Generate a master key in the token",
                    R"(  strongroom key create --description "orders database"
  strongroom key create --tag team=billing --rotation-days 90 --policy-file policy.json
  strongroom key create --origin external)",
                    CreateKey);
    command->add_option("--description", arguments->description, "what the key is for");
    AddFile(command, "--policy-file", &arguments->policy_file,
            "the key's policy, as `key policy put` takes it; - is standard input");
    command->add_option("--origin", arguments->origin,
                        "where its material comes from: token, or external (see `key import`) "
                        "[token]");
    AddRepeatable(command, "--tag", &arguments->tags, "NAME=VALUE", "a tag; repeatable");
    command->add_option("--rotation-days", arguments->rotation_days,
                        "as `key rotation --days`; 0 for no rotation by time [as the service is "
                        "configured]");
  }
  {
    auto [command, arguments] = grammar.Add(group, "describe", "Show a key",
                                            "  strongroom key describe alias/orders", DescribeKey);
    AddKeyPosition(command, &arguments->key_id);
    AddGrantTokens(command, &arguments->grant_token_files);
  }
  struct {
    const char* name;
    // For those who know it by another.
    const char* other_name;
    const char* description;
    absl::StatusOr<Report> (*run)(const Client&, const KeyArguments&);
  } const commands[] = {
      {"rotate", nullptr, "Generate a new version and make it the primary one", RotateKey},
      {"enable", nullptr, "Let a key seal and open again", EnableKey},
      {"disable", nullptr, "Stop a key from sealing and opening", DisableKey},
      {"cancel-deletion", "undelete", "Keep a key from being destroyed; it is disabled then",
       CancelKeyDeletion},
      {"delete-material", nullptr, "Destroy the imported material of a key in the token",
       DeleteKeyMaterial},
  };
  for (const auto& each : commands) {
    const std::string example = absl::StrCat("  strongroom key ", each.name, " alias/orders");
    auto [command, arguments] =
        grammar.Add(group, each.name, each.description, example.c_str(), each.run);
    if (each.other_name != nullptr) command->alias(each.other_name);
    AddKeyPosition(command, &arguments->key_id);
  }
  {
    auto [command, arguments] = grammar.Add(group, "list", "List keys, oldest first",
                                            R"(  strongroom key list
  strongroom key list --state pending-deletion --tag team=billing
  strongroom key list --page-size 10 --output json)",
                                            ListKeys);
    AddRepeatable(command, "--state", &arguments->states, "STATE",
                  absl::StrCat("only keys in this state, or in one of these: ",
                               SpecNames<KeyState>(), "; repeatable"));
    AddRepeatable(command, "--tag", &arguments->tags, "NAME=VALUE",
                  "only keys with this tag, or with all of these; repeatable");
    AddPage(command, &arguments->page);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "versions", "List a key's versions, oldest first",
                    "  strongroom key versions alias/orders", ListKeyVersions);
    AddKeyPosition(command, &arguments->key_id);
    AddPage(command, &arguments->page);
  }
  AddLifeCommands(grammar, group);
  AddImportCommands(grammar, group);
  AddPolicyCommands(grammar, group);
}

}  // namespace strongroom::command
