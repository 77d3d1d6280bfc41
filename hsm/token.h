#ifndef STRONGROOM_HSM_TOKEN_H_
#define STRONGROOM_HSM_TOKEN_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/kept_pair.h"
#include "hsm/opened_key.h"
#include "hsm/pair_spec.h"
#include "hsm/version_keys.h"
#include "platform/clock.h"
#include "platform/secret_bytes.h"

namespace strongroom::hsm {

struct TokenOptions {
  // Path of the PKCS#11 module (a shared library).
  std::string module_path;
  // Which token: its label, or a "pkcs11:" URI (RFC 7512) without a PIN.
  std::string token;
  // A file with the user PIN, which others may not read.
  std::string pin_file;
  // How many sessions to hold, at least 1: as many calls run in the token at a time.
  int lanes = 1;
};

struct TokenInfo {
  std::string label;
  std::string serial;
  std::string manufacturer;
  std::string model;
  // The kinds of pairs that the token can generate.
  std::vector<PairSpec> pair_specs;
  // How long a short text took to seal when the token was opened: microseconds for a token that
  // computes in this process, more for one that is a device or behind a network.
  std::chrono::nanoseconds seal_time{0};
  // Whether the token computes in this process, for all one can tell.
  bool is_in_process() const { return seal_time < std::chrono::microseconds(100); }
};

// The IV of AES-GCM: 96 bits (SP 800-38D).
inline constexpr size_t kIvBytes = 12;
using Iv = std::array<uint8_t, kIvBytes>;
// The tag that ends a ciphertext of AES-GCM: always 128 bits.
inline constexpr size_t kTagBytes = 16;

// What the token authenticates with HMAC-SHA256 (FIPS 198-1); each purpose has a key of its own, so
// that what was made for one means nothing for another.
enum class MacPurpose { kAuditSeal, kGrantToken, kMetadata };
inline constexpr size_t kMacBytes = 32;
using Mac = std::array<uint8_t, kMacBytes>;

// A generated pair whose private key left the token wrapped.
struct WrappedKeyPair {
  // X.509 SubjectPublicKeyInfo, DER.
  std::string public_key;
  // PKCS#8 under the version's wrap key (RFC 5649).
  std::string wrapped_private_key;
  // PKCS#8, DER. Only if it was asked for.
  std::optional<SecretBytes> private_key;
};

// The keys of a version, new in the token, and their proof: a text of no meaning sealed with the
// seal key, which counts as one of its uses (SP 800-38D). Whoever keeps it can tell later whether
// keys are these, and a failing token from a forged ciphertext, without using the seal key again.
// Not secret.
struct NewVersionKeys {
  VersionKeys keys;
  std::string proof;
};

// What an RSA private key signs with (RFC 8017), besides the hash.
enum class RsaPadding { kPkcs1V15, kPss };
enum class Hash { kSha1, kSha256, kSha384, kSha512 };

// What is wrapped: a secret of so many bytes, or a private key.
using WrappedContent = std::variant<size_t, PairSpec>;

// How material is wrapped for import. The numbers stand in databases: do not change them.
enum class ImportAlgorithm {
  kOaepSha256 = 1,
  kOaepSha1 = 2,
  kRsaAesSha256 = 3,  // CKM_RSA_AES_KEY_WRAP
};
inline constexpr size_t kImportedMaterialBytes = 32;

// A PKCS#11 token that this process is logged in to.
//
// Errors of all members: UNAVAILABLE if the token is away; DEADLINE_EXCEEDED if no session is free
// before `deadline`; RESOURCE_EXHAUSTED if the token is out of sessions or memory; INTERNAL
// otherwise. Messages have the PKCS#11 function and code and are for logs.
//
// Thread-safe.
class Token {
 public:
  // Loads the module, finds the token, logs in, and checks that the token can do what is needed, by
  // its mechanism list and by trying it on session objects.
  //
  // The PIN is tried once; if it is wrong (PERMISSION_DENIED), trying again is a person's decision,
  // for tokens lock themselves. Not even once if the token says that one try is left, or none.
  // FAILED_PRECONDITION and NOT_FOUND say what is missing and what to do.
  static absl::StatusOr<std::unique_ptr<Token>> Open(const TokenOptions& options);
  virtual ~Token() = default;
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  virtual const TokenInfo& info() const = 0;

  // Who this token's keys belong to, if anybody said so (a data object in the token).
  virtual absl::StatusOr<std::optional<std::string>> ReadOwner(Deadline deadline) = 0;
  // FAILED_PRECONDITION if it has an owner already.
  virtual absl::Status WriteOwner(absl::string_view owner, Deadline deadline) = 0;

  // Generates the two keys of a version in the token; reads them back from a new session, verifies
  // every attribute that matters, and seals and opens something. On an error nothing is left.
  // ALREADY_EXISTS if the token has anything of this version.
  virtual absl::StatusOr<NewVersionKeys> CreateVersionKeys(const ObjectId& id,
                                                           Deadline deadline) = 0;
  // Finds and verifies the keys of a version. NOT_FOUND if the token has none, FAILED_PRECONDITION
  // if an attribute is not as it was made.
  virtual absl::StatusOr<VersionKeys> FindVersionKeys(const ObjectId& id, Deadline deadline) = 0;
  // As FindVersionKeys, for every version in the token, in one search: `found` gets each id and its
  // keys or what is wrong with them.
  virtual absl::Status FindAllVersionKeys(
      const std::function<void(const ObjectId&, absl::StatusOr<VersionKeys>)>& found,
      Deadline deadline) = 0;
  // Destroys what there is of a version's keys. OK if there is nothing.
  virtual absl::Status DestroyVersionKeys(const ObjectId& id, Deadline deadline) = 0;
  // Says what the proof of these keys is, so that none has to be made. Without it, Unseal seals
  // something once when it first has to know a forged ciphertext from a failing token.
  virtual void SetProof(const VersionKeys& keys, absl::string_view proof) = 0;

  // Whether the token answers and still has these keys, as they were made; uses no key. What Seal
  // would say of keys that are gone (UNAVAILABLE); FAILED_PRECONDITION if an attribute is not as it
  // was made.
  virtual absl::Status CheckVersionKeys(const VersionKeys& keys, Deadline deadline) = 0;
  // Whether the token answers at all and, once they are prepared, has the keys for MACs; uses no
  // key. A SoftHSM that was asked while its folder was away stays UNAVAILABLE until it is opened
  // again.
  virtual absl::Status CheckAlive(Deadline deadline) = 0;

  // Fills `out` with random bytes of the token.
  virtual absl::Status GenerateRandom(absl::Span<uint8_t> out, Deadline deadline) = 0;
  // The same for a data key or an IV, from a block that was drawn before, mostly without a call of
  // the token. No byte of a block is given out twice.
  virtual absl::Status TakeRandom(absl::Span<uint8_t> out, Deadline deadline) = 0;

  // AES-GCM under the seal key. `aad` must not be empty and `iv` must never repeat for a key.
  // Returns the ciphertext with the tag behind it.
  virtual absl::StatusOr<std::string> Seal(const VersionKeys& keys, const Iv& iv,
                                           absl::Span<const uint8_t> aad,
                                           absl::Span<const uint8_t> plaintext,
                                           Deadline deadline) = 0;
  // INVALID_ARGUMENT if it does not authenticate; UNAVAILABLE if the token fails at that and at
  // known-good input as well.
  virtual absl::StatusOr<SecretBytes> Unseal(const VersionKeys& keys, const Iv& iv,
                                             absl::Span<const uint8_t> aad,
                                             absl::string_view ciphertext, Deadline deadline) = 0;

  // Generates a secret of `size` bytes (1 to 1,024) in the token and returns it wrapped under the
  // wrap key.
  virtual absl::StatusOr<std::string> GenerateWrappedSecret(const VersionKeys& keys, size_t size,
                                                            Deadline deadline) = 0;
  // Takes such a secret out: into the token, out again under a one-off transport key, opened in
  // locked memory. INVALID_ARGUMENT if it unwraps to another size. `wrapped` must come from an
  // Unseal(): tokens answer a forged one as they answer their own failures, and nothing here tells
  // the two apart.
  virtual absl::StatusOr<SecretBytes> ExportWrappedSecret(const VersionKeys& keys,
                                                          absl::string_view wrapped, size_t size,
                                                          Deadline deadline) = 0;

  // Generates a pair in the token; see WrappedKeyPair. UNIMPLEMENTED if the token cannot.
  virtual absl::StatusOr<WrappedKeyPair> GenerateWrappedKeyPair(const VersionKeys& keys,
                                                                PairSpec spec,
                                                                bool with_private_key,
                                                                Deadline deadline) = 0;
  // Takes the private key of such a pair out, as ExportWrappedSecret does: PKCS#8, DER.
  virtual absl::StatusOr<SecretBytes> ExportWrappedPrivateKey(const VersionKeys& keys,
                                                              absl::string_view wrapped,
                                                              PairSpec spec, Deadline deadline) = 0;

  // Wraps under the wrap key of `to` what was wrapped under that of `from`. It does not leave the
  // token in the clear. `wrapped` must come from an Unseal().
  virtual absl::StatusOr<std::string> Rewrap(const VersionKeys& from, const VersionKeys& to,
                                             absl::string_view wrapped,
                                             const WrappedContent& content, Deadline deadline) = 0;

  // --- Private keys used in the token ------------------------------------------------------------

  // Opens a wrapped private key as a session object, which is destroyed when the last copy of what
  // is returned goes: at once, or when the next session is free. `wrapped` must come from an
  // Unseal().
  virtual absl::StatusOr<OpenedKey> OpenPrivateKey(const VersionKeys& keys,
                                                   absl::string_view wrapped, PairSpec spec,
                                                   Deadline deadline) = 0;
  // The three below: ABORTED if the token has lost the opened key (opening it again helps);
  // UNIMPLEMENTED if the token cannot do this.
  //
  // Signs a digest. An RSA signature is as long as the modulus; `padding` is ignored for curves,
  // whose signature is r and s, each as long as the curve's order, one behind the other (a digest
  // longer than the order is cut as FIPS 186-5 section 6.4 says).
  virtual absl::StatusOr<std::string> SignDigest(const OpenedKey& key, Hash hash,
                                                 RsaPadding padding,
                                                 absl::Span<const uint8_t> digest,
                                                 Deadline deadline) = 0;
  // RSAES-OAEP with MGF1 of the same hash and no label. INVALID_ARGUMENT if it does not decrypt.
  virtual absl::StatusOr<SecretBytes> DecryptOaep(const OpenedKey& key, Hash hash,
                                                  absl::string_view ciphertext,
                                                  Deadline deadline) = 0;
  // ECDH (SP 800-56A section 5.7.1.2): the x-coordinate, as long as the curve's field.
  // `peer_point` is an uncompressed point (SEC 1) that is known to be on the curve.
  virtual absl::StatusOr<SecretBytes> DeriveSharedSecret(const OpenedKey& key,
                                                         absl::string_view peer_point,
                                                         Deadline deadline) = 0;

  // --- Kept pairs --------------------------------------------------------------------------------

  // Generates a pair that stays in the token until it is wanted: see KeptPair. UNIMPLEMENTED if the
  // token cannot. This, WrapKeptPair and RestoreKeptPair are for a thread that nobody waits for:
  // they take as long as they take, one call at a time each, and use none of TokenOptions::lanes.
  virtual absl::StatusOr<KeptPair> GeneratePairToKeep(PairSpec spec) = 0;
  // Its private key (PKCS#8) under the wrap key. ABORTED if the token has lost the pair.
  virtual absl::StatusOr<std::string> WrapKeptPair(const KeptPair& pair,
                                                   const VersionKeys& keys) = 0;
  // Gives a pair away: as GenerateWrappedKeyPair would return it. `wrapped` is what WrapKeptPair
  // made of it under these very keys, or empty. Whatever comes of it, the pair is gone. ABORTED if
  // the token has lost it.
  virtual absl::StatusOr<WrappedKeyPair> TakeKeptPair(KeptPair pair, const VersionKeys& keys,
                                                      absl::string_view wrapped,
                                                      bool with_private_key, Deadline deadline) = 0;
  // Brings back a pair from what WrapKeptPair gave. `wrapped` must come from an Unseal().
  virtual absl::StatusOr<KeptPair> RestoreKeptPair(const VersionKeys& keys,
                                                   absl::string_view wrapped, PairSpec spec,
                                                   absl::string_view public_key) = 0;

  // What seals and wraps kept pairs for as long as they are not in the token: made and verified as
  // the keys of a version are, and none of a version. Errors as for versions.
  virtual absl::StatusOr<VersionKeys> CreateReserveKeys(const ObjectId& id, Deadline deadline) = 0;
  virtual absl::StatusOr<VersionKeys> FindReserveKeys(const ObjectId& id, Deadline deadline) = 0;
  // Destroys all of these but those with the id `spared`, and says how many objects they were.
  virtual absl::StatusOr<int> DestroyOtherReserveKeys(const std::optional<ObjectId>& spared,
                                                      Deadline deadline) = 0;

  // --- Import ------------------------------------------------------------------------------------

  // Generates an RSA key pair of 2,048, 3,072 or 4,096 bits in the token, that unwraps with this
  // algorithm and does nothing else. Returns the public key as X.509 SubjectPublicKeyInfo, DER.
  // UNIMPLEMENTED if the token cannot unwrap so; ALREADY_EXISTS if it has a pair of this id.
  virtual absl::StatusOr<std::string> CreateImportKey(const ObjectId& id, ImportAlgorithm algorithm,
                                                      int modulus_bits, Deadline deadline) = 0;
  // OK if there is none.
  virtual absl::Status DestroyImportKey(const ObjectId& id, Deadline deadline) = 0;
  // Unwraps material with such a key and derives from it, in the token, the two keys of a version,
  // as CreateVersionKeys does; on an error nothing is left of them. If `proof` is not empty, the
  // keys must be its keys.
  //
  // INVALID_ARGUMENT if the material does not unwrap, or not to kImportedMaterialBytes;
  // FAILED_PRECONDITION if it is not the proof's; NOT_FOUND if there is no such import key;
  // ALREADY_EXISTS if the token has anything of the version.
  virtual absl::StatusOr<NewVersionKeys> ImportVersionKeys(
      const ObjectId& version, const ObjectId& import_key, ImportAlgorithm algorithm,
      absl::string_view wrapped_material, absl::string_view proof, Deadline deadline) = 0;

  // Finds the keys of all purposes in the token, verified, and generates those that are missing. To
  // be called once before ComputeMac. FAILED_PRECONDITION if one is not as it was made; INTERNAL if
  // there are two of one purpose.
  virtual absl::Status PrepareMacKeys(Deadline deadline) = 0;
  // FAILED_PRECONDITION if the keys are not prepared. To verify a MAC, compute it again and compare
  // in constant time.
  virtual absl::StatusOr<Mac> ComputeMac(MacPurpose purpose, absl::Span<const uint8_t> data,
                                         Deadline deadline) = 0;

 protected:
  Token() = default;
};

}  // namespace strongroom::hsm

#endif  // STRONGROOM_HSM_TOKEN_H_
