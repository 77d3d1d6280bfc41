#include "server/core/key_state.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

enum class Answer {
  kYes,
  kDisabled,
  kDeleted,  // will be
  kCreating,
  kNoMaterial,
  kNotScheduled,  // for deletion
  kHasMaterial,
};

struct Row {
  KeyAction action;
  // By the states in the order of KeyStatus.
  Answer answers[std::size(kAllKeyStatuses)];
};

// That a key is kUnavailable keeps nobody from trying: it is its primary version that is, and which
// version an operation needs is known later.
constexpr Row kRows[] = {
    // clang-format off
    //                              CREATING           ENABLED                DISABLED               PENDING_DELETION  PENDING_IMPORT         UNAVAILABLE
    {KeyAction::kLook,             {Answer::kYes,      Answer::kYes,          Answer::kYes,          Answer::kYes,     Answer::kYes,          Answer::kYes}},
    {KeyAction::kSeal,             {Answer::kCreating, Answer::kYes,          Answer::kDisabled,     Answer::kDeleted, Answer::kNoMaterial,   Answer::kYes}},
    {KeyAction::kOpen,             {Answer::kCreating, Answer::kYes,          Answer::kDisabled,     Answer::kDeleted, Answer::kNoMaterial,   Answer::kYes}},
    {KeyAction::kRotate,           {Answer::kCreating, Answer::kYes,          Answer::kDisabled,     Answer::kDeleted, Answer::kNoMaterial,   Answer::kYes}},
    {KeyAction::kEnable,           {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kDeleted, Answer::kNoMaterial,   Answer::kYes}},
    {KeyAction::kDisable,          {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kDeleted, Answer::kNoMaterial,   Answer::kYes}},
    {KeyAction::kScheduleDeletion, {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kDeleted, Answer::kYes,          Answer::kYes}},
    {KeyAction::kCancelDeletion,   {Answer::kCreating, Answer::kNotScheduled, Answer::kNotScheduled, Answer::kYes,     Answer::kNotScheduled, Answer::kNotScheduled}},
    {KeyAction::kEdit,             {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kDeleted, Answer::kYes,          Answer::kYes}},
    {KeyAction::kWithdraw,         {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kYes,     Answer::kYes,          Answer::kYes}},
    {KeyAction::kImport,           {Answer::kCreating, Answer::kHasMaterial,  Answer::kHasMaterial,  Answer::kDeleted, Answer::kYes,          Answer::kHasMaterial}},
    {KeyAction::kDeleteMaterial,   {Answer::kCreating, Answer::kYes,          Answer::kYes,          Answer::kDeleted, Answer::kYes,          Answer::kYes}},
    // clang-format on
};

constexpr bool RowsAreInOrder() {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (kRows[i].action != kAllKeyActions[i] || static_cast<size_t>(kAllKeyActions[i]) != i) {
      return false;
    }
  }
  return std::size(kRows) == std::size(kAllKeyActions);
}
static_assert(RowsAreInOrder());

constexpr absl::Duration kCreationTakes = absl::Seconds(1);

}  // namespace

const char* NameOf(KeyStatus status) {
  switch (status) {
    case KeyStatus::kCreating:
      return "CREATING";
    case KeyStatus::kEnabled:
      return "ENABLED";
    case KeyStatus::kDisabled:
      return "DISABLED";
    case KeyStatus::kPendingDeletion:
      return "PENDING_DELETION";
    case KeyStatus::kPendingImport:
      return "PENDING_IMPORT";
    case KeyStatus::kUnavailable:
      return "UNAVAILABLE";
  }
  return "";
}

const char* NameOf(KeyAction action) {
  switch (action) {
    case KeyAction::kLook:
      return "look";
    case KeyAction::kSeal:
      return "seal";
    case KeyAction::kOpen:
      return "open";
    case KeyAction::kRotate:
      return "rotate";
    case KeyAction::kEnable:
      return "enable";
    case KeyAction::kDisable:
      return "disable";
    case KeyAction::kScheduleDeletion:
      return "schedule deletion";
    case KeyAction::kCancelDeletion:
      return "cancel deletion";
    case KeyAction::kEdit:
      return "edit";
    case KeyAction::kWithdraw:
      return "withdraw";
    case KeyAction::kImport:
      return "import";
    case KeyAction::kDeleteMaterial:
      return "delete material";
  }
  return "";
}

KeyStatus StatusOf(const store::KeyRecord& key, bool primary_usable) {
  return key.creating ? KeyStatus::kCreating : StatusOf(key.state, primary_usable);
}

KeyStatus StatusOf(store::KeyState state, bool primary_usable) {
  switch (state) {
    case store::KeyState::kEnabled:
      return primary_usable ? KeyStatus::kEnabled : KeyStatus::kUnavailable;
    case store::KeyState::kDisabled:
      return KeyStatus::kDisabled;
    case store::KeyState::kPendingDeletion:
    case store::KeyState::kDestroying:
      return KeyStatus::kPendingDeletion;
    case store::KeyState::kPendingImport:
      return KeyStatus::kPendingImport;
  }
  return KeyStatus::kUnavailable;
}

absl::Status CheckAction(KeyAction action, const KeyId& key, KeyStatus status) {
  const Answer answer = kRows[static_cast<size_t>(action)].answers[static_cast<size_t>(status)];
  if (answer == Answer::kYes) return absl::OkStatus();  // before the name is made: every call asks
  const std::string name = absl::StrCat("key ", key.ToString());
  switch (answer) {
    case Answer::kYes:
      return absl::OkStatus();
    case Answer::kDisabled:
      return MakeError(Reason::kDisabled, absl::StrCat(name, " is disabled; enable it to use it"));
    case Answer::kDeleted:
      return MakeError(Reason::kPendingDeletion,
                       absl::StrCat(name, " is to be deleted; CancelKeyDeletion keeps it"));
    case Answer::kCreating:
      return MakeRetryableError(Reason::kUnavailable,
                                absl::StrCat(name, " is being created; try again"), kCreationTakes);
    case Answer::kNoMaterial:
      return MakeError(Reason::kUnavailable,
                       absl::StrCat(name, " waits for its material; ImportKeyMaterial brings it"));
    case Answer::kNotScheduled:
      return MakeError(Reason::kInvalidParameter,
                       absl::StrCat("key_id: ", name, " is ", NameOf(status),
                                    "; only what is PENDING_DELETION can be kept from it"));
    case Answer::kHasMaterial:
      return MakeError(Reason::kInvalidParameter,
                       absl::StrCat("key_id: ", name, " is ", NameOf(status),
                                    " and has its material; DeleteImportedKeyMaterial makes room "
                                    "for importing it again"));
  }
  return MakeInternalFailure("an answer that does not exist");
}

}  // namespace strongroom::core
