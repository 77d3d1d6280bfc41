#include "server/grpc/desk.h"

#include <grpc/slice.h>
#include <grpcpp/alarm.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "platform/secret_bytes.h"

namespace strongroom::grpc_server {
namespace {

// How long a call is held that has to wait so long: 50 to 150 ms, and different for different
// waits, for those that were refused together shall not come back together.
absl::Duration HoldFor(absl::Duration wait) {
  return std::min(
      wait, absl::Milliseconds(50) + absl::Milliseconds(absl::ToInt64Milliseconds(wait) % 100));
}

void WipeAndFree(void* bytes, size_t size) {
  Wipe(bytes, size);
  std::free(bytes);
}

// Who calls again at once when it is refused could keep a processor busy with refusals, to the cost
// of everybody; so whom waiting would help waits a little, and cannot call again over this stream.
void FinishLater(const grpc::Status& status, std::chrono::milliseconds delay,
                 grpc::ServerUnaryReactor* reactor) {
  // It keeps what it calls for as long as it lives, so it cannot be owned by that; it ends itself.
  auto* const alarm = new grpc::Alarm();
  alarm->Set(std::chrono::system_clock::now() + delay, [alarm, status, reactor](bool) {
    reactor->Finish(status);
    delete alarm;
  });
}

}  // namespace

absl::Status Desk::Parse(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message) {
  grpc::Slice slice;
  if (bytes.DumpToSingleSlice(&slice).ok() &&
      message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::OkStatus();
  }
  return core::MakeError(core::Reason::kInvalidParameter,
                         absl::StrCat("the request is not a ", message.GetTypeName(),
                                      " message: malformed, or a string field is not UTF-8"));
}

void Desk::Serialize(const google::protobuf::MessageLite& message, grpc::ByteBuffer& bytes) {
  const size_t size = message.ByteSizeLong();
  // One byte more, for an empty message needs a place too.
  void* memory = std::malloc(size + 1);
  message.SerializeWithCachedSizesToArray(static_cast<uint8_t*>(memory));
  const grpc::Slice slice(memory, size, &WipeAndFree);
  grpc::ByteBuffer buffer(&slice, 1);
  bytes.Swap(&buffer);
}

void Desk::SetExtrasFromMetadata(const grpc::CallbackServerContext& context, gate::Call& call) {
  if (!call.operation.info().takes_context) return;
  const auto& metadata = context.client_metadata();
  const auto [first, last] = metadata.equal_range("x-strongroom-grant-token");
  for (auto it = first; it != last; ++it) {
    call.grant_tokens.emplace_back(it->second.data(), it->second.size());
  }
  const auto dry_run = metadata.find("x-strongroom-dry-run");
  call.dry_run = dry_run != metadata.end() && dry_run->second == "true";
}

absl::Status Desk::TooManyWaiting() {
  return core::MakeRetryableError(core::Reason::kThrottling,
                                  "too many calls of this principal are waiting; try again later",
                                  absl::Seconds(1));
}

void Desk::Refuse(std::shared_ptr<gate::Call> call, absl::Status why,
                  grpc::ServerUnaryReactor* reactor) {
  const std::string principal = call->principal();
  const std::function<void()> conclude = [this, call = std::move(call), why = std::move(why),
                                          reactor] {
    const absl::Status outcome = gate_.Conclude(*call, why);
    const grpc::Status status = ToGrpcStatus(outcome, call->request_id);
    const std::optional<absl::Duration> wait = core::RetryDelayOf(outcome);
    if (core::ReasonOf(outcome) == core::Reason::kThrottling && wait.has_value()) {
      FinishLater(status, absl::ToChronoMilliseconds(HoldFor(*wait)), reactor);
    } else {
      reactor->Finish(status);
    }
  };
  // Not on gRPC's thread: the record may have to wait for a disk.
  if (!workers_.Run(principal, conclude)) conclude();
}

}  // namespace strongroom::grpc_server
