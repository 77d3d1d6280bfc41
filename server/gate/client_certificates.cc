#include "server/gate/client_certificates.h"

#include <openssl/sha.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/gate/certificate_names.h"

namespace strongroom::gate {
namespace {

constexpr size_t kMostVerdicts = 4096;
// Looking again soon keeps refusals exact, and cheap under a client that does not take no.
constexpr absl::Duration kRefusalHolds = absl::Seconds(1);
// The strength of keys and signatures that OpenSSL's @SECLEVEL=2 asks for in the handshake.
constexpr int kSecurityLevel = 2;

using StackPtr =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;
using ContextPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

std::string TextOf(const ASN1_IA5STRING* string) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                     static_cast<size_t>(ASN1_STRING_length(string)));
}

absl::StatusOr<CertificateNames> NamesOf(const X509* certificate) {
  CertificateNames result;
  int found = 0;
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &found, nullptr)));
  if (names == nullptr) {
    // -1: there are none.
    if (found == -1) return result;
    return absl::InvalidArgumentError("its alternative names are malformed");
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) result.uris.push_back(TextOf(name->d.uniformResourceIdentifier));
    if (name->type == GEN_DNS) result.dns_names.push_back(TextOf(name->d.dNSName));
  }
  return result;
}

}  // namespace

absl::StatusOr<ClientTrust> ClientTrust::Create(absl::string_view authorities) {
  ClientTrust trust;
  absl::StatusOr<std::vector<X509Ptr>> parsed = ParseCertificates(authorities);
  if (!parsed.ok()) return parsed.status();
  trust.authorities_ = *std::move(parsed);
  trust.store_.reset(X509_STORE_new());
  X509_STORE_set_purpose(trust.store_.get(), X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(trust.store_.get()), kSecurityLevel);
  for (const X509Ptr& authority : trust.authorities_) {
    if (X509_STORE_add_cert(trust.store_.get(), authority.get()) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("has a certificate that cannot be used: ", TakeOpenSslError()));
    }
  }
  return trust;
}

absl::Status ClientTrust::AddRevocationLists(absl::string_view lists) {
  absl::StatusOr<std::vector<X509CrlPtr>> parsed = ParseRevocationLists(lists);
  if (!parsed.ok()) return parsed.status();
  for (X509CrlPtr& list : *parsed) {
    const bool is_signed =
        std::any_of(authorities_.begin(), authorities_.end(), [&](const X509Ptr& authority) {
          return X509_NAME_cmp(X509_CRL_get_issuer(list.get()),
                               X509_get_subject_name(authority.get())) == 0 &&
                 X509_CRL_verify(list.get(), X509_get0_pubkey(authority.get())) == 1;
        });
    if (!is_signed) {
      TakeOpenSslError();
      return absl::InvalidArgumentError(
          "has a list that none of the client authorities signed; the authority that did has to be "
          "among them");
    }
    if (X509_STORE_add_crl(store_.get(), list.get()) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("has a list that cannot be used: ", TakeOpenSslError()));
    }
    lists_.push_back(std::move(list));
  }
  X509_STORE_set_flags(store_.get(), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return absl::OkStatus();
}

absl::Time ClientTrust::EarliestUpdate() const {
  absl::Time earliest = absl::InfiniteFuture();
  for (const X509CrlPtr& list : lists_) {
    earliest = std::min(earliest, TimeOf(X509_CRL_get0_nextUpdate(list.get())));
  }
  return earliest;
}

size_t ClientCertificates::DigestHash::operator()(const Digest& digest) const {
  size_t hash;
  std::memcpy(&hash, digest.data(), sizeof(hash));
  return hash;
}

void ClientCertificates::Use(std::shared_ptr<const ClientTrust> trust) {
  const WriterLock lock(mu_);
  trust_ = std::move(trust);
  verdicts_.clear();
}

absl::StatusOr<std::string> ClientCertificates::PrincipalOf(absl::string_view chain) const {
  const absl::Time now = clock_.Now();
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(chain.data()), chain.size(), digest.data());
  std::shared_ptr<const ClientTrust> trust;
  {
    const ReaderLock lock(mu_);
    const auto it = verdicts_.find(digest);
    if (it != verdicts_.end() && it->second.since <= now && now < it->second.until) {
      return Answer(it->second);
    }
    trust = trust_;
  }
  Verdict verdict = Judge(trust.get(), chain, now);
  absl::StatusOr<std::string> answer = Answer(verdict);
  const WriterLock lock(mu_);
  // Otherwise it is a verdict by what is trusted no more.
  if (trust == trust_) {
    if (verdicts_.size() >= kMostVerdicts) verdicts_.clear();
    verdicts_.insert_or_assign(digest, std::move(verdict));
  }
  return answer;
}

absl::StatusOr<std::string> ClientCertificates::Answer(const Verdict& verdict) {
  if (verdict.refusal.empty()) return verdict.principal;
  return core::WithDetail(
      core::MakeError(core::Reason::kNoPermission,
                      absl::StrCat("the client certificate is refused: ", verdict.refusal,
                                   "; a right one is issued for TLS clients by one of this "
                                   "service's client authorities, is neither expired nor revoked, "
                                   "and has one SPIFFE id or a DNS name as an alternative name")),
      absl::StrCat("client certificate: ", verdict.refusal));
}

ClientCertificates::Verdict ClientCertificates::Judge(const ClientTrust* trust,
                                                      absl::string_view chain, absl::Time now) {
  const auto refused = [&](absl::string_view why) {
    return Verdict{"", std::string(why), now, now + kRefusalHolds};
  };
  if (trust == nullptr) return refused("there are no client authorities");
  const absl::StatusOr<std::vector<X509Ptr>> certificates = ParseCertificates(chain);
  if (!certificates.ok()) return refused("it cannot be read");
  const StackPtr intermediates(sk_X509_new_null());
  for (size_t i = 1; i < certificates->size(); ++i) {
    sk_X509_push(intermediates.get(), (*certificates)[i].get());
  }
  X509* const certificate = certificates->front().get();

  const ContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), trust->store_.get(), certificate, intermediates.get()) !=
      1) {
    return refused(TakeOpenSslError());
  }
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()), absl::ToTimeT(now));
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    TakeOpenSslError();
    return refused(X509_verify_cert_error_string(error));
  }
  const absl::StatusOr<CertificateNames> names = NamesOf(certificate);
  if (!names.ok()) return refused(names.status().message());
  absl::StatusOr<std::string> principal = PrincipalIn(*names);
  if (!principal.ok()) return refused(principal.status().message());

  // Until any date of what it was judged by.
  absl::Time until = absl::InfiniteFuture();
  const auto until_at_most = [&](const ASN1_TIME* date) {
    if (const absl::Time time = TimeOf(date); time > now) until = std::min(until, time);
  };
  const STACK_OF(X509)* verified = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(verified); ++i) {
    until_at_most(X509_get0_notAfter(sk_X509_value(verified, i)));
  }
  for (const X509CrlPtr& list : trust->lists_) {
    until_at_most(X509_CRL_get0_lastUpdate(list.get()));
    until_at_most(X509_CRL_get0_nextUpdate(list.get()));
  }
  return Verdict{*std::move(principal), "", now, until};
}

}  // namespace strongroom::gate
