#ifndef STRONGROOM_CLIENT_CLIENT_OPTIONS_H_
#define STRONGROOM_CLIENT_CLIENT_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/time/time.h"

namespace strongroom {

// Where `strongroomd` listens unless told otherwise.
inline constexpr char kDefaultAddress[] = "unix:/run/strongroom/strongroom.sock";

// Paths of PEM files for a connection over TCP. They are read once, when connecting.
struct TlsOptions {
  // Certificates of the authorities that may vouch for the server. Required for TLS: the
  // system's web authorities have no say in who is a key-management service.
  std::string ca_file = {};
  // This client's certificate chain and its private key, where the server asks for them: both or
  // neither. Others than its owner and its group must not be able to read the key file.
  std::string certificate_file = {};
  std::string key_file = {};
  // The name to look for in the server's certificate, if it is not the host of the address.
  std::string server_name = {};
};

// When a call that failed is tried again. See Client for which calls are.
//
// The wait before attempt n+1 is drawn evenly between 0 and initial_backoff * 2^(n-1), at most
// max_backoff ("full jitter"), on top of the delay the server asked for, if it did.
struct RetryPolicy {
  // Attempts in all, the first included; 1 means that nothing is tried again.
  int max_attempts = 4;
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(2);
};

struct ClientOptions {
  // One of
  //   unix:PATH, unix:///PATH  a unix socket; its file's permissions guard it
  //   unix:@NAME               a unix socket in Linux's abstract namespace
  //   HOST:PORT, [IPV6]:PORT   TCP; with TLS, or see allow_plaintext_loopback
  // An HTTP proxy named in the process's environment is never used.
  std::string address = kDefaultAddress;

  // For HOST:PORT addresses only.
  TlsOptions tls = {};

  // Permits TCP without TLS, to this machine only: 127.0.0.0/8, [::1] or `localhost`, which then
  // stands for 127.0.0.1 without asking a resolver.
  //
  // Off by default, for any local user can listen on a free port and be sent what was meant for
  // the service. A unix socket in a directory that only the service can write has no such gap.
  bool allow_plaintext_loopback = false;

  // How long a call may take, all its attempts together: more than 0, at most a day. Generating a
  // pair has a limit of its own, as RSA can take the token seconds.
  absl::Duration timeout = absl::Seconds(5);
  absl::Duration pair_timeout = absl::Seconds(60);

  RetryPolicy retry = {};
};

// What one call can have different.
struct CallOptions {
  // In place of the client's timeout. Nothing is sent, and DEADLINE_EXCEEDED returned, if it is
  // not more than 0, so that the rest of a caller's own deadline can be handed on as it is.
  std::optional<absl::Duration> timeout = std::nullopt;
};

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_CLIENT_OPTIONS_H_
