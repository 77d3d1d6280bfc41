#ifndef STRONGROOM_CLIENT_COMMAND_STREAMS_H_
#define STRONGROOM_CLIENT_COMMAND_STREAMS_H_

#include <istream>
#include <ostream>

namespace strongroom::command {

// What a command may read, and where it says how far it is. Its result goes elsewhere: it is
// returned as a Report.
struct Streams {
  std::istream& in;
  std::ostream& err;
  // Whether somebody watches `err`.
  bool err_is_terminal = false;
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_STREAMS_H_
