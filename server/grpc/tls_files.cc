#include "server/grpc/tls_files.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "platform/files.h"
#include "server/gate/x509.h"

namespace strongroom::grpc_server {
namespace {

constexpr std::chrono::seconds kBetweenLooks(1);

// The files as they are, right or wrong.
struct Contents {
  absl::StatusOr<std::string> certificate;
  absl::StatusOr<SecretBytes> private_key;
  absl::StatusOr<std::string> client_ca;
  absl::StatusOr<std::string> client_crl;
};

Contents Read(const TlsPaths& paths) {
  return {ReadFile(paths.certificate), ReadSecretFile(paths.private_key), ReadFile(paths.client_ca),
          paths.client_crl.empty() ? std::string() : ReadFile(paths.client_crl)};
}

// Tells contents, and errors, from others.
std::string DigestOf(const Contents& contents) {
  std::string digests;
  const auto add = [&](absl::string_view content) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest);
    digests.append(reinterpret_cast<const char*>(digest), sizeof(digest));
  };
  for (const auto* file : {&contents.certificate, &contents.client_ca, &contents.client_crl}) {
    add(file->ok() ? absl::string_view(**file) : file->status().message());
  }
  add(contents.private_key.ok() ? contents.private_key->ExposeSecretAsText()
                                : contents.private_key.status().message());
  return digests;
}

std::string FingerprintOf(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(), digest.data(), &size);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

// A file's mistake. Reading a file already says its path.
absl::Status Wrong(absl::string_view field, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}
absl::Status Wrong(absl::string_view field, const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", path, " ", why));
}

// Whether TLS works with the certificates and the key, which goes as far as asking OpenSSL.
absl::Status CheckPair(const TlsPaths& paths, const std::vector<gate::X509Ptr>& certificates,
                       const SecretBytes& private_key) {
  const std::unique_ptr<SSL_CTX, gate::FreeWith<SSL_CTX_free>> context(
      SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate(context.get(), certificates.front().get()) != 1) {
    return Wrong("tls.certificate", paths.certificate,
                 absl::StrCat("cannot be used: ", gate::TakeOpenSslError()));
  }
  for (size_t i = 1; i < certificates.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), certificates[i].get()) != 1) {
      return Wrong("tls.certificate", paths.certificate,
                   absl::StrCat("has an intermediate certificate that cannot be used: ",
                                gate::TakeOpenSslError()));
    }
  }
  const absl::Span<const uint8_t> pem = private_key.ExposeSecret();
  const std::unique_ptr<BIO, gate::FreeWith<BIO_free>> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<EVP_PKEY, gate::FreeWith<EVP_PKEY_free>> key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr,
      // There is nobody to ask for a passphrase.
      [](char*, int, int, void*) { return -1; }, nullptr));
  if (key == nullptr) {
    gate::TakeOpenSslError();
    return Wrong("tls.private_key", paths.private_key,
                 "has no private key in PEM that is not encrypted");
  }
  // Fails if it is not the certificate's.
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    gate::TakeOpenSslError();
    return Wrong("tls.private_key", paths.private_key,
                 absl::StrCat("is not the key of the certificate in ", paths.certificate,
                              " (its first one)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TlsMaterial>> Check(const TlsPaths& paths, Contents contents,
                                                         absl::Time now) {
  if (!contents.certificate.ok()) return Wrong("tls.certificate", contents.certificate.status());
  if (!contents.private_key.ok()) return Wrong("tls.private_key", contents.private_key.status());
  if (!contents.client_ca.ok()) return Wrong("tls.client_ca", contents.client_ca.status());
  if (!contents.client_crl.ok()) return Wrong("tls.client_crl", contents.client_crl.status());
  auto material = std::make_shared<TlsMaterial>();

  const auto certificates = gate::ParseCertificates(*contents.certificate);
  if (!certificates.ok()) {
    return Wrong("tls.certificate", paths.certificate, certificates.status().message());
  }
  absl::Status pair = CheckPair(paths, *certificates, *contents.private_key);
  if (!pair.ok()) return pair;
  material->fingerprint = FingerprintOf(certificates->front().get());
  material->not_after = gate::TimeOf(X509_get0_notAfter(certificates->front().get()));
  for (const gate::X509Ptr& certificate : *certificates) {
    if (gate::TimeOf(X509_get0_notAfter(certificate.get())) <= now) {
      material->warnings.push_back(
          absl::StrCat("tls.certificate: ", paths.certificate, " has expired"));
      break;
    }
  }

  auto trust = gate::ClientTrust::Create(*contents.client_ca);
  if (!trust.ok()) return Wrong("tls.client_ca", paths.client_ca, trust.status().message());
  if (!paths.client_crl.empty()) {
    const absl::Status added = trust->AddRevocationLists(*contents.client_crl);
    if (!added.ok()) return Wrong("tls.client_crl", paths.client_crl, added.message());
    if (trust->EarliestUpdate() <= now) {
      material->warnings.push_back(
          absl::StrCat("tls.client_crl: ", paths.client_crl,
                       " has a list that is outdated; the clients of its issuer are refused"));
    }
  }

  material->certificate_chain = *std::move(contents.certificate);
  material->private_key = *std::move(contents.private_key);
  material->client_ca = *std::move(contents.client_ca);
  material->client_trust = std::make_shared<const gate::ClientTrust>(*std::move(trust));
  return material;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsMaterial>> LoadTlsMaterial(const TlsPaths& paths,
                                                                   absl::Time now) {
  return Check(paths, Read(paths), now);
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(TlsPaths paths,
                                                         gate::ClientCertificates& certificates,
                                                         const Clock& clock, Log& log) {
  auto files = std::unique_ptr<TlsFiles>(new TlsFiles(std::move(paths), certificates, clock, log));
  Contents contents = Read(files->paths_);
  std::string digest = DigestOf(contents);
  auto material = Check(files->paths_, std::move(contents), clock.Now());
  if (!material.ok()) return material.status();
  files->Take(*std::move(material));
  files->watcher_ = std::thread(&TlsFiles::Watch, files.get(), std::move(digest));
  return files;
}

TlsFiles::~TlsFiles() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
  }
  stopping_changed_.NotifyAll();
  if (watcher_.joinable()) watcher_.join();
}

std::shared_ptr<const TlsMaterial> TlsFiles::current() const {
  const MutexLock lock(mu_);
  return current_;
}

void TlsFiles::Take(std::shared_ptr<const TlsMaterial> material) {
  for (const std::string& warning : material->warnings) {
    log_.Write(LogLevel::kWarning, "tls_warning", {{"detail", warning}});
  }
  // First the judge of calls: who is trusted no more is out at once.
  certificates_.Use(material->client_trust);
  const MutexLock lock(mu_);
  current_ = std::move(material);
}

void TlsFiles::Watch(std::string digest) {
  // The last ones that were seen, and the last ones that something was done about.
  std::string seen = digest;
  std::string done = std::move(digest);
  while (true) {
    const auto next_look = std::chrono::steady_clock::now() + kBetweenLooks;
    {
      const MutexLock lock(mu_);
      while (!stopping_ && stopping_changed_.WaitUntil(mu_, next_look)) {
      }
      if (stopping_) return;
    }
    Contents contents = Read(paths_);
    std::string now = DigestOf(contents);
    const bool settled = now == seen;
    seen = now;
    if (!settled || now == done) continue;
    done = std::move(now);
    auto material = Check(paths_, std::move(contents), clock_.Now());
    if (!material.ok()) {
      log_.Write(LogLevel::kError, "tls_reload_failed", {{"detail", material.status().message()}});
      continue;
    }
    Take(*material);
    const std::string expires = absl::FormatTime((*material)->not_after, absl::UTCTimeZone());
    log_.Write(
        LogLevel::kInfo, "tls_reloaded",
        {{"certificate_sha256", (*material)->fingerprint}, {"certificate_expires", expires}});
  }
}

}  // namespace strongroom::grpc_server
