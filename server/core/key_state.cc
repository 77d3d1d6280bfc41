#include "server/core/key_state.h"

namespace strongroom::core {

const char* NameOf(KeyStatus) { return ""; }

KeyStatus StatusOf(const store::KeyRecord&, bool) { return KeyStatus::kEnabled; }

absl::Status CheckAction(KeyAction, const KeyId&, KeyStatus) { return absl::OkStatus(); }

}  // namespace strongroom::core
