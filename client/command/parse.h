#ifndef STRONGROOM_CLIENT_COMMAND_PARSE_H_
#define STRONGROOM_CLIENT_COMMAND_PARSE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/command/invocation.h"
#include "client/command/report.h"

namespace strongroom::command {

// Understands `arguments`, which do not include the program's name, and STRONGROOM_* variables of
// the environment. The commands' grammar is in parse_*.cc, noun by noun.
//
// Returns a usage error that says where to find help.
absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments);

// The format of a message about a command line that could not be understood.
OutputFormat FormatOfUnparsed(const std::vector<std::string>& arguments);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_PARSE_H_
