#include "client/channel.h"

#include <arpa/inet.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "platform/files.h"
#include "platform/secret_bytes.h"

namespace strongroom {
namespace {

constexpr absl::string_view kAddressForms =
    "an address is unix:/PATH, unix:@NAME, HOST:PORT or [IPV6]:PORT";

// A page of 1,000 keys can have descriptions of 8 KiB each; gRPC's own limit is 4 MiB.
constexpr int kLargestAnswer = 16 << 20;

// While it waits to connect again gRPC fails every call at once. From its own first wait of a
// second, calls tried again within that second would learn nothing new.
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 2000;

struct Target {
  // In gRPC's naming.
  std::string uri;
  bool is_socket_file_or_name = false;
  bool is_loopback = false;
  // The name that the server's certificate has to have, if `uri` does not say it.
  std::string certificate_name;
};

absl::Status BadAddress(const std::string& address, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("address \"", address, "\" ", why, "; ", kAddressForms));
}

// As the path of a URI (RFC 3986), which is what gRPC reads.
std::string PercentEncode(absl::string_view path) {
  std::string encoded;
  for (const char c : path) {
    if (absl::ascii_isalnum(c) || absl::string_view("/-._~").find(c) != absl::string_view::npos) {
      encoded.push_back(c);
    } else {
      absl::StrAppend(&encoded, "%", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    }
  }
  return encoded;
}

absl::StatusOr<Target> ParseUnix(const std::string& address) {
  absl::string_view path = address;
  absl::ConsumePrefix(&path, "unix:");
  const bool abstract = absl::ConsumePrefix(&path, "@");
  if (!abstract && absl::ConsumePrefix(&path, "//") && !absl::StartsWith(path, "/")) {
    return BadAddress(address, "has a host part; unix:// takes an absolute path: unix:///PATH");
  }
  if (path.empty()) return BadAddress(address, "names no socket");
  // One byte for the NUL after a path or before an abstract name.
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return BadAddress(address, absl::StrCat("is too long for a unix socket, which takes ",
                                            sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  return Target{.uri = absl::StrCat(abstract ? "unix-abstract:" : "unix:", PercentEncode(path)),
                .is_socket_file_or_name = true,
                .certificate_name = ""};
}

bool IsLoopback(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return false;
}

absl::StatusOr<Target> ParseTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return BadAddress(address, "has no HOST:PORT");
  std::string host = address.substr(0, colon);
  const std::string port_text = address.substr(colon + 1);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(port_text, &port) || port == 0 || port > 65535) {
    return BadAddress(address, absl::StrCat("has the port \"", port_text, "\", not 1 to 65535"));
  }
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  in6_addr v6;
  if (bracketed != (inet_pton(AF_INET6, host.c_str(), &v6) == 1)) {
    return BadAddress(address, "is not an IPv6 address in brackets");
  }
  // Nothing that gRPC would take for a scheme, a path or a list.
  if (!bracketed && host.find_first_of(":/,%@[] ") != std::string::npos) {
    return BadAddress(address, absl::StrCat("has the host \"", host, "\", which is not a name"));
  }
  // Resolvers have been known to send "localhost" elsewhere. Its certificate is for the name still.
  const std::string name = host;
  if (host == "localhost") host = "127.0.0.1";
  return Target{.uri = bracketed ? absl::StrCat("dns:///[", host, "]:", port)
                                 : absl::StrCat("dns:///", host, ":", port),
                .is_loopback = IsLoopback(host),
                .certificate_name = name == host ? "" : name};
}

bool WantsTls(const TlsOptions& tls) {
  return !tls.ca_file.empty() || !tls.certificate_file.empty() || !tls.key_file.empty() ||
         !tls.server_name.empty();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& tls) {
  if (tls.ca_file.empty()) {
    return absl::InvalidArgumentError(
        "TLS needs a CA file: the certificates of the authorities that may vouch for the server");
  }
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a TLS client has a certificate file and a key file, or neither; the ",
                     tls.key_file.empty() ? "key" : "certificate", " file is missing"));
  }
  grpc::SslCredentialsOptions ssl;
  absl::StatusOr<std::string> ca = ReadFile(tls.ca_file);
  if (!ca.ok()) return ca.status();
  // gRPC takes an empty string for the system's authorities.
  if (!absl::StrContains(*ca, "-----BEGIN CERTIFICATE-----")) {
    return absl::FailedPreconditionError(
        absl::StrCat("TLS CA file ", tls.ca_file, " holds no PEM certificate"));
  }
  ssl.pem_root_certs = *std::move(ca);
  if (!tls.key_file.empty()) {
    absl::StatusOr<std::string> certificate = ReadFile(tls.certificate_file);
    if (!certificate.ok()) return certificate.status();
    absl::StatusOr<SecretBytes> key = ReadSecretFile(tls.key_file);
    if (!key.ok()) return key.status();
    ssl.pem_cert_chain = *std::move(certificate);
    ssl.pem_private_key = std::string(key->ExposeSecretAsText());
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(ssl);
  Wipe(&ssl.pem_private_key);
  return credentials;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ClientOptions& options,
                                                                      const Target& target) {
  const bool tls = WantsTls(options.tls);
  if (target.is_socket_file_or_name) {
    if (tls) {
      return absl::InvalidArgumentError(absl::StrCat("TLS options go with a HOST:PORT address; ",
                                                     options.address, " is a unix socket"));
    }
    return grpc::InsecureChannelCredentials();
  }
  if (tls) return TlsCredentials(options.tls);
  if (!target.is_loopback) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", options.address,
                     " is not on this machine: it takes TLS (CA file, certificate, key)"));
  }
  if (!options.allow_plaintext_loopback) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address ", options.address,
        " takes TLS (CA file, certificate, key), or plaintext on loopback allowed explicitly"));
  }
  return grpc::InsecureChannelCredentials();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ClientOptions& options) {
  absl::StatusOr<Target> target = absl::StartsWith(options.address, "unix:")
                                      ? ParseUnix(options.address)
                                      : ParseTcp(options.address);
  if (!target.ok()) return target.status();
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      Credentials(options, *target);
  if (!credentials.ok()) return credentials.status();

  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const std::string& server_name =
      options.tls.server_name.empty() ? target->certificate_name : options.tls.server_name;
  if (WantsTls(options.tls) && !server_name.empty()) {
    arguments.SetSslTargetNameOverride(server_name);
  }
  return grpc::CreateCustomChannel(target->uri, *credentials, arguments);
}

}  // namespace strongroom
