#ifndef STRONGROOM_SERVER_CORE_KEY_STATE_H_
#define STRONGROOM_SERVER_CORE_KEY_STATE_H_

#include "absl/status/status.h"
#include "server/store/ids.h"
#include "server/store/store.h"

// The states of a key, and what may be done in each: the one place that says so. docs/key-states.md
// has it as a table, which a test walks through.
namespace strongroom::core {

// What callers see. A key gets from one to another like this:
//
//   kCreating -> kEnabled, or kPendingImport if its material is imported
//   kEnabled <-> kDisabled
//   any but kCreating -> kPendingDeletion -> kDisabled (kPendingImport without material), or gone
//   kPendingImport -> kEnabled (material imported) -> kPendingImport (material deleted)
//   kEnabled <-> kUnavailable, by what the token has
enum class KeyStatus {
  kCreating,
  kEnabled,
  kDisabled,
  kPendingDeletion,
  kPendingImport,
  kUnavailable,
};
inline constexpr KeyStatus kAllKeyStatuses[] = {
    KeyStatus::kCreating,        KeyStatus::kEnabled,       KeyStatus::kDisabled,
    KeyStatus::kPendingDeletion, KeyStatus::kPendingImport, KeyStatus::kUnavailable};
// "ENABLED" and so on.
const char* NameOf(KeyStatus status);

// What can be done with a key.
enum class KeyAction {
  kLook,  // describe it, list its versions, aliases and grants, read its policy
  kSeal,
  kOpen,
  kRotate,
  kEnable,
  kDisable,
  kScheduleDeletion,
  kCancelDeletion,
  kEdit,      // its description, tags, rotation, policy; new grants and aliases
  kWithdraw,  // grants and aliases that it has
  kImport,    // parameters for it, and material
  kDeleteMaterial,
};
inline constexpr KeyAction kAllKeyActions[] = {KeyAction::kLook,
                                               KeyAction::kSeal,
                                               KeyAction::kOpen,
                                               KeyAction::kRotate,
                                               KeyAction::kEnable,
                                               KeyAction::kDisable,
                                               KeyAction::kScheduleDeletion,
                                               KeyAction::kCancelDeletion,
                                               KeyAction::kEdit,
                                               KeyAction::kWithdraw,
                                               KeyAction::kImport,
                                               KeyAction::kDeleteMaterial};
const char* NameOf(KeyAction action);

// `primary_usable`: whether the token has the keys of the primary version as they were made.
KeyStatus StatusOf(const store::KeyRecord& key, bool primary_usable);
// Of a key that is not kCreating.
KeyStatus StatusOf(store::KeyState state, bool primary_usable);

// OK, or why not: Rejected.Disabled, Rejected.PendingDeletion, Rejected.Unavailable,
// InvalidParameter.
absl::Status CheckAction(KeyAction action, const KeyId& key, KeyStatus status);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_KEY_STATE_H_
