#ifndef STRONGROOM_CLIENT_AUDIT_VERIFIER_H_
#define STRONGROOM_CLIENT_AUDIT_VERIFIER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace strongroom {

// A seal of the audit trail: `mac` covers the chain up to the record before it.
struct AuditSeal {
  int64_t sequence = 0;
  std::array<uint8_t, 32> prev = {};
  std::array<uint8_t, 32> mac = {};
};

// The newest record, as the server knows it.
struct AuditHead {
  int64_t sequence = 0;
  std::array<uint8_t, 32> hash = {};
};

// The first record that is not as it should be.
struct AuditFinding {
  int64_t sequence = 0;
  // The file's name without its directory and its line, from 1. Line 0: the file as a whole.
  std::string file;
  int64_t line = 0;
  std::string what;
};

struct AuditReport {
  // Whole lines that were read, without those before AuditVerification::first_record.
  int64_t records = 0;
  int64_t files = 0;
  int64_t seals = 0;
  // How many of the seals the server was asked about, and confirmed.
  int64_t confirmed_seals = 0;
  // Of the records that are right.
  int64_t first_sequence = 0;
  int64_t last_sequence = 0;
  std::string first_time;
  std::string last_time;
  // Records behind the last confirmed seal (or, if none can be confirmed, behind the last): whoever
  // can write the files could have written these.
  int64_t unsealed_records = 0;
  // The newest file ends within a line: the server is writing, or was killed.
  bool being_written = false;
  std::optional<AuditFinding> bad;
};

struct AuditVerification {
  // The first record that is looked at. Whatever is before it, was stored elsewhere or verified
  // already, is not.
  int64_t first_record = 1;
  // What the server says. Ask it before the files are read.
  std::optional<AuditHead> head;
  // Asks the server about seals, a batch of at most kAuditSealBatch at a time: an answer each.
  // Without it, seals are counted only.
  std::function<absl::StatusOr<std::vector<bool>>(const std::vector<AuditSeal>&)> check_seals;
};

inline constexpr int64_t kAuditSealBatch = 100;

// Verifies an audit trail as docs/audit.md describes it, with memory for one line and one batch of
// seals. What is wrong with the trail is in the report; an error means that it could not be read,
// or the server not be asked.
absl::StatusOr<AuditReport> VerifyAuditTrail(const std::string& directory,
                                             const AuditVerification& verification);

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_AUDIT_VERIFIER_H_
