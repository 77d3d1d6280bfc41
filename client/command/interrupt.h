#ifndef STRONGROOM_CLIENT_COMMAND_INTERRUPT_H_
#define STRONGROOM_CLIENT_COMMAND_INTERRUPT_H_

#include <signal.h>

namespace strongroom::command {

// While there is one, SIGINT and SIGTERM do not end the process, but are remembered: what is under
// way can be done. A second one ends it, as always. At most one at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Thread-safe.
  bool requested() const;

 private:
  struct sigaction old_int_ = {};
  struct sigaction old_term_ = {};
};

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_INTERRUPT_H_
