#ifndef STRONGROOM_CLIENT_COMMAND_OPTIONS_H_
#define STRONGROOM_CLIENT_COMMAND_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/command/arguments.h"
#include "client/command/outputs.h"

namespace strongroom::command {

// Options that several commands share. Each function gives `command` the options that fill in its
// second argument, which lives as long as the command.

CLI::Option* AddKeyId(CLI::App* command, std::string* key_id, const char* text);
// KEY, without a name before it.
void AddKeyPosition(CLI::App* command, std::string* key_id);
void AddPage(CLI::App* command, PageRequest* page);
void AddService(CLI::App* command, ServiceChoice* service, bool with_advance = true);
// A repeatable NAME=VALUE or the like.
CLI::Option* AddRepeatable(CLI::App* command, const char* flag, std::vector<std::string>* values,
                           const char* type, const std::string& text);
void AddContext(CLI::App* command, Binding* binding);
void AddGrantTokens(CLI::App* command, std::vector<std::string>* files);
void AddAuthority(CLI::App* command, Authority* authority);
void AddAad(CLI::App* command, Binding* binding, const char* note);
void AddAlgorithm(CLI::App* command, std::string* algorithm);
// An option that takes a file's name.
CLI::Option* AddFile(CLI::App* command, const char* flag, std::string* file,
                     const std::string& text);
void AddCiphertextOut(CLI::App* command, OutputChoice* outputs);
void AddPublicKeyOut(CLI::App* command, OutputChoice* outputs);
// `flags` are the names that the option has here, the first among them --plaintext-out.
void AddPlaintextOut(CLI::App* command, OutputChoice* outputs,
                     const char* flags = "--plaintext-out,--private-key-out");
void AddForce(CLI::App* command, OutputChoice* outputs);

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_OPTIONS_H_
