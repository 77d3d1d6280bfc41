#ifndef STRONGROOM_SERVER_CORE_BINDING_H_
#define STRONGROOM_SERVER_CORE_BINDING_H_

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace strongroom::core {

// What a blob is bound to besides its own header: nothing, bytes (an Aad), or a map of strings (an
// encryption context). Opening takes an equal binding of the same kind.
class Binding {
 public:
  // The most bytes that an Aad, or a context in its encoded form, may have.
  static constexpr size_t kMaxBytes = 8192;

  // Bound to nothing.
  Binding() = default;
  // Empty bytes and an empty map are bindings to nothing. InvalidParameter, naming `field`, if
  // there is too much.
  static absl::StatusOr<Binding> ToAad(absl::string_view field, absl::string_view aad);
  static absl::StatusOr<Binding> ToContext(absl::string_view field,
                                           const std::map<std::string, std::string>& context);

  // The kind, in one byte, and the encoded binding. Different bindings have different encodings:
  // a context is its pairs in the order of their keys' bytes, each key and each value behind its
  // length in four bytes, big-endian.
  const std::string& encoded() const { return encoded_; }

 private:
  explicit Binding(std::string encoded) : encoded_(std::move(encoded)) {}

  std::string encoded_ = std::string(1, '\0');
};

}  // namespace strongroom::core

#endif  // STRONGROOM_SERVER_CORE_BINDING_H_
