#include "hsm/internal/pkcs11_token.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/internal/attributes.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_objects.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/secrets.h"
#include "hsm/internal/self_test.h"
#include "hsm/internal/transport.h"
#include "hsm/internal/version_objects.h"
#include "platform/files.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm::internal {
namespace {

constexpr char kOwnerLabel[] = "strongroom-owner";

// The token no longer knows the session, or an earlier failure left an operation begun in it, which
// only closing it ends. A new session helps.
bool SessionIsGone(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED || rv == CKR_OPERATION_ACTIVE;
}

// What a token answers when a ciphertext does not authenticate; the first two stand for other
// faults as well.
bool MayMeanTampered(const absl::Status& status) {
  const std::optional<CK_RV> rv = CkReturnValue(status);
  return rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

Template OwnerTemplate() {
  return Template()
      .AddUlong(CKA_CLASS, CKO_DATA)
      .AddBool(CKA_TOKEN, true)
      .AddBytes(CKA_LABEL, absl::string_view(kOwnerLabel));
}

}  // namespace

absl::Status Pkcs11Token::OnLane(Deadline deadline, const Work& find_again, const Work& work) {
  absl::StatusOr<Lane> lane = lanes_.Acquire(deadline);
  if (!lane.ok()) return lane.status();
  return Run(
      lane->session(), [&] { return lane->Reopen(); }, find_again, work);
}

absl::Status Pkcs11Token::Run(Session& session, const std::function<absl::Status()>& reopen,
                              const Work& find_again, const Work& work) {
  absl::Status status = work(session);
  if (SessionIsGone(status)) {
    status = reopen();
    if (status.ok()) status = work(session);
  }
  if (find_again != nullptr && HandleIsGone(status)) {
    MutexLock lock(objects_mu_);
    status = Prefixed("finding the key again: ", find_again(session));
    if (status.ok()) status = work(session);
  }
  // A key that was there and is not: for all one can tell, its token is away.
  if (find_again != nullptr && absl::IsNotFound(status)) {
    return absl::UnavailableError(status.message());
  }
  return status;
}

absl::Status Pkcs11Token::FindAgain(Session& session, const VersionKeys& keys) {
  absl::StatusOr<VersionKeys> found = Find(session, keys.id(), SourcesLike(keys.source()));
  if (!found.ok()) return found.status();
  keys.handles_->seal_key = SealKey(*found);
  keys.handles_->wrap_key = WrapKey(*found);
  return absl::OkStatus();
}

absl::Status Pkcs11Token::OnLane(Deadline deadline, const VersionKeys& keys, const Work& work) {
  const Work find_again = [&](Session& session) { return FindAgain(session, keys); };
  return OnLane(deadline, find_again, work);
}

absl::Status Pkcs11Token::OnLane(Deadline deadline, MacPurpose purpose, const Work& work) {
  const Work find_again = [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> found = FindMacKey(session, purpose);
    if (!found.ok()) return found.status();
    mac_keys_[purpose] = *found;
    return absl::OkStatus();
  };
  return OnLane(deadline, find_again, work);
}

absl::Status Pkcs11Token::OnTokenObjects(Deadline deadline, const Work& work) {
  return OnLane(deadline, nullptr, [&](Session& session) {
    MutexLock lock(objects_mu_);
    return work(session);
  });
}

CK_OBJECT_HANDLE Pkcs11Token::SealKey(const VersionKeys& keys) { return keys.handles_->seal_key; }

CK_OBJECT_HANDLE Pkcs11Token::WrapKey(const VersionKeys& keys) { return keys.handles_->wrap_key; }

VersionKeys Pkcs11Token::MakeKeys(const ObjectId& id, KeySource source, CK_OBJECT_HANDLE seal,
                                  CK_OBJECT_HANDLE wrap) {
  auto handles = std::make_shared<VersionHandles>();
  handles->seal_key = seal;
  handles->wrap_key = wrap;
  return VersionKeys(id, source, std::move(handles));
}

absl::Status Pkcs11Token::Verify(Session& session, const VersionKeys& keys) {
  absl::Status status =
      VerifyVersionObject(session, VersionRole::kSeal, keys.source(), SealKey(keys), keys.id());
  if (!status.ok()) return status;
  return VerifyVersionObject(session, VersionRole::kWrap, keys.source(), WrapKey(keys), keys.id());
}

absl::Status Pkcs11Token::TryKnownGood(Session& session, const VersionKeys& keys) {
  VersionHandles& handles = *keys.handles_;
  std::optional<Proof> proof;
  {
    MutexLock lock(handles.mu);
    proof = handles.proof;
  }
  if (!proof.has_value()) {
    // Sealed once and kept: each seal counts against the key's 2^32 (SP 800-38D), and callers with
    // forged ciphertexts must not be able to use those up.
    absl::StatusOr<Proof> sealed = SealProof(session, SealKey(keys), keys.id());
    if (!sealed.ok()) return sealed.status();
    proof = *std::move(sealed);
    Remember(keys, *proof);
  }
  return OpenProof(session, SealKey(keys), keys.id(), *proof);
}

void Pkcs11Token::Remember(const VersionKeys& keys, Proof proof) {
  MutexLock lock(keys.handles_->mu);
  keys.handles_->proof = std::move(proof);
}

void Pkcs11Token::SetProof(const VersionKeys& keys, absl::string_view proof) {
  std::optional<Proof> parsed = Proof::Parse(proof);
  if (parsed.has_value()) Remember(keys, *std::move(parsed));
}

absl::StatusOr<VersionKeys> Pkcs11Token::Find(Session& session, const ObjectId& id,
                                              Sources sources) {
  std::optional<VersionKeys> keys;
  absl::Status missing = absl::OkStatus();
  for (KeySource source : sources) {
    absl::StatusOr<CK_OBJECT_HANDLE> seal =
        FindVersionObject(session, VersionRole::kSeal, source, id);
    if (!seal.ok() && !absl::IsNotFound(seal.status())) return seal.status();
    absl::StatusOr<CK_OBJECT_HANDLE> wrap =
        FindVersionObject(session, VersionRole::kWrap, source, id);
    if (!wrap.ok() && !absl::IsNotFound(wrap.status())) return wrap.status();
    missing.Update(seal.status());
    missing.Update(wrap.status());
    if (!seal.ok() && !wrap.ok()) continue;
    if (keys.has_value()) {
      return absl::FailedPreconditionError(
          "the token has both generated and imported keys of this version");
    }
    keys = MakeKeys(id, source, seal.value_or(CK_INVALID_HANDLE), wrap.value_or(CK_INVALID_HANDLE));
  }
  if (!keys.has_value() || SealKey(*keys) == CK_INVALID_HANDLE ||
      WrapKey(*keys) == CK_INVALID_HANDLE) {
    return missing;
  }
  if (absl::Status status = Verify(session, *keys); !status.ok()) return status;
  return *std::move(keys);
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> Pkcs11Token::FindAnyOf(Session& session,
                                                                     const ObjectId& id,
                                                                     Sources sources) {
  std::vector<CK_OBJECT_HANDLE> all;
  for (KeySource source : sources) {
    for (VersionRole role : kVersionRoles) {
      auto objects = FindVersionObjects(session, role, source, id);
      if (!objects.ok()) return objects.status();
      all.insert(all.end(), objects->begin(), objects->end());
    }
  }
  return all;
}

absl::Status Pkcs11Token::Destroy(Session& session, const ObjectId& id, Sources sources) {
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> objects = FindAnyOf(session, id, sources);
  absl::Status destroyed = objects.status();
  if (!destroyed.ok()) return destroyed;
  for (CK_OBJECT_HANDLE object : *objects) destroyed.Update(session.DestroyObject(object));
  return destroyed;
}

void Pkcs11Token::CleanUp(Session& session, const ObjectId& id, Sources sources) {
  if (Destroy(session, id, sources).ok()) return;
  absl::StatusOr<Session> fresh = NewSession();
  if (fresh.ok()) Destroy(*fresh, id, sources).IgnoreError();
}

absl::StatusOr<std::unique_ptr<Token>> Pkcs11Token::Open(const TokenOptions& options) {
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
  info.label = PaddedText(ck_info->label, sizeof(ck_info->label));
  info.serial = PaddedText(ck_info->serialNumber, sizeof(ck_info->serialNumber));
  info.manufacturer = PaddedText(ck_info->manufacturerID, sizeof(ck_info->manufacturerID));
  info.model = PaddedText(ck_info->model, sizeof(ck_info->model));
  for (PairSpec spec : kAllPairSpecs) {
    if ((*module)->HasMechanism(*slot, PairGenerationMechanism(spec), CKF_GENERATE_KEY_PAIR)) {
      info.pair_specs.push_back(spec);
    }
  }
  return std::unique_ptr<Token>(
      new Pkcs11Token(*std::move(module), *slot, std::move(sessions), std::move(info)));
}

absl::StatusOr<std::optional<std::string>> Pkcs11Token::ReadOwner(Deadline deadline) {
  std::optional<std::string> owner;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
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

absl::Status Pkcs11Token::WriteOwner(absl::string_view owner, Deadline deadline) {
  return OnTokenObjects(deadline, [&](Session& session) {
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

absl::StatusOr<NewVersionKeys> Pkcs11Token::ReadBack(const ObjectId& id, std::optional<Proof> proof,
                                                     Sources sources) {
  // A new session sees what the token kept, not what the old one remembers: a full disk was seen to
  // let a generation succeed and its key vanish.
  absl::StatusOr<Session> fresh = NewSession();
  if (!fresh.ok()) return fresh.status();
  absl::StatusOr<VersionKeys> keys = Find(*fresh, id, sources);
  if (!keys.ok()) return keys.status();
  if (!proof.has_value()) {
    absl::StatusOr<Proof> sealed = SealProof(*fresh, SealKey(*keys), id);
    if (!sealed.ok()) return sealed.status();
    proof = *std::move(sealed);
  }
  absl::Status status = TrySealKey(*fresh, SealKey(*keys), id, *proof);
  if (!status.ok()) return status;
  Remember(*keys, *proof);
  return NewVersionKeys{*std::move(keys), proof->Encode()};
}

absl::StatusOr<NewVersionKeys> Pkcs11Token::CreateVersionKeys(const ObjectId& id,
                                                              Deadline deadline) {
  return CreateKeys(id, KeySource::kGenerated, deadline);
}

absl::StatusOr<NewVersionKeys> Pkcs11Token::CreateKeys(const ObjectId& id, KeySource source,
                                                       Deadline deadline) {
  const Sources sources = SourcesLike(source);
  std::optional<NewVersionKeys> keys;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> exist = FindAnyOf(session, id, sources);
    if (!exist.ok()) return exist.status();
    // A second pair would make the first unusable, and cleaning up would destroy it.
    if (!exist->empty()) {
      return absl::AlreadyExistsError("the token has keys of this version already");
    }
    absl::Status made = absl::OkStatus();
    for (VersionRole role : kVersionRoles) {
      if (!made.ok()) break;
      made = GenerateVersionObject(session, role, Residence::kToken, id, source).status();
    }
    if (made.ok()) {
      absl::StatusOr<NewVersionKeys> read_back = ReadBack(id, std::nullopt, sources);
      made = read_back.status();
      if (made.ok()) keys = *std::move(read_back);
    }
    if (!made.ok()) CleanUp(session, id, sources);
    return made;
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

absl::StatusOr<VersionKeys> Pkcs11Token::FindVersionKeys(const ObjectId& id, Deadline deadline) {
  std::optional<VersionKeys> keys;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<VersionKeys> found = Find(session, id);
    if (found.ok()) keys = *std::move(found);
    return found.status();
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

absl::Status Pkcs11Token::FindAllVersionKeys(
    const std::function<void(const ObjectId&, absl::StatusOr<VersionKeys>)>& found,
    Deadline deadline) {
  return OnTokenObjects(deadline, [&](Session& session) {
    struct Pair {
      CK_OBJECT_HANDLE seal = CK_INVALID_HANDLE;
      CK_OBJECT_HANDLE wrap = CK_INVALID_HANDLE;
      KeySource source;
      bool twice = false;
    };
    std::map<ObjectId, Pair> versions;
    absl::StatusOr<std::vector<FoundVersionObject>> objects =
        FindVersionObjects(session, kKeySources);
    if (!objects.ok()) return objects.status();
    for (const FoundVersionObject& object : *objects) {
      Pair& pair = versions.try_emplace(object.id, Pair{.source = object.source}).first->second;
      CK_OBJECT_HANDLE& handle = object.role == VersionRole::kSeal ? pair.seal : pair.wrap;
      pair.twice = pair.twice || handle != CK_INVALID_HANDLE || pair.source != object.source;
      handle = object.object;
    }
    for (const auto& [id, pair] : versions) {
      if (pair.seal == CK_INVALID_HANDLE || pair.wrap == CK_INVALID_HANDLE || pair.twice) {
        found(
            id,
            absl::FailedPreconditionError(
                "the token does not have just one seal key and one wrap key of this version, both "
                "generated or both imported"));
        continue;
      }
      VersionKeys keys = MakeKeys(id, pair.source, pair.seal, pair.wrap);
      absl::Status verified = Verify(session, keys);
      if (verified.ok()) {
        found(id, std::move(keys));
      } else {
        found(id, std::move(verified));
      }
    }
    return absl::OkStatus();
  });
}

absl::Status Pkcs11Token::DestroyVersionKeys(const ObjectId& id, Deadline deadline) {
  return OnTokenObjects(deadline, [&](Session& session) { return Destroy(session, id); });
}

absl::Status Pkcs11Token::GenerateRandom(absl::Span<uint8_t> out, Deadline deadline) {
  return OnLane(deadline, nullptr, [&](Session& session) { return session.GenerateRandom(out); });
}

absl::StatusOr<std::string> Pkcs11Token::Seal(const VersionKeys& keys, const Iv& iv,
                                              absl::Span<const uint8_t> aad,
                                              absl::Span<const uint8_t> plaintext,
                                              Deadline deadline) {
  std::string sealed;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<std::string> result = session.EncryptGcm(SealKey(keys), {iv, aad}, plaintext);
    if (result.ok()) sealed = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return sealed;
}

absl::StatusOr<SecretBytes> Pkcs11Token::Unseal(const VersionKeys& keys, const Iv& iv,
                                                absl::Span<const uint8_t> aad,
                                                absl::string_view ciphertext, Deadline deadline) {
  SecretBytes opened;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<SecretBytes> result = session.DecryptGcm(SealKey(keys), {iv, aad}, ciphertext);
    if (result.ok()) {
      opened = *std::move(result);
      return absl::OkStatus();
    }
    if (!MayMeanTampered(result.status())) return result.status();
    // The token says the same of a forged ciphertext and of its own failure. To call the second the
    // first would make somebody throw good data away: something known to be good decides.
    if (absl::Status known_good = TryKnownGood(session, keys); !known_good.ok()) {
      if (SessionIsGone(known_good) || HandleIsGone(known_good)) return known_good;
      return absl::UnavailableError(
          absl::StrCat("the token fails at known-good input: ", known_good.message()));
    }
    // The failure may have been the token's and over by now.
    result = session.DecryptGcm(SealKey(keys), {iv, aad}, ciphertext);
    if (result.ok()) {
      opened = *std::move(result);
      return absl::OkStatus();
    }
    if (!MayMeanTampered(result.status())) return result.status();
    return absl::InvalidArgumentError(
        absl::StrCat("the ciphertext does not authenticate (", result.status().message(), ")"));
  });
  if (!status.ok()) return status;
  return opened;
}

absl::StatusOr<std::string> Pkcs11Token::GenerateWrappedSecret(const VersionKeys& keys, size_t size,
                                                               Deadline deadline) {
  std::string wrapped;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> generated = GenerateSecret(session, size);
    if (!generated.ok()) return generated.status();
    const ScopedObject secret(session, *generated);
    absl::StatusOr<std::string> result = session.WrapKey(WrapKey(keys), secret.get());
    if (result.ok()) wrapped = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return wrapped;
}

absl::StatusOr<SecretBytes> Pkcs11Token::ExportWrappedSecret(const VersionKeys& keys,
                                                             absl::string_view wrapped, size_t size,
                                                             Deadline deadline) {
  SecretBytes secret;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<SecretBytes> result =
        UnwrapAndExportSecret(session, WrapKey(keys), wrapped, size);
    if (result.ok()) secret = *std::move(result);
    return result.status();
  });
  if (!status.ok()) return status;
  return secret;
}

absl::StatusOr<WrappedKeyPair> Pkcs11Token::GenerateWrappedKeyPair(const VersionKeys& keys,
                                                                   PairSpec spec,
                                                                   bool with_private_key,
                                                                   Deadline deadline) {
  WrappedKeyPair pair;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<KeyPairHandles> handles = GeneratePair(session, spec);
    if (!handles.ok()) return handles.status();
    const ScopedObject public_key(session, handles->public_key);
    const ScopedObject private_key(session, handles->private_key);
    absl::StatusOr<std::string> encoded = EncodePublicKey(session, public_key.get(), spec);
    if (!encoded.ok()) return encoded.status();
    absl::StatusOr<std::string> wrapped = session.WrapKey(WrapKey(keys), private_key.get());
    if (!wrapped.ok()) return wrapped.status();
    pair.public_key = *std::move(encoded);
    pair.wrapped_private_key = *std::move(wrapped);
    if (!with_private_key) return absl::OkStatus();
    absl::StatusOr<SecretBytes> exported = ExportKey(session, private_key.get());
    if (exported.ok()) exported = CutToDerLength(*std::move(exported));
    if (exported.ok()) pair.private_key = *std::move(exported);
    return exported.status();
  });
  if (!status.ok()) return status;
  return pair;
}

absl::StatusOr<SecretBytes> Pkcs11Token::ExportWrappedPrivateKey(const VersionKeys& keys,
                                                                 absl::string_view wrapped,
                                                                 PairSpec spec, Deadline deadline) {
  SecretBytes private_key;
  absl::Status status = OnLane(deadline, keys, [&](Session& session) {
    absl::StatusOr<CK_OBJECT_HANDLE> unwrapped =
        UnwrapPrivateKeyToMove(session, WrapKey(keys), wrapped, spec);
    if (!unwrapped.ok()) return unwrapped.status();
    const ScopedObject object(session, *unwrapped);
    absl::StatusOr<SecretBytes> exported = ExportKey(session, object.get());
    if (exported.ok()) exported = CutToDerLength(*std::move(exported));
    if (exported.ok()) private_key = *std::move(exported);
    return exported.status();
  });
  if (!status.ok()) return status;
  return private_key;
}

absl::Status Pkcs11Token::CheckVersionKeys(const VersionKeys& keys, Deadline deadline) {
  return OnLane(deadline, keys, [&](Session& session) { return Verify(session, keys); });
}

absl::Status Pkcs11Token::CheckAlive(Deadline deadline) {
  constexpr MacPurpose kAny = MacPurpose::kAuditSeal;
  return OnLane(deadline, kAny, [&](Session& session) {
    // First, for SoftHSM 2.6.1 forgets for good an object that is looked at while its folder is
    // away. Not only this, for it does not tell whether there are objects.
    absl::Status status = module_->GetTokenInfo(slot_).status();
    if (!status.ok()) return absl::UnavailableError(status.message());
    const CK_OBJECT_HANDLE key = mac_keys_[kAny];
    if (key == CK_INVALID_HANDLE) return absl::OkStatus();
    return session.GetAttribute(key, CKA_CLASS).status();
  });
}

absl::StatusOr<CK_OBJECT_HANDLE> Pkcs11Token::FindMacKey(Session& session, MacPurpose purpose) {
  const KeyObject key = MacKeyObject(purpose);
  absl::StatusOr<CK_OBJECT_HANDLE> object = FindKeyObject(session, key);
  if (!object.ok()) return Prefixed(absl::StrCat(key.label, ": "), object.status());
  absl::Status status = VerifyKeyObject(session, key, Residence::kToken, *object);
  if (!status.ok()) return status;
  return object;
}

absl::StatusOr<CK_OBJECT_HANDLE> Pkcs11Token::CreateMacKey(Session& session, MacPurpose purpose) {
  absl::StatusOr<CK_OBJECT_HANDLE> made =
      GenerateKeyObject(session, MacKeyObject(purpose), Residence::kToken);
  if (!made.ok()) return made;
  // As in CreateVersionKeys: what the token kept.
  absl::StatusOr<Session> fresh = NewSession();
  absl::Status status = fresh.status();
  if (status.ok()) {
    absl::StatusOr<CK_OBJECT_HANDLE> found = FindMacKey(*fresh, purpose);
    status = found.status();
    if (status.ok()) status = TryMacKey(*fresh, *found);
    if (status.ok()) return found;
  }
  // This one and no other of its name: that would be the key of a server that started beside us.
  if (!session.DestroyObject(*made).ok()) {
    fresh = NewSession();
    if (fresh.ok()) fresh->DestroyObject(*made).IgnoreError();
  }
  return status;
}

absl::Status Pkcs11Token::PrepareMacKeys(Deadline deadline) {
  return OnTokenObjects(deadline, [&](Session& session) {
    for (MacPurpose purpose : kMacPurposes) {
      absl::StatusOr<CK_OBJECT_HANDLE> object = FindMacKey(session, purpose);
      if (absl::IsNotFound(object.status())) object = CreateMacKey(session, purpose);
      if (!object.ok()) return object.status();
      mac_keys_[purpose] = *object;
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Mac> Pkcs11Token::ComputeMac(MacPurpose purpose, absl::Span<const uint8_t> data,
                                            Deadline deadline) {
  if (mac_keys_[purpose] == CK_INVALID_HANDLE) {
    return absl::FailedPreconditionError("the keys for MACs were not prepared");
  }
  Mac mac;
  absl::Status status = OnLane(deadline, purpose, [&](Session& session) {
    absl::StatusOr<Mac> result = session.SignHmac(mac_keys_[purpose], data);
    if (result.ok()) mac = *result;
    return result.status();
  });
  if (!status.ok()) return status;
  return mac;
}

}  // namespace strongroom::hsm::internal
