#ifndef STRONGROOM_CLIENT_KEY_POLICY_MESSAGES_H_
#define STRONGROOM_CLIENT_KEY_POLICY_MESSAGES_H_

#include "client/key_policy.h"
#include "strongroom/v1/authority.pb.h"

namespace strongroom {

// Policies and conditions, from messages and back. A message for conditions that are none is the
// caller's to leave out.
KeyPolicy ToPolicy(const v1::KeyPolicy& message);
v1::KeyPolicy ToMessage(const KeyPolicy& policy);
EncryptionContextConditions ToConditions(const v1::EncryptionContextConditions& message);
v1::EncryptionContextConditions ToMessage(const EncryptionContextConditions& conditions);
bool IsEmpty(const EncryptionContextConditions& conditions);

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_KEY_POLICY_MESSAGES_H_
