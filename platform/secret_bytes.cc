#include "platform/secret_bytes.h"

#include <openssl/crypto.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace strongroom {
namespace {

constexpr size_t kSmallestBlock = 16;

}  // namespace

bool ReserveSecretMemory(size_t bytes) {
  // 1 is success, 2 is a pool that could not be locked (CRYPTO_secure_malloc(3)).
  return CRYPTO_secure_malloc_init(bytes, kSmallestBlock) == 1;
}

void Wipe(void* data, size_t size) {
  if (size != 0) OPENSSL_cleanse(data, size);
}

void Wipe(std::string* text) {
  Wipe(text->data(), text->size());
  text->clear();
}

SecretBytes::SecretBytes(size_t size) : size_(size), allocated_(size) {
  if (size == 0) return;
  if (CRYPTO_secure_malloc_initialized()) {
    data_ = static_cast<uint8_t*>(OPENSSL_secure_zalloc(size));
  }
  if (data_ == nullptr) {
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    // Locking can fail at RLIMIT_MEMLOCK; the secret is then still wiped and not dumped.
    (void)mlock(pages, size);
    (void)madvise(pages, size, MADV_DONTDUMP);
    data_ = static_cast<uint8_t*>(pages);
    own_pages_ = true;
  }
}

SecretBytes SecretBytes::CopyOf(absl::Span<const uint8_t> bytes) {
  SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.data_);
  return secret;
}

SecretBytes SecretBytes::CopyOf(absl::string_view bytes) {
  return CopyOf(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      allocated_(std::exchange(other.allocated_, 0)),
      own_pages_(std::exchange(other.own_pages_, false)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    allocated_ = std::exchange(other.allocated_, 0);
    own_pages_ = std::exchange(other.own_pages_, false);
  }
  return *this;
}

SecretBytes::~SecretBytes() { Release(); }

void SecretBytes::Release() {
  if (data_ == nullptr) return;
  if (own_pages_) {
    OPENSSL_cleanse(data_, allocated_);
    munmap(data_, allocated_);
  } else {
    OPENSSL_secure_clear_free(data_, allocated_);
  }
  data_ = nullptr;
}

absl::string_view SecretBytes::ExposeSecretAsText() const {
  return {reinterpret_cast<const char*>(data_), size_};
}

void SecretBytes::Truncate(size_t size) {
  size = std::min(size, size_);
  Wipe(data_ + size, size_ - size);
  size_ = size;
}

bool operator==(const SecretBytes& a, const SecretBytes& b) {
  return a.size_ == b.size_ && (a.size_ == 0 || CRYPTO_memcmp(a.data_, b.data_, a.size_) == 0);
}

}  // namespace strongroom
