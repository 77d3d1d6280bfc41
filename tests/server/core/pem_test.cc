#include "server/core/pem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "platform/secret_bytes.h"

namespace strongroom::core {
namespace {

using ::testing::MatchesRegex;

std::string Der(size_t size) {
  std::string der(size, '\0');
  for (size_t i = 0; i < size; ++i) der[i] = static_cast<char>(i * 7 + 3);
  return der;
}

// What OpenSSL writes for the same bytes.
std::string OpenSslPem(const char* label, const std::string& der) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  EXPECT_GT(PEM_write_bio(bio.get(), label, "", reinterpret_cast<const unsigned char*>(der.data()),
                          static_cast<long>(der.size())),
            0);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string PrivatePem(const std::string& der) {
  return std::string(PrivateKeyToPem(SecretBytes::CopyOf(der)).ExposeSecretAsText());
}

TEST(PemTest, IsWhatOpenSslWritesAtEveryLength) {
  for (size_t size = 1; size <= 200; ++size) {
    const std::string der = Der(size);
    EXPECT_EQ(PublicKeyToPem(der), OpenSslPem("PUBLIC KEY", der)) << size;
    EXPECT_EQ(PrivatePem(der), OpenSslPem("PRIVATE KEY", der)) << size;
  }
  const std::string der = Der(2374);
  EXPECT_EQ(PublicKeyToPem(der), OpenSslPem("PUBLIC KEY", der));
  EXPECT_EQ(PrivatePem(der), OpenSslPem("PRIVATE KEY", der));
}

TEST(PemTest, LinesAreThoseOfRfc7468) {
  const std::vector<std::string> lines = absl::StrSplit(PrivatePem(Der(49)), '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "-----BEGIN PRIVATE KEY-----");
  EXPECT_THAT(lines[1], MatchesRegex("[A-Za-z0-9+/]{64}"));
  EXPECT_THAT(lines[2], MatchesRegex("[A-Za-z0-9+/]{2}=="));
  EXPECT_EQ(lines[3], "-----END PRIVATE KEY-----");
  EXPECT_EQ(lines[4], "");
}

TEST(PemTest, FullLastLineHasNoEmptyOneBehindIt) {
  const std::vector<std::string> lines = absl::StrSplit(PublicKeyToPem(Der(96)), '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[2].size(), 64u);
  EXPECT_EQ(lines[3], "-----END PUBLIC KEY-----");
}

TEST(PemTest, OpenSslReadsBothHalvesOfAKey) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                &EVP_PKEY_free);
  ASSERT_NE(key, nullptr);
  unsigned char* bytes = nullptr;
  int size = i2d_PUBKEY(key.get(), &bytes);
  ASSERT_GT(size, 0);
  const std::string public_pem =
      PublicKeyToPem({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
  OPENSSL_free(bytes);
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, decltype(&PKCS8_PRIV_KEY_INFO_free)> pkcs8(
      EVP_PKEY2PKCS8(key.get()), &PKCS8_PRIV_KEY_INFO_free);
  bytes = nullptr;
  size = i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), &bytes);
  ASSERT_GT(size, 0);
  const std::string private_pem =
      PrivatePem({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)});
  OPENSSL_free(bytes);

  const auto read = [](const std::string& pem, auto reader) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
    return std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>(
        reader(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  };
  const auto public_key = read(public_pem, &PEM_read_bio_PUBKEY);
  const auto private_key = read(private_pem, &PEM_read_bio_PrivateKey);
  ASSERT_NE(public_key, nullptr);
  ASSERT_NE(private_key, nullptr);
  EXPECT_EQ(EVP_PKEY_eq(public_key.get(), key.get()), 1);
  EXPECT_EQ(EVP_PKEY_eq(private_key.get(), key.get()), 1);
}

}  // namespace
}  // namespace strongroom::core
