#include "hsm/token.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/lanes.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/session.h"
#include "hsm/internal/transport.h"
#include "hsm/internal/version_objects.h"
#include "platform/files.h"
#include "platform/mutex.h"

namespace strongroom::hsm {
namespace {

using internal::CkReturnValue;
using internal::Lane;
using internal::LanePool;
using internal::Module;
using internal::Prefixed;
using internal::Residence;
using internal::ScopedObject;
using internal::Session;
using internal::Template;
using internal::VersionHandles;
using internal::VersionRole;

constexpr char kOwnerLabel[] = "strongroom-owner";
constexpr char kKnownGoodText[] = "strongroom known-good input";

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// The token no longer knows the session, or an earlier failure left an operation begun in it, which
// only closing it ends. A new session helps.
bool SessionIsGone(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED || rv == CKR_OPERATION_ACTIVE;
}

bool KeyHandleIsGone(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_OBJECT_HANDLE_INVALID || rv == CKR_KEY_HANDLE_INVALID ||
         rv == CKR_WRAPPING_KEY_HANDLE_INVALID || rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID;
}

// What a token answers when a ciphertext does not authenticate; the first two stand for other
// faults as well.
bool MayMeanTampered(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

// Seals and opens with these handles, and checks that another AAD does not open.
absl::Status TrySealKey(Session& session, CK_OBJECT_HANDLE seal_key) {
  internal::GcmParameters parameters = {{}, AsBytes("aad")};
  if (absl::Status status = session.GenerateRandom(absl::MakeSpan(parameters.iv)); !status.ok()) {
    return status;
  }
  absl::StatusOr<std::string> sealed =
      session.EncryptGcm(seal_key, parameters, AsBytes(kKnownGoodText));
  if (!sealed.ok()) return sealed.status();
  absl::StatusOr<SecretBytes> opened = session.DecryptGcm(seal_key, parameters, *sealed);
  if (!opened.ok()) return opened.status();
  if (opened->ExposeSecretAsText() != kKnownGoodText) {
    return absl::InternalError("AES-GCM in the token does not give back what it was given");
  }
  parameters.aad = AsBytes("AAD");
  if (session.DecryptGcm(seal_key, parameters, *sealed).ok()) {
    return absl::InternalError("AES-GCM in the token does not check the AAD");
  }
  return absl::OkStatus();
}

absl::StatusOr<CK_OBJECT_HANDLE> GenerateSecret(Session& session, size_t size) {
  return session.GenerateKey(CKM_GENERIC_SECRET_KEY_GEN,
                             Template()
                                 .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                                 .AddUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                                 .AddBool(CKA_TOKEN, false)
                                 .AddBool(CKA_PRIVATE, true)
                                 .AddBool(CKA_SENSITIVE, true)
                                 .AddBool(CKA_EXTRACTABLE, true)
                                 .AddUlong(CKA_VALUE_LEN, size));
}

absl::StatusOr<SecretBytes> UnwrapAndExportSecret(Session& session, CK_OBJECT_HANDLE wrap_key,
                                                  absl::string_view wrapped, size_t size) {
  absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
      session.UnwrapKey(wrap_key, wrapped,
                        Template()
                            .AddUlong(CKA_CLASS, CKO_SECRET_KEY)
                            .AddUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                            .AddBool(CKA_TOKEN, false)
                            .AddBool(CKA_PRIVATE, true)
                            .AddBool(CKA_SENSITIVE, true)
                            .AddBool(CKA_EXTRACTABLE, true));
  if (!unwrapped.ok()) return unwrapped.status();
  const ScopedObject secret(session, *unwrapped);
  absl::StatusOr<SecretBytes> value = internal::ExportKey(session, secret.get());
  if (!value.ok()) return value.status();
  // SoftHSM fills a secret up with zeros to a multiple of 8 bytes before it wraps it.
  if (value->size() < size || value->size() >= size + 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("unwrapped ", value->size(), " bytes where ", size, " were expected"));
  }
  value->Truncate(size);
  return value;
}

// Checks on session objects that the token keeps to what a version's keys are made for.
absl::Status TryKeys(Session& session) {
  constexpr ObjectId kId = {};
  absl::StatusOr<CK_OBJECT_HANDLE> seal =
      internal::GenerateVersionObject(session, VersionRole::kSeal, Residence::kSession, kId);
  if (!seal.ok()) return Prefixed("generating an AES-256 key: ", seal.status());
  const ScopedObject seal_key(session, *seal);
  absl::StatusOr<CK_OBJECT_HANDLE> wrap =
      internal::GenerateVersionObject(session, VersionRole::kWrap, Residence::kSession, kId);
  if (!wrap.ok()) return Prefixed("generating an AES-256 key: ", wrap.status());
  const ScopedObject wrap_key(session, *wrap);

  absl::Status status = TrySealKey(session, seal_key.get());
  if (!status.ok()) return Prefixed("trying AES-GCM: ", status);

  absl::StatusOr<CK_OBJECT_HANDLE> generated = GenerateSecret(session, kIvBytes);
  if (!generated.ok()) return Prefixed("generating a secret: ", generated.status());
  const ScopedObject secret(session, *generated);
  absl::StatusOr<std::string> wrapped = session.WrapKey(wrap_key.get(), secret.get());
  if (!wrapped.ok()) return Prefixed("trying key wrap (RFC 5649): ", wrapped.status());
  status = UnwrapAndExportSecret(session, wrap_key.get(), *wrapped, kIvBytes).status();
  if (!status.ok()) return Prefixed("trying key unwrap (RFC 5649): ", status);

  if (session.WrapKey(seal_key.get(), secret.get()).ok()) {
    return absl::FailedPreconditionError(
        "the token lets a key wrap that was made to encrypt only; the separation of the keys that "
        "seal from those that wrap would mean nothing on it");
  }
  return absl::OkStatus();
}

absl::Status CheckMechanisms(const Module& module, CK_SLOT_ID slot) {
  struct Needed {
    CK_MECHANISM_TYPE mechanism;
    CK_FLAGS flags;
    const char* name;
  };
  constexpr Needed kNeeded[] = {
      {CKM_AES_KEY_GEN, CKF_GENERATE, "CKM_AES_KEY_GEN (generate)"},
      {CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT, "CKM_AES_GCM (encrypt, decrypt)"},
      {CKM_AES_KEY_WRAP_PAD, CKF_WRAP | CKF_UNWRAP, "CKM_AES_KEY_WRAP_PAD (wrap, unwrap)"},
      {CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE, "CKM_GENERIC_SECRET_KEY_GEN (generate)"},
  };
  std::vector<std::string> missing;
  for (const Needed& needed : kNeeded) {
    if (!module.HasMechanism(slot, needed.mechanism, needed.flags)) missing.push_back(needed.name);
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the token lacks ", absl::StrJoin(missing, ", "),
      "; use a token, a firmware or a policy (e.g. outside a restricted mode) that has them"));
}

absl::Status CheckPinFlags(CK_FLAGS flags) {
  if ((flags & CKF_USER_PIN_INITIALIZED) == 0) {
    return absl::FailedPreconditionError(
        "the token has no user PIN yet; initialize it (C_InitPIN, e.g. softhsm2-util "
        "--init-token)");
  }
  if ((flags & CKF_USER_PIN_LOCKED) != 0) {
    return absl::PermissionDeniedError(
        "the token's user PIN is locked; unlock it as the security officer. No PIN was tried");
  }
  if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
    return absl::PermissionDeniedError(
        "the token has one try left for its user PIN; log in by hand once with the right PIN, "
        "which "
        "resets the count. No PIN was tried");
  }
  return absl::OkStatus();
}

Template OwnerTemplate() {
  return Template()
      .AddUlong(CKA_CLASS, CKO_DATA)
      .AddBool(CKA_TOKEN, true)
      .AddBytes(CKA_LABEL, absl::string_view(kOwnerLabel));
}

}  // namespace

class Token::Impl {
 public:
  Impl(std::unique_ptr<Module> module, CK_SLOT_ID slot, std::vector<Session> sessions)
      : module_(std::move(module)), slot_(slot), lanes_(*module_, slot, std::move(sessions)) {}

  // Runs `work` on a lane; once more on a new session if the lane's is gone, and once more with the
  // handles of `keys` found again if the token no longer knows those.
  absl::Status OnLane(Deadline deadline, const VersionKeys* keys,
                      const std::function<absl::Status(Session&)>& work);

  // Runs `work` alone among all that find or make token objects: a search beside a creation makes
  // SoftHSM 2.6.1 fail the creation and forget live handles.
  absl::Status OnTokenObjects(Deadline deadline, const std::function<absl::Status(Session&)>& work)
      ABSL_LOCKS_EXCLUDED(objects_mu_);

  absl::StatusOr<Session> NewSession() { return Session::Open(*module_, slot_); }

  static CK_OBJECT_HANDLE SealKey(const VersionKeys& keys) { return keys.handles_->seal_key; }
  static CK_OBJECT_HANDLE WrapKey(const VersionKeys& keys) { return keys.handles_->wrap_key; }
  static VersionKeys MakeKeys(const ObjectId& id, CK_OBJECT_HANDLE seal, CK_OBJECT_HANDLE wrap);
  static absl::StatusOr<VersionKeys> Find(Session& session, const ObjectId& id);
  static absl::StatusOr<bool> HasAnyOf(Session& session, const ObjectId& id);
  static absl::Status Destroy(Session& session, const ObjectId& id);
  // As Destroy(), after something failed: perhaps the session.
  void CleanUp(Session& session, const ObjectId& id);
  static absl::Status Verify(Session& session, const VersionKeys& keys);

 private:
  const std::unique_ptr<Module> module_;
  const CK_SLOT_ID slot_;
  LanePool lanes_;
  Mutex objects_mu_;
};

absl::Status Token::Impl::OnLane(Deadline deadline, const VersionKeys* keys,
                                 const std::function<absl::Status(Session&)>& work) {
  absl::StatusOr<Lane> lane = lanes_.Acquire(deadline);
  if (!lane.ok()) return lane.status();
  absl::Status status = work(lane->session());
  if (SessionIsGone(status)) {
    status = lane->Reopen();
    if (status.ok()) status = work(lane->session());
  }
  if (keys != nullptr && KeyHandleIsGone(status)) {
    MutexLock lock(objects_mu_);
    absl::StatusOr<VersionKeys> found = Find(lane->session(), keys->id());
    status = Prefixed("finding the key again: ", found.status());
    if (status.ok()) {
      keys->handles_->seal_key = SealKey(*found);
      keys->handles_->wrap_key = WrapKey(*found);
      status = work(lane->session());
    }
  }
  // A key that was there and is not: for all one can tell, its token is away.
  if (keys != nullptr && absl::IsNotFound(status)) return absl::UnavailableError(status.message());
  return status;
}

absl::Status Token::Impl::OnTokenObjects(Deadline deadline,
                                         const std::function<absl::Status(Session&)>& work) {
  return OnLane(deadline, nullptr, [&](Session& session) {
    MutexLock lock(objects_mu_);
    return work(session);
  });
}

VersionKeys Token::Impl::MakeKeys(const ObjectId& id, CK_OBJECT_HANDLE seal,
                                  CK_OBJECT_HANDLE wrap) {
  auto handles = std::make_shared<VersionHandles>();
  handles->seal_key = seal;
  handles->wrap_key = wrap;
  return VersionKeys(id, std::move(handles));
}

absl::Status Token::Impl::Verify(Session& session, const VersionKeys& keys) {
  absl::Status status = internal::VerifyVersionObject(session, VersionRole::kSeal,
                                                      Residence::kToken, SealKey(keys), keys.id());
  if (!status.ok()) return status;
  return internal::VerifyVersionObject(session, VersionRole::kWrap, Residence::kToken,
                                       WrapKey(keys), keys.id());
}

absl::StatusOr<VersionKeys> Token::Impl::Find(Session& session, const ObjectId& id) {
  absl::StatusOr<CK_OBJECT_HANDLE> seal =
      internal::FindVersionObject(session, VersionRole::kSeal, id);
  if (!seal.ok()) return seal.status();
  absl::StatusOr<CK_OBJECT_HANDLE> wrap =
      internal::FindVersionObject(session, VersionRole::kWrap, id);
  if (!wrap.ok()) return wrap.status();
  VersionKeys keys = MakeKeys(id, *seal, *wrap);
  if (absl::Status status = Verify(session, keys); !status.ok()) return status;
  return keys;
}

absl::StatusOr<bool> Token::Impl::HasAnyOf(Session& session, const ObjectId& id) {
  for (VersionRole role : internal::kVersionRoles) {
    auto objects = internal::FindVersionObjects(session, role, id);
    if (!objects.ok()) return objects.status();
    if (!objects->empty()) return true;
  }
  return false;
}

absl::Status Token::Impl::Destroy(Session& session, const ObjectId& id) {
  absl::Status destroyed = absl::OkStatus();
  for (VersionRole role : internal::kVersionRoles) {
    auto objects = internal::FindVersionObjects(session, role, id);
    destroyed.Update(objects.status());
    if (!objects.ok()) continue;
    for (CK_OBJECT_HANDLE object : *objects) destroyed.Update(session.DestroyObject(object));
  }
  return destroyed;
}

void Token::Impl::CleanUp(Session& session, const ObjectId& id) {
  if (Destroy(session, id).ok()) return;
  absl::StatusOr<Session> fresh = NewSession();
  if (fresh.ok()) Destroy(*fresh, id).IgnoreError();
}

Token::Token(std::unique_ptr<Impl> impl, TokenInfo info)
    : impl_(std::move(impl)), info_(std::move(info)) {}

Token::~Token() = default;

absl::StatusOr<std::unique_ptr<Token>> Token::Open(const TokenOptions& options) {
  // Everything that can be wrong without the PIN is looked at before the PIN is used.
  absl::StatusOr<SecretBytes> pin = ReadSecretFile(options.pin_file);
  if (!pin.ok()) return Prefixed("the PIN's file: ", pin.status());
  if (pin->empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the PIN's file is empty: ", options.pin_file));
  }
  absl::StatusOr<std::unique_ptr<Module>> module = Module::Load(options.module_path);
  if (!module.ok()) return module.status();
  absl::StatusOr<CK_SLOT_ID> slot = (*module)->FindToken(options.token);
  if (!slot.ok()) return slot.status();
  if (absl::Status status = CheckMechanisms(**module, *slot); !status.ok()) return status;
  absl::StatusOr<CK_TOKEN_INFO> ck_info = (*module)->GetTokenInfo(*slot);
  if (!ck_info.ok()) return ck_info.status();
  if (absl::Status status = CheckPinFlags(ck_info->flags); !status.ok()) return status;

  std::vector<Session> sessions;
  for (int i = 0; i < std::max(options.lanes, 1); ++i) {
    absl::StatusOr<Session> session = Session::Open(**module, *slot);
    if (!session.ok()) {
      return Prefixed(absl::StrCat("opening session ", i + 1, " of ", options.lanes, ": "),
                      session.status());
    }
    sessions.push_back(*std::move(session));
  }
  if (absl::Status status = sessions.front().Login(*pin); !status.ok()) {
    if (!absl::IsPermissionDenied(status)) return Prefixed("logging in: ", status);
    return absl::PermissionDeniedError(absl::StrCat(
        "the token does not accept the PIN in ", options.pin_file, " (", status.message(),
        "). It was tried once and is not tried again, for tokens lock themselves; correct the file "
        "and start again"));
  }
  if (absl::Status status = TryKeys(sessions.front()); !status.ok()) return status;

  TokenInfo info;
  info.label = internal::PaddedText(ck_info->label, sizeof(ck_info->label));
  info.serial = internal::PaddedText(ck_info->serialNumber, sizeof(ck_info->serialNumber));
  info.manufacturer =
      internal::PaddedText(ck_info->manufacturerID, sizeof(ck_info->manufacturerID));
  info.model = internal::PaddedText(ck_info->model, sizeof(ck_info->model));
  for (PairSpec spec : kAllPairSpecs) {
    if ((*module)->HasMechanism(*slot, internal::PairGenerationMechanism(spec),
                                CKF_GENERATE_KEY_PAIR)) {
      info.pair_specs.push_back(spec);
    }
  }
  auto impl = std::make_unique<Impl>(*std::move(module), *slot, std::move(sessions));
  return std::unique_ptr<Token>(new Token(std::move(impl), std::move(info)));
}

absl::StatusOr<std::optional<std::string>> Token::ReadOwner(Deadline deadline) {
  std::optional<std::string> owner;
  absl::Status status = impl_->OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> object = session.FindExactlyOne(OwnerTemplate());
    if (absl::IsNotFound(object.status())) return absl::OkStatus();
    if (!object.ok()) return object.status();
    absl::StatusOr<std::string> value = session.GetAttribute(*object, CKA_VALUE);
    if (value.ok()) owner = *std::move(value);
    return value.status();
  });
  if (!status.ok()) return status;
  return owner;
}

absl::Status Token::WriteOwner(absl::string_view owner, Deadline deadline) {
  return impl_->OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> found = session.FindObjects(OwnerTemplate());
    if (!found.ok()) return found.status();
    if (!found->empty()) return absl::FailedPreconditionError("the token has an owner already");
    return session
        .CreateObject(OwnerTemplate()
                          .AddBool(CKA_PRIVATE, true)
                          .AddBool(CKA_MODIFIABLE, false)
                          .AddBytes(CKA_APPLICATION, absl::string_view("strongroom"))
                          .AddBytes(CKA_VALUE, owner))
        .status();
  });
}

absl::StatusOr<VersionKeys> Token::CreateVersionKeys(const ObjectId& id, Deadline deadline) {
  std::optional<VersionKeys> keys;
  absl::Status status = impl_->OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<bool> exists = Impl::HasAnyOf(session, id);
    if (!exists.ok()) return exists.status();
    // A second pair would make the first unusable, and cleaning up would destroy it.
    if (*exists) return absl::AlreadyExistsError("the token has keys of this version already");
    absl::Status made = absl::OkStatus();
    for (VersionRole role : internal::kVersionRoles) {
      if (!made.ok()) break;
      made = internal::GenerateVersionObject(session, role, Residence::kToken, id).status();
    }
    if (made.ok()) {
      // A new session sees what the token kept, not what the old one remembers: a full disk was
      // seen to let a generation succeed and its key vanish.
      absl::StatusOr<Session> fresh = impl_->NewSession();
      made = fresh.status();
      if (made.ok()) {
        absl::StatusOr<VersionKeys> found = Impl::Find(*fresh, id);
        made = found.status();
        if (made.ok()) made = TrySealKey(*fresh, Impl::SealKey(*found));
        if (made.ok()) keys = *std::move(found);
      }
    }
    if (!made.ok()) impl_->CleanUp(session, id);
    return made;
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

absl::StatusOr<VersionKeys> Token::FindVersionKeys(const ObjectId& id, Deadline deadline) {
  std::optional<VersionKeys> keys;
  absl::Status status = impl_->OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<VersionKeys> found = Impl::Find(session, id);
    if (found.ok()) keys = *std::move(found);
    return found.status();
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

absl::Status Token::FindAllVersionKeys(
    const std::function<void(const ObjectId&, absl::StatusOr<VersionKeys>)>& found,
    Deadline deadline) {
  return impl_->OnTokenObjects(deadline, [&](Session& session) {
    struct Pair {
      CK_OBJECT_HANDLE seal = CK_INVALID_HANDLE;
      CK_OBJECT_HANDLE wrap = CK_INVALID_HANDLE;
      bool twice = false;
    };
    std::map<ObjectId, Pair> versions;
    for (VersionRole role : internal::kVersionRoles) {
      auto objects = internal::FindVersionObjects(session, role);
      if (!objects.ok()) return objects.status();
      for (const auto& [id, object] : *objects) {
        Pair& pair = versions[id];
        CK_OBJECT_HANDLE& handle = role == VersionRole::kSeal ? pair.seal : pair.wrap;
        pair.twice = pair.twice || handle != CK_INVALID_HANDLE;
        handle = object;
      }
    }
    for (const auto& [id, pair] : versions) {
      if (pair.seal == CK_INVALID_HANDLE || pair.wrap == CK_INVALID_HANDLE || pair.twice) {
        found(id,
              absl::FailedPreconditionError(
                  "the token does not have just one seal key and one wrap key of this version"));
        continue;
      }
      VersionKeys keys = Impl::MakeKeys(id, pair.seal, pair.wrap);
      absl::Status verified = Impl::Verify(session, keys);
      if (verified.ok()) {
        found(id, std::move(keys));
      } else {
        found(id, std::move(verified));
      }
    }
    return absl::OkStatus();
  });
}

absl::Status Token::DestroyVersionKeys(const ObjectId& id, Deadline deadline) {
  return impl_->OnTokenObjects(deadline,
                               [&](Session& session) { return Impl::Destroy(session, id); });
}

absl::Status Token::GenerateRandom(absl::Span<uint8_t> out, Deadline deadline) {
  return impl_->OnLane(deadline, nullptr,
                       [&](Session& session) { return session.GenerateRandom(out); });
}

absl::StatusOr<std::string> Token::Seal(const VersionKeys& keys, const Iv& iv,
                                        absl::Span<const uint8_t> aad,
                                        absl::Span<const uint8_t> plaintext, Deadline deadline) {
  std::string sealed;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<std::string> result =
        session.EncryptGcm(Impl::SealKey(keys), {iv, aad}, plaintext);
    if (result.ok()) sealed = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return sealed;
}

absl::StatusOr<SecretBytes> Token::Unseal(const VersionKeys& keys, const Iv& iv,
                                          absl::Span<const uint8_t> aad,
                                          absl::string_view ciphertext, Deadline deadline) {
  SecretBytes opened;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<SecretBytes> result =
        session.DecryptGcm(Impl::SealKey(keys), {iv, aad}, ciphertext);
    if (result.ok()) {
      opened = *std::move(result);
      return absl::OkStatus();
    }
    if (!MayMeanTampered(result.status())) return result.status();
    // The token says the same of a forged ciphertext and of its own failure. To call the second the
    // first would make somebody throw good data away: something known to be good decides.
    if (absl::Status known_good = TrySealKey(session, Impl::SealKey(keys)); !known_good.ok()) {
      if (SessionIsGone(known_good) || KeyHandleIsGone(known_good)) return known_good;
      return absl::UnavailableError(
          absl::StrCat("the token fails at known-good input: ", known_good.message()));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the ciphertext does not authenticate (", result.status().message(), ")"));
  });
  if (!status.ok()) return status;
  return opened;
}

absl::StatusOr<std::string> Token::GenerateWrappedSecret(const VersionKeys& keys, size_t size,
                                                         Deadline deadline) {
  std::string wrapped;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> generated = GenerateSecret(session, size);
    if (!generated.ok()) return generated.status();
    const ScopedObject secret(session, *generated);
    absl::StatusOr<std::string> result = session.WrapKey(Impl::WrapKey(keys), secret.get());
    if (result.ok()) wrapped = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return wrapped;
}

absl::StatusOr<SecretBytes> Token::ExportWrappedSecret(const VersionKeys& keys,
                                                       absl::string_view wrapped, size_t size,
                                                       Deadline deadline) {
  SecretBytes secret;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<SecretBytes> result =
        UnwrapAndExportSecret(session, Impl::WrapKey(keys), wrapped, size);
    if (result.ok()) secret = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return secret;
}

absl::StatusOr<WrappedKeyPair> Token::GenerateWrappedKeyPair(const VersionKeys& keys, PairSpec spec,
                                                             bool with_private_key,
                                                             Deadline deadline) {
  WrappedKeyPair pair;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<internal::KeyPairHandles> handles = internal::GeneratePair(session, spec);
    if (!handles.ok()) return handles.status();
    const ScopedObject public_key(session, handles->public_key);
    const ScopedObject private_key(session, handles->private_key);
    absl::StatusOr<std::string> encoded =
        internal::EncodePublicKey(session, public_key.get(), spec);
    if (!encoded.ok()) return encoded.status();
    absl::StatusOr<std::string> wrapped = session.WrapKey(Impl::WrapKey(keys), private_key.get());
    if (!wrapped.ok()) return wrapped.status();
    pair.public_key = *std::move(encoded);
    pair.wrapped_private_key = *std::move(wrapped);
    if (!with_private_key) return absl::OkStatus();
    absl::StatusOr<SecretBytes> exported = internal::ExportKey(session, private_key.get());
    if (exported.ok()) exported = internal::CutToDerLength(*std::move(exported));
    if (exported.ok()) pair.private_key = *std::move(exported);
    return exported.status();
  });
  if (!status.ok()) return status;
  return pair;
}

absl::StatusOr<SecretBytes> Token::ExportWrappedPrivateKey(const VersionKeys& keys,
                                                           absl::string_view wrapped, PairSpec spec,
                                                           Deadline deadline) {
  SecretBytes private_key;
  absl::Status status = impl_->OnLane(deadline, &keys, [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
        internal::UnwrapPrivateKey(session, Impl::WrapKey(keys), wrapped, spec);
    if (!unwrapped.ok()) return unwrapped.status();
    const ScopedObject object(session, *unwrapped);
    absl::StatusOr<SecretBytes> exported = internal::ExportKey(session, object.get());
    if (exported.ok()) exported = internal::CutToDerLength(*std::move(exported));
    if (exported.ok()) private_key = *std::move(exported);
    return exported.status();
  });
  if (!status.ok()) return status;
  return private_key;
}

}  // namespace strongroom::hsm
