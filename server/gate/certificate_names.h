#ifndef STRONGROOM_SERVER_GATE_CERTIFICATE_NAMES_H_
#define STRONGROOM_SERVER_GATE_CERTIFICATE_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace strongroom::gate {

// A certificate's subject alternative names, in their order. Bytes as they are: a name may hold
// anything, NULs too.
struct CertificateNames {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
};

// Whom a certificate with these names stands for: its SPIFFE id if it has one, else its first DNS
// name, in lower case. The subject's common name is not an identity (RFC 6125, section 6.4.4).
//
// INVALID_ARGUMENT, saying why, if there is neither; if a name has a NUL; if there are several
// SPIFFE ids, or one that is not well formed (the SPIFFE-ID and X509-SVID standards: one id in a
// certificate, at most 2,048 bytes, a trust domain and a path); if the first DNS name is no host
// name (RFC 1123; no wildcard). What is wrong is refused: nothing else is taken in its place.
absl::StatusOr<std::string> PrincipalIn(const CertificateNames& names);

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_CERTIFICATE_NAMES_H_
