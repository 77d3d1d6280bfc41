#include "server/gate/gate.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/core/envelope.h"
#include "server/core/error.h"
#include "server/store/ids.h"

namespace strongroom::gate {
namespace {

using core::Reason;

constexpr Operation kReEncryptFrom("KmsService.ReEncryptFrom");
constexpr Operation kReEncryptTo("KmsService.ReEncryptTo");

// How long a call may take that says nothing of it. RSA-4096 pairs take seconds.
constexpr std::chrono::seconds kLongestCall(120);

constexpr absl::Duration kTrailRetry = absl::Seconds(1);

std::string NewRequestId() {
  std::array<uint8_t, 16> random = {};
  RAND_bytes(random.data(), static_cast<int>(random.size()));
  return Id<struct RequestTag>::FromRandom(random).ToString();
}

// A key as the caller named it may be as long as a message. More than any alias has is cut, not
// within a character (UTF-8).
absl::string_view Cut(absl::string_view text) {
  constexpr size_t kMost = 256;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

int64_t MicrosecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               begin)
      .count();
}

audit::Outcome OutcomeOf(const absl::Status& outcome) {
  if (outcome.ok()) return audit::Outcome::kAllowed;
  switch (core::ReasonOf(outcome)) {
    case Reason::kDryRunOperation:
      return audit::Outcome::kAllowed;
    case Reason::kNoPermission:
    case Reason::kAccessDenied:
    case Reason::kInvalidGrantToken:
      return audit::Outcome::kDenied;
    default:
      return audit::Outcome::kFailed;
  }
}

absl::Status TrailUnavailable(const absl::Status& failure) {
  return core::WithDetail(
      core::MakeRetryableError(Reason::kServiceUnavailableTemporary,
                               "the audit trail cannot be written, and without a record nothing is "
                               "done; try again",
                               kTrailRetry),
      failure.message());
}

std::string NameOf(const core::KeyReference& key) {
  if (const KeyId* const id = std::get_if<KeyId>(&key)) return id->ToString();
  return std::get<core::AliasName>(key).text;
}

// What a dry run says that the token could do.
constexpr char kAble[] = "able";
constexpr char kUnable[] = "unable";
constexpr char kAway[] = "away";

const char* TokenStateOf(const absl::Status& rehearsal) {
  if (rehearsal.ok()) return kAble;
  return core::ReasonOf(rehearsal) == Reason::kUnsupportedOperation ? kUnable : kAway;
}

bool IsOfToken(Reason reason) {
  return reason == Reason::kUnsupportedOperation || reason == Reason::kUnavailable ||
         reason == Reason::kDependencyTimeout || reason == Reason::kThrottling;
}

}  // namespace

const EncryptionContext* Call::context() const {
  // An Aad is not an encryption context.
  return operation.info().takes_context && aad.empty() ? &encryption_context : nullptr;
}

absl::StatusOr<Permit> Call::Ask(Operation what, absl::Span<const core::KeyReference> keys,
                                 const EncryptionContext* context) {
  stage_ = Stage::kAsked;
  grant_id_.clear();
  std::vector<Demand> demands;
  if (keys.empty()) demands.push_back({what, std::nullopt});
  for (const core::KeyReference& key : keys) demands.push_back({what, key});
  PermitRequest request;
  request.principal = principal_;
  request.demands = demands;
  request.context.encryption_context = context;
  request.grant_tokens = grant_tokens;
  request.deadline = deadline;
  absl::StatusOr<Permit> permit = gate_.parts_.authority.Decide(request);
  if (!permit.ok()) return permit;
  stage_ = Stage::kPermitted;
  if (permit->keys[0].has_value()) key_id = permit->keys[0]->ToString();
  if (!permit->grants.empty()) grant_id_ = permit->grants[0]->id.ToString();
  return permit;
}

absl::StatusOr<Permit> Call::Authorize(absl::Span<const core::KeyReference> keys) {
  if (count > 1) {
    const absl::Status fits = gate_.parts_.rate_limiter.CheckBatch(
        "count", principal_, operation.info().operation_class, count);
    if (!fits.ok()) return fits;
  }
  absl::StatusOr<Permit> permit = Ask(operation, keys, context());
  // Only now, for what does nothing costs no more than a call.
  if (count > 1 && permit.ok() && !dry_run) {
    const absl::Status taken = gate_.parts_.rate_limiter.TakeRest(
        principal_, operation.info().operation_class, count, std::chrono::steady_clock::now());
    if (!taken.ok()) return taken;
  }
  return permit;
}

absl::StatusOr<std::optional<KeyId>> Call::AskForOpening(
    Operation what, absl::string_view blob, const std::optional<core::KeyReference>& expected) {
  const absl::StatusOr<KeyId> sealing_key = core::SealingKeyOf(blob);
  if (!sealing_key.ok()) return sealing_key.status();
  std::optional<KeyId> expected_id;
  if (expected.has_value()) {
    const absl::StatusOr<Permit> permit = Ask(what, {*expected}, context());
    if (!permit.ok()) return permit.status();
    expected_id = permit->key(0);
  }
  key_id = sealing_key->ToString();
  const absl::Status permitted = Ask(what, {*sealing_key}, context()).status();
  if (core::ReasonOf(permitted) == Reason::kKeyNotFound) return core::InvalidCiphertext();
  if (!permitted.ok()) return permitted;
  return expected_id;
}

absl::StatusOr<std::optional<KeyId>> Call::AuthorizeOpening(
    absl::string_view blob, const std::optional<core::KeyReference>& expected) {
  return AskForOpening(operation, blob, expected);
}

absl::StatusOr<ReEncryptionPermit> Call::AuthorizeReEncryption(
    absl::string_view blob, const std::optional<core::KeyReference>& expected,
    const core::KeyReference& destination, const EncryptionContext& destination_context) {
  destination_context_ = destination_context;
  if (expected.has_value()) key_id = NameOf(*expected);
  const absl::StatusOr<std::optional<KeyId>> source = AskForOpening(kReEncryptFrom, blob, expected);
  if (!source.ok()) return source.status();
  target = absl::StrCat("from ", key_id);
  const std::string source_grant = grant_id_;
  key_id = NameOf(destination);
  const absl::StatusOr<Permit> permit = Ask(kReEncryptTo, {destination}, &destination_context);
  if (!permit.ok()) return permit.status();
  // For the record, both that it rests on.
  if (!source_grant.empty()) {
    grant_id_ = grant_id_.empty() ? source_grant : absl::StrCat(source_grant, ",", grant_id_);
  }
  return ReEncryptionPermit{*source, permit->key(0)};
}

std::unique_ptr<Call> Gate::Begin(Operation operation, Peer peer, Deadline deadline,
                                  std::string peer_address) const {
  const auto arrival = std::chrono::steady_clock::now();
  return std::unique_ptr<Call>(new Call(*this, NewRequestId(), operation, std::move(peer),
                                        std::move(peer_address),
                                        std::min(deadline, arrival + kLongestCall), arrival));
}

absl::Status Gate::Admit(Call& call) const {
  absl::StatusOr<std::string> principal = parts_.identities.PrincipalOf(call.peer_);
  if (!principal.ok()) return principal.status();
  call.principal_ = *std::move(principal);
  if (parts_.trail != nullptr) {
    const absl::Status writable = parts_.trail->CheckWritable();
    if (!writable.ok()) {
      call.refused_by_trail_ = true;
      return TrailUnavailable(writable);
    }
  }
  return parts_.rate_limiter.Take(call.principal_, call.operation.info().operation_class,
                                  call.arrival_);
}

absl::Status Gate::Pass(Call& call, const std::function<absl::Status(Call&)>& work) const {
  absl::Status outcome;
  if (std::chrono::steady_clock::now() >= call.deadline) {
    outcome = core::MakeError(Reason::kDependencyTimeout,
                              "the call's deadline passed before its work began; allow more time");
  } else {
    outcome = work(call);
    if (outcome.ok() && call.stage_ != Call::Stage::kPermitted) {
      outcome = core::MakeInternalFailure("the work was done without asking for permission");
    }
    if (call.dry_run) outcome = DryRunOutcome(call, outcome);
  }
  return Conclude(call, std::move(outcome));
}

absl::Status Gate::DryRunOutcome(const Call& call, const absl::Status& outcome) const {
  const auto tell = [](Reason reason, absl::string_view message, absl::string_view check,
                       absl::string_view token) {
    return core::WithMetadata(
        core::WithMetadata(core::MakeError(reason, message), "failed_check", check), "token",
        token);
  };
  if (outcome.ok()) {
    return tell(Reason::kDryRunOperation,
                "the call would have worked; it was a dry run, and nothing was done", "none",
                kAble);
  }
  const Reason reason = core::ReasonOf(outcome);
  if (reason == Reason::kInternalFailure) return outcome;
  const std::string message = absl::StrCat("dry run: ", core::MessageOf(outcome));
  if (call.stage_ == Call::Stage::kPermitted && IsOfToken(reason)) {
    return tell(Reason::kValidationError, message, "token", TokenStateOf(outcome));
  }
  const char* const token =
      TokenStateOf(parts_.data_keys.RehearseToken(call.pair_spec, call.deadline));
  if (OutcomeOf(outcome) == audit::Outcome::kDenied) {
    return tell(Reason::kAccessDenied, message, "permission", token);
  }
  return tell(Reason::kValidationError, message,
              call.stage_ == Call::Stage::kBegun ? "request" : "key", token);
}

absl::Status Gate::Conclude(const Call& call, absl::Status outcome) const {
  const absl::Status recorded = Record(call, outcome);
  if (!recorded.ok()) outcome = TrailUnavailable(recorded);
  WriteLine(call, outcome);
  return outcome;
}

absl::Status Gate::Record(const Call& call, const absl::Status& outcome) const {
  if (parts_.trail == nullptr || call.refused_by_trail_) return absl::OkStatus();
  const std::string operation = call.operation.FullName();
  audit::Record record;
  record.request_id = call.request_id;
  record.principal = call.principal_;
  record.peer = call.peer_address_;
  record.operation = operation;
  record.key_id = call.key_id;
  record.key_version_id = call.key_version_id;
  record.context = &call.encryption_context;
  record.destination_context = &call.destination_context_;
  if (!call.aad.empty()) {
    SHA256(reinterpret_cast<const uint8_t*>(call.aad.data()), call.aad.size(),
           record.aad_sha256.emplace().data());
  }
  record.target = call.target;
  record.grant_id = call.grant_id_;
  record.dry_run = call.dry_run;
  record.outcome = OutcomeOf(outcome);
  record.reason = outcome.ok() ? "OK" : core::InfoOf(core::ReasonOf(outcome)).name;
  record.count = call.count;
  record.duration_us = MicrosecondsSince(call.arrival_);
  return parts_.trail->Write(record);
}

void Gate::WriteLine(const Call& call, const absl::Status& outcome) const {
  // A batch that was done in part is a success to its caller, not to who looks for faults.
  const absl::Status& failure = outcome.ok() ? call.shortfall : outcome;
  const core::ReasonInfo* const reason =
      failure.ok() ? nullptr : &core::InfoOf(core::ReasonOf(failure));
  // What the trail has is logged only for those who look for a fault.
  LogLevel level = parts_.trail == nullptr ? LogLevel::kInfo : LogLevel::kDebug;
  if (reason != nullptr && reason->http_status >= 500) level = LogLevel::kError;
  if (!parts_.log.Writes(level)) return;
  // The error's message is left out: it may repeat what the caller sent.
  const std::string operation = call.operation.FullName();
  const std::string detail = failure.ok() ? std::string() : core::DetailOf(failure);
  parts_.log.Write(level, "call",
                   {{"request_id", call.request_id},
                    {"principal", call.principal_},
                    {"operation", operation},
                    {"key_id", Cut(call.key_id)},
                    {"key_version_id", call.key_version_id},
                    {"outcome", reason == nullptr ? "OK" : reason->name},
                    {"detail", detail},
                    {"duration_us", MicrosecondsSince(call.arrival_)}});
}

}  // namespace strongroom::gate
