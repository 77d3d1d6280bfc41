#ifndef STRONGROOM_CLIENT_COMMAND_PARSE_H_
#define STRONGROOM_CLIENT_COMMAND_PARSE_H_

#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// A command line, understood.
struct Invocation {
  ClientOptions client = {};
  OutputFormat format = OutputFormat::kTable;

  // What to do. Empty if there is only `text` to print (help, version).
  std::function<absl::StatusOr<Report>(const Client&, std::istream&)> run = {};
  std::string text = {};
};

// Understands `arguments`, which do not include the program's name, and STRONGROOM_* variables of
// the environment. The one place that knows the command line's grammar.
//
// Returns a usage error that says where to find help.
absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments);

// The format of a message about a command line that could not be understood.
OutputFormat FormatOfUnparsed(const std::vector<std::string>& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_PARSE_H_
