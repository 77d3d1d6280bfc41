#include "client/command/interrupt.h"

#include <atomic>

namespace strongroom::command {
namespace {

// Lock-free, so that a signal handler may write it.
std::atomic<bool> requested_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void Remember(int) { requested_flag = true; }

}  // namespace

Interrupt::Interrupt() {
  requested_flag = false;
  struct sigaction action = {};
  action.sa_handler = Remember;
  // Once: the second one acts as if there were no handler.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

bool Interrupt::requested() const { return requested_flag; }

}  // namespace strongroom::command
