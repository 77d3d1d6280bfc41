#ifndef STRONGROOM_HSM_VERSION_KEYS_H_
#define STRONGROOM_HSM_VERSION_KEYS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

namespace strongroom::hsm {

namespace internal {
class Pkcs11Token;
struct VersionHandles;
}  // namespace internal

// The CKA_ID that the two objects of a version share.
using ObjectId = std::array<uint8_t, 16>;

// Where the keys of a version come from.
enum class KeySource {
  kGenerated,  // in the token
  kImported,   // derived in the token from material that was brought in
  kReserve,    // generated in the token, for its kept pairs: of no version
};

// The two AES-256 keys of one version of a master key: one that seals (AES-GCM) and one that wraps
// (RFC 5649). It says which keys, not where they live; only a Token can use it, and only the Token
// that gave it.
//
// A cheap handle: copies share it. Thread-safe.
class VersionKeys {
 public:
  const ObjectId& id() const { return id_; }
  KeySource source() const { return source_; }

 private:
  friend class internal::Pkcs11Token;
  VersionKeys(const ObjectId& id, KeySource source,
              std::shared_ptr<internal::VersionHandles> handles)
      : id_(id), source_(source), handles_(std::move(handles)) {}

  ObjectId id_;
  KeySource source_;
  std::shared_ptr<internal::VersionHandles> handles_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_VERSION_KEYS_H_
