// What Pkcs11Token does to bring in key material from outside.

#include <utility>

#include "absl/strings/str_cat.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/import_keys.h"
#include "hsm/internal/key_objects.h"
#include "hsm/internal/key_pairs.h"
#include "hsm/internal/pkcs11_token.h"
#include "hsm/internal/version_objects.h"

namespace strongroom::hsm::internal {
namespace {

// Not the answer to anything that was handed in, whatever that is.
bool IsTheTokens(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status) || CkReturnValue(status) == CKR_OPERATION_ACTIVE;
}

// Whether AES-GCM works in the token at all, with a key of its own.
absl::Status TryAnySealKey(Session& session) {
  absl::StatusOr<CK_OBJECT_HANDLE> generated =
      GenerateVersionObject(session, VersionRole::kSeal, Residence::kSession, ObjectId());
  if (!generated.ok()) return generated.status();
  const ScopedObject key(session, *generated);
  absl::StatusOr<Proof> proof = SealProof(session, key.get(), ObjectId());
  if (!proof.ok()) return proof.status();
  return OpenProof(session, key.get(), ObjectId(), *proof);
}

// As UnwrapMaterial. Tokens say the same of what does not unwrap and of their own failures; here
// it is INVALID_ARGUMENT only if something known to be good unwraps.
absl::StatusOr<CK_OBJECT_HANDLE> UnwrapOrBlame(Session& session, CK_OBJECT_HANDLE import_key,
                                               ImportAlgorithm algorithm,
                                               absl::string_view wrapped) {
  absl::StatusOr<CK_OBJECT_HANDLE> material =
      UnwrapMaterial(session, import_key, algorithm, wrapped);
  if (material.ok() || IsTheTokens(material.status())) return material;
  if (absl::Status good = TryImportKey(session, import_key, algorithm); !good.ok()) {
    if (IsTheTokens(good)) return good;
    return absl::UnavailableError(
        absl::StrCat("the token does not unwrap known-good input: ", good.message()));
  }
  // The failure may have been the token's and over by now.
  material = UnwrapMaterial(session, import_key, algorithm, wrapped);
  if (material.ok() || IsTheTokens(material.status())) return material;
  return absl::InvalidArgumentError(
      absl::StrCat("the material does not unwrap (", material.status().message(), ")"));
}

// FAILED_PRECONDITION if the proof is not this key's, told from a failure in the same way.
absl::Status OpenProofOrBlame(Session& session, CK_OBJECT_HANDLE seal_key, const ObjectId& id,
                              const Proof& proof) {
  absl::Status opened = OpenProof(session, seal_key, id, proof);
  if (opened.ok() || IsTheTokens(opened)) return opened;
  if (absl::Status good = TryAnySealKey(session); !good.ok()) {
    if (IsTheTokens(good)) return good;
    return absl::UnavailableError(
        absl::StrCat("the token fails at known-good input: ", good.message()));
  }
  opened = OpenProof(session, seal_key, id, proof);
  if (opened.ok() || IsTheTokens(opened)) return opened;
  return absl::FailedPreconditionError(
      absl::StrCat("the material is not what the version had (", opened.message(), ")"));
}

}  // namespace

absl::StatusOr<std::string> Pkcs11Token::CreateImportKey(const ObjectId& id,
                                                         ImportAlgorithm algorithm,
                                                         int modulus_bits, Deadline deadline) {
  std::atomic<bool>& cannot = cannot_import_[static_cast<size_t>(algorithm)];
  if (cannot) return absl::UnimplementedError("the token does not unwrap so");
  absl::Status status = CheckImportMechanisms(*module_, slot_, algorithm);
  if (!status.ok()) return status;
  std::string public_key;
  status = OnLane(deadline, nullptr, [&](Session& lane) {
    // What is made on the way is gone with this session, whatever happens.
    absl::StatusOr<Session> own = NewSession();
    if (!own.ok()) return own.status();
    // As session objects first: to generate a long key takes seconds, in which nobody else could
    // find or make token objects. It is also tried before anybody wraps anything for it.
    absl::StatusOr<KeyPairHandles> pair = GenerateImportKey(*own, id, algorithm, modulus_bits);
    if (!pair.ok()) return pair.status();
    absl::StatusOr<std::string> encoded =
        EncodePublicKey(*own, pair->public_key, PairSpec::kRsa2048);
    if (!encoded.ok()) return encoded.status();
    absl::Status made = TryImportKey(*own, pair->private_key, algorithm);
    if (absl::IsUnimplemented(made)) cannot = true;
    if (!made.ok()) return Prefixed("trying the import key: ", made);

    MutexLock lock(objects_mu_);
    absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> exist = FindImportKeys(lane, id);
    if (!exist.ok()) return exist.status();
    if (!exist->empty()) return absl::AlreadyExistsError("the token has an import key of this id");
    made = KeepObject(*own, pair->private_key).status();
    if (made.ok()) made = ReadBackImportKey(id, algorithm);
    if (made.ok()) {
      public_key = *std::move(encoded);
    } else if (!DestroyImportKeys(lane, id).ok()) {
      absl::StatusOr<Session> fresh = NewSession();
      if (fresh.ok()) DestroyImportKeys(*fresh, id).IgnoreError();
    }
    return made;
  });
  if (!status.ok()) return status;
  return public_key;
}

absl::Status Pkcs11Token::ReadBackImportKey(const ObjectId& id, ImportAlgorithm algorithm) {
  absl::StatusOr<Session> fresh = NewSession();
  if (!fresh.ok()) return fresh.status();
  absl::StatusOr<CK_OBJECT_HANDLE> found = FindImportKey(*fresh, id, algorithm);
  if (!found.ok()) return found.status();
  return TryImportKey(*fresh, *found, algorithm);
}

absl::Status Pkcs11Token::DestroyImportKeys(Session& session, const ObjectId& id) {
  absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> objects = FindImportKeys(session, id);
  absl::Status destroyed = objects.status();
  if (!destroyed.ok()) return destroyed;
  for (CK_OBJECT_HANDLE object : *objects) destroyed.Update(session.DestroyObject(object));
  return destroyed;
}

absl::Status Pkcs11Token::DestroyImportKey(const ObjectId& id, Deadline deadline) {
  return OnTokenObjects(deadline, [&](Session& session) { return DestroyImportKeys(session, id); });
}

absl::Status Pkcs11Token::PutImportedKeys(Session& session, const ObjectId& version,
                                          const ObjectId& import_key, ImportAlgorithm algorithm,
                                          absl::string_view wrapped_material,
                                          const std::optional<Proof>& proof) {
  absl::StatusOr<CK_OBJECT_HANDLE> unwrapping = FindImportKey(session, import_key, algorithm);
  if (!unwrapping.ok()) return unwrapping.status();
  absl::StatusOr<CK_OBJECT_HANDLE> material =
      UnwrapOrBlame(session, *unwrapping, algorithm, wrapped_material);
  if (!material.ok()) return material.status();
  absl::StatusOr<CK_OBJECT_HANDLE> seal =
      DeriveVersionObject(session, VersionRole::kSeal, version, *material);
  if (!seal.ok()) return seal.status();
  absl::StatusOr<CK_OBJECT_HANDLE> wrap =
      DeriveVersionObject(session, VersionRole::kWrap, version, *material);
  if (!wrap.ok()) return wrap.status();
  // Before anything is in the token.
  if (proof.has_value()) {
    absl::Status status = OpenProofOrBlame(session, *seal, version, *proof);
    if (!status.ok()) return status;
  }
  absl::Status status = KeepObject(session, *seal).status();
  if (status.ok()) status = KeepObject(session, *wrap).status();
  return status;
}

absl::StatusOr<NewVersionKeys> Pkcs11Token::ImportVersionKeys(
    const ObjectId& version, const ObjectId& import_key, ImportAlgorithm algorithm,
    absl::string_view wrapped_material, absl::string_view proof, Deadline deadline) {
  const std::optional<Proof> known = Proof::Parse(proof);
  if (!proof.empty() && !known.has_value()) return absl::InternalError("the proof is malformed");
  std::optional<NewVersionKeys> keys;
  absl::Status status = OnTokenObjects(deadline, [&](Session& session) {
    absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> exist = FindAnyOf(session, version);
    if (!exist.ok()) return exist.status();
    if (!exist->empty()) {
      return absl::AlreadyExistsError("the token has keys of this version already");
    }
    absl::Status made;
    {
      // What is unwrapped and derived is gone with this session, whatever happens.
      absl::StatusOr<Session> own = NewSession();
      if (!own.ok()) return own.status();
      made = PutImportedKeys(*own, version, import_key, algorithm, wrapped_material, known);
    }
    if (made.ok()) {
      absl::StatusOr<NewVersionKeys> read_back = ReadBack(version, known);
      made = read_back.status();
      if (made.ok()) keys = *std::move(read_back);
    }
    if (!made.ok()) CleanUp(session, version);
    return made;
  });
  if (!status.ok()) return status;
  return *std::move(keys);
}

}  // namespace strongroom::hsm::internal
