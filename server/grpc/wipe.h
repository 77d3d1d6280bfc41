#ifndef STRONGROOM_SERVER_GRPC_WIPE_H_
#define STRONGROOM_SERVER_GRPC_WIPE_H_

#include "platform/secret_bytes.h"

namespace strongroom::grpc_server {

// Wipes the fields of a message that hold secrets, whatever message it is: those called
// `plaintext`, `shared_secret`, `Plaintext`, `PrivateKeyPlaintext` or `Random`, also in the data
// keys of a batch.
template <typename Message>
void WipeSecrets(Message& message) {
  if constexpr (requires { message.mutable_plaintext(); }) Wipe(message.mutable_plaintext());
  if constexpr (requires { message.mutable_shared_secret(); }) {
    Wipe(message.mutable_shared_secret());
  }
  if constexpr (requires { message.mutable_privatekeyplaintext(); }) {
    Wipe(message.mutable_privatekeyplaintext());
  }
  if constexpr (requires { message.mutable_random(); }) Wipe(message.mutable_random());
  if constexpr (requires { message.mutable_outcomes(); }) {
    for (auto& outcome : *message.mutable_outcomes()) {
      // Asking for it would make it one.
      if (outcome.has_data_key()) WipeSecrets(*outcome.mutable_data_key());
    }
  }
}

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_WIPE_H_
