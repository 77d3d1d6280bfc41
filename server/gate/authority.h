#ifndef STRONGROOM_SERVER_GATE_AUTHORITY_H_
#define STRONGROOM_SERVER_GATE_AUTHORITY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/token.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/core/key_ring.h"
#include "server/core/parameters.h"
#include "server/gate/grant.h"
#include "server/gate/operation.h"
#include "server/gate/policy.h"
#include "server/log/log.h"
#include "server/store/ids.h"
#include "server/store/store.h"

namespace strongroom::gate {

// One thing that a call wants to do. Without a key for operations that are not about one.
struct Demand {
  Operation operation;
  std::optional<core::KeyReference> key;
};

// A call, as far as permissions ask for it. What it refers to outlives it.
struct PermitRequest {
  // Who calls.
  absl::string_view principal;
  // All of them, or nothing. At least one.
  absl::Span<const Demand> demands;
  CallContext context = {};
  // 0 to 10 of 1 to 8,192 characters each.
  absl::Span<const std::string> grant_tokens = {};
  // For what has to be asked of the token.
  Deadline deadline = kNoDeadline;
};

// That a call may do what it demanded.
struct Permit {
  std::string principal;
  // Which keys the demands mean, in their order.
  std::vector<std::optional<KeyId>> keys;
  // The grants that this rests on; none if policies were enough. For CreateGrant, every grant that
  // would do.
  std::vector<std::shared_ptr<const Grant>> grants;

  // The key of a demand that had one.
  const KeyId& key(size_t demand) const { return *keys[demand]; }
};

struct CreatedGrant {
  std::shared_ptr<const Grant> grant;
  std::string token;
};

struct GrantPage {
  std::vector<std::shared_ptr<const Grant>> grants;
  // Where the next page begins, if there may be more.
  std::optional<GrantId> next;
};

// Who may do what. A call is allowed by a statement of the configuration (which holds for every
// key, and for operations without one), by a statement of the key's policy, or by a grant that is
// in force: one that is kept for the key, or one whose token the call presents. Nothing else is
// allowed.
//
// What allows is authenticated by the token's MAC keys: a policy or grant that somebody wrote into
// the database by hand allows nothing, and a line in the log says so. An old policy or grant that
// was put back into the database is not found out.
//
// Policies and grants are kept in memory as they are used. This is the only writer of them in its
// store, besides KeyRing::CreateKey.
//
// Errors are for the caller (server/core/error.h); besides those below, ServiceUnavailableTemporary
// if the store fails, Rejected.Unavailable and DependencyTimeout if the token does. Nothing is
// allowed then. Thread-safe.
class Authority {
 public:
  static constexpr size_t kMaxGrantTokens = 10;
  static constexpr int kMaxGrantsOfKey = 10000;

  // All outlive this. The token's MAC keys are prepared. `configuration` may have no statements.
  Authority(store::Store& store, hsm::Token& token, core::KeyRing& ring, const Clock& clock,
            Log& log, Policy configuration)
      : store_(store),
        token_(token),
        ring_(ring),
        clock_(clock),
        log_(log),
        configuration_(std::move(configuration)) {}

  // Forbidden.NoPermission, in the same words whether the key is forbidden or there is none; only
  // who may do this with every key, by the configuration and without conditions, is told
  // Forbidden.KeyNotFound and Forbidden.AliasNotFound. InvalidGrantToken if one of the tokens is
  // not genuine, has expired or was ended, even if the call is allowed without it; one for another
  // grantee or key does no harm. InvalidParameter if there are too many, or one is too long.
  absl::StatusOr<Permit> Decide(const PermitRequest& request) ABSL_LOCKS_EXCLUDED(mu_);

  // --- Policies; the caller has a permit ---------------------------------------------------------

  // Without statements if the key has no policy. InternalFailure if it is not genuine; PutKeyPolicy
  // makes that good. Forbidden.KeyNotFound.
  absl::StatusOr<Policy> GetKeyPolicy(const KeyId& key, Deadline deadline);
  // InvalidParameter if `principal` could not change the policy afterwards, or nobody, or if it has
  // no statements. Forbidden.KeyNotFound.
  absl::Status PutKeyPolicy(absl::string_view principal, const KeyId& key, const Policy& policy,
                            Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // What the store is to keep as the policy of a key that `principal` is about to create. Refuses
  // what PutKeyPolicy refuses; empty for no policy, which is right only if the configuration lets
  // somebody put one.
  absl::StatusOr<std::string> PolicyDocumentFor(absl::string_view principal, const KeyId& new_key,
                                                const std::optional<Policy>& policy,
                                                Deadline deadline);

  // --- Grants ------------------------------------------------------------------------------------

  // `permit` is for CreateGrant on the key. Where it rests on grants, the new one must narrow one
  // of them (see CheckNarrows). InvalidParameter, MissingParameter; Rejected.LimitExceeded if the
  // key has kMaxGrantsOfKey.
  absl::StatusOr<CreatedGrant> CreateGrant(const Permit& permit, const GrantText& text,
                                           Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // Those in force, in the order of their creation; the caller has a permit. At most `limit`, after
  // the grant `after`, only those of `grantee` if it is given. InvalidParameter if `after` is no
  // grant of the key.
  absl::StatusOr<GrantPage> ListGrants(const KeyId& key, const std::optional<std::string>& grantee,
                                       const std::optional<GrantId>& after, int limit,
                                       Deadline deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends a grant, and with it all that were made under it; the caller has a permit. Returns it.
  // InvalidParameter if the key has no such grant, or it was ended.
  absl::StatusOr<std::shared_ptr<const Grant>> RevokeGrant(const KeyId& key, const GrantId& id,
                                                           Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The same for those whom the grant concerns, and needs no permit: `principal` is its retiring
  // principal, or its grantee and it allows RetireGrant, or has RetireGrant by a policy. Others are
  // told Forbidden.NoPermission, whether or not there is such a grant.
  absl::StatusOr<std::shared_ptr<const Grant>> RetireGrant(absl::string_view principal,
                                                           const core::KeyReference& key,
                                                           const GrantId& id, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  // By its token, also if this server's store has not heard of it. InvalidGrantToken.
  absl::StatusOr<std::shared_ptr<const Grant>> RetireGrant(absl::string_view principal,
                                                           absl::string_view grant_token,
                                                           Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Forgets grants that expired a day ago or earlier, and returns how many. To be called now and
  // then.
  absl::StatusOr<int64_t> DropExpiredGrants();

 private:
  // What is kept for a key. Immutable once it is made.
  struct Access {
    Policy policy;
    // By grantee: all that the store has, in force or not.
    absl::flat_hash_map<std::string, std::vector<std::shared_ptr<const Grant>>> grants;
    absl::flat_hash_set<GrantId> ended;
    size_t size = 0;  // about, in KiB
  };
  using Digest = std::array<uint8_t, 32>;

  // From memory, or from the store. NOT_FOUND if there is no such key.
  absl::StatusOr<std::shared_ptr<const Access>> AccessOf(const KeyId& key, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::shared_ptr<const Access>> LoadAccess(const KeyId& key, Deadline deadline);
  // Forgets what is in memory of a key, after the store was changed.
  void Forget(const KeyId& key) ABSL_LOCKS_EXCLUDED(mu_);

  // Empty if `document` is not genuine.
  absl::StatusOr<std::optional<Policy>> ReadPolicy(const KeyId& key, absl::string_view document,
                                                   Deadline deadline);
  absl::StatusOr<std::string> SignPolicy(const KeyId& key, const Policy& policy, Deadline deadline);
  absl::Status CheckPolicy(absl::string_view principal, const Policy& policy) const;

  // Null if the grant token is not genuine.
  absl::StatusOr<std::shared_ptr<const Grant>> ReadGrantToken(absl::string_view token,
                                                              Deadline deadline)
      ABSL_LOCKS_EXCLUDED(verified_mu_);
  // Null, and a line in the log, if the record is not genuine.
  absl::StatusOr<std::shared_ptr<const Grant>> ReadGrantRecord(const store::GrantRecord& record,
                                                               Deadline deadline);
  // A grant whose token a call presents: genuine and in force. `which` names the token.
  absl::StatusOr<std::shared_ptr<const Grant>> ReadPresented(absl::string_view token,
                                                             absl::string_view which,
                                                             Deadline deadline);
  // A genuine grant of `key` that the store has, ended or not.
  struct KeptGrant {
    store::GrantRecord record;
    std::shared_ptr<const Grant> grant;
  };
  absl::StatusOr<std::optional<KeptGrant>> FindGrant(const KeyId& key, const GrantId& id,
                                                     Deadline deadline);
  // A grant that is ended or has expired is not in force, nor is one made under such.
  static bool IsInForce(const Grant& grant, const Access& access, absl::Time now);
  // Whether the grant itself lets `principal` retire it.
  bool MayRetire(absl::string_view principal, const Grant& grant, const Access& access) const;
  absl::Status End(const store::GrantRecord& record) ABSL_LOCKS_EXCLUDED(mu_);

  // Decides for one demand, and adds to `permit`.
  absl::Status DecideOne(const PermitRequest& request, const Demand& demand,
                         absl::Span<const std::shared_ptr<const Grant>> presented, Permit& permit)
      ABSL_LOCKS_EXCLUDED(mu_);

  store::Store& store_;
  hsm::Token& token_;
  core::KeyRing& ring_;
  const Clock& clock_;
  Log& log_;
  const Policy configuration_;

  SharedMutex mu_;
  absl::flat_hash_map<KeyId, std::shared_ptr<const Access>> access_ ABSL_GUARDED_BY(mu_);
  // The sum of their sizes.
  size_t access_size_ ABSL_GUARDED_BY(mu_) = 0;
  // Counts Forget(): what was read from the store before one is not put into memory after it.
  uint64_t changes_ ABSL_GUARDED_BY(mu_) = 0;

  SharedMutex verified_mu_;
  // Grants whose MAC was found right, by the SHA-256 of their grant token.
  absl::flat_hash_map<Digest, std::shared_ptr<const Grant>> verified_ ABSL_GUARDED_BY(verified_mu_);
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_AUTHORITY_H_
