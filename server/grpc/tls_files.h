#ifndef STRONGROOM_SERVER_GRPC_TLS_FILES_H_
#define STRONGROOM_SERVER_GRPC_TLS_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "platform/clock.h"
#include "platform/mutex.h"
#include "platform/secret_bytes.h"
#include "server/gate/client_certificates.h"
#include "server/log/log.h"

namespace strongroom::grpc_server {

struct TlsPaths {
  std::string certificate;
  std::string private_key;
  std::string client_ca;
  // Empty: nothing is revoked.
  std::string client_crl;
};

// What TLS needs: contents of files that are right and go together. PEM.
struct TlsMaterial {
  std::string certificate_chain;
  SecretBytes private_key;
  std::string client_ca;
  std::shared_ptr<const gate::ClientTrust> client_trust;
  // The certificate's own: SHA-256 of its DER, in hex, and when it expires.
  std::string fingerprint;
  absl::Time not_after;
  // What is worth telling, e.g. that the certificate has expired.
  std::vector<std::string> warnings;
};

// Reads and checks a set. The error begins with the field and the path of the file that is wrong,
// and says why: it is not there, not PEM, the key is not the certificate's, ...
absl::StatusOr<std::shared_ptr<const TlsMaterial>> LoadTlsMaterial(const TlsPaths& paths,
                                                                   absl::Time now);

// A set that follows its files: looks at their contents every second, and takes a new set, as a
// whole, once it is right and was the same at two looks in a row (half of a change is not taken). A
// wrong one is logged and the old one stays. Thread-safe.
class TlsFiles {
 public:
  // Errors as LoadTlsMaterial's. `certificates` is told of each set; all three outlive this.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(TlsPaths paths,
                                                        gate::ClientCertificates& certificates,
                                                        const Clock& clock, Log& log);
  ~TlsFiles();
  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // The newest set.
  std::shared_ptr<const TlsMaterial> current() const;

 private:
  TlsFiles(TlsPaths paths, gate::ClientCertificates& certificates, const Clock& clock, Log& log)
      : paths_(std::move(paths)), certificates_(certificates), clock_(clock), log_(log) {}

  void Take(std::shared_ptr<const TlsMaterial> material);
  void Watch(std::string digest);

  const TlsPaths paths_;
  gate::ClientCertificates& certificates_;
  const Clock& clock_;
  Log& log_;
  mutable Mutex mu_;
  CondVar stopping_changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const TlsMaterial> current_ ABSL_GUARDED_BY(mu_);
  std::thread watcher_;
};

}  // namespace strongroom::grpc_server

#endif  // STRONGROOM_SERVER_GRPC_TLS_FILES_H_
