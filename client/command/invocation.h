#ifndef STRONGROOM_CLIENT_COMMAND_INVOCATION_H_
#define STRONGROOM_CLIENT_COMMAND_INVOCATION_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"
#include "client/command/streams.h"

namespace strongroom::command {

// A command line, understood.
struct Invocation {
  ClientOptions client = {};
  OutputFormat format = OutputFormat::kTable;

  // What to do. Empty if there is only `text` to print (help, version).
  std::function<absl::StatusOr<Report>(const Client&, const Streams&)> run = {};
  std::string text = {};
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_INVOCATION_H_
