#include "client/command/wrap_material.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"

namespace strongroom::command {
namespace {

constexpr int kLeastModulusBits = 2048;
constexpr size_t kAesKeyBytes = 32;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

absl::Status CannotWrap(absl::string_view why) {
  return absl::InternalError(absl::StrCat("cannot wrap the key material: ", why));
}

// RSAES-OAEP with the same hash for MGF1, and no label.
absl::StatusOr<std::string> WrapOaep(EVP_PKEY* key, const EVP_MD* hash,
                                     const SecretBytes& content) {
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new(key, nullptr));
  const absl::Span<const uint8_t> bytes = content.ExposeSecret();
  std::string wrapped(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = wrapped.size();
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) <= 0 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) <= 0 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) <= 0 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) <= 0 ||
      EVP_PKEY_encrypt(context.get(), reinterpret_cast<uint8_t*>(wrapped.data()), &size,
                       bytes.data(), bytes.size()) <= 0) {
    return CannotWrap("OpenSSL's RSA-OAEP failed");
  }
  wrapped.resize(size);
  return wrapped;
}

// RFC 5649, under an AES-256 key.
absl::StatusOr<std::string> WrapKwp(const SecretBytes& key, const SecretBytes& content) {
  const std::unique_ptr<EVP_CIPHER_CTX, Free> context(EVP_CIPHER_CTX_new());
  if (context == nullptr) return CannotWrap("no memory");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  const absl::Span<const uint8_t> bytes = content.ExposeSecret();
  // The length rounded up to 8, and 8 bytes before it.
  std::string wrapped((bytes.size() + 7) / 8 * 8 + 8, '\0');
  int size = 0;
  if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, key.ExposeSecret().data(),
                         nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), reinterpret_cast<uint8_t*>(wrapped.data()), &size,
                        bytes.data(), static_cast<int>(bytes.size())) != 1 ||
      static_cast<size_t>(size) != wrapped.size()) {
    return CannotWrap("OpenSSL's AES key wrap failed");
  }
  return wrapped;
}

absl::Status WrongSize(absl::string_view name) {
  return LocalError(absl::InvalidArgumentError(
      absl::StrCat(name, " does not hold key material, which is ", kMaterialBytes,
                   " bytes as they are: e.g. ", "`openssl rand -out FILE ", kMaterialBytes, "`")));
}

absl::Status CannotRead(absl::string_view path) {
  return LocalError(absl::StrCat("cannot read ", path, ": ", strerror(errno)));
}

}  // namespace

absl::StatusOr<SecretBytes> ReadMaterial(const std::string& path, std::istream& in) {
  // One byte more, to see whether there is more.
  SecretBytes material(kMaterialBytes + 1);
  size_t size = 0;
  if (path == "-") {
    in.read(reinterpret_cast<char*>(material.MutableSecret().data()),
            static_cast<std::streamsize>(material.size()));
    size = static_cast<size_t>(in.gcount());
    if (size != kMaterialBytes) return WrongSize("standard input");
  } else {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return CannotRead(path);
    struct stat info;
    ssize_t n = fstat(fd, &info);
    const bool open_to_others = n == 0 && (info.st_mode & (S_IWGRP | S_IROTH | S_IWOTH)) != 0;
    while (n >= 0 && size < material.size()) {
      n = read(fd, material.MutableSecret().data() + size, material.size() - size);
      if (n < 0 && errno == EINTR)
        n = 0;
      else if (n <= 0)
        break;
      size += static_cast<size_t>(n);
    }
    const absl::Status failed = n < 0 ? CannotRead(path) : absl::OkStatus();
    close(fd);
    if (!failed.ok()) return failed;
    if (open_to_others) {
      return LocalError(absl::FailedPreconditionError(
          absl::StrCat(path, " holds a secret that others may read or change; chmod 0600 it")));
    }
    if (size != kMaterialBytes) return WrongSize(path);
  }
  material.Truncate(kMaterialBytes);
  return material;
}

absl::StatusOr<std::string> WrapMaterial(absl::string_view public_key,
                                         ImportWrappingAlgorithm algorithm,
                                         const SecretBytes& material) {
  const auto* der = reinterpret_cast<const uint8_t*>(public_key.data());
  const std::unique_ptr<EVP_PKEY, Free> key(
      d2i_PUBKEY(nullptr, &der, static_cast<long>(public_key.size())));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA ||
      EVP_PKEY_get_bits(key.get()) < kLeastModulusBits) {
    return CannotWrap("the service gave no RSA public key of at least 2,048 bits");
  }
  switch (algorithm) {
    case ImportWrappingAlgorithm::kRsaesOaepSha256:
      return WrapOaep(key.get(), EVP_sha256(), material);
    case ImportWrappingAlgorithm::kRsaesOaepSha1:
      return WrapOaep(key.get(), EVP_sha1(), material);
    case ImportWrappingAlgorithm::kRsaAesKeyWrapSha256: {
      SecretBytes aes_key(kAesKeyBytes);
      if (RAND_priv_bytes(aes_key.MutableSecret().data(), static_cast<int>(aes_key.size())) != 1) {
        return CannotWrap("no random bytes");
      }
      absl::StatusOr<std::string> wrapped_key = WrapOaep(key.get(), EVP_sha256(), aes_key);
      if (!wrapped_key.ok()) return wrapped_key.status();
      absl::StatusOr<std::string> wrapped = WrapKwp(aes_key, material);
      if (!wrapped.ok()) return wrapped.status();
      return absl::StrCat(*wrapped_key, *wrapped);
    }
    case ImportWrappingAlgorithm::kUnspecified:
      break;
  }
  return CannotWrap("unknown algorithm");
}

}  // namespace strongroom::command
