#ifndef STRONGROOM_SERVER_GATE_CLIENT_CERTIFICATES_H_
#define STRONGROOM_SERVER_GATE_CLIENT_CERTIFICATES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "server/gate/x509.h"

namespace strongroom::gate {

// The authorities whose client certificates are accepted, and what they have revoked. Immutable
// once it is used.
class ClientTrust {
 public:
  // `authorities`: PEM, one certificate or more. INVALID_ARGUMENT, saying why.
  static absl::StatusOr<ClientTrust> Create(absl::string_view authorities);

  // From now on, every certificate of a chain needs a list of its issuer that is not outdated: a
  // missing one refuses. `lists`: PEM, one list or more, each signed by one of the authorities.
  // INVALID_ARGUMENT, saying why.
  absl::Status AddRevocationLists(absl::string_view lists);

  // When the first of the lists is outdated; the infinite future if there are none.
  absl::Time EarliestUpdate() const;

 private:
  friend class ClientCertificates;
  ClientTrust() = default;

  std::vector<X509Ptr> authorities_;
  std::vector<X509CrlPtr> lists_;
  X509StorePtr store_;
};

// Tells whom a client certificate stands for, if it is right at this moment: issued by one of the
// authorities, for TLS clients, within its dates, not revoked.
//
// The handshake has checked all but the last already; but a connection can stay open longer than
// its certificate is right. So this is asked on every call, and remembers what it found until
// something of it may change.
//
// Thread-safe.
class ClientCertificates {
 public:
  // Refuses all until Use(). `clock` outlives this.
  explicit ClientCertificates(const Clock& clock) : clock_(clock) {}

  // Judges by `trust` from the next call on.
  void Use(std::shared_ptr<const ClientTrust> trust);

  // `chain`: PEM, the client's certificate first, then what it sent to lead to an authority, in any
  // order. Forbidden.NoPermission, with why and with what a right certificate has.
  absl::StatusOr<std::string> PrincipalOf(absl::string_view chain) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct DigestHash {
    size_t operator()(const Digest& digest) const;
  };
  // What was found, and the moments between which it holds.
  struct Verdict {
    std::string principal;
    // Why there is none; empty if there is.
    std::string refusal;
    absl::Time since;
    absl::Time until;
  };

  static absl::StatusOr<std::string> Answer(const Verdict& verdict);
  static Verdict Judge(const ClientTrust* trust, absl::string_view chain, absl::Time now);

  const Clock& clock_;
  mutable SharedMutex mu_;
  std::shared_ptr<const ClientTrust> trust_ ABSL_GUARDED_BY(mu_);
  // By the chain's SHA-256: chains can be long.
  mutable std::unordered_map<Digest, Verdict, DigestHash> verdicts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_CLIENT_CERTIFICATES_H_
