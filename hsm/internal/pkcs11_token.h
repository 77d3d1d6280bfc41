#ifndef STRONGROOM_HSM_INTERNAL_PKCS11_TOKEN_H_
#define STRONGROOM_HSM_INTERNAL_PKCS11_TOKEN_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/lanes.h"
#include "hsm/internal/mac_objects.h"
#include "hsm/internal/module.h"
#include "hsm/internal/pkcs11.h"
#include "hsm/internal/proof.h"
#include "hsm/internal/session.h"
#include "hsm/internal/version_objects.h"
#include "hsm/kept_pair.h"
#include "hsm/token.h"
#include "platform/mutex.h"

namespace strongroom::hsm::internal {

// A Token over a PKCS#11 module.
class Pkcs11Token final : public Token {
 public:
  // See Token::Open.
  static absl::StatusOr<std::unique_ptr<Token>> Open(const TokenOptions& options);

  const TokenInfo& info() const override { return info_; }
  absl::StatusOr<std::optional<std::string>> ReadOwner(Deadline deadline) override;
  absl::Status WriteOwner(absl::string_view owner, Deadline deadline) override;
  absl::StatusOr<NewVersionKeys> CreateVersionKeys(const ObjectId& id, Deadline deadline) override;
  absl::StatusOr<VersionKeys> FindVersionKeys(const ObjectId& id, Deadline deadline) override;
  absl::Status FindAllVersionKeys(
      const std::function<void(const ObjectId&, absl::StatusOr<VersionKeys>)>& found,
      Deadline deadline) override;
  absl::Status DestroyVersionKeys(const ObjectId& id, Deadline deadline) override;
  void SetProof(const VersionKeys& keys, absl::string_view proof) override;
  absl::Status GenerateRandom(absl::Span<uint8_t> out, Deadline deadline) override;
  absl::StatusOr<std::string> Seal(const VersionKeys& keys, const Iv& iv,
                                   absl::Span<const uint8_t> aad,
                                   absl::Span<const uint8_t> plaintext, Deadline deadline) override;
  absl::StatusOr<SecretBytes> Unseal(const VersionKeys& keys, const Iv& iv,
                                     absl::Span<const uint8_t> aad, absl::string_view ciphertext,
                                     Deadline deadline) override;
  absl::StatusOr<std::string> GenerateWrappedSecret(const VersionKeys& keys, size_t size,
                                                    Deadline deadline) override;
  absl::StatusOr<SecretBytes> ExportWrappedSecret(const VersionKeys& keys,
                                                  absl::string_view wrapped, size_t size,
                                                  Deadline deadline) override;
  absl::StatusOr<WrappedKeyPair> GenerateWrappedKeyPair(const VersionKeys& keys, PairSpec spec,
                                                        bool with_private_key,
                                                        Deadline deadline) override;
  absl::StatusOr<SecretBytes> ExportWrappedPrivateKey(const VersionKeys& keys,
                                                      absl::string_view wrapped, PairSpec spec,
                                                      Deadline deadline) override;
  absl::StatusOr<std::string> Rewrap(const VersionKeys& from, const VersionKeys& to,
                                     absl::string_view wrapped, const WrappedContent& content,
                                     Deadline deadline) override;
  absl::StatusOr<OpenedKey> OpenPrivateKey(const VersionKeys& keys, absl::string_view wrapped,
                                           PairSpec spec, Deadline deadline) override;
  absl::StatusOr<std::string> SignDigest(const OpenedKey& key, Hash hash, RsaPadding padding,
                                         absl::Span<const uint8_t> digest,
                                         Deadline deadline) override;
  absl::StatusOr<SecretBytes> DecryptOaep(const OpenedKey& key, Hash hash,
                                          absl::string_view ciphertext, Deadline deadline) override;
  absl::StatusOr<SecretBytes> DeriveSharedSecret(const OpenedKey& key, absl::string_view peer_point,
                                                 Deadline deadline) override;
  absl::StatusOr<std::string> CreateImportKey(const ObjectId& id, ImportAlgorithm algorithm,
                                              int modulus_bits, Deadline deadline) override;
  absl::Status DestroyImportKey(const ObjectId& id, Deadline deadline) override;
  absl::StatusOr<NewVersionKeys> ImportVersionKeys(
      const ObjectId& version, const ObjectId& import_key, ImportAlgorithm algorithm,
      absl::string_view wrapped_material, absl::string_view proof, Deadline deadline) override;
  absl::StatusOr<KeptPair> GeneratePairToKeep(PairSpec spec) override;
  absl::StatusOr<std::string> WrapKeptPair(const KeptPair& pair, const VersionKeys& keys) override;
  absl::StatusOr<WrappedKeyPair> TakeKeptPair(KeptPair pair, const VersionKeys& keys,
                                              absl::string_view wrapped, bool with_private_key,
                                              Deadline deadline) override;
  absl::StatusOr<KeptPair> RestoreKeptPair(const VersionKeys& keys, absl::string_view wrapped,
                                           PairSpec spec, absl::string_view public_key) override;
  absl::StatusOr<VersionKeys> CreateReserveKeys(const ObjectId& id, Deadline deadline) override;
  absl::StatusOr<VersionKeys> FindReserveKeys(const ObjectId& id, Deadline deadline) override;
  absl::StatusOr<int> DestroyOtherReserveKeys(const std::optional<ObjectId>& spared,
                                              Deadline deadline) override;
  absl::Status CheckVersionKeys(const VersionKeys& keys, Deadline deadline) override;
  absl::Status CheckAlive(Deadline deadline) override;
  absl::Status PrepareMacKeys(Deadline deadline) override;
  absl::StatusOr<Mac> ComputeMac(MacPurpose purpose, absl::Span<const uint8_t> data,
                                 Deadline deadline) override;

 private:
  Pkcs11Token(std::unique_ptr<Module> module, CK_SLOT_ID slot, std::vector<Session> sessions,
              TokenInfo info)
      : info_(std::move(info)),
        module_(std::move(module)),
        slot_(slot),
        lanes_(*module_, slot, std::move(sessions)) {}

  using Work = std::function<absl::Status(Session&)>;

  // Runs `work` on a lane; once more on a new session if the lane's is gone, and once more after
  // `find_again` (if there is one) if the token no longer knows the handles of the keys it uses.
  absl::Status OnLane(Deadline deadline, const Work& find_again, const Work& work)
      ABSL_LOCKS_EXCLUDED(objects_mu_);
  // With the keys of a version, or with the key of a purpose, found again.
  absl::Status OnLane(Deadline deadline, const VersionKeys& keys, const Work& work)
      ABSL_LOCKS_EXCLUDED(objects_mu_);
  absl::Status OnLane(Deadline deadline, MacPurpose purpose, const Work& work)
      ABSL_LOCKS_EXCLUDED(objects_mu_);

  // The same on any session, which `reopen` replaces.
  absl::Status Run(Session& session, const std::function<absl::Status()>& reopen,
                   const Work& find_again, const Work& work) ABSL_LOCKS_EXCLUDED(objects_mu_);

  // A session beside the lanes, opened when it is first needed, so that what nobody waits for keeps
  // no lane from who does.
  struct OwnSession {
    Mutex mu;
    std::optional<Session> session ABSL_GUARDED_BY(mu);
  };
  // As OnLane(). `endings`, if it is not null, counts how often the session has ended.
  absl::Status OnOwn(OwnSession& own, std::atomic<uint64_t>* endings, const VersionKeys* keys,
                     const Work& work) ABSL_LOCKS_EXCLUDED(own.mu, objects_mu_);

  // Makes an object that is kept: `make` gets the session and a CKA_ID for it.
  absl::StatusOr<KeptPair> Keep(
      PairSpec spec, const VersionKeys* keys,
      const std::function<absl::StatusOr<CK_OBJECT_HANDLE>(Session&, absl::string_view id,
                                                           std::string& public_key)>& make);
  // Runs `work` on the object of a kept pair, if it is there yet. ABORTED if not.
  absl::Status UseKept(Session& session, const KeptPair& pair,
                       const std::function<absl::Status(CK_OBJECT_HANDLE)>& work);

  // Runs `work` alone among all that find or make token objects: a search beside a creation makes
  // SoftHSM 2.6.1 fail the creation and forget live handles.
  absl::Status OnTokenObjects(Deadline deadline, const Work& work) ABSL_LOCKS_EXCLUDED(objects_mu_);

  absl::StatusOr<Session> NewSession() { return Session::Open(*module_, slot_); }

  static CK_OBJECT_HANDLE SealKey(const VersionKeys& keys);
  static CK_OBJECT_HANDLE WrapKey(const VersionKeys& keys);
  static VersionKeys MakeKeys(const ObjectId& id, KeySource source, CK_OBJECT_HANDLE seal,
                              CK_OBJECT_HANDLE wrap);
  // Where keys may come from, if they come from one of these: of versions, or of the reserve.
  using Sources = absl::Span<const KeySource>;
  static Sources SourcesLike(KeySource source) {
    return source == KeySource::kReserve ? Sources(kReserveSources) : Sources(kKeySources);
  }
  absl::StatusOr<NewVersionKeys> CreateKeys(const ObjectId& id, KeySource source, Deadline deadline)
      ABSL_LOCKS_EXCLUDED(objects_mu_);
  static absl::StatusOr<VersionKeys> Find(Session& session, const ObjectId& id,
                                          Sources sources = kKeySources);
  // Sets the handles of these keys to what Find() finds.
  static absl::Status FindAgain(Session& session, const VersionKeys& keys);
  // What there is of a version, whole or not.
  static absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindAnyOf(Session& session,
                                                                 const ObjectId& id,
                                                                 Sources sources = kKeySources);
  static absl::Status Destroy(Session& session, const ObjectId& id, Sources sources = kKeySources);
  // The steps of ImportVersionKeys that make objects, in a session that closes after them.
  static absl::Status PutImportedKeys(Session& session, const ObjectId& version,
                                      const ObjectId& import_key, ImportAlgorithm algorithm,
                                      absl::string_view wrapped_material,
                                      const std::optional<Proof>& proof);
  // Finds an import key that was just made, as another session sees it, and tries it.
  absl::Status ReadBackImportKey(const ObjectId& id, ImportAlgorithm algorithm);
  static absl::Status DestroyImportKeys(Session& session, const ObjectId& id);
  // As Destroy(), after something failed: perhaps the session.
  void CleanUp(Session& session, const ObjectId& id, Sources sources = kKeySources);
  // Finds keys that were just made, as another session sees them, and tries them: with this proof
  // of theirs, or with a new one.
  absl::StatusOr<NewVersionKeys> ReadBack(const ObjectId& id, std::optional<Proof> proof,
                                          Sources sources = kKeySources);
  static absl::Status Verify(Session& session, const VersionKeys& keys);
  // OK if the token opens what it has sealed with these keys.
  static absl::Status TryKnownGood(Session& session, const VersionKeys& keys);
  static void Remember(const VersionKeys& keys, Proof proof);

  // Runs `work`, which uses an opened key by its handle. ABORTED if the token has lost the key,
  // also if that may have happened while `work` ran: what `work` gave is then not to be used.
  absl::Status UseOpened(const OpenedKey& key, Deadline deadline,
                         const std::function<absl::Status(Session&, CK_OBJECT_HANDLE)>& work);

  static absl::StatusOr<CK_OBJECT_HANDLE> FindMacKey(Session& session, MacPurpose purpose);
  absl::StatusOr<CK_OBJECT_HANDLE> CreateMacKey(Session& session, MacPurpose purpose);

  const TokenInfo info_;
  // Sessions close before the module finalizes.
  const std::unique_ptr<Module> module_;
  const CK_SLOT_ID slot_;
  LanePool lanes_;
  MacHandles mac_keys_;
  // How many keys were opened: each has an id of its own.
  std::atomic<uint64_t> opened_ = 0;
  // How many pairs were kept: each has an id of its own.
  std::atomic<uint64_t> kept_ = 0;
  // What makes kept pairs, which are its objects, and what wraps them.
  std::atomic<uint64_t> keeper_endings_ = 0;
  OwnSession keeper_;
  OwnSession wrapper_;
  // By ImportAlgorithm: the token was tried, and cannot.
  std::array<std::atomic<bool>, 4> cannot_import_ = {};
  Mutex objects_mu_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_PKCS11_TOKEN_H_
