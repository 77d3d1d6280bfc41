#ifndef STRONGROOM_SERVER_CORE_PARAMETERS_H_
#define STRONGROOM_SERVER_CORE_PARAMETERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/pair_spec.h"
#include "server/store/ids.h"

// What callers may say, checked once and turned into types that cannot be wrong. Each function
// takes the name that the caller's interface has for the field, and answers InvalidParameter or
// MissingParameter with that name, what is wrong, and what would be right.
namespace strongroom::core {

// A name of an alias, with its leading "alias/".
struct AliasName {
  std::string text;
};

// A key by its id or by an alias.
using KeyReference = std::variant<KeyId, AliasName>;

// Takes an id, `alias/NAME`, or an ARN-shaped name that ends in `key/ID` or `alias/NAME`.
absl::StatusOr<KeyReference> ParseKeyReference(absl::string_view field, absl::string_view text);

// Takes `alias/NAME` with a NAME of 1 to 249 letters, digits, "/", "_" and "-".
absl::StatusOr<AliasName> ParseAliasName(absl::string_view field, absl::string_view text);

// How the halves of a pair are encoded.
enum class KeyFormat { kPem, kDer };

// RSA_2048, ..., EC_P256K, and the other spellings of the curves.
absl::StatusOr<hsm::PairSpec> ParsePairSpec(absl::string_view field, absl::string_view text);
// The first of its spellings, e.g. "EC_P256".
absl::string_view NameOfPairSpec(hsm::PairSpec spec);
// "PEM" or "DER".
absl::StatusOr<KeyFormat> ParseKeyFormat(absl::string_view field, absl::string_view text);

// The length of a data key or of random bytes: 1 to 1,024.
absl::StatusOr<size_t> ParseNumberOfBytes(absl::string_view field, int64_t number);
inline constexpr size_t kDefaultDataKeyBytes = 32;

// How many data keys a batch asks for: 1 to 1,000.
absl::StatusOr<size_t> ParseBatchCount(absl::string_view field, int64_t count);

// Bytes that a caller wants sealed: 1 to 4,096.
absl::Status CheckPlaintext(absl::string_view field, absl::string_view plaintext);

// The name of the one algorithm, or nothing.
absl::Status CheckAlgorithm(absl::string_view field, absl::string_view text);
inline constexpr char kAlgorithmName[] = "AES_GCM";

// What a key is for: at most 8,192 bytes.
absl::Status CheckDescription(absl::string_view field, absl::string_view text);

// A tag of a key: a name of 1 to 128 characters (UTF-8) and a value of 0 to 256, without control
// characters. `field` is where tags stand.
absl::Status CheckTagName(absl::string_view field, absl::string_view name);
absl::Status CheckTag(absl::string_view field, absl::string_view name, absl::string_view value);
// How many tags are given at a time: at most 50.
absl::Status CheckTagCount(absl::string_view field, size_t count);

// Every how many days a key rotates: 1 to 2,560, or 0 for not by time.
absl::StatusOr<int32_t> ParseRotationDays(absl::string_view field, int64_t days);

// How many days the deletion of a key waits: 7 to 30, or 0 for 30.
absl::StatusOr<int> ParseDeletionWindow(absl::string_view field, int64_t days);

// How many entries a page has: 1 to 1,000, or 0 for 100.
absl::StatusOr<int> ParsePageSize(absl::string_view field, int64_t size);

absl::Status MissingParameter(absl::string_view field);

// IncorrectKey: a genuine blob of another key than the caller expected.
absl::Status IncorrectKey(const KeyId& expected);

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_PARAMETERS_H_
