#include "tests/testing/openssl_keys.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>

namespace strongroom::testing {
namespace {

using KeyContext = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;

KeyContext ContextOf(EVP_PKEY* key) {
  return KeyContext(EVP_PKEY_CTX_new(key, nullptr), &EVP_PKEY_CTX_free);
}

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

OpenSslKey ParsePublicKey(absl::string_view der) {
  const unsigned char* position = Bytes(der);
  OpenSslKey key(d2i_PUBKEY(nullptr, &position, static_cast<long>(der.size())));
  if (position != Bytes(der) + der.size()) return nullptr;
  return key;
}

OpenSslKey ParsePrivateKey(absl::string_view der) {
  const unsigned char* position = Bytes(der);
  PKCS8_PRIV_KEY_INFO* info =
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &position, static_cast<long>(der.size()));
  if (info == nullptr) return nullptr;
  OpenSslKey key(position == Bytes(der) + der.size() ? EVP_PKCS82PKEY(info) : nullptr);
  PKCS8_PRIV_KEY_INFO_free(info);
  return key;
}

OpenSslKey GenerateCurveKey(const char* group) { return OpenSslKey(EVP_EC_gen(group)); }

std::string EncodePublicKey(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  std::string encoded(reinterpret_cast<char*>(der), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return encoded;
}

std::string EncodePublicKeyAsPem(EVP_PKEY* key) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_PUBKEY(bio.get(), key);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string PointOf(EVP_PKEY* key) {
  std::string point(256, '\0');
  size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, Bytes(point),
                                            point.size(), &size),
            1);
  point.resize(size);
  return point;
}

std::vector<std::string> PrivateNumbers(EVP_PKEY* key) {
  const bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
  const std::vector<const char*> names =
      rsa ? std::vector<const char*>{OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                                     OSSL_PKEY_PARAM_RSA_FACTOR2}
          : std::vector<const char*>{OSSL_PKEY_PARAM_PRIV_KEY};
  std::vector<std::string> numbers;
  for (const char* name : names) {
    BIGNUM* number = nullptr;
    EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1) << name;
    std::string bytes(static_cast<size_t>(BN_num_bytes(number)), '\0');
    BN_bn2bin(number, Bytes(bytes));
    BN_clear_free(number);
    numbers.push_back(std::move(bytes));
  }
  return numbers;
}

std::string DigestOf(const char* hash, absl::string_view message) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  size_t size = 0;
  EXPECT_EQ(
      EVP_Q_digest(nullptr, hash, nullptr, message.data(), message.size(), Bytes(digest), &size),
      1);
  digest.resize(size);
  return digest;
}

std::string EcdsaToDer(absl::string_view fixed) {
  const int half = static_cast<int>(fixed.size() / 2);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> signature(ECDSA_SIG_new(),
                                                                        &ECDSA_SIG_free);
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(Bytes(fixed), half, nullptr),
                 BN_bin2bn(Bytes(fixed) + half, half, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string encoded(reinterpret_cast<char*>(der), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return encoded;
}

bool Verifies(EVP_PKEY* key, RsaScheme scheme, const char* hash, absl::string_view digest,
              absl::string_view signature) {
  const KeyContext context = ContextOf(key);
  EVP_PKEY_CTX* const raw = context.get();
  if (EVP_PKEY_verify_init(raw) != 1) return false;
  if (scheme == RsaScheme::kPkcs1V15 && EVP_PKEY_CTX_set_rsa_padding(raw, RSA_PKCS1_PADDING) != 1) {
    return false;
  }
  if (scheme == RsaScheme::kPss &&
      (EVP_PKEY_CTX_set_rsa_padding(raw, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(raw, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_PKEY_CTX_set_signature_md(raw, EVP_get_digestbyname(hash)) == 1 &&
         EVP_PKEY_verify(raw, Bytes(signature), signature.size(), Bytes(digest), digest.size()) ==
             1;
}

std::string EncryptOaep(EVP_PKEY* key, const char* hash, absl::string_view text) {
  const KeyContext context = ContextOf(key);
  std::string ciphertext(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = ciphertext.size();
  EXPECT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), hash, nullptr), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md_name(context.get(), hash, nullptr), 1);
  EXPECT_EQ(EVP_PKEY_encrypt(context.get(), Bytes(ciphertext), &size, Bytes(text), text.size()), 1);
  ciphertext.resize(size);
  return ciphertext;
}

std::string Agree(EVP_PKEY* own, EVP_PKEY* peer) {
  const KeyContext context = ContextOf(own);
  std::string secret(128, '\0');
  size_t size = secret.size();
  EXPECT_EQ(EVP_PKEY_derive_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_derive_set_peer(context.get(), peer), 1);
  EXPECT_EQ(EVP_PKEY_derive(context.get(), Bytes(secret), &size), 1);
  secret.resize(size);
  return secret;
}

}  // namespace strongroom::testing
