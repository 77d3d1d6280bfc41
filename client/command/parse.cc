#include "client/command/parse.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/command/exit_code.h"
#include "client/command/grammar.h"
#include "client/command/nouns.h"
#include "client/version.h"

namespace strongroom::command {
namespace {

constexpr char kExitCodes[] = R"(Exit codes:
   0  done; of a dry run: it would work
   1  `audit verify` found the trail damaged
   2  wrong command line; nothing was sent
   3  invalid request, InvalidCiphertext among them
   4  no such key or alias
   5  not permitted
   6  the key's state forbids it (disabled or to be destroyed, for example)
   7  throttled, or a limit is reached
   8  service unavailable, not serving, or too slow
   9  internal error
  10  a local file or stream could not be read or written
  11  `reencrypt` left files as they were, or `data-key batch` made not all keys

Files are made for their owner only (0600) and never replaced without --force,
but for `reencrypt`, which keeps their modes.
In JSON, bytes are in base64. Options can stand before or after the command.)";

// The whole command line: the options that all commands have, and the commands.
class CommandLine {
 public:
  CommandLine()
      : app_("Data keys and data key pairs under master keys that stay in a token (HSM).") {
    app_.name("strongroom");
    app_.set_version_flag("--version", absl::StrCat("strongroom ", kVersion));
    app_.get_formatter()->column_width(36);
    // Global options may follow the command.
    app_.fallthrough();
    app_.require_subcommand(1);
    AddGlobalOptions();
    const Grammar grammar(&app_, &invocation_);
    AddKeyCommands(grammar);
    AddAliasCommands(grammar);
    AddDataKeyCommands(grammar);
    AddDataKeyPairCommands(grammar);
    AddCipherCommands(grammar);
    AddGrantCommands(grammar);
    AddAuditCommands(grammar);
    AddHealthCommand(grammar);
    app_.footer(absl::StrCat(R"(Examples:
  strongroom key create --description orders
  strongroom alias create alias/orders --key-id 7a2f...
  strongroom data-key generate --key-id alias/orders --ciphertext-out k.blob --plaintext-out k.key
  strongroom decrypt --in k.blob --plaintext-out k2.key
  strongroom --address kms.example:7443 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key key list

)",
                             kExitCodes));
  }

  absl::StatusOr<Invocation> Parse(std::vector<std::string> arguments) {
    // CLI11 takes them from the back.
    std::reverse(arguments.begin(), arguments.end());
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::Success& success) {
      std::ostringstream text;
      app_.exit(success, text, text);
      return Invocation{.text = text.str()};
    } catch (const CLI::ParseError& error) {
      // CLI11 says that a subcommand is missing also where there is one that it does not know.
      const std::vector<std::string> unknown = app_.remaining(/*recurse=*/true);
      return UsageError(absl::StrCat(
          unknown.empty() ? error.what() : absl::StrCat("not understood: ", unknown.front()),
          "; see `", Selected(), " --help`"));
    }
    if (!timeout_.empty()) {
      absl::Duration timeout;
      if (!absl::ParseDuration(timeout_, &timeout) || timeout <= absl::ZeroDuration()) {
        return UsageError(
            absl::StrCat("--timeout takes a time like 500ms, 5s or 1m, not \"", timeout_, "\""));
      }
      invocation_.client.timeout = timeout;
      invocation_.client.pair_timeout = timeout;
    }
    return invocation_;
  }

 private:
  // The innermost command that was recognised, e.g. "strongroom key list".
  std::string Selected() const {
    std::string path = app_.get_name();
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
      absl::StrAppend(&path, " ", app->get_name());
    }
    return path;
  }

  void AddGlobalOptions() {
    ClientOptions& client = invocation_.client;
    app_.add_option("--address", client.address, "unix:/PATH, unix:@NAME, HOST:PORT or [IPV6]:PORT")
        ->envname("STRONGROOM_ADDRESS")
        ->capture_default_str();
    app_.add_option("--tls-ca", client.tls.ca_file,
                    "PEM file: authorities that may vouch for the server")
        ->type_name("FILE")
        ->envname("STRONGROOM_TLS_CA");
    app_.add_option("--tls-cert", client.tls.certificate_file, "PEM file: this client's chain")
        ->type_name("FILE")
        ->envname("STRONGROOM_TLS_CERT");
    app_.add_option("--tls-key", client.tls.key_file, "PEM file: this client's private key")
        ->type_name("FILE")
        ->envname("STRONGROOM_TLS_KEY");
    app_.add_option("--tls-server-name", client.tls.server_name,
                    "the server certificate's name, if it is not the host")
        ->type_name("NAME")
        ->envname("STRONGROOM_TLS_SERVER_NAME");
    app_.add_flag("--allow-plaintext-loopback", client.allow_plaintext_loopback,
                  "talk to 127.0.0.0/8, [::1] or localhost without TLS; any local user could be "
                  "listening there")
        ->envname("STRONGROOM_ALLOW_PLAINTEXT_LOOPBACK");
    app_.add_option("--timeout", timeout_,
                    "how long a call may take, with its retries [5s; pairs 60s]")
        ->envname("STRONGROOM_TIMEOUT");
    app_.add_option_function<std::string>(
            "--output",
            [this](const std::string& format) {
              if (format != "table" && format != "json") {
                throw CLI::ValidationError("--output", "takes table or json, not " + format);
              }
              invocation_.format = format == "json" ? OutputFormat::kJson : OutputFormat::kTable;
            },
            "table (for people) or json (one object) [table]")
        ->envname("STRONGROOM_OUTPUT");
  }

  CLI::App app_;
  Invocation invocation_;
  std::string timeout_;
};

}  // namespace

absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments) {
  return CommandLine().Parse(arguments);
}

OutputFormat FormatOfUnparsed(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--output=json") return OutputFormat::kJson;
    if (arguments[i] == "--output" && i + 1 < arguments.size() && arguments[i + 1] == "json") {
      return OutputFormat::kJson;
    }
  }
  const char* format = std::getenv("STRONGROOM_OUTPUT");
  return format != nullptr && absl::string_view(format) == "json" ? OutputFormat::kJson
                                                                  : OutputFormat::kTable;
}

}  // namespace strongroom::command
