#include "hsm/internal/attributes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

namespace strongroom::hsm::internal {
namespace {

std::string ValueOf(const CK_ATTRIBUTE& attribute) {
  return std::string(static_cast<const char*>(attribute.pValue), attribute.ulValueLen);
}

template <typename T>
std::string RawBytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Enough attributes that their values cannot all have stayed where the first was put.
Template LongTemplate() {
  Template attributes;
  for (CK_ULONG i = 0; i < 200; ++i) {
    std::move(attributes).AddUlong(CKA_VENDOR_DEFINED + i, i);
  }
  return attributes;
}

TEST(TemplateTest, ValuesAreInPkcs11sForm) {
  const uint8_t id[] = {1, 2, 3};
  const Template attributes = Template()
                                  .AddBool(CKA_TOKEN, true)
                                  .AddBool(CKA_EXTRACTABLE, false)
                                  .AddUlong(CKA_VALUE_LEN, 32)
                                  .AddBytes(CKA_LABEL, absl::string_view("label"))
                                  .AddBytes(CKA_ID, absl::MakeConstSpan(id))
                                  .AddAllowedMechanism(CKM_AES_GCM);
  ASSERT_EQ(attributes.size(), 6u);
  const std::pair<CK_ATTRIBUTE_TYPE, std::string> kExpected[] = {
      {CKA_TOKEN, std::string(1, '\x01')},
      {CKA_EXTRACTABLE, std::string(1, '\x00')},
      {CKA_VALUE_LEN, RawBytes(CK_ULONG{32})},
      {CKA_LABEL, "label"},
      {CKA_ID, "\x01\x02\x03"},
      {CKA_ALLOWED_MECHANISMS, RawBytes(CK_MECHANISM_TYPE{CKM_AES_GCM})},
  };
  for (CK_ULONG i = 0; i < attributes.size(); ++i) {
    EXPECT_EQ(attributes.data()[i].type, kExpected[i].first) << i;
    EXPECT_EQ(ValueOf(attributes.data()[i]), kExpected[i].second) << i;
  }
}

TEST(TemplateTest, NoAttributesAreNone) { EXPECT_EQ(Template().size(), 0u); }

TEST(TemplateTest, ValuesOutliveTheirSource) {
  std::string label = "a label that is longer than a short string";
  const Template attributes = Template().AddBytes(CKA_LABEL, absl::string_view(label));
  label.assign(label.size(), 'x');
  EXPECT_EQ(ValueOf(attributes.data()[0]), "a label that is longer than a short string");
}

TEST(TemplateTest, ValuesStayRightWhileItGrowsAndMoves) {
  Template first = LongTemplate();
  const Template second = std::move(first);
  Template third;
  third = LongTemplate();
  for (const Template* attributes : {&second, static_cast<const Template*>(&third)}) {
    ASSERT_EQ(attributes->size(), 200u);
    for (CK_ULONG i = 0; i < attributes->size(); ++i) {
      EXPECT_EQ(ValueOf(attributes->data()[i]), RawBytes(i));
    }
  }
}

TEST(TemplateTest, ReferenceIsNotACopy) {
  const uint8_t secret[] = {1, 2, 3, 4};
  const Template attributes = Template().AddReference(CKA_VALUE, absl::MakeConstSpan(secret));
  EXPECT_EQ(attributes.data()[0].pValue, secret);
  EXPECT_EQ(attributes.data()[0].ulValueLen, sizeof(secret));
}

}  // namespace
}  // namespace strongroom::hsm::internal
