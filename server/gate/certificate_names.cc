#include "server/gate/certificate_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace strongroom::gate {
namespace {

constexpr size_t kLongestSpiffeId = 2048;
constexpr size_t kLongestTrustDomain = 255;
constexpr size_t kLongestHostName = 253;
constexpr size_t kLongestLabel = 63;

template <typename Predicate>
bool All(absl::string_view text, Predicate predicate) {
  return std::all_of(text.begin(), text.end(), predicate);
}

bool IsSegment(absl::string_view segment) {
  return !segment.empty() && segment != "." && segment != ".." && All(segment, [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

// spiffe://TRUST-DOMAIN/SEGMENT/SEGMENT... A user, a port, a query, a fragment and escapes need
// characters that neither part has.
bool IsSpiffeId(absl::string_view id) {
  if (id.size() > kLongestSpiffeId || !absl::ConsumePrefix(&id, "spiffe://")) return false;
  std::vector<absl::string_view> parts = absl::StrSplit(id, '/');
  const absl::string_view trust_domain = parts.front();
  parts.erase(parts.begin());
  return !trust_domain.empty() && trust_domain.size() <= kLongestTrustDomain &&
         All(trust_domain,
             [](char c) {
               return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '.' ||
                      c == '_';
             }) &&
         !parts.empty() && std::all_of(parts.begin(), parts.end(), IsSegment);
}

bool IsLabel(absl::string_view label) {
  return !label.empty() && label.size() <= kLongestLabel && label.front() != '-' &&
         label.back() != '-' &&
         All(label, [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

bool IsHostName(absl::string_view name) {
  const std::vector<absl::string_view> labels = absl::StrSplit(name, '.');
  return name.size() <= kLongestHostName && std::all_of(labels.begin(), labels.end(), IsLabel);
}

bool HasNul(const std::string& name) { return name.find('\0') != std::string::npos; }

}  // namespace

absl::StatusOr<std::string> PrincipalIn(const CertificateNames& names) {
  if (std::any_of(names.uris.begin(), names.uris.end(), HasNul) ||
      std::any_of(names.dns_names.begin(), names.dns_names.end(), HasNul)) {
    return absl::InvalidArgumentError("one of its names has a NUL character");
  }
  const std::string* spiffe = nullptr;
  for (const std::string& uri : names.uris) {
    if (!absl::StartsWithIgnoreCase(uri, "spiffe:")) continue;
    if (spiffe != nullptr) return absl::InvalidArgumentError("it has more than one SPIFFE id");
    spiffe = &uri;
  }
  if (spiffe != nullptr) {
    if (!IsSpiffeId(*spiffe)) return absl::InvalidArgumentError("its SPIFFE id is not well formed");
    return *spiffe;
  }
  if (names.dns_names.empty()) {
    return absl::InvalidArgumentError("it has neither a SPIFFE id nor a DNS name");
  }
  if (!IsHostName(names.dns_names.front())) {
    return absl::InvalidArgumentError("its first DNS name is not a host name");
  }
  return absl::AsciiStrToLower(names.dns_names.front());
}

}  // namespace strongroom::gate
