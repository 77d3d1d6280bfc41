#include "server/gate/operation.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "server/core/error.h"

namespace strongroom::gate {
namespace {

struct Group {
  const char* name;
  uint8_t bits;
};

constexpr Group kGroups[] = {
    {"group:seal", kSealGroup},
    {"group:open", kOpenGroup},
    {"group:use", kSealGroup | kOpenGroup},
    {"group:describe", kDescribeGroup},
    {"group:administer", kAdministerGroup},
};

std::optional<uint8_t> GroupOf(absl::string_view name) {
  for (const Group& group : kGroups) {
    if (name == group.name) return group.bits;
  }
  return std::nullopt;
}

std::string FullNameOf(const OperationInfo& info) {
  return absl::StrCat(info.service, ".", info.name);
}

}  // namespace

absl::string_view NameOf(OperationClass operation_class) {
  constexpr const char* kNames[kOperationClasses] = {"data_key", "key_pair", "decrypt", "random",
                                                     "management"};
  return kNames[static_cast<size_t>(operation_class)];
}

std::string Operation::FullName() const { return FullNameOf(info()); }

absl::StatusOr<OperationSet> OperationSet::Parse(absl::string_view field,
                                                 absl::Span<const std::string> names) {
  OperationSet set;
  for (const std::string& name : names) {
    const std::optional<uint8_t> group = GroupOf(name);
    bool found = false;
    for (size_t i = 0; i < std::size(kOperations); ++i) {
      const OperationInfo& info = kOperations[i];
      const bool named = name == info.name || name == FullNameOf(info);
      if (info.takes_permissions != nullptr) {
        if (!named) continue;
        return core::MakeError(
            core::Reason::kInvalidParameter,
            absl::StrCat(field, ": \"", name, "\" is not permitted as a whole; it takes ",
                         info.takes_permissions));
      }
      if (named || name == "*" || (group.has_value() && (info.groups & *group) != 0)) {
        set.bits_.set(i);
        found = true;
      }
    }
    if (!found) {
      return core::MakeError(
          core::Reason::kInvalidParameter,
          absl::StrCat(field, ": \"", name,
                       "\" is not an operation; valid are the names of RPCs (\"Decrypt\", or "
                       "\"KmsService.Decrypt\" for one service's), \"group:seal\", \"group:open\", "
                       "\"group:use\", \"group:describe\", \"group:administer\" and \"*\""));
    }
  }
  if (names.empty()) {
    return core::MakeError(core::Reason::kMissingParameter,
                           absl::StrCat(field, ": is required; name at least one operation"));
  }
  return set;
}

OperationSet OperationSet::Grantable() {
  OperationSet set;
  for (size_t i = 0; i < std::size(kOperations); ++i) set.bits_[i] = kOperations[i].grantable;
  return set;
}

std::vector<std::string> OperationSet::NamesNotIn(const OperationSet& other) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::size(kOperations); ++i) {
    if (bits_[i] && !other.bits_[i]) names.push_back(FullNameOf(kOperations[i]));
  }
  return names;
}

}  // namespace strongroom::gate
