#ifndef STRONGROOM_CLIENT_COMMAND_RUN_H_
#define STRONGROOM_CLIENT_COMMAND_RUN_H_

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "client/command/exit_code.h"

namespace strongroom::command {

// The `strongroom` command, whole: understands `arguments` (without the program's name), calls the
// service, writes the result to `out` or the error to `err`.
ExitCode Run(const std::vector<std::string>& arguments, std::istream& in, std::ostream& out,
             std::ostream& err);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_RUN_H_
