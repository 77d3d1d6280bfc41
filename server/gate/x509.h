#ifndef STRONGROOM_SERVER_GATE_X509_H_
#define STRONGROOM_SERVER_GATE_X509_H_

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace strongroom::gate {

// OpenSSL's certificates and revocation lists, owned. A certificate that threads share is only
// read.

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using X509CrlPtr = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;
using X509StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;

// All certificates, or all revocation lists, of a PEM text (RFC 7468), in their order; other
// contents are skipped. INVALID_ARGUMENT if there is none, or a malformed one.
absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(absl::string_view pem);
absl::StatusOr<std::vector<X509CrlPtr>> ParseRevocationLists(absl::string_view pem);

// A time of a certificate or a list; the infinite past if there is none, or none that is a time.
absl::Time TimeOf(const ASN1_TIME* time);

// Why OpenSSL failed last on this thread, e.g. "key values mismatch". Empties its error queue.
std::string TakeOpenSslError();

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_X509_H_
