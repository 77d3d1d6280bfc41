#include "server/grpc/library_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <string>

#include "platform/mutex.h"

namespace strongroom::grpc_server {
namespace {

// The libraries' handlers are bare functions, and gRPC's threads may call theirs at any time.
Mutex mu;
Log* target ABSL_GUARDED_BY(mu) = nullptr;

void Write(LogLevel level, absl::string_view library, absl::string_view detail) {
  MutexLock lock(mu);
  if (target != nullptr)
    target->Write(level, "library", {{"library", library}, {"detail", detail}});
}

// What gRPC calls errors are mostly callers' faults, such as a handshake that they do not finish.
void FromGrpc(gpr_log_func_args* args) {
  Write(args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug, "grpc",
        args->message);
}

// Of a request that is malformed the gate has told already.
void FromProtobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  Write(level == google::protobuf::LOGLEVEL_FATAL ? LogLevel::kError : LogLevel::kDebug, "protobuf",
        message);
}

}  // namespace

LibraryLog::LibraryLog(Log& log) {
  {
    MutexLock lock(mu);
    target = &log;
  }
  gpr_set_log_function(&FromGrpc);
  google::protobuf::SetLogHandler(&FromProtobuf);
}

LibraryLog::~LibraryLog() {
  gpr_set_log_function(nullptr);
  google::protobuf::SetLogHandler(nullptr);
  MutexLock lock(mu);
  target = nullptr;
}

}  // namespace strongroom::grpc_server
