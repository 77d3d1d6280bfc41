#include "server/core/material_import.h"

#include "server/core/error.h"

namespace strongroom::core {

absl::StatusOr<ImportParameters> MaterialImport::GetParameters(const KeyId&, hsm::ImportAlgorithm,
                                                               int, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> MaterialImport::Import(const KeyId&, absl::string_view,
                                                      absl::string_view, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::StatusOr<KeyDescription> MaterialImport::DeleteMaterial(const KeyId&, Deadline) {
  return MakeInternalFailure("not yet");
}

absl::Status MaterialImport::DropExpired(Deadline) { return MakeInternalFailure("not yet"); }

}  // namespace strongroom::core
