#ifndef STRONGROOM_SERVER_GATE_AUDIT_RECORD_H_
#define STRONGROOM_SERVER_GATE_AUDIT_RECORD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace strongroom::audit {

enum class Outcome { kAllowed, kDenied, kFailed };

// One call, as the trail has it. There is no place for key bytes, plaintexts, PINs or grant tokens,
// and none is to be made.
//
// Refers to the caller's memory. Empty fields are left out of the line. Texts are cut to
// kLongestText bytes at the border of a character, and what is not UTF-8 in them is replaced by
// U+FFFD.
struct Record {
  absl::string_view request_id;
  absl::string_view principal;
  // Where from: the transport's address, e.g. "ipv4:10.1.2.3:40312".
  absl::string_view peer;
  // "SERVICE.RPC"
  absl::string_view operation;
  absl::string_view key_id;
  absl::string_view key_version_id;
  // The encryption context, or null. Values are cut, and pairs left out, beyond kLongestContext
  // bytes; the line then has "context_cut".
  const std::map<std::string, std::string>* context = nullptr;
  // Of a ReEncrypt, what the new blob is bound to, in the same way; `context` is the old one's.
  const std::map<std::string, std::string>* destination_context = nullptr;
  // SHA-256 of the Aad, if the call had one.
  std::optional<std::array<uint8_t, 32>> aad_sha256;
  // What else the call was about, in the words of docs/audit.md: an alias, a grant, a policy.
  absl::string_view target;
  // The grant that allowed the call, if one did.
  absl::string_view grant_id;
  bool dry_run = false;
  Outcome outcome = Outcome::kFailed;
  // "OK" or the error's reason, e.g. "Forbidden.NoPermission".
  absl::string_view reason;
  // How many a batch asked for; 0 for calls that are no batch.
  int64_t count = 0;
  int64_t duration_us = 0;
};

// As long as a SPIFFE id may be.
inline constexpr size_t kLongestText = 2048;
inline constexpr size_t kLongestContext = 8192;

// How lines are built: the object's members, each with the comma that is in front of it.
void AppendCall(const Record& record, std::string& line);
void AppendMember(absl::string_view name, absl::string_view value, std::string& line);
void AppendMember(absl::string_view name, int64_t value, std::string& line);
void AppendHex(const std::array<uint8_t, 32>& bytes, std::string& line);
void AppendNumber(int64_t number, std::string& line);

// Writes times as RFC 3339 has them, in UTC with microseconds. Keeps the text of the last second.
// Thread-compatible.
class TimeWriter {
 public:
  void Append(absl::Time time, std::string& line);

 private:
  int64_t second_ = -1;
  std::string text_;
};

}  // namespace strongroom::audit

#endif  // STRONGROOM_SERVER_GATE_AUDIT_RECORD_H_
