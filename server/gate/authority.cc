#include "server/gate/authority.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

using core::MakeError;
using core::Reason;
using GrantPointer = std::shared_ptr<const Grant>;

constexpr Operation kCreateGrant("KeyManagementService.CreateGrant");
constexpr Operation kRetireGrant("KeyManagementService.RetireGrant");
constexpr Operation kPutKeyPolicy("KeyManagementService.PutKeyPolicy");

// What is kept in memory: keys, with their policies and grants, by the KiB of what the store keeps;
// and verified grants, which are mostly the same.
constexpr size_t kMaxAccessKeys = 10000;
constexpr size_t kMaxAccessSize = 65536;
constexpr size_t kMaxVerified = 2 * Authority::kMaxGrantsOfKey;
constexpr int kGrantsAtATime = 1000;

// A clock that was set back does not bring a grant back that was ended and forgotten.
constexpr absl::Duration kKeptAfterExpiry = absl::Hours(24);

constexpr absl::string_view kPolicyPrefix = "srp1.";
// With the NUL that ends it, so that it is the beginning of no other.
constexpr absl::string_view kPolicyMacDomain("strongroom key policy v1\0", 25);

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return MakeError(Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
}

// In its one wording for each operation: not even the key is named as the caller named it.
absl::Status Forbidden(absl::string_view principal, Operation operation, bool has_key) {
  return MakeError(Reason::kNoPermission,
                   absl::StrCat(principal, " may not do ", operation.FullName(),
                                has_key ? " with this key, or there is no such key" : ""));
}

absl::Status KeyNotFound(const KeyId& key) {
  return MakeError(Reason::kKeyNotFound, absl::StrCat("there is no key ", key.ToString()));
}

absl::Status NoSuchGrant(const KeyId& key, const GrantId& id) {
  return Invalid("grant_id", absl::StrCat("key ", key.ToString(), " has no grant ", id.ToString(),
                                          " that was not ended; ListGrants has those it has"));
}

size_t Kibibytes(absl::string_view document) { return 1 + document.size() / 1024; }

bool IsAbsence(const absl::Status& error) {
  const Reason reason = core::ReasonOf(error);
  return reason == Reason::kKeyNotFound || reason == Reason::kAliasNotFound;
}

std::string PolicyMacInput(const KeyId& key, absl::string_view json) {
  const absl::string_view id(reinterpret_cast<const char*>(key.bytes().data()), key.bytes().size());
  return absl::StrCat(kPolicyMacDomain, id, json);
}

// The store keeps the grant token, so that what is in the database is authenticated too.
store::GrantRecord ToRecord(const Grant& grant, absl::string_view token) {
  return {.id = grant.id,
          .key_id = grant.key_id,
          .grantee = grant.text.grantee,
          .retiring_principal = grant.text.retiring_principal,
          .create_time = grant.create_time,
          .expire_time = grant.text.expire_time,
          .document = std::string(token)};
}

std::string ToHex(const hsm::Mac& mac) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(mac.data()), mac.size()});
}

}  // namespace

// --- Memory -------------------------------------------------------------------------------------

absl::StatusOr<std::shared_ptr<const Authority::Access>> Authority::AccessOf(const KeyId& key,
                                                                             Deadline deadline) {
  uint64_t changes = 0;
  {
    ReaderLock lock(mu_);
    const auto it = access_.find(key);
    if (it != access_.end()) return it->second;
    changes = changes_;
  }
  // Threads that want the same key may each load it: none waits for another's call of the token.
  absl::StatusOr<std::shared_ptr<const Access>> access = LoadAccess(key, deadline);
  if (!access.ok()) return access.status();
  WriterLock lock(mu_);
  // After a change this may be the past: right for a call that began before it, and no other.
  if (changes != changes_) return access;
  const auto [it, is_new] = access_.insert({key, *access});
  if (!is_new) return it->second;
  access_size_ += (*access)->size;
  while (access_size_ > kMaxAccessSize || access_.size() > kMaxAccessKeys) {
    // Any will do.
    const auto other = access_.begin();
    access_size_ -= other->second->size;
    access_.erase(other);
  }
  return access;
}

void Authority::Forget(const KeyId& key) {
  WriterLock lock(mu_);
  ++changes_;
  const auto it = access_.find(key);
  if (it == access_.end()) return;
  access_size_ -= it->second->size;
  access_.erase(it);
}

absl::StatusOr<std::shared_ptr<const Authority::Access>> Authority::LoadAccess(const KeyId& key,
                                                                               Deadline deadline) {
  auto access = std::make_shared<Access>();
  absl::StatusOr<std::string> document = store_.GetKeyPolicy(key);
  if (absl::IsNotFound(document.status())) return KeyNotFound(key);
  if (!document.ok()) return core::FromStore(document.status());
  absl::StatusOr<std::optional<Policy>> policy = ReadPolicy(key, *document, deadline);
  if (!policy.ok()) return policy.status();
  access->size = Kibibytes(*document);
  if (policy->has_value()) {
    access->policy = **std::move(policy);
  } else {
    log_.Write(LogLevel::kError, "policy_not_genuine",
               {{"key_id", key.ToString()},
                {"detail",
                 "the policy in the database is not as this service wrote it, and allows "
                 "nothing; PutKeyPolicy replaces it"}});
  }

  std::optional<GrantId> after;
  absl::StatusOr<std::vector<store::GrantRecord>> records;
  do {
    records = store_.ListGrants(key, std::nullopt, after, kGrantsAtATime);
    if (!records.ok()) return core::FromStore(records.status());
    for (const store::GrantRecord& record : *records) {
      after = record.id;
      absl::StatusOr<GrantPointer> grant = ReadGrantRecord(record, deadline);
      if (!grant.ok()) return grant.status();
      if (*grant == nullptr) continue;
      access->grants[(*grant)->text.grantee].push_back(*std::move(grant));
      access->size += Kibibytes(record.document);
    }
  } while (records->size() == static_cast<size_t>(kGrantsAtATime));

  // After the grants, so that one that is ended in between is known to be.
  absl::StatusOr<std::vector<GrantId>> ended = store_.ListEndedGrants(key);
  if (!ended.ok()) return core::FromStore(ended.status());
  access->ended.insert(ended->begin(), ended->end());
  access->size += ended->size() * sizeof(GrantId) / 1024;
  return access;
}

// --- Policies -----------------------------------------------------------------------------------

absl::StatusOr<std::string> Authority::SignPolicy(const KeyId& key, const Policy& policy,
                                                  Deadline deadline) {
  const std::string json = policy.ToDocument();
  const absl::StatusOr<hsm::Mac> mac =
      token_.ComputeMac(hsm::MacPurpose::kMetadata, Bytes(PolicyMacInput(key, json)), deadline);
  if (!mac.ok()) return core::FromToken(mac.status());
  return absl::StrCat(kPolicyPrefix, ToHex(*mac), ".", json);
}

absl::StatusOr<std::optional<Policy>> Authority::ReadPolicy(const KeyId& key,
                                                            absl::string_view document,
                                                            Deadline deadline) {
  if (document.empty()) return std::optional<Policy>(Policy());
  constexpr size_t kHeader = kPolicyPrefix.size() + 2 * hsm::kMacBytes + 1;
  if (document.size() <= kHeader) return std::nullopt;
  const absl::string_view json = document.substr(kHeader);
  const absl::StatusOr<hsm::Mac> mac =
      token_.ComputeMac(hsm::MacPurpose::kMetadata, Bytes(PolicyMacInput(key, json)), deadline);
  if (!mac.ok()) return core::FromToken(mac.status());
  const std::string header = absl::StrCat(kPolicyPrefix, ToHex(*mac), ".");
  if (CRYPTO_memcmp(document.data(), header.data(), kHeader) != 0) return std::nullopt;
  absl::StatusOr<Policy> policy = Policy::FromDocument(json);
  // Genuine, but from a server that knew more than this one.
  if (!policy.ok()) return std::nullopt;
  return std::optional<Policy>(*std::move(policy));
}

absl::Status Authority::CheckPolicy(absl::string_view principal, const Policy& policy) const {
  if (policy.statements().empty()) {
    return MakeError(Reason::kMissingParameter,
                     "policy: is required; a policy has at least one statement");
  }
  if (configuration_.AllowsAlways(principal, kPutKeyPolicy) ||
      policy.AllowsAlways(principal, kPutKeyPolicy)) {
    return absl::OkStatus();
  }
  const bool somebody =
      configuration_.AllowsSomebody(kPutKeyPolicy) || policy.AllowsSomebody(kPutKeyPolicy);
  return Invalid(
      "policy",
      absl::StrCat(somebody ? "" : "nobody could change this policy afterwards, not even ",
                   principal, somebody ? " could not change this policy afterwards" : "",
                   "; add a statement without conditions that allows PutKeyPolicy to ", principal));
}

absl::StatusOr<Policy> Authority::GetKeyPolicy(const KeyId& key, Deadline deadline) {
  absl::StatusOr<std::string> document = store_.GetKeyPolicy(key);
  if (absl::IsNotFound(document.status())) return KeyNotFound(key);
  if (!document.ok()) return core::FromStore(document.status());
  absl::StatusOr<std::optional<Policy>> policy = ReadPolicy(key, *document, deadline);
  if (!policy.ok()) return policy.status();
  if (!policy->has_value()) {
    return core::MakeInternalFailure(
        absl::StrCat("the policy of key ", key.ToString(),
                     " in the database is not as this service wrote it; PutKeyPolicy replaces it"));
  }
  return **std::move(policy);
}

absl::Status Authority::PutKeyPolicy(absl::string_view principal, const KeyId& key,
                                     const Policy& policy, Deadline deadline) {
  if (absl::Status status = CheckPolicy(principal, policy); !status.ok()) return status;
  absl::StatusOr<std::string> document = SignPolicy(key, policy, deadline);
  if (!document.ok()) return document.status();
  const absl::Status put = store_.PutKeyPolicy(key, *document);
  // Also after a failure: rather look again.
  Forget(key);
  if (absl::IsNotFound(put)) return KeyNotFound(key);
  return core::FromStore(put);
}

absl::StatusOr<std::string> Authority::PolicyDocumentFor(absl::string_view principal,
                                                         const KeyId& new_key,
                                                         const std::optional<Policy>& policy,
                                                         Deadline deadline) {
  if (policy.has_value()) {
    if (absl::Status status = CheckPolicy(principal, *policy); !status.ok()) return status;
    return SignPolicy(new_key, *policy, deadline);
  }
  if (configuration_.AllowsSomebody(kPutKeyPolicy)) return std::string();
  return MakeError(Reason::kMissingParameter,
                   absl::StrCat("policy: is required, for nobody may put a policy on this key "
                                "later; give one that allows PutKeyPolicy to ",
                                principal));
}

// --- Grants -------------------------------------------------------------------------------------

absl::StatusOr<GrantPointer> Authority::ReadGrantToken(absl::string_view token, Deadline deadline) {
  if (token.size() > kMaxGrantTokenLength) return GrantPointer();
  Digest digest;
  SHA256(Bytes(token).data(), token.size(), digest.data());
  {
    ReaderLock lock(verified_mu_);
    const auto it = verified_.find(digest);
    if (it != verified_.end()) return it->second;
  }
  const std::optional<SignedGrant> parsed = ParseGrantToken(token);
  if (!parsed.has_value()) return GrantPointer();
  const absl::StatusOr<hsm::Mac> mac = token_.ComputeMac(
      hsm::MacPurpose::kGrantToken, Bytes(GrantMacInput(parsed->document)), deadline);
  if (!mac.ok()) return core::FromToken(mac.status());
  if (CRYPTO_memcmp(mac->data(), parsed->mac.data(), mac->size()) != 0) return GrantPointer();
  absl::StatusOr<Grant> read = GrantFromDocument(parsed->document);
  // Genuine, but from a server that knew more than this one.
  if (!read.ok()) return GrantPointer();
  GrantPointer grant = std::make_shared<const Grant>(*std::move(read));

  WriterLock lock(verified_mu_);
  verified_.insert({digest, grant});
  // Any will do.
  if (verified_.size() > kMaxVerified) verified_.erase(verified_.begin());
  return grant;
}

absl::StatusOr<GrantPointer> Authority::ReadGrantRecord(const store::GrantRecord& record,
                                                        Deadline deadline) {
  absl::StatusOr<GrantPointer> grant = ReadGrantToken(record.document, deadline);
  if (!grant.ok()) return grant.status();
  // Its own columns are for the database's indexes only.
  if (*grant != nullptr && (*grant)->id == record.id && (*grant)->key_id == record.key_id) {
    return grant;
  }
  log_.Write(LogLevel::kError, "grant_not_genuine",
             {{"key_id", record.key_id.ToString()},
              {"grant_id", record.id.ToString()},
              {"detail",
               "the grant in the database is not as this service wrote it, and allows "
               "nothing"}});
  return GrantPointer();
}

bool Authority::IsInForce(const Grant& grant, const Access& access, absl::Time now) {
  // A grant does not expire later than those it was made under.
  return now < grant.text.expire_time && !access.ended.contains(grant.id) &&
         std::none_of(grant.ancestors.begin(), grant.ancestors.end(),
                      [&](const GrantId& ancestor) { return access.ended.contains(ancestor); });
}

absl::StatusOr<GrantPointer> Authority::ReadPresented(absl::string_view token,
                                                      absl::string_view which, Deadline deadline) {
  absl::StatusOr<GrantPointer> grant = ReadGrantToken(token, deadline);
  if (!grant.ok()) return grant.status();
  const auto invalid = [&](absl::string_view why) {
    return MakeError(Reason::kInvalidGrantToken,
                     absl::StrCat(which, ": ", why,
                                  "; ask whoever made the grant for a new one, or leave it out"));
  };
  if (*grant == nullptr) return invalid("is not a grant token of this service");
  absl::StatusOr<std::shared_ptr<const Access>> access = AccessOf((*grant)->key_id, deadline);
  // Of a key that went.
  if (!access.ok() && IsAbsence(access.status())) return invalid("its grant is no longer in force");
  if (!access.ok()) return access.status();
  if (!IsInForce(**grant, **access, clock_.Now())) {
    return invalid(
        "its grant is no longer in force: it expired, was retired or revoked, or one "
        "that it was made under was");
  }
  return grant;
}

absl::StatusOr<CreatedGrant> Authority::CreateGrant(const Permit& permit, const GrantText& text,
                                                    Deadline deadline) {
  if (permit.keys.size() != 1 || !permit.keys.front().has_value()) {
    return core::MakeInternalFailure("CreateGrant was called with a permit for something else");
  }
  const absl::Time now = clock_.Now();
  absl::StatusOr<Grant> parsed = ParseGrant(text, now);
  if (!parsed.ok()) return parsed.status();
  Grant grant = *std::move(parsed);
  std::array<uint8_t, 16> random;
  if (absl::Status status = token_.GenerateRandom(absl::MakeSpan(random), deadline); !status.ok()) {
    return core::FromToken(status);
  }
  grant.id = GrantId::FromRandom(random);
  grant.key_id = *permit.keys.front();
  grant.issuer = permit.principal;
  grant.create_time = absl::FromUnixMicros(absl::ToUnixMicros(now));

  absl::Status narrows;
  for (const GrantPointer& parent : permit.grants) {
    narrows = CheckNarrows(grant, *parent);
    if (narrows.ok() && parent->ancestors.size() >= Grant::kMaxAncestors) {
      narrows = MakeError(Reason::kLimitExceeded,
                          "a grant can be passed on 8 times; have this one made by who may do "
                          "CreateGrant by the key's policy");
    }
    if (!narrows.ok()) continue;
    grant.ancestors = parent->ancestors;
    grant.ancestors.push_back(parent->id);
    break;
  }
  if (!narrows.ok()) return narrows;

  std::string document = ToDocument(grant);
  if (absl::Status status = CheckGrantTokenLength(document); !status.ok()) return status;
  const absl::StatusOr<hsm::Mac> mac =
      token_.ComputeMac(hsm::MacPurpose::kGrantToken, Bytes(GrantMacInput(document)), deadline);
  if (!mac.ok()) return core::FromToken(mac.status());
  CreatedGrant created = {std::make_shared<const Grant>(std::move(grant)),
                          ToGrantToken({std::move(document), *mac})};

  const store::GrantRecord record = ToRecord(*created.grant, created.token);
  absl::Status stored = store_.CreateGrant(record, kMaxGrantsOfKey);
  if (absl::IsResourceExhausted(stored)) {
    if (absl::Status status = DropExpiredGrants().status(); !status.ok()) return status;
    stored = store_.CreateGrant(record, kMaxGrantsOfKey);
  }
  Forget(created.grant->key_id);
  if (absl::IsResourceExhausted(stored)) {
    return MakeError(
        Reason::kLimitExceeded,
        absl::StrCat("key ", created.grant->key_id.ToString(), " has ", kMaxGrantsOfKey,
                     " grants, and that is the most; retire or "
                     "revoke some"));
  }
  if (absl::IsNotFound(stored)) return KeyNotFound(created.grant->key_id);
  if (!stored.ok()) return core::FromStore(stored);
  return created;
}

absl::StatusOr<GrantPage> Authority::ListGrants(const KeyId& key,
                                                const std::optional<std::string>& grantee,
                                                const std::optional<GrantId>& after, int limit,
                                                Deadline deadline) {
  absl::StatusOr<std::shared_ptr<const Access>> access = AccessOf(key, deadline);
  if (!access.ok()) return access.status();
  const absl::Time now = clock_.Now();
  GrantPage page;
  std::optional<GrantId> last = after;
  while (true) {
    absl::StatusOr<std::vector<store::GrantRecord>> records =
        store_.ListGrants(key, grantee, last, limit);
    if (absl::IsNotFound(records.status())) {
      return Invalid("page_token", "does not continue a list of this key's grants; begin again");
    }
    if (!records.ok()) return core::FromStore(records.status());
    for (const store::GrantRecord& record : *records) {
      if (page.grants.size() == static_cast<size_t>(limit)) {
        page.next = last;
        return page;
      }
      last = record.id;
      absl::StatusOr<GrantPointer> grant = ReadGrantRecord(record, deadline);
      if (!grant.ok()) return grant.status();
      if (*grant != nullptr && IsInForce(**grant, **access, now)) {
        page.grants.push_back(*std::move(grant));
      }
    }
    if (records->size() < static_cast<size_t>(limit)) return page;
  }
}

absl::StatusOr<std::optional<Authority::KeptGrant>> Authority::FindGrant(const KeyId& key,
                                                                         const GrantId& id,
                                                                         Deadline deadline) {
  absl::StatusOr<store::GrantRecord> record = store_.GetGrant(id);
  if (absl::IsNotFound(record.status())) return std::nullopt;
  if (!record.ok()) return core::FromStore(record.status());
  if (record->key_id != key) return std::nullopt;
  absl::StatusOr<GrantPointer> grant = ReadGrantRecord(*record, deadline);
  if (!grant.ok()) return grant.status();
  if (*grant == nullptr) return std::nullopt;
  return KeptGrant{*std::move(record), *std::move(grant)};
}

absl::Status Authority::End(const store::GrantRecord& record) {
  const absl::Status ended = store_.EndGrant(record);
  // Also after a failure: rather look again.
  Forget(record.key_id);
  if (absl::IsNotFound(ended)) return KeyNotFound(record.key_id);
  return core::FromStore(ended);
}

absl::StatusOr<GrantPointer> Authority::RevokeGrant(const KeyId& key, const GrantId& id,
                                                    Deadline deadline) {
  absl::StatusOr<std::optional<KeptGrant>> found = FindGrant(key, id, deadline);
  if (!found.ok()) return found.status();
  if (!found->has_value() || (*found)->record.ended) return NoSuchGrant(key, id);
  if (absl::Status status = End((*found)->record); !status.ok()) return status;
  return (*found)->grant;
}

bool Authority::MayRetire(absl::string_view principal, const Grant& grant,
                          const Access& access) const {
  if (principal.empty()) return false;  // a grant without a retiring principal has none such
  if (principal == grant.text.retiring_principal) return true;
  return principal == grant.text.grantee && grant.operations.Contains(kRetireGrant) &&
         IsInForce(grant, access, clock_.Now());
}

absl::StatusOr<GrantPointer> Authority::RetireGrant(absl::string_view principal,
                                                    const core::KeyReference& key,
                                                    const GrantId& id, Deadline deadline) {
  const bool by_configuration = configuration_.AllowsAlways(principal, kRetireGrant);
  const absl::Status forbidden = Forbidden(principal, kRetireGrant, /*has_key=*/true);
  absl::StatusOr<KeyId> key_id = ring_.Resolve(key);
  if (!key_id.ok()) {
    return IsAbsence(key_id.status()) && !by_configuration ? forbidden : key_id.status();
  }
  absl::StatusOr<std::shared_ptr<const Access>> access = AccessOf(*key_id, deadline);
  if (!access.ok() && IsAbsence(access.status()) && !by_configuration) return forbidden;
  if (!access.ok()) return access.status();
  const bool by_policy =
      by_configuration || (*access)->policy.AllowsAlways(principal, kRetireGrant);
  absl::StatusOr<std::optional<KeptGrant>> found = FindGrant(*key_id, id, deadline);
  if (!found.ok()) return found.status();
  if (!by_policy && (!found->has_value() || !MayRetire(principal, *(*found)->grant, **access))) {
    return forbidden;
  }
  if (!found->has_value() || (*found)->record.ended) return NoSuchGrant(*key_id, id);
  if (absl::Status status = End((*found)->record); !status.ok()) return status;
  return (*found)->grant;
}

absl::StatusOr<GrantPointer> Authority::RetireGrant(absl::string_view principal,
                                                    absl::string_view grant_token,
                                                    Deadline deadline) {
  absl::StatusOr<GrantPointer> grant = ReadPresented(grant_token, "grant_token", deadline);
  if (!grant.ok()) return grant.status();
  absl::StatusOr<std::shared_ptr<const Access>> access = AccessOf((*grant)->key_id, deadline);
  if (!access.ok()) return access.status();
  if (!configuration_.AllowsAlways(principal, kRetireGrant) &&
      !(*access)->policy.AllowsAlways(principal, kRetireGrant) &&
      !MayRetire(principal, **grant, **access)) {
    return Forbidden(principal, kRetireGrant, /*has_key=*/true);
  }
  if (absl::Status status = End(ToRecord(**grant, grant_token)); !status.ok()) return status;
  return grant;
}

absl::StatusOr<int64_t> Authority::DropExpiredGrants() {
  absl::StatusOr<int64_t> dropped = store_.DropExpiredGrants(clock_.Now() - kKeptAfterExpiry);
  if (!dropped.ok()) return core::FromStore(dropped.status());
  return dropped;
}

// --- Decisions ----------------------------------------------------------------------------------

absl::Status Authority::DecideOne(const PermitRequest& request, const Demand& demand,
                                  absl::Span<const GrantPointer> presented, Permit& permit) {
  const absl::string_view principal = request.principal;
  const Operation operation = demand.operation;
  const bool by_configuration = configuration_.Allows(principal, operation, request.context);
  if (!demand.key.has_value()) {
    if (!by_configuration) return Forbidden(principal, operation, /*has_key=*/false);
    permit.keys.push_back(std::nullopt);
    return absl::OkStatus();
  }
  absl::StatusOr<KeyId> key = ring_.Resolve(*demand.key);
  if (!key.ok()) {
    if (!IsAbsence(key.status()) || configuration_.AllowsAlways(principal, operation)) {
      return key.status();
    }
    return Forbidden(principal, operation, /*has_key=*/true);
  }
  permit.keys.push_back(*key);
  if (by_configuration) return absl::OkStatus();

  absl::StatusOr<std::shared_ptr<const Access>> access = AccessOf(*key, request.deadline);
  if (!access.ok() && IsAbsence(access.status())) {
    return Forbidden(principal, operation, /*has_key=*/true);
  }
  if (!access.ok()) return access.status();
  if ((*access)->policy.Allows(principal, operation, request.context)) return absl::OkStatus();

  const absl::Time now = clock_.Now();
  bool allowed = false;
  // Whether that is enough.
  const auto consider = [&](const GrantPointer& grant) {
    if (grant->key_id != *key || grant->text.grantee != principal ||
        !grant->Allows(operation, request.context) || !IsInForce(*grant, **access, now)) {
      return false;
    }
    permit.grants.push_back(grant);
    allowed = true;
    // Which of them is passed on is not known yet.
    return operation != kCreateGrant;
  };
  const auto kept = (*access)->grants.find(principal);
  if (kept != (*access)->grants.end() &&
      std::any_of(kept->second.begin(), kept->second.end(), consider)) {
    return absl::OkStatus();
  }
  if (std::any_of(presented.begin(), presented.end(), consider)) return absl::OkStatus();
  return allowed ? absl::OkStatus() : Forbidden(principal, operation, /*has_key=*/true);
}

absl::StatusOr<Permit> Authority::Decide(const PermitRequest& request) {
  if (request.demands.empty()) {
    return core::MakeInternalFailure("a permit was asked for that demands nothing");
  }
  const absl::Span<const std::string> tokens = request.grant_tokens;
  if (tokens.size() > kMaxGrantTokens) {
    return Invalid("grant_tokens", absl::StrCat("there are ", tokens.size(), "; at most ",
                                                kMaxGrantTokens, " are valid"));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty() || tokens[i].size() > kMaxGrantTokenLength) {
      return Invalid(absl::StrCat("grant_tokens[", i, "]"),
                     absl::StrCat("has ", tokens[i].size(), " characters; valid are 1 to ",
                                  kMaxGrantTokenLength));
    }
  }
  std::vector<GrantPointer> presented;
  for (size_t i = 0; i < tokens.size(); ++i) {
    absl::StatusOr<GrantPointer> grant =
        ReadPresented(tokens[i], absl::StrCat("grant_tokens[", i, "]"), request.deadline);
    if (!grant.ok()) return grant.status();
    presented.push_back(*std::move(grant));
  }
  Permit permit;
  permit.principal = std::string(request.principal);
  for (const Demand& demand : request.demands) {
    absl::Status status = DecideOne(request, demand, presented, permit);
    if (!status.ok()) return status;
  }
  return permit;
}

}  // namespace strongroom::gate
