#include "hsm/internal/self_test.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/ck_error.h"
#include "hsm/internal/key_objects.h"
#include "hsm/internal/mac_objects.h"
#include "hsm/internal/proof.h"
#include "hsm/internal/secrets.h"
#include "hsm/internal/version_objects.h"

namespace strongroom::hsm::internal {
namespace {

constexpr char kText[] = "strongroom known-good input";
constexpr char kOtherText[] = "aad";
constexpr size_t kTrialSecretBytes = 32;

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace

absl::Status TryMacKey(Session& session, CK_OBJECT_HANDLE mac_key) {
  absl::StatusOr<Mac> mac = session.SignHmac(mac_key, AsBytes(kText));
  if (!mac.ok()) return mac.status();
  absl::StatusOr<Mac> again = session.SignHmac(mac_key, AsBytes(kText));
  if (!again.ok()) return again.status();
  absl::StatusOr<Mac> other = session.SignHmac(mac_key, AsBytes(kOtherText));
  if (!other.ok()) return other.status();
  if (*mac != *again || *mac == *other) {
    return absl::InternalError("HMAC in the token does not tell equal texts from different ones");
  }
  return absl::OkStatus();
}

absl::Status TryKeys(Session& session) {
  constexpr ObjectId kId = {};
  absl::StatusOr<CK_OBJECT_HANDLE> seal =
      GenerateVersionObject(session, VersionRole::kSeal, Residence::kSession, kId);
  if (!seal.ok()) return Prefixed("generating an AES-256 key: ", seal.status());
  const ScopedObject seal_key(session, *seal);
  absl::StatusOr<CK_OBJECT_HANDLE> wrap =
      GenerateVersionObject(session, VersionRole::kWrap, Residence::kSession, kId);
  if (!wrap.ok()) return Prefixed("generating an AES-256 key: ", wrap.status());
  const ScopedObject wrap_key(session, *wrap);

  absl::StatusOr<Proof> proof = SealProof(session, seal_key.get(), kId);
  absl::Status status = proof.status();
  if (status.ok()) status = TrySealKey(session, seal_key.get(), kId, *proof);
  if (!status.ok()) return Prefixed("trying AES-GCM: ", status);

  absl::StatusOr<CK_OBJECT_HANDLE> generated = GenerateSecret(session, kTrialSecretBytes);
  if (!generated.ok()) return Prefixed("generating a secret: ", generated.status());
  const ScopedObject secret(session, *generated);
  absl::StatusOr<std::string> wrapped = session.WrapKey(wrap_key.get(), secret.get());
  if (!wrapped.ok()) return Prefixed("trying key wrap (RFC 5649): ", wrapped.status());
  status = UnwrapAndExportSecret(session, wrap_key.get(), *wrapped, kTrialSecretBytes).status();
  if (!status.ok()) return Prefixed("trying key unwrap (RFC 5649): ", status);

  if (session.WrapKey(seal_key.get(), secret.get()).ok()) {
    return absl::FailedPreconditionError(
        "the token lets a key wrap that was made to encrypt only; the separation of the keys that "
        "seal from those that wrap would mean nothing on it");
  }

  absl::StatusOr<CK_OBJECT_HANDLE> mac =
      GenerateKeyObject(session, MacKeyObject(MacPurpose::kAuditSeal), Residence::kSession);
  if (!mac.ok()) return Prefixed("generating a key for HMAC: ", mac.status());
  const ScopedObject mac_key(session, *mac);
  status = TryMacKey(session, mac_key.get());
  if (!status.ok()) return Prefixed("trying HMAC-SHA256: ", status);
  return absl::OkStatus();
}

absl::StatusOr<std::chrono::nanoseconds> MeasureSeal(Session& session) {
  using std::chrono::steady_clock;
  constexpr ObjectId kId = {};
  absl::StatusOr<CK_OBJECT_HANDLE> seal =
      GenerateVersionObject(session, VersionRole::kSeal, Residence::kSession, kId);
  if (!seal.ok()) return Prefixed("generating an AES-256 key: ", seal.status());
  const ScopedObject seal_key(session, *seal);
  std::array<steady_clock::duration, 9> times;
  for (steady_clock::duration& time : times) {
    const steady_clock::time_point begin = steady_clock::now();
    absl::Status sealed = SealProof(session, seal_key.get(), kId).status();
    if (!sealed.ok()) return Prefixed("trying AES-GCM: ", sealed);
    time = steady_clock::now() - begin;
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
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
      {CKM_SHA256_HMAC, CKF_SIGN, "CKM_SHA256_HMAC (sign)"},
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
        "which resets the count. No PIN was tried");
  }
  return absl::OkStatus();
}

}  // namespace strongroom::hsm::internal
