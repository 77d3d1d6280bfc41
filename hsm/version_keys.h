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

// The two AES-256 keys of one version of a master key: one that seals (AES-GCM) and one that wraps
// (RFC 5649). It says which keys, not where they live; only a Token can use it, and only the Token
// that gave it.
//
// A cheap handle: copies share it. Thread-safe.
class VersionKeys {
 public:
  const ObjectId& id() const { return id_; }

 private:
  friend class internal::Pkcs11Token;
  VersionKeys(const ObjectId& id, std::shared_ptr<internal::VersionHandles> handles)
      : id_(id), handles_(std::move(handles)) {}

  ObjectId id_;
  std::shared_ptr<internal::VersionHandles> handles_;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_VERSION_KEYS_H_
