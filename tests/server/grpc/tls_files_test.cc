#include "server/grpc/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "platform/files.h"
#include "tests/server/gate/test_authority.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::grpc_server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using testing::TestAuthority;

const absl::Time kNow = absl::Now();
const absl::Time kYesterday = kNow - absl::Hours(24);
const absl::Time kTomorrow = kNow + absl::Hours(24);

class TlsFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, testing::MakeTestDirectory());
    paths_ = {absl::StrCat(directory_, "/server.pem"), absl::StrCat(directory_, "/server.key"),
              absl::StrCat(directory_, "/clients.pem"), absl::StrCat(directory_, "/clients.crl")};
    // An authority's own certificate serves as well.
    WriteFile(paths_.certificate, server_.certificate());
    WriteFile(paths_.private_key, server_.private_key());
    WriteFile(paths_.client_ca, clients_.certificate());
    WriteFile(paths_.client_crl, clients_.RevocationList({}, kYesterday, kTomorrow));
  }

  static void WriteFile(const std::string& path, const std::string& content) {
    ASSERT_OK(
        WriteSecretFile(path, {reinterpret_cast<const uint8_t*>(content.data()), content.size()}));
  }

  auto Fails(const std::string& field, const std::string& path, const std::string& why) {
    return StatusIs(::testing::_, ::testing::StartsWith(absl::StrCat(field, ": ", path, " ", why)));
  }

  std::string directory_;
  TlsPaths paths_;
  TestAuthority server_{"server", kYesterday, kTomorrow};
  TestAuthority clients_{"clients", kYesterday, kTomorrow};
};

TEST_F(TlsFilesTest, RightSetIsLoaded) {
  ASSERT_OK_AND_ASSIGN(const auto material, LoadTlsMaterial(paths_, kNow));
  EXPECT_EQ(material->certificate_chain, server_.certificate());
  EXPECT_EQ(material->client_ca, clients_.certificate());
  EXPECT_NE(material->client_trust, nullptr);
  EXPECT_EQ(material->fingerprint.size(), 64u);
  EXPECT_EQ(absl::ToUnixSeconds(material->not_after), absl::ToUnixSeconds(kTomorrow));
  EXPECT_THAT(material->warnings, IsEmpty());
  paths_.client_crl = "";
  EXPECT_OK(LoadTlsMaterial(paths_, kNow));
}

TEST_F(TlsFilesTest, WhatIsOutdatedIsAWarning) {
  ASSERT_OK_AND_ASSIGN(const auto material, LoadTlsMaterial(paths_, kTomorrow));
  EXPECT_THAT(material->warnings,
              ElementsAre(absl::StrCat("tls.certificate: ", paths_.certificate, " has expired"),
                          HasSubstr("tls.client_crl: ")));
}

TEST_F(TlsFilesTest, WrongFileIsNamedWithItsField) {
  WriteFile(paths_.certificate, clients_.certificate());
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.private_key", paths_.private_key, "is not the key of the certificate"));
  WriteFile(paths_.certificate, "nothing");
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.certificate", paths_.certificate, "has no certificate"));
  WriteFile(paths_.certificate, server_.certificate());

  WriteFile(paths_.private_key, "nothing");
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.private_key", paths_.private_key, "has no private key"));
  WriteFile(paths_.private_key, server_.private_key("a passphrase"));
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.private_key", paths_.private_key, "has no private key"));
  WriteFile(paths_.private_key, server_.private_key());

  WriteFile(paths_.client_ca, "nothing");
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.client_ca", paths_.client_ca, "has no certificate"));
  WriteFile(paths_.client_ca, server_.certificate());
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.client_crl", paths_.client_crl, "has a list that none of"));
  WriteFile(paths_.client_ca, clients_.certificate());

  WriteFile(paths_.client_crl, "nothing");
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              Fails("tls.client_crl", paths_.client_crl, "has no certificate revocation list"));
  std::filesystem::remove(paths_.client_crl);
  EXPECT_THAT(LoadTlsMaterial(paths_, kNow),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr(absl::StrCat("tls.client_crl: cannot open ", paths_.client_crl))));
}

TEST_F(TlsFilesTest, NewSetIsTakenAndToldToTheGate) {
  const SystemClock clock;
  Log log(LogLevel::kError);
  gate::ClientCertificates certificates(clock);
  ASSERT_OK_AND_ASSIGN(const auto files, TlsFiles::Open(paths_, certificates, clock, log));
  const auto first = files->current();
  const std::string client = clients_.Issue({{"spiffe://a/b"}, {}, kYesterday, kTomorrow});
  EXPECT_OK(certificates.PrincipalOf(client));

  WriteFile(paths_.client_crl, clients_.RevocationList({1}, kYesterday, kTomorrow));
  while (files->current() == first) std::this_thread::yield();
  EXPECT_FALSE(certificates.PrincipalOf(client).ok());
}

TEST_F(TlsFilesTest, WrongSetDoesNotOpen) {
  const SystemClock clock;
  Log log(LogLevel::kError);
  gate::ClientCertificates certificates(clock);
  WriteFile(paths_.client_ca, "nothing");
  EXPECT_FALSE(TlsFiles::Open(paths_, certificates, clock, log).ok());
}

}  // namespace
}  // namespace strongroom::grpc_server
