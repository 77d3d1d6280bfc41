#ifndef STRONGROOM_SERVER_GATE_PRINCIPAL_H_
#define STRONGROOM_SERVER_GATE_PRINCIPAL_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace strongroom::gate {

// A name of one principal: 1 to 256 printable ASCII characters without blanks and without "*", or
// a SPIFFE id (SPIFFE-ID, section 2) of at most 2,048 characters. MissingParameter,
// InvalidParameter, naming `field`.
absl::Status CheckPrincipal(absl::string_view field, absl::string_view text);

// One principal or a folder of SPIFFE ids, as policies name them. Thread-safe.
class PrincipalPattern {
 public:
  // Takes a principal (see CheckPrincipal), which stands for itself, or a SPIFFE id whose last
  // segment is "*": "spiffe://TRUST-DOMAIN/PATH/*" or "spiffe://TRUST-DOMAIN/*". There is no
  // pattern for everybody. MissingParameter, InvalidParameter, naming `field`.
  static absl::StatusOr<PrincipalPattern> Parse(absl::string_view field, absl::string_view text);

  // "spiffe://a/b/*" matches well-formed ids that have at least one more segment than
  // "spiffe://a/b", and nothing else.
  bool Matches(absl::string_view principal) const;

  // As it was parsed.
  const std::string& text() const { return text_; }

  friend bool operator==(const PrincipalPattern&, const PrincipalPattern&) = default;

 private:
  explicit PrincipalPattern(std::string text, bool is_prefix)
      : text_(std::move(text)), is_prefix_(is_prefix) {}

  std::string text_;
  bool is_prefix_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_PRINCIPAL_H_
