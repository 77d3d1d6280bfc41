#ifndef STRONGROOM_SERVER_GRPC_STATUS_MACROS_H_
#define STRONGROOM_SERVER_GRPC_STATUS_MACROS_H_

#include <utility>

// Gives `target` the value of a StatusOr, or returns its error from the function.
#define STRONGROOM_ASSIGN_OR_RETURN(target, expression) \
  STRONGROOM_ASSIGN_OR_RETURN_(STRONGROOM_CONCAT(status_or_, __LINE__), target, expression)
#define STRONGROOM_ASSIGN_OR_RETURN_(temporary, target, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return temporary.status();                   \
  target = *std::move(temporary)
#define STRONGROOM_CONCAT(a, b) STRONGROOM_CONCAT_(a, b)
#define STRONGROOM_CONCAT_(a, b) a##b

// Returns the error of a Status from the function, if it is one.
#define STRONGROOM_RETURN_IF_ERROR(expression) \
  if (const absl::Status status_ = (expression); !status_.ok()) return status_

#endif  // STRONGROOM_SERVER_GRPC_STATUS_MACROS_H_
