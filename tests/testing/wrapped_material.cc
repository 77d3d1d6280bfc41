#include "tests/testing/wrapped_material.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

namespace strongroom::testing {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

const unsigned char* In(const std::string& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* Out(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

std::string Oaep(EVP_PKEY* key, const EVP_MD* hash, const std::string& data) {
  std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new(key, nullptr));
  EXPECT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash), 1);
  std::string out(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = out.size();
  EXPECT_EQ(EVP_PKEY_encrypt(context.get(), Out(out), &size, In(data), data.size()), 1);
  out.resize(size);
  return out;
}

std::string Kwp(const std::string& key, const std::string& data) {
  std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>> context(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, In(key), nullptr),
            1);
  std::string out(data.size() + 16, '\0');
  int size = 0;
  EXPECT_EQ(
      EVP_EncryptUpdate(context.get(), Out(out), &size, In(data), static_cast<int>(data.size())),
      1);
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

std::string WrapMaterial(const std::string& public_key, hsm::ImportAlgorithm algorithm,
                         const std::string& material) {
  const unsigned char* der = In(public_key);
  std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>> key(
      d2i_PUBKEY(nullptr, &der, static_cast<long>(public_key.size())));
  EXPECT_NE(key, nullptr);
  if (key == nullptr) return "";
  switch (algorithm) {
    case hsm::ImportAlgorithm::kOaepSha1:
      return Oaep(key.get(), EVP_sha1(), material);
    case hsm::ImportAlgorithm::kOaepSha256:
      return Oaep(key.get(), EVP_sha256(), material);
    case hsm::ImportAlgorithm::kRsaAesSha256:
      break;
  }
  const std::string between(32, 't');
  return Oaep(key.get(), EVP_sha256(), between) + Kwp(between, material);
}

}  // namespace strongroom::testing
