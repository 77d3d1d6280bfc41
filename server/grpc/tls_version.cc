#include "server/grpc/tls_version.h"

#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/gate/x509.h"

namespace strongroom::grpc_server {
namespace {

using ConfPtr = std::unique_ptr<CONF, gate::FreeWith<NCONF_free>>;

// What the system's openssl.cnf has in its `system_default`.
std::map<std::string, std::string> SystemDefault() {
  std::map<std::string, std::string> settings;
  const std::unique_ptr<char, decltype([](char* text) { OPENSSL_free(text); })> path(
      CONF_get1_default_config_file());
  const ConfPtr conf(NCONF_new(nullptr));
  if (path == nullptr || NCONF_load(conf.get(), path.get(), nullptr) != 1) return settings;
  const char* section = nullptr;
  for (const char* name : {"openssl_conf", "ssl_conf", "system_default"}) {
    section = NCONF_get_string(conf.get(), section, name);
    if (section == nullptr) return settings;
  }
  const STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf.get(), section);
  for (int i = 0; i < sk_CONF_VALUE_num(values); ++i) {
    const CONF_VALUE* value = sk_CONF_VALUE_value(values, i);
    settings[value->name] = value->value;
  }
  return settings;
}

}  // namespace

absl::Status RequireTls13() {
  // The system's configuration first: read later, it would take the place of this one.
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, nullptr);
  std::map<std::string, std::string> settings = SystemDefault();
  // Debian's default, which any configuration of a `system_default` takes away.
  settings.insert({"CipherString", "DEFAULT:@SECLEVEL=2"});
  std::string& protocols = settings["Protocol"];
  absl::StrAppend(&protocols, protocols.empty() ? "" : ",", "-SSLv3,-TLSv1,-TLSv1.1,-TLSv1.2");

  // No session is resumed: a handshake that does would not ask for the certificate again.
  settings["NumTickets"] = "0";

  std::string text =
      "strongroom = modules\n[modules]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n";
  for (const auto& [name, value] : settings) absl::StrAppend(&text, name, " = ", value, "\n");
  const std::unique_ptr<BIO, gate::FreeWith<BIO_free>> bio(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  const ConfPtr conf(NCONF_new(nullptr));
  long wrong_line = 0;
  const bool loaded = NCONF_load_bio(conf.get(), bio.get(), &wrong_line) == 1 &&
                      CONF_modules_load(conf.get(), "strongroom", 0) == 1;

  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, gate::FreeWith<SSL_CTX_free>> context(
      SSL_CTX_new(TLS_server_method()));
  if (!loaded || context == nullptr ||
      (SSL_CTX_get_options(context.get()) & SSL_OP_NO_TLSv1_2) == 0 ||
      (SSL_CTX_get_options(context.get()) & SSL_OP_NO_TLSv1_3) != 0 ||
      SSL_CTX_get_num_tickets(context.get()) != 0) {
    return absl::InternalError(
        absl::StrCat("OpenSSL cannot be held to TLS 1.3: ", gate::TakeOpenSslError()));
  }
  return absl::OkStatus();
}

}  // namespace strongroom::grpc_server
