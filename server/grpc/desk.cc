#include "server/grpc/desk.h"

#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "platform/secret_bytes.h"

namespace strongroom::grpc_server {
namespace {

void WipeAndFree(void* bytes, size_t size) {
  Wipe(bytes, size);
  std::free(bytes);
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

}  // namespace strongroom::grpc_server
