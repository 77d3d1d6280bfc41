// What Pkcs11Token does with private keys that are opened in the token, and with wrapped keys that
// move from one version to another.
#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/opened_object.h"
#include "hsm/internal/pkcs11_token.h"
#include "hsm/internal/private_key_uses.h"
#include "hsm/internal/secrets.h"

namespace strongroom::hsm::internal {
namespace {

absl::Status Lost(absl::string_view how) {
  return absl::AbortedError(absl::StrCat("the token has lost the opened key: ", how));
}

}  // namespace

absl::StatusOr<std::string> Pkcs11Token::Rewrap(const VersionKeys& from, const VersionKeys& to,
                                                absl::string_view wrapped,
                                                const WrappedContent& content, Deadline deadline) {
  const Work find_again = [&](Session& session) {
    absl::Status found = FindAgain(session, from);
    return found.ok() ? FindAgain(session, to) : found;
  };
  std::string rewrapped;
  absl::Status status = OnLane(deadline, find_again, [&](Session& session) {
    const PairSpec* const spec = std::get_if<PairSpec>(&content);
    absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
        spec != nullptr ? UnwrapPrivateKeyToMove(session, WrapKey(from), wrapped, *spec)
                        : UnwrapSecret(session, WrapKey(from), wrapped);
    if (!unwrapped.ok()) return unwrapped.status();
    const ScopedObject object(session, *unwrapped);
    absl::StatusOr<std::string> result = session.WrapKey(WrapKey(to), object.get());
    if (result.ok()) rewrapped = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return rewrapped;
}

absl::StatusOr<OpenedKey> Pkcs11Token::OpenPrivateKey(const VersionKeys& keys,
                                                      absl::string_view wrapped, PairSpec spec,
                                                      Deadline deadline) {
  std::shared_ptr<OpenedObject> opened;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    LentObject object;
    object.id = absl::StrCat("opened-", ++opened_);
    object.endings = lanes_.endings();
    absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
        UnwrapPrivateKeyToUse(session, WrapKey(keys), wrapped, spec, object.id);
    if (!unwrapped.ok()) return unwrapped.status();
    object.handle = *unwrapped;
    opened = std::make_shared<OpenedObject>(lanes_, std::move(object));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return OpenedKey(spec, std::move(opened));
}

absl::Status Pkcs11Token::UseOpened(
    const OpenedKey& key, Deadline deadline,
    const std::function<absl::Status(Session&, CK_OBJECT_HANDLE)>& work) {
  const OpenedObject& object = *key.object_;
  absl::Status status = OnLane(deadline, nullptr, [&](Session& session) {
    if (object.IsLost()) return Lost("a session has ended since");
    absl::Status done = work(session, object.handle());
    if (HandleIsGone(done)) return Lost(done.message());
    // A session that ended meanwhile may have let the handle become another key's.
    if (object.IsLost()) return Lost("a session has ended meanwhile");
    return done;
  });
  return status;
}

absl::StatusOr<std::string> Pkcs11Token::SignDigest(const OpenedKey& key, Hash hash,
                                                    RsaPadding padding,
                                                    absl::Span<const uint8_t> digest,
                                                    Deadline deadline) {
  std::string signature;
  absl::Status status = UseOpened(key, deadline, [&](Session& session, CK_OBJECT_HANDLE handle) {
    absl::StatusOr<std::string> result =
        SignWith(session, handle, key.spec(), hash, padding, digest);
    if (result.ok()) signature = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return signature;
}

absl::StatusOr<SecretBytes> Pkcs11Token::DecryptOaep(const OpenedKey& key, Hash hash,
                                                     absl::string_view ciphertext,
                                                     Deadline deadline) {
  SecretBytes plaintext;
  absl::Status status = UseOpened(key, deadline, [&](Session& session, CK_OBJECT_HANDLE handle) {
    absl::StatusOr<SecretBytes> result =
        DecryptOaepWith(session, handle, key.spec(), hash, ciphertext);
    if (result.ok()) plaintext = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return plaintext;
}

absl::StatusOr<SecretBytes> Pkcs11Token::DeriveSharedSecret(const OpenedKey& key,
                                                            absl::string_view peer_point,
                                                            Deadline deadline) {
  SecretBytes secret;
  absl::Status status = UseOpened(key, deadline, [&](Session& session, CK_OBJECT_HANDLE handle) {
    absl::StatusOr<SecretBytes> result =
        DeriveSharedSecretWith(session, handle, key.spec(), peer_point);
    if (result.ok()) secret = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return secret;
}

}  // namespace strongroom::hsm::internal
