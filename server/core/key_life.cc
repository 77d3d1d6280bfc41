#include "server/core/key_life.h"

#include "server/core/error.h"

namespace strongroom::core {

absl::StatusOr<KeyDescription> KeyLife::CreateKey(const NewKey&, Deadline, const PolicyOf&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<store::KeyVersionRecord> KeyLife::CreateKeyVersion(const KeyId&, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::EnableKey(const KeyId&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::DisableKey(const KeyId&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::UpdateDescription(const KeyId&, absl::string_view) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::TagKey(const KeyId&,
                                               const std::map<std::string, std::string>&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::UntagKey(const KeyId&, const std::vector<std::string>&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::UpdateRotationPolicy(const KeyId&, int32_t) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::ScheduleDeletion(const KeyId&, int) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> KeyLife::CancelDeletion(const KeyId&) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<std::vector<DueWork>> KeyLife::ListDue() { return MakeInternalFailure("not yet"); }

absl::StatusOr<std::optional<store::KeyVersionRecord>> KeyLife::RotateIfDue(const KeyId&,
                                                                            Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<bool> KeyLife::BeginDestruction(const KeyId&) {
  return MakeInternalFailure("not yet");
}

absl::Status KeyLife::FinishDestruction(const KeyId&, Deadline) {
  return MakeInternalFailure("not yet");
}

}  // namespace strongroom::core
