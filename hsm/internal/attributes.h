#ifndef STRONGROOM_HSM_INTERNAL_ATTRIBUTES_H_
#define STRONGROOM_HSM_INTERNAL_ATTRIBUTES_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hsm/internal/pkcs11.h"

namespace strongroom::hsm::internal {

// A template of attributes that owns its values. Chain Add…() calls and hand it to a Session.
class Template {
 public:
  Template() = default;
  Template(Template&&) = default;
  Template& operator=(Template&&) = default;
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  Template&& AddBool(CK_ATTRIBUTE_TYPE type, bool value) &&;
  Template&& AddUlong(CK_ATTRIBUTE_TYPE type, CK_ULONG value) &&;
  Template&& AddBytes(CK_ATTRIBUTE_TYPE type, absl::string_view value) &&;
  Template&& AddBytes(CK_ATTRIBUTE_TYPE type, absl::Span<const uint8_t> value) &&;
  // CKA_ALLOWED_MECHANISMS with one mechanism.
  Template&& AddAllowedMechanism(CK_MECHANISM_TYPE mechanism) &&;
  // Refers to the caller's bytes, which must outlive the template: secrets are not copied.
  Template&& AddReference(CK_ATTRIBUTE_TYPE type, absl::Span<const uint8_t> value) &&;

  // PKCS#11 takes templates as pointers to non-const and does not write to them.
  CK_ATTRIBUTE* data() const { return const_cast<CK_ATTRIBUTE*>(attributes_.data()); }
  CK_ULONG size() const { return attributes_.size(); }

 private:
  void AddOwned(CK_ATTRIBUTE_TYPE type, absl::string_view value);

  std::deque<std::string> values_;
  std::vector<CK_ATTRIBUTE> attributes_;
};

}  // namespace strongroom::hsm::internal

#endif  // STRONGROOM_HSM_INTERNAL_ATTRIBUTES_H_
