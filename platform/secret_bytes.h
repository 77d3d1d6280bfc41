#ifndef STRONGROOM_PLATFORM_SECRET_BYTES_H_
#define STRONGROOM_PLATFORM_SECRET_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace strongroom {

// Makes the process-wide pool from which SecretBytes allocates: `bytes` of memory (a power of two)
// that is locked, has guard pages and is left out of cores. Call it once, first thing in main.
// Without it, and when the pool is full, each secret gets locked pages of its own.
//
// Returns whether the operating system agreed to lock the pool (RLIMIT_MEMLOCK).
bool ReserveSecretMemory(size_t bytes = size_t{1} << 22);

// Overwrites memory in a way that the compiler does not remove.
void Wipe(void* data, size_t size);
void Wipe(std::string* text);

// A secret of a fixed length: a data key, a private key, a PIN.
//
// It lives in locked memory, is wiped when it goes, moves but does not copy, compares in constant
// time, and has no way into a stream or a log. Reading it is ExposeSecret(), so that every place
// that does can be found by searching for that name.
//
// Thread-compatible.
class SecretBytes {
 public:
  SecretBytes() = default;
  // `size` zero bytes, to be filled through MutableSecret().
  explicit SecretBytes(size_t size);
  // A copy of `bytes`, which stay the caller's to wipe.
  static SecretBytes CopyOf(absl::Span<const uint8_t> bytes);
  static SecretBytes CopyOf(absl::string_view bytes);

  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  absl::Span<const uint8_t> ExposeSecret() const { return {data_, size_}; }
  absl::string_view ExposeSecretAsText() const;
  absl::Span<uint8_t> MutableSecret() { return {data_, size_}; }

  // Forgets all after the first `size` bytes, wiping them. `size` is at most size().
  void Truncate(size_t size);

  friend bool operator==(const SecretBytes& a, const SecretBytes& b);

 private:
  void Release();

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t allocated_ = 0;
  bool own_pages_ = false;
};

}  // namespace strongroom

#endif  // STRONGROOM_PLATFORM_SECRET_BYTES_H_
