#ifndef STRONGROOM_CLIENT_ENCRYPTION_CONTEXT_H_
#define STRONGROOM_CLIENT_ENCRYPTION_CONTEXT_H_

#include <map>
#include <string>

namespace strongroom {

// Binds what is sealed: opening takes an equal map. At most 8,192 bytes, with four for the length
// of each key and each value.
using EncryptionContext = std::map<std::string, std::string>;

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_ENCRYPTION_CONTEXT_H_
