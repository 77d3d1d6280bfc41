#include "client/command/parse.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/command/arguments.h"
#include "client/command/audit.h"
#include "client/command/cipher.h"
#include "client/command/data_key.h"
#include "client/command/dry_run.h"
#include "client/command/exit_code.h"
#include "client/command/grant.h"
#include "client/command/health.h"
#include "client/command/key.h"
#include "client/command/outputs.h"
#include "client/command/policy.h"
#include "client/specs.h"
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
   6  the key's state forbids it (disabled, for example)
   7  throttled, or a limit is reached
   8  service unavailable, not serving, or too slow
   9  internal error
  10  a local file or stream could not be read or written

Files are made for their owner only (0600) and never replaced without --force.
In JSON, bytes are in base64. Options can stand before or after the command.)";

using Run = std::function<absl::StatusOr<Report>(const Client&, std::istream&)>;

// Builds the grammar. Each command has arguments of its own, which live as long as the callbacks
// that fill in and use them.
class Grammar {
 public:
  Grammar() : app_("Data keys and data key pairs under master keys that stay in a token (HSM).") {
    app_.name("strongroom");
    app_.set_version_flag("--version", absl::StrCat("strongroom ", kVersion));
    app_.get_formatter()->column_width(36);
    // Global options may follow the command.
    app_.fallthrough();
    app_.require_subcommand(1);
    AddGlobalOptions();
    AddKeyCommands();
    AddAliasCommands();
    AddDataKeyCommands();
    AddDataKeyPairCommands();
    AddCipherCommands();
    AddGrantCommands();
    AddAuditCommands();
    AddHealthCommand();
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

  // A group of commands, e.g. `key`.
  CLI::App* AddGroup(const char* name, const char* description, const char* examples) {
    return AddGroup(&app_, name, description, examples);
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
                                                                     const Arguments&)) {
    return AddRun<Arguments>(parent, name, description, examples,
                             [run](const Client& client, std::istream&,
                                   const Arguments& arguments) { return run(client, arguments); });
  }
  // As above, for a command that can read standard input.
  template <typename Arguments>
  std::pair<CLI::App*, Arguments*> Add(CLI::App* parent, const char* name, const char* description,
                                       const char* examples,
                                       absl::StatusOr<Report> (*run)(const Client&, std::istream&,
                                                                     const Arguments&)) {
    return AddRun<Arguments>(parent, name, description, examples, run);
  }
  template <typename Arguments, typename RunWithArguments>
  std::pair<CLI::App*, Arguments*> AddRun(CLI::App* parent, const char* name,
                                          const char* description, const char* examples,
                                          RunWithArguments run) {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = parent->add_subcommand(name, description);
    command->footer(absl::StrCat("Examples:\n", examples));
    command->callback([this, arguments, run] {
      invocation_.run = [arguments, run](const Client& client,
                                         std::istream& in) -> absl::StatusOr<Report> {
        absl::StatusOr<Report> report = run(client, in, *arguments);
        // Only where it was asked for: what was to be done and was not, is no success.
        if constexpr (requires { arguments->authority; }) {
          if (arguments->authority.dry_run) return DryRunReport(std::move(report));
        }
        return report;
      };
    });
    return {command, arguments.get()};
  }

  static CLI::Option* AddKeyId(CLI::App* command, std::string* key_id, const char* text) {
    return command->add_option("--key-id,--key", *key_id, text);
  }

  static void AddKeyPosition(CLI::App* command, std::string* key_id) {
    command->add_option("KEY", *key_id, "id, alias/NAME, or an ARN that ends in either")
        ->required();
  }

  static void AddPage(CLI::App* command, PageRequest* page) {
    command->add_option("--page-size", page->page_size,
                        "only one page, of so many items [all pages]");
    command->add_option("--page-token", page->page_token,
                        "only one page, the one after the page that gave this token");
  }

  static void AddService(CLI::App* command, ServiceChoice* service, bool with_advance = true) {
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

  static void AddContext(CLI::App* command, Binding* binding) {
    command
        ->add_option("--context", binding->context,
                     "of the encryption context, split at the first '='; repeatable (classic)")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
  }

  static void AddGrantTokens(CLI::App* command, std::vector<std::string>* files) {
    command
        ->add_option("--grant-token-file", *files,
                     "a file with the token of a grant that lets this call; repeatable")
        ->type_name("FILE")
        ->allow_extra_args(false);
  }

  static void AddAuthority(CLI::App* command, Authority* authority) {
    AddGrantTokens(command, &authority->grant_token_files);
    command->add_flag("--dry-run", authority->dry_run,
                      "only ask whether it would work (exit code 0); nothing is generated, opened "
                      "or written");
  }

  static void AddAad(CLI::App* command, Binding* binding, const char* note) {
    command->add_option("--aad", binding->aad, absl::StrCat("the Aad, as text", note));
    command->add_option("--aad-file", binding->aad_file, absl::StrCat("a file with the Aad", note))
        ->type_name("FILE");
  }

  static void AddAlgorithm(CLI::App* command, std::string* algorithm) {
    command->add_option("--algorithm", *algorithm, "AES_GCM (instance)");
  }

  static void AddCiphertextOut(CLI::App* command, OutputChoice* outputs) {
    command
        ->add_option("--ciphertext-out", outputs->ciphertext_file,
                     "write the sealed blob to this file")
        ->type_name("FILE");
  }

  static void AddPublicKeyOut(CLI::App* command, OutputChoice* outputs) {
    command
        ->add_option("--public-key-out", outputs->public_key_file,
                     "write the public key to this file")
        ->type_name("FILE");
  }

  static void AddPlaintextOut(CLI::App* command, OutputChoice* outputs) {
    command
        ->add_option("--plaintext-out,--private-key-out", outputs->plaintext_file,
                     "write the secret bytes to this file")
        ->type_name("FILE");
    command->add_flag("--reveal-plaintext", outputs->reveal_plaintext,
                      "print the secret bytes, in base64, on standard output");
  }

  static void AddForce(CLI::App* command, OutputChoice* outputs) {
    command->add_flag("--force", outputs->force, "replace files that are there");
  }

  void AddKeyCommands() {
    CLI::App* group = AddGroup("key", "Master keys: create, show, rotate, enable, disable",
                               R"(  strongroom key create --description "orders database"
  strongroom key rotate alias/orders
  strongroom key list --output json)");
    {
      auto [command, arguments] = Add(group, "create", "Generate a master key in the token",
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
      auto [command, arguments] = Add(group, "describe", "Show a key",
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
          Add(group, each.name, each.description, example.c_str(), each.run);
      AddKeyPosition(command, &arguments->key_id);
    }
    {
      auto [command, arguments] = Add(group, "list", "List all keys, oldest first",
                                      R"(  strongroom key list
  strongroom key list --page-size 10 --output json)",
                                      ListKeys);
      AddPage(command, &arguments->page);
    }
    {
      auto [command, arguments] = Add(group, "versions", "List a key's versions, oldest first",
                                      "  strongroom key versions alias/orders", ListKeyVersions);
      AddKeyPosition(command, &arguments->key_id);
      AddPage(command, &arguments->page);
    }
    AddPolicyCommands(group);
  }

  void AddPolicyCommands(CLI::App* parent) {
    CLI::App* group = AddGroup(parent, "policy", "A key's policy: who may do what with it",
                               R"(  strongroom key policy get alias/orders > policy.json
  strongroom key policy put alias/orders --file policy.json)");
    {
      auto [command, arguments] =
          Add(group, "get", "Show a key's policy, in the form that `put` takes",
              "  strongroom key policy get alias/orders > policy.json", GetPolicy);
      AddKeyPosition(command, &arguments->key_id);
    }
    {
      auto [command, arguments] =
          Add(group, "put", "Give a key another policy in place of the one it has",
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

  void AddAliasCommands() {
    CLI::App* group = AddGroup("alias", "Names of keys: create, move, delete",
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
      auto [command, arguments] = Add(group, each.name, each.description, each.examples, each.run);
      command->add_option("ALIAS", arguments->alias_name, "alias/NAME")->required();
      if (each.takes_key) {
        AddKeyId(command, &arguments->key_id, "the key it shall name")->required();
      }
    }
    auto [command, arguments] = Add(group, "list", "List names, of all keys or of one",
                                    "  strongroom alias list --key-id 7a2f...", ListAliases);
    AddKeyId(command, &arguments->key_id, "only the names of this key");
    AddPage(command, &arguments->page);
  }

  void AddDataKeyOptions(CLI::App* command, DataKeyArguments* arguments) {
    AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
    AddService(command, &arguments->service);
    command->add_option("--bytes", arguments->number_of_bytes,
                        "length, 1 to 1024; prevails over --key-spec [32]");
    command->add_option("--key-spec", arguments->key_spec,
                        absl::StrCat("length by name: ", SpecNames<DataKeySpec>(), " (classic)"));
    AddContext(command, &arguments->binding);
    AddAad(command, &arguments->binding, " (instance)");
    AddAlgorithm(command, &arguments->algorithm);
    AddAuthority(command, &arguments->authority);
    AddCiphertextOut(command, &arguments->outputs);
  }

  void AddDataKeyCommands() {
    CLI::App* group =
        AddGroup("data-key", "Data keys, sealed under a master key",
                 R"(  strongroom data-key generate --key-id alias/orders --plaintext-out k.key
  strongroom data-key generate-without-plaintext --key-id alias/orders --ciphertext-out k.blob)");
    {
      auto [command, arguments] =
          Add(group, "generate", "Generate a data key: in the clear and sealed",
              R"(  strongroom data-key generate --key-id alias/orders --context order=42 \
      --ciphertext-out k.blob --plaintext-out k.key
  strongroom data-key generate --key-id alias/orders --service instance --advance --bytes 64 \
      --aad-file row.id --ciphertext-out k.blob --plaintext-out k.key --output json)",
              GenerateDataKey);
      AddDataKeyOptions(command, arguments);
      AddPlaintextOut(command, &arguments->outputs);
      AddForce(command, &arguments->outputs);
    }
    {
      auto [command, arguments] =
          Add(group, "generate-without-plaintext",
              "Generate a data key inside the token: sealed only (classic)",
              R"(  strongroom data-key generate-without-plaintext --key-id alias/orders \
      --key-spec AES_128 --ciphertext-out k.blob)",
              GenerateDataKeyWithoutPlaintext);
      AddDataKeyOptions(command, arguments);
      AddForce(command, &arguments->outputs);
    }
  }

  void AddDataKeyPairOptions(CLI::App* command, DataKeyPairArguments* arguments) {
    AddKeyId(command, &arguments->key_id, "the sealing key: id, alias/NAME or ARN")->required();
    AddService(command, &arguments->service);
    command
        ->add_option("--spec", arguments->key_pair_spec, absl::StrCat(SpecNames<DataKeyPairSpec>()))
        ->required();
    command->add_option("--format", arguments->key_format, "PEM or DER")->capture_default_str();
    AddContext(command, &arguments->binding);
    AddAad(command, &arguments->binding, " (instance)");
    AddAlgorithm(command, &arguments->algorithm);
    AddAuthority(command, &arguments->authority);
    AddCiphertextOut(command, &arguments->outputs);
    AddPublicKeyOut(command, &arguments->outputs);
  }

  void AddDataKeyPairCommands() {
    CLI::App* group = AddGroup(
        "data-key-pair", "Data key pairs, the private key sealed under a master key",
        R"(  strongroom data-key-pair generate --key-id alias/orders --spec EC_P256 --format PEM \
      --ciphertext-out k.blob --public-key-out k.pub)");
    {
      auto [command, arguments] =
          Add(group, "generate",
              "Generate a pair; the instance service returns the private key in the clear too",
              R"(  strongroom data-key-pair generate --key-id alias/orders --spec RSA_2048 \
      --ciphertext-out k.blob --public-key-out k.pub
  strongroom data-key-pair generate --key-id alias/orders --spec EC_P256 --format PEM \
      --service instance --advance --ciphertext-out k.blob --private-key-out k.pem)",
              GenerateDataKeyPair);
      AddDataKeyPairOptions(command, arguments);
      AddPlaintextOut(command, &arguments->outputs);
      AddForce(command, &arguments->outputs);
    }
    {
      auto [command, arguments] =
          Add(group, "generate-without-plaintext",
              "Generate a pair; the private key is returned sealed only",
              R"(  strongroom data-key-pair generate-without-plaintext --key-id alias/orders \
      --spec EC_P384 --ciphertext-out k.blob --public-key-out k.pub)",
              GenerateDataKeyPairWithoutPlaintext);
      AddDataKeyPairOptions(command, arguments);
      AddForce(command, &arguments->outputs);
    }
  }

  void AddCipherCommands() {
    {
      auto [command, arguments] = Add(
          &app_, "encrypt", "Seal up to 4,096 bytes of a file or of standard input",
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
          Add(&app_, "decrypt", "Open a blob that any operation made",
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
        Add(&app_, "random", "Get random bytes from the token",
            "  strongroom random --bytes 32 --plaintext-out seed.bin", Random);
    command->add_option("--bytes", arguments->number_of_bytes, "how many: 1 to 1024")->required();
    AddService(command, &arguments->service, /*with_advance=*/false);
    AddPlaintextOut(command, &arguments->outputs);
    AddForce(command, &arguments->outputs);
  }

  void AddGrantCommands() {
    CLI::App* group =
        AddGroup("grant", "Grants: leave for one principal to use a key",
                 R"(  strongroom grant create alias/orders --grantee spiffe://example.org/batch \
      --operation Decrypt --expires 24h --token-file batch.token
  strongroom grant list alias/orders)");
    {
      auto [command, arguments] =
          Add(group, "create", "Let a principal do some operations with a key",
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
          Add(group, "list", "List a key's grants that have not ended, oldest first",
              R"(  strongroom grant list alias/orders
  strongroom grant list alias/orders --grantee spiffe://example.org/batch --output json)",
              ListGrants);
      AddKeyPosition(command, &arguments->key_id);
      command->add_option("--grantee", arguments->grantee_principal, "only those of this grantee");
      AddPage(command, &arguments->page);
    }
    {
      auto [command, arguments] =
          Add(group, "retire", "End a grant whose work is done, as its grantee may",
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
          Add(group, "revoke", "Take a grant back",
              "  strongroom grant revoke alias/orders 2b1f...", RevokeGrant);
      AddKeyPosition(command, &arguments->key_id);
      command->add_option("GRANT_ID", arguments->grant_id, "the grant's id")->required();
    }
  }

  void AddAuditCommands() {
    CLI::App* group =
        AddGroup("audit", "The audit trail", "  strongroom audit verify /var/lib/strongroom/audit");
    auto [command, arguments] =
        Add(group, "verify", "Verify a trail: intact (exit code 0) or damaged (1)",
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

  void AddHealthCommand() {
    auto [command, arguments] =
        Add(&app_, "health", "Ask whether the service is serving (exit code 0) or not (8)",
            R"(  strongroom health
  strongroom health strongroom.v1.KmsService --timeout 500ms)",
            ShowHealth);
    command->add_option("SERVICE", arguments->service, "a service's full name [the whole server]");
  }

  CLI::App app_;
  Invocation invocation_;
  std::string timeout_;
};

}  // namespace

absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments) {
  return Grammar().Parse(arguments);
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
