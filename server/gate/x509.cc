#include "server/gate/x509.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "absl/strings/str_cat.h"

namespace strongroom::gate {
namespace {

using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free>>;

// `Read` is one of OpenSSL's PEM_read_bio_*, which looks for the next thing of its kind.
template <typename Ptr, auto Read>
absl::StatusOr<std::vector<Ptr>> ParseAll(absl::string_view pem, absl::string_view kind) {
  ERR_clear_error();
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Ptr> all;
  while (auto* one = Read(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  // How reading ends when there is no more.
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return absl::InvalidArgumentError(
        absl::StrCat("has a malformed ", kind, ": ", TakeOpenSslError()));
  }
  ERR_clear_error();
  if (all.empty()) return absl::InvalidArgumentError(absl::StrCat("has no ", kind, " in PEM"));
  return all;
}

}  // namespace

absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(absl::string_view pem) {
  return ParseAll<X509Ptr, PEM_read_bio_X509>(pem, "certificate");
}

absl::StatusOr<std::vector<X509CrlPtr>> ParseRevocationLists(absl::string_view pem) {
  return ParseAll<X509CrlPtr, PEM_read_bio_X509_CRL>(pem, "certificate revocation list");
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  // A null pointer would be the current time.
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTimeT(timegm(&parts));
}

std::string TakeOpenSslError() {
  const unsigned long error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  const std::string text = reason != nullptr ? reason : absl::StrCat("error ", error);
  ERR_clear_error();
  return text;
}

}  // namespace strongroom::gate
