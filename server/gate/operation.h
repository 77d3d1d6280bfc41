#ifndef STRONGROOM_SERVER_GATE_OPERATION_H_
#define STRONGROOM_SERVER_GATE_OPERATION_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace strongroom::gate {

// What rates are limited by.
enum class OperationClass { kDataKey, kKeyPair, kDecrypt, kRandom, kManagement };
inline constexpr size_t kOperationClasses = 5;
// As it stands in the configuration, e.g. "data_key".
absl::string_view NameOf(OperationClass operation_class);

// Names for several operations at once, for policies.
enum OperationGroup : uint8_t {
  kSealGroup = 1,        // makes blobs: data keys, pairs, Encrypt
  kOpenGroup = 2,        // opens blobs
  kDescribeGroup = 4,    // looks at keys, and changes nothing
  kAdministerGroup = 8,  // the keys' own life, and who may do what
};

struct OperationInfo {
  const char* service;
  // The RPC's name.
  const char* name;
  uint8_t groups;
  OperationClass operation_class;
  // Whether a caller gives it an encryption context or an Aad.
  bool takes_context;
  // Whether a grant may allow it.
  bool grantable;
  // For an RPC that nobody is permitted as a whole: what it takes, in words. Else null.
  const char* takes_permissions = nullptr;
};

// Every RPC that passes the gate, and what is permitted by itself: ReEncrypt opens under one key
// and seals under another, and who may do the one is not asked of the other.
inline constexpr OperationInfo kOperations[] = {
#define STRONGROOM_SEAL(service, name, operation_class) \
  { service, name, kSealGroup, OperationClass::operation_class, true, true }
#define STRONGROOM_MANAGE(name, groups, grantable) \
  { "KeyManagementService", name, groups, OperationClass::kManagement, false, grantable }
    STRONGROOM_SEAL("KmsService", "GenerateDataKey", kDataKey),
    STRONGROOM_SEAL("KmsService", "GenerateDataKeyWithoutPlaintext", kDataKey),
    STRONGROOM_SEAL("KmsService", "BatchGenerateDataKey", kDataKey),
    STRONGROOM_SEAL("KmsService", "GenerateDataKeyPair", kKeyPair),
    STRONGROOM_SEAL("KmsService", "GenerateDataKeyPairWithoutPlaintext", kKeyPair),
    STRONGROOM_SEAL("KmsService", "Encrypt", kDataKey),
    {"KmsService", "Decrypt", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsService", "ReEncrypt", 0, OperationClass::kDecrypt, true, false,
     "ReEncryptFrom for the key that sealed the blob and ReEncryptTo for the one to seal under"},
    {"KmsService", "ReEncryptFrom", kOpenGroup, OperationClass::kDecrypt, true, true},
    STRONGROOM_SEAL("KmsService", "ReEncryptTo", kDecrypt),
    {"KmsService", "SignWithDataKeyPair", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsService", "DecryptWithDataKeyPair", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsService", "DeriveSharedSecret", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsService", "GenerateRandom", 0, OperationClass::kRandom, false, false},
    STRONGROOM_SEAL("KmsInstanceService", "GenerateDataKey", kDataKey),
    STRONGROOM_SEAL("KmsInstanceService", "AdvanceGenerateDataKey", kDataKey),
    STRONGROOM_SEAL("KmsInstanceService", "GenerateDataKeyPair", kKeyPair),
    STRONGROOM_SEAL("KmsInstanceService", "GenerateDataKeyPairWithoutPlaintext", kKeyPair),
    STRONGROOM_SEAL("KmsInstanceService", "AdvanceGenerateDataKeyPair", kKeyPair),
    STRONGROOM_SEAL("KmsInstanceService", "AdvanceGenerateDataKeyPairWithoutPlaintext", kKeyPair),
    STRONGROOM_SEAL("KmsInstanceService", "Encrypt", kDataKey),
    STRONGROOM_SEAL("KmsInstanceService", "AdvanceEncrypt", kDataKey),
    {"KmsInstanceService", "Decrypt", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsInstanceService", "AdvanceDecrypt", kOpenGroup, OperationClass::kDecrypt, true, true},
    {"KmsInstanceService", "GenerateRandom", 0, OperationClass::kRandom, false, false},
    STRONGROOM_MANAGE("CreateKey", kAdministerGroup, false),
    STRONGROOM_MANAGE("DescribeKey", kAdministerGroup | kDescribeGroup, true),
    STRONGROOM_MANAGE("ListKeys", kAdministerGroup | kDescribeGroup, false),
    STRONGROOM_MANAGE("CreateKeyVersion", kAdministerGroup, false),
    STRONGROOM_MANAGE("ListKeyVersions", kAdministerGroup | kDescribeGroup, false),
    STRONGROOM_MANAGE("EnableKey", kAdministerGroup, false),
    STRONGROOM_MANAGE("DisableKey", kAdministerGroup, false),
    STRONGROOM_MANAGE("UpdateKeyDescription", kAdministerGroup, false),
    STRONGROOM_MANAGE("TagKey", kAdministerGroup, false),
    STRONGROOM_MANAGE("UntagKey", kAdministerGroup, false),
    STRONGROOM_MANAGE("UpdateRotationPolicy", kAdministerGroup, false),
    STRONGROOM_MANAGE("ScheduleKeyDeletion", kAdministerGroup, false),
    STRONGROOM_MANAGE("CancelKeyDeletion", kAdministerGroup, false),
    STRONGROOM_MANAGE("GetParametersForImport", kAdministerGroup, false),
    STRONGROOM_MANAGE("ImportKeyMaterial", kAdministerGroup, false),
    STRONGROOM_MANAGE("DeleteImportedKeyMaterial", kAdministerGroup, false),
    STRONGROOM_MANAGE("CreateAlias", kAdministerGroup, false),
    STRONGROOM_MANAGE("UpdateAlias", kAdministerGroup, false),
    STRONGROOM_MANAGE("DeleteAlias", kAdministerGroup, false),
    STRONGROOM_MANAGE("ListAliases", kAdministerGroup | kDescribeGroup, false),
    STRONGROOM_MANAGE("PutKeyPolicy", kAdministerGroup, false),
    STRONGROOM_MANAGE("GetKeyPolicy", kAdministerGroup | kDescribeGroup, false),
    STRONGROOM_MANAGE("CreateGrant", kAdministerGroup, true),
    STRONGROOM_MANAGE("ListGrants", kAdministerGroup | kDescribeGroup, false),
    STRONGROOM_MANAGE("RetireGrant", kAdministerGroup, true),
    STRONGROOM_MANAGE("RevokeGrant", kAdministerGroup, false),
    {"AuditService", "VerifyAuditSeals", 0, OperationClass::kManagement, false, false},
#undef STRONGROOM_SEAL
#undef STRONGROOM_MANAGE
};

// One of kOperations.
class Operation {
 public:
  // `full_name` is "SERVICE.NAME". Does not compile if there is no such operation.
  consteval explicit Operation(absl::string_view full_name) : index_(Find(full_name)) {}

  const OperationInfo& info() const { return kOperations[index_]; }
  size_t index() const { return index_; }
  // "SERVICE.RPC"
  std::string FullName() const;

  friend bool operator==(const Operation&, const Operation&) = default;

 private:
  static constexpr size_t Find(absl::string_view full_name) {
    for (size_t i = 0; i < std::size(kOperations); ++i) {
      const absl::string_view service = kOperations[i].service;
      const absl::string_view name = kOperations[i].name;
      if (full_name.size() == service.size() + 1 + name.size() &&
          full_name.substr(0, service.size()) == service && full_name[service.size()] == '.' &&
          full_name.substr(service.size() + 1) == name) {
        return i;
      }
    }
    throw "there is no such operation";  // not a constant expression
  }

  size_t index_;
};

// Some of kOperations.
class OperationSet {
 public:
  OperationSet() = default;

  // Takes the names that policies and grants use: "*" for all; "group:seal", "group:open",
  // "group:describe", "group:administer"; "group:use" for both seal and open; "RPC" for the RPC of
  // that name in every service; "SERVICE.RPC" for one. InvalidParameter, naming `field`, for an
  // unknown name, for one that takes other permissions (and which), and if there are none at all.
  static absl::StatusOr<OperationSet> Parse(absl::string_view field,
                                            absl::Span<const std::string> names);

  // Those that a grant may allow.
  static OperationSet Grantable();

  bool Contains(Operation operation) const { return bits_[operation.index()]; }
  bool IsSubsetOf(const OperationSet& other) const { return (bits_ & ~other.bits_).none(); }
  // The full names of those that are in this set and not in `other`.
  std::vector<std::string> NamesNotIn(const OperationSet& other) const;

  friend bool operator==(const OperationSet&, const OperationSet&) = default;

 private:
  std::bitset<std::size(kOperations)> bits_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_OPERATION_H_
