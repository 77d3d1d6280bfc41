#include "tests/hsm/raw_token.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/testing/softhsm.h"

namespace strongroom::hsm {
namespace {

std::vector<CK_ATTRIBUTE> ToCk(const std::vector<RawAttribute>& attributes) {
  std::vector<CK_ATTRIBUTE> ck;
  for (const RawAttribute& attribute : attributes) {
    ck.push_back({attribute.type, const_cast<char*>(attribute.value.data()),
                  static_cast<CK_ULONG>(attribute.value.size())});
  }
  return ck;
}

}  // namespace

std::string RawBool(bool value) { return std::string(1, value ? CK_TRUE : CK_FALSE); }

std::string RawUlong(CK_ULONG value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

absl::StatusOr<RawToken> RawToken::Open(absl::string_view label) {
  void* library = dlopen(testing::kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::NotFoundError(dlerror());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get(&functions) != CKR_OK) return absl::InternalError("C_GetFunctionList");
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  if (functions->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) {
    return absl::InternalError("C_GetSlotList: is no Token open?");
  }
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info;
    CK_SESSION_HANDLE session;
    if (functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
        absl::StripTrailingAsciiWhitespace(
            {reinterpret_cast<const char*>(info.label), sizeof(info.label)}) == label &&
        functions->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr,
                                 &session) == CKR_OK) {
      return RawToken(functions, session);
    }
  }
  return absl::NotFoundError(absl::StrCat("no token has the label ", label));
}

RawToken::RawToken(RawToken&& other) noexcept
    : functions_(other.functions_), session_(std::exchange(other.session_, CK_INVALID_HANDLE)) {}

RawToken::~RawToken() {
  if (session_ != CK_INVALID_HANDLE) functions_->C_CloseSession(session_);
}

std::vector<CK_OBJECT_HANDLE> RawToken::Find(const std::vector<RawAttribute>& attributes) const {
  std::vector<CK_ATTRIBUTE> ck = ToCk(attributes);
  EXPECT_EQ(functions_->C_FindObjectsInit(session_, ck.data(), ck.size()), CKR_OK);
  std::vector<CK_OBJECT_HANDLE> found(1024);
  CK_ULONG count = 0;
  EXPECT_EQ(functions_->C_FindObjects(session_, found.data(), found.size(), &count), CKR_OK);
  EXPECT_LT(count, found.size());
  EXPECT_EQ(functions_->C_FindObjectsFinal(session_), CKR_OK);
  found.resize(count);
  return found;
}

std::string RawToken::Get(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) const {
  std::string value(4096, '\0');
  CK_ATTRIBUTE attribute = {type, value.data(), static_cast<CK_ULONG>(value.size())};
  EXPECT_EQ(functions_->C_GetAttributeValue(session_, object, &attribute, 1), CKR_OK);
  value.resize(attribute.ulValueLen);
  return value;
}

CK_OBJECT_HANDLE RawToken::Create(const std::vector<RawAttribute>& attributes) const {
  std::vector<CK_ATTRIBUTE> ck = ToCk(attributes);
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  EXPECT_EQ(functions_->C_CreateObject(session_, ck.data(), ck.size(), &object), CKR_OK);
  return object;
}

CK_OBJECT_HANDLE RawToken::GenerateKey(CK_MECHANISM_TYPE mechanism,
                                       const std::vector<RawAttribute>& attributes) const {
  std::vector<CK_ATTRIBUTE> ck = ToCk(attributes);
  CK_MECHANISM ck_mechanism = {mechanism, nullptr, 0};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  EXPECT_EQ(functions_->C_GenerateKey(session_, &ck_mechanism, ck.data(), ck.size(), &key), CKR_OK);
  return key;
}

CK_OBJECT_HANDLE RawToken::GenerateAesKey(std::vector<RawAttribute> attributes) const {
  attributes.push_back({CKA_VALUE_LEN, RawUlong(32)});
  return GenerateKey(CKM_AES_KEY_GEN, attributes);
}

void RawToken::Destroy(CK_OBJECT_HANDLE object) const {
  EXPECT_EQ(functions_->C_DestroyObject(session_, object), CKR_OK);
}

}  // namespace strongroom::hsm
