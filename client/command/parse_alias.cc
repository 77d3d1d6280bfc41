#include <CLI/CLI.hpp>

#include "client/command/alias.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/command/options.h"

namespace strongroom::command {

void AddAliasCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup("alias", "Names of keys: create, move, delete",
                                     R"(  strongroom alias create alias/orders --key-id 7a2f...
  strongroom alias list)");
  struct {
    const char* name;
    const char* description;
    const char* examples;
    absl::StatusOr<Report> (*run)(const Client&, const AliasRequest&);
    bool takes_key;
  } const commands[] = {
      {"create", "Give a key a name", "  strongroom alias create alias/orders --key-id 7a2f...",
       CreateAlias, true},
      {"update", "Move a name to another key",
       "  strongroom alias update alias/orders --key-id 19c0...", UpdateAlias, true},
      {"delete", "Remove a name; its key stays", "  strongroom alias delete alias/orders",
       DeleteAlias, false},
  };
  for (const auto& each : commands) {
    auto [command, arguments] =
        grammar.Add(group, each.name, each.description, each.examples, each.run);
    command->add_option("ALIAS", arguments->alias_name, "alias/NAME")->required();
    if (each.takes_key) {
      AddKeyId(command, &arguments->key_id, "the key it shall name")->required();
    }
  }
  auto [command, arguments] = grammar.Add(group, "list", "List names, of all keys or of one",
                                          "  strongroom alias list --key-id 7a2f...", ListAliases);
  AddKeyId(command, &arguments->key_id, "only the names of this key");
  AddPage(command, &arguments->page);
}

}  // namespace strongroom::command
