#include "tests/server/gate/test_authority.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdint>

namespace strongroom::testing {
namespace {

template <typename Write>
std::string ToPem(Write write) {
  const std::unique_ptr<BIO, gate::FreeWith<BIO_free>> bio(BIO_new(BIO_s_mem()));
  write(bio.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void AddName(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* string = ASN1_IA5STRING_new();
  ASN1_STRING_set(string, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name, type, string);
  sk_GENERAL_NAME_push(names, name);
}

void AddNames(X509* certificate, const TestCertificate& wanted) {
  if (wanted.malformed_names) {
    ASN1_OCTET_STRING* bytes = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(bytes, reinterpret_cast<const uint8_t*>("names"), 5);
    X509_EXTENSION* extension =
        X509_EXTENSION_create_by_NID(nullptr, NID_subject_alt_name, 0, bytes);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(bytes);
    return;
  }
  if (wanted.uris.empty() && wanted.dns_names.empty()) return;
  GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
  for (const std::string& dns_name : wanted.dns_names) AddName(names, GEN_DNS, dns_name);
  for (const std::string& uri : wanted.uris) AddName(names, GEN_URI, uri);
  X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
  GENERAL_NAMES_free(names);
}

gate::X509Ptr NewCertificate(int number, const std::string& common_name, absl::Time not_before,
                             absl::Time not_after) {
  gate::X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), number);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const uint8_t*>(common_name.c_str()), -1, -1, 0);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after));
  return certificate;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name, absl::Time not_before, absl::Time not_after,
                             const TestAuthority* issuer)
    : key_(EVP_EC_gen("P-256")), certificate_(NewCertificate(1000, name, not_before, not_after)) {
  if (issuer == nullptr) issuer = this;
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(issuer->certificate_.get()));
  X509_set_pubkey(certificate_.get(), key_.get());
  AddExtension(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate_.get(), issuer->key_.get(), EVP_sha256());
}

std::string TestAuthority::certificate() const {
  return ToPem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate_.get()); });
}

std::string TestAuthority::private_key(const std::string& passphrase) const {
  return ToPem([&](BIO* bio) {
    PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), passphrase.empty() ? nullptr : EVP_aes_256_cbc(),
                                  nullptr, 0, nullptr, const_cast<char*>(passphrase.c_str()));
  });
}

std::string TestAuthority::Issue(const TestCertificate& wanted) {
  const gate::X509Ptr issued =
      NewCertificate(++issued_, "not-an-identity.example", wanted.not_before, wanted.not_after);
  X509_set_issuer_name(issued.get(), X509_get_subject_name(certificate_.get()));
  // Nobody needs its key.
  X509_set_pubkey(issued.get(), key_.get());
  AddExtension(issued.get(), NID_ext_key_usage, wanted.extended_key_usage.c_str());
  AddNames(issued.get(), wanted);
  X509_sign(issued.get(), key_.get(), EVP_sha256());
  return ToPem([&](BIO* bio) { PEM_write_bio_X509(bio, issued.get()); });
}

std::string TestAuthority::RevocationList(const std::vector<int>& revoked, absl::Time last_update,
                                          absl::Time next_update) const {
  const gate::X509CrlPtr list(X509_CRL_new());
  X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_.get()));
  const std::unique_ptr<ASN1_TIME, gate::FreeWith<ASN1_TIME_free>> last(
      ASN1_TIME_set(nullptr, absl::ToTimeT(last_update)));
  const std::unique_ptr<ASN1_TIME, gate::FreeWith<ASN1_TIME_free>> next(
      ASN1_TIME_set(nullptr, absl::ToTimeT(next_update)));
  X509_CRL_set1_lastUpdate(list.get(), last.get());
  X509_CRL_set1_nextUpdate(list.get(), next.get());
  for (int number : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ASN1_INTEGER* serial = ASN1_INTEGER_new();
    ASN1_INTEGER_set(serial, number);
    X509_REVOKED_set_serialNumber(entry, serial);
    X509_REVOKED_set_revocationDate(entry, last.get());
    X509_CRL_add0_revoked(list.get(), entry);
    ASN1_INTEGER_free(serial);
  }
  X509_CRL_sort(list.get());
  X509_CRL_sign(list.get(), key_.get(), EVP_sha256());
  return ToPem([&](BIO* bio) { PEM_write_bio_X509_CRL(bio, list.get()); });
}

}  // namespace strongroom::testing
