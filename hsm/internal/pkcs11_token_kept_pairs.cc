// What Pkcs11Token does with pairs that wait in the token, and with the keys that seal them
// outside.
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/kept_object.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/pkcs11_token.h"
#include "hsm/internal/transport.h"
#include "hsm/kept_pair.h"

namespace strongroom::hsm {

KeptPair::KeptPair(PairSpec spec, std::string public_key,
                   std::unique_ptr<internal::KeptObject> private_key)
    : spec_(spec), public_key_(std::move(public_key)), private_key_(std::move(private_key)) {}
KeptPair::KeptPair(KeptPair&& other) noexcept = default;
KeptPair& KeptPair::operator=(KeptPair&& other) noexcept = default;
KeptPair::~KeptPair() = default;

bool KeptPair::IsLost() const { return private_key_ == nullptr || private_key_->IsLost(); }

}  // namespace strongroom::hsm

namespace strongroom::hsm::internal {
namespace {

absl::Status Lost(absl::string_view how) {
  return absl::AbortedError(absl::StrCat("the token has lost the kept pair: ", how));
}

}  // namespace

absl::Status Pkcs11Token::OnOwn(OwnSession& own, std::atomic<uint64_t>* endings,
                                const VersionKeys* keys, const Work& work) {
  Work find_again;
  if (keys != nullptr) {
    find_again = [keys](Session& session) { return FindAgain(session, *keys); };
  }
  MutexLock lock(own.mu);
  if (!own.session.has_value()) {
    absl::StatusOr<Session> session = NewSession();
    if (!session.ok()) return session.status();
    own.session = *std::move(session);
  }
  const auto reopen = [this, endings, &session = *own.session] {
    if (endings != nullptr) ++*endings;
    return lanes_.Replace(session);
  };
  return Run(*own.session, reopen, find_again, work);
}

absl::StatusOr<KeptPair> Pkcs11Token::Keep(PairSpec spec, const VersionKeys* keys,
                                           const std::function<absl::StatusOr<CK_OBJECT_HANDLE>(
                                               Session&, absl::string_view, std::string&)>& make) {
  std::string public_key;
  std::unique_ptr<KeptObject> private_key;
  absl::Status status = OnOwn(keeper_, &keeper_endings_, keys, [&](Session& session) {
    LentObject object;
    object.id = absl::StrCat("kept-", ++kept_);
    object.endings = lanes_.endings();
    const uint64_t made_after = keeper_endings_;
    absl::StatusOr<CK_OBJECT_HANDLE> made = make(session, object.id, public_key);
    if (!made.ok()) return made.status();
    object.handle = *made;
    private_key =
        std::make_unique<KeptObject>(lanes_, keeper_endings_, made_after, std::move(object));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return KeptPair(spec, std::move(public_key), std::move(private_key));
}

absl::StatusOr<KeptPair> Pkcs11Token::GeneratePairToKeep(PairSpec spec) {
  return Keep(
      spec, nullptr,
      [spec](Session& session, absl::string_view id,
             std::string& public_key) -> absl::StatusOr<CK_OBJECT_HANDLE> {
        absl::StatusOr<KeyPairHandles> handles = internal::GeneratePairToKeep(session, spec, id);
        if (!handles.ok()) return handles.status();
        const ScopedObject public_object(session, handles->public_key);
        absl::StatusOr<std::string> encoded = EncodePublicKey(session, public_object.get(), spec);
        if (!encoded.ok()) {
          session.DestroyObject(handles->private_key).IgnoreError();
          return encoded.status();
        }
        public_key = *std::move(encoded);
        return handles->private_key;
      });
}

absl::StatusOr<KeptPair> Pkcs11Token::RestoreKeptPair(const VersionKeys& keys,
                                                      absl::string_view wrapped, PairSpec spec,
                                                      absl::string_view public_key) {
  return Keep(spec, &keys, [&](Session& session, absl::string_view id, std::string& copy) {
    copy = std::string(public_key);
    return UnwrapPrivateKeyToMove(session, WrapKey(keys), wrapped, spec, id);
  });
}

absl::Status Pkcs11Token::UseKept(Session& session, const KeptPair& pair,
                                  const std::function<absl::Status(CK_OBJECT_HANDLE)>& work) {
  if (pair.IsLost()) return Lost("its session has ended");
  const LentObject& object = pair.private_key_->object();
  return lanes_.WhileNoneEnds([&]() -> absl::Status {
    // The token may have ended the session by itself, and given the handle to another private key:
    // that must not leave as this one's.
    absl::StatusOr<std::string> id = session.GetAttribute(object.handle, CKA_ID);
    if (HandleIsGone(id.status())) return Lost(id.status().message());
    if (!id.ok()) return id.status();
    if (*id != object.id) return Lost("its handle is another object's");
    return work(object.handle);
  });
}

absl::StatusOr<std::string> Pkcs11Token::WrapKeptPair(const KeptPair& pair,
                                                      const VersionKeys& keys) {
  std::string wrapped;
  absl::Status status = OnOwn(wrapper_, nullptr, &keys, [&](Session& session) {
    return UseKept(session, pair, [&](CK_OBJECT_HANDLE private_key) {
      absl::StatusOr<std::string> result = session.WrapKey(WrapKey(keys), private_key);
      if (result.ok()) wrapped = *std::move(result);
      return result.status();
    });
  });
  if (!status.ok()) return status;
  return wrapped;
}

absl::StatusOr<WrappedKeyPair> Pkcs11Token::TakeKeptPair(KeptPair pair, const VersionKeys& keys,
                                                         absl::string_view wrapped,
                                                         bool with_private_key, Deadline deadline) {
  WrappedKeyPair taken;
  taken.public_key = pair.public_key();
  taken.wrapped_private_key = std::string(wrapped);
  if (!wrapped.empty() && !with_private_key) return taken;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    return UseKept(session, pair, [&](CK_OBJECT_HANDLE private_key) {
      if (taken.wrapped_private_key.empty()) {
        absl::StatusOr<std::string> result = session.WrapKey(WrapKey(keys), private_key);
        if (!result.ok()) return result.status();
        taken.wrapped_private_key = *std::move(result);
      }
      if (!with_private_key) return absl::OkStatus();
      absl::StatusOr<SecretBytes> exported = ExportKey(session, private_key);
      if (exported.ok()) exported = CutToDerLength(*std::move(exported));
      if (exported.ok()) taken.private_key = *std::move(exported);
      return exported.status();
    });
  });
  if (!status.ok()) return status;
  return taken;
}

absl::StatusOr<VersionKeys> Pkcs11Token::CreateReserveKeys(const ObjectId& id, Deadline deadline) {
  absl::StatusOr<NewVersionKeys> made = CreateKeys(id, KeySource::kReserve, deadline);
  if (!made.ok()) return made.status();
  return std::move(made->keys);
}

absl::StatusOr<VersionKeys> Pkcs11Token::FindReserveKeys(const ObjectId& id, Deadline deadline) {
  std::optional<VersionKeys> keys;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<VersionKeys> found = Find(session, id, kReserveSources);
    if (found.ok()) keys = *std::move(found);
    return found.status();
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

absl::StatusOr<int> Pkcs11Token::DestroyOtherReserveKeys(const std::optional<ObjectId>& spared,
                                                         Deadline deadline) {
  int destroyed = 0;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<std::vector<FoundVersionObject>> objects =
        FindVersionObjects(session, kReserveSources);
    if (!objects.ok()) return objects.status();
    absl::Status all = absl::OkStatus();
    for (const FoundVersionObject& found : *objects) {
      if (found.id == spared) continue;
      absl::Status gone = session.DestroyObject(found.object);
      if (gone.ok()) ++destroyed;
      all.Update(gone);
    }
    return all;
  });
  if (!status.ok()) return status;
  return destroyed;
}

}  // namespace strongroom::hsm::internal
