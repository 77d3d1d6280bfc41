#ifndef STRONGROOM_CLIENT_COMMAND_NOUNS_H_
#define STRONGROOM_CLIENT_COMMAND_NOUNS_H_

#include "client/command/grammar.h"

namespace strongroom::command {

// The grammar of the commands, by their nouns; each is in a file of its own (parse_*.cc).
void AddKeyCommands(const Grammar& grammar);
void AddAliasCommands(const Grammar& grammar);
void AddDataKeyCommands(const Grammar& grammar);
void AddDataKeyPairCommands(const Grammar& grammar);
// encrypt, decrypt, reencrypt, random
void AddCipherCommands(const Grammar& grammar);
void AddGrantCommands(const Grammar& grammar);
void AddAuditCommands(const Grammar& grammar);
void AddHealthCommand(const Grammar& grammar);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_NOUNS_H_
