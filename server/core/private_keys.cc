#include "server/core/private_keys.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"
#include "server/core/parameters.h"
#include "server/core/peer_key.h"

namespace strongroom::core {
namespace {

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return MakeError(Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
}

// What PrivateKeys::Use gives for a status of the token. `unable` says what the token cannot do, in
// words of the field that asks for it.
absl::Status ForCaller(const absl::Status& status, absl::string_view unable) {
  if (absl::IsAborted(status)) return status;
  if (!absl::IsUnimplemented(status)) return FromToken(status);
  return WithDetail(MakeError(Reason::kUnsupportedOperation, unable), status.message());
}

constexpr char kBlobField[] = "private_key_ciphertext_blob";

bool IsRsa(hsm::PairSpec spec) {
  return spec == hsm::PairSpec::kRsa2048 || spec == hsm::PairSpec::kRsa3072 ||
         spec == hsm::PairSpec::kRsa4096;
}

const EVP_MD* DigestOf(hsm::Hash hash) {
  switch (hash) {
    case hsm::Hash::kSha1:
      return EVP_sha1();
    case hsm::Hash::kSha256:
      return EVP_sha256();
    case hsm::Hash::kSha384:
      return EVP_sha384();
    case hsm::Hash::kSha512:
      break;
  }
  return EVP_sha512();
}

size_t DigestBytes(hsm::Hash hash) { return static_cast<size_t>(EVP_MD_get_size(DigestOf(hash))); }

// What is signed, of a request that was checked: the digest of the message, or the message if it is
// one.
absl::StatusOr<std::string> DigestToSign(const SigningRequest& request) {
  if (request.is_digest) return std::string(request.message);
  std::string digest(DigestBytes(request.hash), '\0');
  if (EVP_Digest(request.message.data(), request.message.size(),
                 reinterpret_cast<unsigned char*>(digest.data()), nullptr, DigestOf(request.hash),
                 nullptr) != 1) {
    return MakeInternalFailure("cannot compute a digest");
  }
  return digest;
}

// Whether a private key of this kind can be used so.
absl::Status CheckScheme(SignatureScheme scheme, hsm::PairSpec spec) {
  const bool ecdsa = scheme == SignatureScheme::kEcdsa;
  if (IsRsa(spec) != ecdsa) return absl::OkStatus();
  return Invalid("signing_algorithm",
                 ecdsa ? "ECDSA is for curves, and the private key is of RSA"
                       : "RSA does not sign with a private key of a curve; use ECDSA");
}

absl::Status CheckDecrypts(hsm::PairSpec spec) {
  if (IsRsa(spec)) return absl::OkStatus();
  return Invalid(kBlobField, "holds a private key of a curve; only those of RSA decrypt");
}

// The point of the other side's key.
absl::StatusOr<std::string> PeerPoint(absl::string_view public_key, hsm::PairSpec spec) {
  if (IsRsa(spec)) {
    return Invalid(kBlobField, "holds a private key of RSA; only those of a curve derive");
  }
  return ParsePeerKey("public_key", public_key, spec);
}

absl::StatusOr<hsm::PairSpec> PairSpecOf(const BlobHeader& header) {
  if (header.pair_spec.has_value()) return *header.pair_spec;
  return Invalid(kBlobField, "holds no private key; give that of a data key pair");
}

absl::StatusOr<hsm::PairSpec> PairSpecOf(absl::string_view blob) {
  const std::optional<ParsedBlob> parsed = ParseBlob(blob);
  if (!parsed.has_value()) return InvalidCiphertext();
  return PairSpecOf(parsed->header);
}

struct SignatureFree {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};

// ECDSA-Sig-Value (RFC 3279, section 2.2.3) of r and s, one behind the other.
absl::StatusOr<std::string> EcdsaToDer(absl::string_view fixed) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(fixed.data());
  const int half = static_cast<int>(fixed.size() / 2);
  const std::unique_ptr<ECDSA_SIG, SignatureFree> signature(ECDSA_SIG_new());
  BIGNUM* const r = BN_bin2bn(bytes, half, nullptr);
  BIGNUM* const s = BN_bin2bn(bytes + half, half, nullptr);
  if (ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return MakeInternalFailure("cannot encode a signature");
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return MakeInternalFailure("cannot encode a signature");
  std::string encoded(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return encoded;
}

}  // namespace

absl::StatusOr<OpenedKeys::Entry> PrivateKeys::FindOpened(const std::string& name,
                                                          const SealedPrivateKey& key) {
  OpenedKeys::Entry entry = opened_.Find(name);
  if (entry == nullptr) return entry;
  // That it is open says what the key was allowed when it was opened, and not what it is now.
  absl::Status usable = keys_.ForOpening(entry->key_id, entry->key_version_id).status();
  if (!usable.ok()) {
    opened_.Drop(name, entry);
    return usable;
  }
  if (key.expected_key.has_value() && *key.expected_key != entry->key_id) {
    return IncorrectKey(*key.expected_key);
  }
  return entry;
}

absl::StatusOr<OpenedKeys::Entry> PrivateKeys::Open(const SealedPrivateKey& key, Deadline deadline,
                                                    const Check& check) {
  absl::StatusOr<Unsealed> unsealed =
      envelope_.Unseal(key.blob, key.binding, std::nullopt, deadline);
  if (!unsealed.ok()) return unsealed.status();
  // Only now: what a blob says means nothing until it is known to be genuine.
  const BlobHeader& header = unsealed->header;
  if (key.expected_key.has_value() && *key.expected_key != header.key_id) {
    return IncorrectKey(*key.expected_key);
  }
  absl::StatusOr<hsm::PairSpec> spec = PairSpecOf(header);
  if (!spec.ok()) return spec.status();
  if (absl::Status status = check(*spec); !status.ok()) return status;
  absl::StatusOr<hsm::OpenedKey> opened = token_.OpenPrivateKey(
      unsealed->version.keys, unsealed->content.ExposeSecretAsText(), *spec, deadline);
  if (!opened.ok()) return FromToken(opened.status());
  return std::make_shared<const OpenedPrivateKey>(
      OpenedPrivateKey{header.key_id, header.key_version_id, *std::move(opened)});
}

absl::StatusOr<UsedKey> PrivateKeys::WithKey(const SealedPrivateKey& key, Deadline deadline,
                                             const Check& check, const Use& use) {
  const std::string name = opened_.keeps() ? OpenedKeys::NameOf(key.blob, key.binding) : "";
  absl::Status lost;
  for (int tries = 0; tries < 2; ++tries) {
    absl::StatusOr<OpenedKeys::Entry> entry = FindOpened(name, key);
    if (!entry.ok()) return entry.status();
    if (*entry != nullptr) {
      if (absl::Status status = check((*entry)->key.spec()); !status.ok()) return status;
    } else {
      entry = Open(key, deadline, check);
      if (!entry.ok()) return entry.status();
      opened_.Keep(name, *entry);
    }
    absl::Status used = use((*entry)->key);
    if (used.ok()) {
      return UsedKey{(*entry)->key_id, (*entry)->key_version_id, (*entry)->key.spec()};
    }
    if (!absl::IsAborted(used)) return used;
    opened_.Drop(name, *entry);
    lost = used;
  }
  return FromToken(absl::UnavailableError(lost.message()));
}

absl::Status PrivateKeys::CheckSigning(const SigningRequest& request) {
  constexpr char kField[] = "message";
  // Collisions of SHA-1 are found; a signature of one text would be another one's (SP 800-131A).
  if (request.hash == hsm::Hash::kSha1) {
    return Invalid("signing_algorithm", "SHA-1 is not for signatures; use SHA-256 or longer");
  }
  const size_t size = request.message.size();
  if (request.is_digest && size != DigestBytes(request.hash)) {
    return Invalid(kField, absl::StrCat("a digest of the signing algorithm's hash has ",
                                        DigestBytes(request.hash), " bytes; this one has ", size));
  }
  if (size == 0 || size > kMaxMessageBytes) {
    return Invalid(kField, absl::StrCat("has ", size, " bytes; give 1 to ", kMaxMessageBytes,
                                        ", or the digest of a longer message"));
  }
  return absl::OkStatus();
}

absl::Status PrivateKeys::RehearseSigning(absl::string_view blob, const SigningRequest& request) {
  absl::StatusOr<hsm::PairSpec> spec = PairSpecOf(blob);
  return spec.ok() ? CheckScheme(request.scheme, *spec) : spec.status();
}

absl::Status PrivateKeys::RehearseDecryption(absl::string_view blob) {
  absl::StatusOr<hsm::PairSpec> spec = PairSpecOf(blob);
  return spec.ok() ? CheckDecrypts(*spec) : spec.status();
}

absl::Status PrivateKeys::RehearseDerivation(absl::string_view blob, absl::string_view public_key) {
  absl::StatusOr<hsm::PairSpec> spec = PairSpecOf(blob);
  return spec.ok() ? PeerPoint(public_key, *spec).status() : spec.status();
}

absl::StatusOr<Signed> PrivateKeys::Sign(const SealedPrivateKey& key, const SigningRequest& request,
                                         Deadline deadline) {
  if (absl::Status status = CheckSigning(request); !status.ok()) return status;
  absl::StatusOr<std::string> digest = DigestToSign(request);
  if (!digest.ok()) return digest.status();
  const bool ecdsa = request.scheme == SignatureScheme::kEcdsa;
  const Check check = [&](hsm::PairSpec spec) { return CheckScheme(request.scheme, spec); };
  const hsm::RsaPadding padding = request.scheme == SignatureScheme::kRsaPss
                                      ? hsm::RsaPadding::kPss
                                      : hsm::RsaPadding::kPkcs1V15;
  std::string signature;
  const Use use = [&](const hsm::OpenedKey& opened) {
    absl::StatusOr<std::string> made =
        token_.SignDigest(opened, request.hash, padding, AsBytes(*digest), deadline);
    if (made.ok()) signature = *std::move(made);
    return ForCaller(made.status(),
                     "signing_algorithm: the token does not sign so with such a private key; use "
                     "another algorithm");
  };
  absl::StatusOr<UsedKey> used = WithKey(key, deadline, check, use);
  if (!used.ok()) return used.status();
  if (ecdsa && request.format == EcdsaFormat::kDer) {
    absl::StatusOr<std::string> der = EcdsaToDer(signature);
    if (!der.ok()) return der.status();
    signature = *std::move(der);
  }
  return Signed{*used, std::move(signature)};
}

absl::StatusOr<UsedResult> PrivateKeys::Decrypt(const SealedPrivateKey& key, hsm::Hash hash,
                                                absl::string_view ciphertext, Deadline deadline) {
  SecretBytes plaintext;
  const Use use = [&](const hsm::OpenedKey& opened) {
    absl::StatusOr<SecretBytes> decrypted = token_.DecryptOaep(opened, hash, ciphertext, deadline);
    if (decrypted.ok()) plaintext = *std::move(decrypted);
    if (absl::IsInvalidArgument(decrypted.status())) {
      return WithDetail(MakeError(Reason::kInvalidCiphertext,
                                  "ciphertext: does not decrypt with this private key and "
                                  "decryption algorithm"),
                        decrypted.status().message());
    }
    return ForCaller(decrypted.status(),
                     "decryption_algorithm: the token does not decrypt so; use another algorithm "
                     "(some tokens know OAEP with SHA-1 only)");
  };
  absl::StatusOr<UsedKey> used = WithKey(key, deadline, &CheckDecrypts, use);
  if (!used.ok()) return used.status();
  return UsedResult{*used, std::move(plaintext)};
}

absl::StatusOr<UsedResult> PrivateKeys::DeriveSharedSecret(const SealedPrivateKey& key,
                                                           absl::string_view public_key,
                                                           Deadline deadline) {
  std::string point;
  const Check check = [&](hsm::PairSpec spec) {
    absl::StatusOr<std::string> parsed = PeerPoint(public_key, spec);
    if (parsed.ok()) point = *std::move(parsed);
    return parsed.status();
  };
  SecretBytes secret;
  const Use use = [&](const hsm::OpenedKey& opened) {
    absl::StatusOr<SecretBytes> derived = token_.DeriveSharedSecret(opened, point, deadline);
    if (derived.ok()) secret = *std::move(derived);
    return ForCaller(derived.status(),
                     "private_key_ciphertext_blob: the token does not derive with such a private "
                     "key");
  };
  absl::StatusOr<UsedKey> used = WithKey(key, deadline, check, use);
  if (!used.ok()) return used.status();
  return UsedResult{*used, std::move(secret)};
}

}  // namespace strongroom::core
