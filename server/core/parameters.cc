#include "server/core/parameters.h"

#include <openssl/asn1.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::core {
namespace {

constexpr absl::string_view kAliasPrefix = "alias/";
constexpr size_t kMaxAliasName = 249;
constexpr size_t kMaxKeyReference = 2048;
constexpr size_t kMaxDescription = 8192;
constexpr int kMaxNumberOfBytes = 1024;
constexpr int kMaxBatchCount = 1000;
constexpr size_t kMaxPlaintext = 4096;
constexpr size_t kMaxTagName = 128;
constexpr size_t kMaxTagValue = 256;
constexpr size_t kMaxTags = 50;
constexpr int kMaxRotationDays = 2560;
constexpr int kMinDeletionWindow = 7;
constexpr int kMaxDeletionWindow = 30;
constexpr int kMaxPageSize = 1000;
constexpr int kDefaultPageSize = 100;

struct PairSpecName {
  absl::string_view name;
  hsm::PairSpec spec;
};

constexpr PairSpecName kPairSpecNames[] = {
    {"RSA_2048", hsm::PairSpec::kRsa2048},        {"RSA_3072", hsm::PairSpec::kRsa3072},
    {"RSA_4096", hsm::PairSpec::kRsa4096},        {"EC_P256", hsm::PairSpec::kEcP256},
    {"EC_P384", hsm::PairSpec::kEcP384},          {"EC_P521", hsm::PairSpec::kEcP521},
    {"EC_P256K", hsm::PairSpec::kEcP256k},        {"ECC_NIST_P256", hsm::PairSpec::kEcP256},
    {"ECC_NIST_P384", hsm::PairSpec::kEcP384},    {"ECC_NIST_P521", hsm::PairSpec::kEcP521},
    {"ECC_SECG_P256K1", hsm::PairSpec::kEcP256k},
};

constexpr char kPairSpecList[] =
    "RSA_2048, RSA_3072, RSA_4096, EC_P256, EC_P384, EC_P521, EC_P256K (also spelled "
    "ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1)";

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return MakeError(Reason::kInvalidParameter, absl::StrCat(field, ": ", why));
}

// What a caller wrote, short enough and clean enough to be given back.
std::string Quoted(absl::string_view text) {
  constexpr size_t kMost = 64;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMost)),
                      text.size() > kMost ? "\"..." : "\"");
}

// How many characters a text has. Nothing if it is not UTF-8 (RFC 3629) or has control characters,
// with which it could not be shown on one line.
std::optional<size_t> CountPrintable(absl::string_view text) {
  size_t count = 0;
  while (!text.empty()) {
    unsigned long character = 0;  // NOLINT(google-runtime-int): OpenSSL's
    const int bytes = UTF8_getc(reinterpret_cast<const unsigned char*>(text.data()),
                                static_cast<int>(std::min<size_t>(text.size(), 4)), &character);
    const bool control = character < 0x20 || (character >= 0x7f && character < 0xa0);
    if (bytes <= 0 || control) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(bytes));
    ++count;
  }
  return count;
}

// A part of a tag that has at least `least` and at most `most` characters.
absl::Status CheckTagText(absl::string_view field, absl::string_view what, absl::string_view text,
                          size_t least, size_t most) {
  const std::optional<size_t> count = CountPrintable(text);
  if (!count.has_value()) {
    return Invalid(field, absl::StrCat(what, " ", Quoted(text),
                                       " has control characters or is not UTF-8; valid are ", least,
                                       " to ", most, " characters without them"));
  }
  if (*count < least || *count > most) {
    return Invalid(field, absl::StrCat(what, " ", Quoted(text), " has ", *count,
                                       " characters; valid are ", least, " to ", most));
  }
  return absl::OkStatus();
}

bool IsAliasCharacter(char c) { return absl::ascii_isalnum(c) || c == '/' || c == '_' || c == '-'; }

}  // namespace

absl::Status MissingParameter(absl::string_view field) {
  return MakeError(Reason::kMissingParameter, absl::StrCat(field, ": is required"));
}

absl::Status IncorrectKey(const KeyId& expected) {
  return MakeError(Reason::kIncorrectKey,
                   absl::StrCat("the ciphertext was not sealed under key ", expected.ToString(),
                                "; leave the key out, or give its own"));
}

absl::StatusOr<AliasName> ParseAliasName(absl::string_view field, absl::string_view text) {
  if (text.empty()) return MissingParameter(field);
  const absl::string_view name =
      absl::StartsWith(text, kAliasPrefix) ? text.substr(kAliasPrefix.size()) : "";
  if (name.empty() || name.size() > kMaxAliasName ||
      !std::all_of(name.begin(), name.end(), IsAliasCharacter)) {
    return Invalid(field, absl::StrCat(Quoted(text),
                                       " is not an alias; a right one is alias/NAME "
                                       "with a NAME of 1 to 249 letters, digits, / _ and -"));
  }
  return AliasName{std::string(text)};
}

absl::StatusOr<KeyReference> ParseKeyReference(absl::string_view field, absl::string_view text) {
  if (text.empty()) return MissingParameter(field);
  constexpr char kRight[] =
      "a right one is a key's id (a UUID), alias/NAME, or an ARN that ends in :key/ID or "
      ":alias/NAME";
  if (text.size() > kMaxKeyReference) {
    return Invalid(field, absl::StrCat("is ", text.size(), " bytes long; ", kRight));
  }
  absl::string_view name = text;
  if (absl::StartsWith(text, "arn:")) {
    // arn:PARTITION:SERVICE:REGION:ACCOUNT:key/ID; some writers leave parts out.
    name = text.substr(text.rfind(':') + 1);
    constexpr absl::string_view kKeyPrefix = "key/";
    if (absl::StartsWith(name, kKeyPrefix)) {
      name.remove_prefix(kKeyPrefix.size());
    } else if (!absl::StartsWith(name, kAliasPrefix)) {
      return Invalid(field, absl::StrCat(Quoted(text), " does not name a key; ", kRight));
    }
  }
  if (absl::StartsWith(name, kAliasPrefix)) {
    absl::StatusOr<AliasName> alias = ParseAliasName(field, name);
    if (!alias.ok()) return alias.status();
    return KeyReference(*std::move(alias));
  }
  const std::optional<KeyId> id = KeyId::Parse(name);
  if (!id.has_value()) {
    return Invalid(field, absl::StrCat(Quoted(text), " does not name a key; ", kRight));
  }
  return KeyReference(*id);
}

absl::StatusOr<hsm::PairSpec> ParsePairSpec(absl::string_view field, absl::string_view text) {
  if (text.empty()) return MissingParameter(field);
  for (const PairSpecName& known : kPairSpecNames) {
    if (known.name == text) return known.spec;
  }
  return Invalid(field, absl::StrCat(Quoted(text), " is not valid; valid are ", kPairSpecList));
}

absl::string_view NameOfPairSpec(hsm::PairSpec spec) {
  for (const PairSpecName& known : kPairSpecNames) {
    if (known.spec == spec) return known.name;
  }
  return "unknown";
}

absl::StatusOr<KeyFormat> ParseKeyFormat(absl::string_view field, absl::string_view text) {
  if (text.empty()) return MissingParameter(field);
  if (text == "PEM") return KeyFormat::kPem;
  if (text == "DER") return KeyFormat::kDer;
  return Invalid(field, absl::StrCat(Quoted(text), " is not valid; valid are PEM, DER"));
}

absl::StatusOr<size_t> ParseNumberOfBytes(absl::string_view field, int64_t number) {
  if (number < 1 || number > kMaxNumberOfBytes) {
    return Invalid(field, absl::StrCat(number, " is not valid; valid are 1 to 1024"));
  }
  return static_cast<size_t>(number);
}

absl::StatusOr<size_t> ParseBatchCount(absl::string_view field, int64_t count) {
  if (count < 1 || count > kMaxBatchCount) {
    return Invalid(field, absl::StrCat(count, " is not valid; valid are 1 to 1000"));
  }
  return static_cast<size_t>(count);
}

absl::Status CheckPlaintext(absl::string_view field, absl::string_view plaintext) {
  if (plaintext.empty()) return MissingParameter(field);
  if (plaintext.size() > kMaxPlaintext) {
    return Invalid(field, absl::StrCat("has ", plaintext.size(),
                                       " bytes; valid are 1 to 4096. For more, encrypt with a data "
                                       "key"));
  }
  return absl::OkStatus();
}

absl::Status CheckAlgorithm(absl::string_view field, absl::string_view text) {
  if (text.empty() || text == kAlgorithmName) return absl::OkStatus();
  return Invalid(field, absl::StrCat(Quoted(text), " is not valid; valid is ", kAlgorithmName));
}

absl::Status CheckDescription(absl::string_view field, absl::string_view text) {
  if (text.size() <= kMaxDescription) return absl::OkStatus();
  return Invalid(field, absl::StrCat("has ", text.size(), " bytes; at most 8192 are valid"));
}

absl::Status CheckTagName(absl::string_view field, absl::string_view name) {
  return CheckTagText(field, "the name", name, 1, kMaxTagName);
}

absl::Status CheckTag(absl::string_view field, absl::string_view name, absl::string_view value) {
  if (absl::Status status = CheckTagName(field, name); !status.ok()) return status;
  return CheckTagText(field, absl::StrCat("the value of ", Quoted(name), ","), value, 0,
                      kMaxTagValue);
}

absl::Status CheckTagCount(absl::string_view field, size_t count) {
  if (count <= kMaxTags) return absl::OkStatus();
  return Invalid(field, absl::StrCat("there are ", count, "; at most ", kMaxTags, " are valid"));
}

absl::StatusOr<int32_t> ParseRotationDays(absl::string_view field, int64_t days) {
  if (days >= 0 && days <= kMaxRotationDays) return static_cast<int32_t>(days);
  return Invalid(field, absl::StrCat(days, " is not valid; valid are 1 to ", kMaxRotationDays,
                                     " days, or 0 for no rotation by time"));
}

absl::StatusOr<int> ParseDeletionWindow(absl::string_view field, int64_t days) {
  if (days == 0) return kMaxDeletionWindow;
  if (days >= kMinDeletionWindow && days <= kMaxDeletionWindow) return static_cast<int>(days);
  return Invalid(field, absl::StrCat(days, " is not valid; valid are ", kMinDeletionWindow, " to ",
                                     kMaxDeletionWindow, " days, or 0 for ", kMaxDeletionWindow));
}

absl::StatusOr<int> ParsePageSize(absl::string_view field, int64_t size) {
  if (size == 0) return kDefaultPageSize;
  if (size < 0 || size > kMaxPageSize) {
    return Invalid(field, absl::StrCat(size, " is not valid; valid are 1 to 1000, or 0 for 100"));
  }
  return static_cast<int>(size);
}

}  // namespace strongroom::core
