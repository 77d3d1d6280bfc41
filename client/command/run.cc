#include "client/command/run.h"

#include <unistd.h>

#include <iostream>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/command/parse.h"
#include "client/command/report.h"

namespace strongroom::command {
namespace {

ExitCode Fail(const absl::Status& status, OutputFormat format, std::ostream& err) {
  PrintError(status, format, err);
  return ExitCodeOf(status);
}

// Only the process's own standard error can be one.
bool IsTerminal(const std::ostream& err) {
  return &err == &std::cerr && isatty(STDERR_FILENO) != 0;
}

absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
  if (client.ok()) return client;
  if (!absl::IsInvalidArgument(client.status())) return LocalError(client.status());
  return UsageError(absl::StrCat(client.status().message(),
                                 "; see --address, --tls-ca, --tls-cert, --tls-key and "
                                 "--allow-plaintext-loopback"));
}

}  // namespace

ExitCode Run(const std::vector<std::string>& arguments, std::istream& in, std::ostream& out,
             std::ostream& err) {
  absl::StatusOr<Invocation> invocation = Parse(arguments);
  if (!invocation.ok()) return Fail(invocation.status(), FormatOfUnparsed(arguments), err);

  ExitCode exit_code = ExitCode::kOk;
  if (invocation->run == nullptr) {
    out << invocation->text;
  } else {
    absl::StatusOr<std::unique_ptr<Client>> client = Connect(invocation->client);
    if (!client.ok()) return Fail(client.status(), invocation->format, err);
    absl::StatusOr<Report> report =
        invocation->run(**client, {.in = in, .err = err, .err_is_terminal = IsTerminal(err)});
    if (!report.ok()) return Fail(report.status(), invocation->format, err);
    PrintReport(*report, invocation->format, out);
    exit_code = report->exit_code;
  }
  if (!out.flush())
    return Fail(LocalError("cannot write standard output"), invocation->format, err);
  return exit_code;
}

}  // namespace strongroom::command
