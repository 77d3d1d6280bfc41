#include "server/gate/principal.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

constexpr absl::string_view kSpiffe = "spiffe://";
constexpr size_t kMaxName = 256;
constexpr size_t kMaxSpiffeId = 2048;
constexpr size_t kMaxTrustDomain = 255;

constexpr char kRightName[] =
    "a right one is a name of 1 to 256 printable ASCII characters without blanks and \"*\", or a "
    "SPIFFE id of at most 2048";
constexpr char kRightPattern[] =
    "a right one is a name of 1 to 256 printable ASCII characters without blanks, a SPIFFE id of "
    "at most 2048, or spiffe://TRUST-DOMAIN/PATH/* for all ids below a path; there is no pattern "
    "for everybody";

absl::Status Invalid(absl::string_view field, absl::string_view text, absl::string_view right) {
  constexpr size_t kMost = 64;
  return core::MakeError(
      core::Reason::kInvalidParameter,
      absl::StrCat(field, ": \"", absl::CHexEscape(text.substr(0, kMost)),
                   text.size() > kMost ? "\"..." : "\"", " does not name a principal; ", right));
}

bool IsTrustDomainCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '_';
}

bool IsSegmentCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
}

bool AreSegments(absl::string_view path) {
  for (absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty() || segment == "." || segment == ".." ||
        !std::all_of(segment.begin(), segment.end(), IsSegmentCharacter)) {
      return false;
    }
  }
  return true;
}

bool IsSpiffeId(absl::string_view text) {
  if (text.size() > kMaxSpiffeId || !absl::StartsWith(text, kSpiffe)) return false;
  text.remove_prefix(kSpiffe.size());
  const size_t slash = text.find('/');
  const absl::string_view domain = text.substr(0, slash);
  return !domain.empty() && domain.size() <= kMaxTrustDomain &&
         std::all_of(domain.begin(), domain.end(), IsTrustDomainCharacter) &&
         (slash == absl::string_view::npos || AreSegments(text.substr(slash + 1)));
}

bool IsPrincipal(absl::string_view text) {
  if (absl::StartsWith(text, kSpiffe)) return IsSpiffeId(text);
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isgraph(c) && c != '*'; });
}

}  // namespace

absl::Status CheckPrincipal(absl::string_view field, absl::string_view text) {
  if (text.empty()) {
    return core::MakeError(core::Reason::kMissingParameter,
                           absl::StrCat(field, ": is required; ", kRightName));
  }
  if (!IsPrincipal(text)) return Invalid(field, text, kRightName);
  return absl::OkStatus();
}

absl::StatusOr<PrincipalPattern> PrincipalPattern::Parse(absl::string_view field,
                                                         absl::string_view text) {
  if (text.empty()) {
    return core::MakeError(core::Reason::kMissingParameter,
                           absl::StrCat(field, ": is required; ", kRightPattern));
  }
  if (absl::StartsWith(text, kSpiffe) && absl::EndsWith(text, "/*") &&
      text.size() <= kMaxSpiffeId && IsSpiffeId(text.substr(0, text.size() - 2))) {
    return PrincipalPattern(std::string(text), true);
  }
  if (!IsPrincipal(text)) return Invalid(field, text, kRightPattern);
  return PrincipalPattern(std::string(text), false);
}

bool PrincipalPattern::Matches(absl::string_view principal) const {
  if (!is_prefix_) return principal == text_;
  const absl::string_view folder = absl::string_view(text_).substr(0, text_.size() - 1);
  // An authority may have signed what is no SPIFFE id: "spiffe://a/b/../c" is not below a/b.
  return absl::StartsWith(principal, folder) && principal.size() <= kMaxSpiffeId &&
         AreSegments(principal.substr(folder.size()));
}

}  // namespace strongroom::gate
