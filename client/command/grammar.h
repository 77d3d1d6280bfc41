#ifndef STRONGROOM_CLIENT_COMMAND_GRAMMAR_H_
#define STRONGROOM_CLIENT_COMMAND_GRAMMAR_H_

#include <CLI/CLI.hpp>
#include <istream>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/command/dry_run.h"
#include "client/command/invocation.h"
#include "client/command/report.h"
#include "client/command/streams.h"

namespace strongroom::command {

// Adds commands to the grammar. Each has arguments of its own, which live as long as the callbacks
// that fill them in and use them. Cheap to copy; `app` and `invocation` outlive it.
class Grammar {
 public:
  Grammar(CLI::App* app, Invocation* invocation) : app_(app), invocation_(invocation) {}

  // The program itself, for commands that are in no group.
  CLI::App* app() const { return app_; }

  // A group of commands, e.g. `key`.
  CLI::App* AddGroup(const char* name, const char* description, const char* examples) const {
    return AddGroup(app_, name, description, examples);
  }
  // A group within a group, e.g. `key policy`.
  static CLI::App* AddGroup(CLI::App* parent, const char* name, const char* description,
                            const char* examples) {
    CLI::App* group = parent->add_subcommand(name, description);
    group->require_subcommand(1);
    group->footer(absl::StrCat("Examples:\n", examples));
    return group;
  }

  // A command that runs `run` with its `Arguments`, which the caller gives options.
  template <typename Arguments>
  std::pair<CLI::App*, Arguments*> Add(CLI::App* parent, const char* name, const char* description,
                                       const char* examples,
                                       absl::StatusOr<Report> (*run)(const Client&,
                                                                     const Arguments&)) const {
    return AddRun<Arguments>(parent, name, description, examples,
                             [run](const Client& client, const Streams&,
                                   const Arguments& arguments) { return run(client, arguments); });
  }
  // As above, for a command that can read standard input.
  template <typename Arguments>
  std::pair<CLI::App*, Arguments*> Add(CLI::App* parent, const char* name, const char* description,
                                       const char* examples,
                                       absl::StatusOr<Report> (*run)(const Client&, std::istream&,
                                                                     const Arguments&)) const {
    return AddRun<Arguments>(
        parent, name, description, examples,
        [run](const Client& client, const Streams& streams, const Arguments& arguments) {
          return run(client, streams.in, arguments);
        });
  }
  // As above, for a command that says how far it is.
  template <typename Arguments>
  std::pair<CLI::App*, Arguments*> Add(CLI::App* parent, const char* name, const char* description,
                                       const char* examples,
                                       absl::StatusOr<Report> (*run)(const Client&, const Streams&,
                                                                     const Arguments&)) const {
    return AddRun<Arguments>(parent, name, description, examples, run);
  }

 private:
  template <typename Arguments, typename RunWithArguments>
  std::pair<CLI::App*, Arguments*> AddRun(CLI::App* parent, const char* name,
                                          const char* description, const char* examples,
                                          RunWithArguments run) const {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = parent->add_subcommand(name, description);
    command->footer(absl::StrCat("Examples:\n", examples));
    command->callback([invocation = invocation_, arguments, run] {
      invocation->run = [arguments, run](const Client& client,
                                         const Streams& streams) -> absl::StatusOr<Report> {
        absl::StatusOr<Report> report = run(client, streams, *arguments);
        // Only where it was asked for: what was to be done and was not, is no success.
        if constexpr (requires { arguments->authority; }) {
          if (arguments->authority.dry_run) return DryRunReport(std::move(report));
        }
        return report;
      };
    });
    return {command, arguments.get()};
  }

  CLI::App* app_;
  Invocation* invocation_;
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_GRAMMAR_H_
