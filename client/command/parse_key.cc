#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/command/grammar.h"
#include "client/command/key.h"
#include "client/command/nouns.h"
#include "client/command/options.h"
#include "client/command/policy.h"

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

}  // namespace

void AddKeyCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup("key", "Master keys: create, show, rotate, enable, disable",
                                     R"(  strongroom key create --description "orders database"
  strongroom key rotate alias/orders
  strongroom key list --output json)");
  {
    auto [command, arguments] =
        grammar.Add(group, "create", "Generate a master key in the token",
                    R"(  strongroom key create --description "orders database"
  strongroom key create --policy-file policy.json)",
                    CreateKey);
    command->add_option("--description", arguments->description, "what the key is for");
    command
        ->add_option("--policy-file", arguments->policy_file,
                     "the key's policy, as `key policy put` takes it; - is standard input")
        ->type_name("FILE");
  }
  {
    auto [command, arguments] = grammar.Add(group, "describe", "Show a key",
                                            "  strongroom key describe alias/orders", DescribeKey);
    AddKeyPosition(command, &arguments->key_id);
    AddGrantTokens(command, &arguments->grant_token_files);
  }
  struct {
    const char* name;
    const char* description;
    absl::StatusOr<Report> (*run)(const Client&, const KeyArguments&);
  } const commands[] = {
      {"rotate", "Generate a new version and make it the primary one", RotateKey},
      {"enable", "Let a key seal and open again", EnableKey},
      {"disable", "Stop a key from sealing and opening", DisableKey},
  };
  for (const auto& each : commands) {
    const std::string example = absl::StrCat("  strongroom key ", each.name, " alias/orders");
    auto [command, arguments] =
        grammar.Add(group, each.name, each.description, example.c_str(), each.run);
    AddKeyPosition(command, &arguments->key_id);
  }
  {
    auto [command, arguments] = grammar.Add(group, "list", "List all keys, oldest first",
                                            R"(  strongroom key list
  strongroom key list --page-size 10 --output json)",
                                            ListKeys);
    AddPage(command, &arguments->page);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "versions", "List a key's versions, oldest first",
                    "  strongroom key versions alias/orders", ListKeyVersions);
    AddKeyPosition(command, &arguments->key_id);
    AddPage(command, &arguments->page);
  }
  AddPolicyCommands(grammar, group);
}

}  // namespace strongroom::command
