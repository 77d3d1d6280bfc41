#include <CLI/CLI.hpp>

#include "client/command/audit.h"
#include "client/command/grammar.h"
#include "client/command/health.h"
#include "client/command/nouns.h"

namespace strongroom::command {

void AddAuditCommands(const Grammar& grammar) {
  CLI::App* group = grammar.AddGroup("audit", "The audit trail",
                                     "  strongroom audit verify /var/lib/strongroom/audit");
  auto [command, arguments] =
      grammar.Add(group, "verify", "Verify a trail: intact (exit code 0) or damaged (1)",
                  R"(  strongroom audit verify /var/lib/strongroom/audit
  strongroom audit verify ./copy --first-record 120001 --offline)",
                  VerifyAudit);
  command->add_option("DIRECTORY", arguments->directory, "the folder with the trail's files")
      ->required();
  command->add_option("--first-record", arguments->first_record,
                      "begin here: what is before it was verified already [1]");
  command->add_flag("--offline", arguments->offline,
                    "do not ask the service: the chain is checked; the seals, and whether the "
                    "newest records are missing, are not");
}

void AddHealthCommand(const Grammar& grammar) {
  auto [command, arguments] = grammar.Add(
      grammar.app(), "health", "Ask whether the service is serving (exit code 0) or not (8)",
      R"(  strongroom health
  strongroom health strongroom.v1.KmsService --timeout 500ms)",
      ShowHealth);
  command->add_option("SERVICE", arguments->service, "a service's full name [the whole server]");
}

}  // namespace strongroom::command
