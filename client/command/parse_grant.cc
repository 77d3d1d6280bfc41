#include <CLI/CLI.hpp>

#include "client/command/grammar.h"
#include "client/command/grant.h"
#include "client/command/nouns.h"
#include "client/command/options.h"

namespace strongroom::command {

void AddGrantCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup(
      "grant", "Grants: leave for one principal to use a key",
      R"(  strongroom grant create alias/orders --grantee spiffe://example.org/batch \
      --operation Decrypt --expires 24h --token-file batch.token
  strongroom grant list alias/orders)");
  {
    auto [command, arguments] =
        grammar.Add(group, "create", "Let a principal do some operations with a key",
                    R"(  strongroom grant create alias/orders --grantee spiffe://example.org/batch \
      --operation Decrypt --context-subset department=billing --expires 24h \
      --token-file batch.token)",
                    CreateGrant);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--grantee", arguments->grantee_principal, "whom to let: a principal")
        ->required();
    command
        ->add_option("--operation", arguments->operations,
                     "what: an RPC (Decrypt, KmsService.Decrypt), group:seal, group:open or "
                     "group:use; repeatable")
        ->required()
        ->allow_extra_args(false);
    command
        ->add_option("--context-equals", arguments->context_equals,
                     "only where the encryption context is this; repeatable")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    command
        ->add_option("--context-subset", arguments->context_subset,
                     "only where the encryption context has this; repeatable")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    command
        ->add_option("--expires", arguments->expires,
                     "until when: 2030-01-31T12:00:00Z, or from now: 90m, 24h [never]")
        ->type_name("TIME");
    command->add_option("--retiring-principal", arguments->retiring_principal,
                        "who may retire it, besides");
    AddGrantTokens(command, &arguments->grant_token_files);
    command
        ->add_option("--token-file", arguments->token_file,
                     "write the grant's token to this file, for the grantee")
        ->type_name("FILE");
    command->add_flag("--force", arguments->force, "replace a file that is there");
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "list", "List a key's grants that have not ended, oldest first",
                    R"(  strongroom grant list alias/orders
  strongroom grant list alias/orders --grantee spiffe://example.org/batch --output json)",
                    ListGrants);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("--grantee", arguments->grantee_principal, "only those of this grantee");
    AddPage(command, &arguments->page);
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "retire", "End a grant whose work is done, as its grantee may",
                    R"(  strongroom grant retire --token-file batch.token
  strongroom grant retire alias/orders 2b1f...)",
                    RetireGrant);
    command->add_option("KEY", arguments->key_id, "id, alias/NAME, or an ARN");
    command->add_option("GRANT_ID", arguments->grant_id, "the grant's id");
    command
        ->add_option("--token-file", arguments->token_file,
                     "a file with the grant's token, in place of KEY and GRANT_ID")
        ->type_name("FILE");
  }
  {
    auto [command, arguments] =
        grammar.Add(group, "revoke", "Take a grant back",
                    "  strongroom grant revoke alias/orders 2b1f...", RevokeGrant);
    AddKeyPosition(command, &arguments->key_id);
    command->add_option("GRANT_ID", arguments->grant_id, "the grant's id")->required();
  }
}

}  // namespace strongroom::command
