#include "server/core/binding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>

#include "server/core/error.h"
#include "tests/server/core/reason_matchers.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::core {
namespace {

using ::testing::AllOf;
using testing::FailsWith;
using ::testing::HasSubstr;
using testing::IsOk;

using Context = std::map<std::string, std::string>;

std::string EncodedAad(const std::string& aad) {
  absl::StatusOr<Binding> binding = Binding::ToAad("Aad", aad);
  EXPECT_OK(binding);
  return binding.ok() ? binding->encoded() : "";
}

std::string EncodedContext(const Context& context) {
  absl::StatusOr<Binding> binding = Binding::ToContext("encryption_context", context);
  EXPECT_OK(binding);
  return binding.ok() ? binding->encoded() : "";
}

std::string Bytes(std::initializer_list<uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(BindingTest, NothingIsOneZeroByte) {
  EXPECT_EQ(Binding().encoded(), Bytes({0}));
  EXPECT_EQ(EncodedAad(""), Bytes({0}));
  EXPECT_EQ(EncodedContext({}), Bytes({0}));
}

TEST(BindingTest, AadIsItsKindAndItsBytes) {
  EXPECT_EQ(EncodedAad(std::string("a\0b", 3)), Bytes({1, 'a', 0, 'b'}));
  EXPECT_EQ(EncodedAad(Bytes({0})), Bytes({1, 0}));
}

TEST(BindingTest, ContextIsItsKindAndItsPairsWithTheirLengths) {
  EXPECT_EQ(EncodedContext({{"key", ""}, {"k", "v"}}),
            Bytes({2, 0, 0, 0, 1, 'k', 0, 0, 0, 1, 'v', 0, 0, 0, 3, 'k', 'e', 'y', 0, 0, 0, 0}));
}

TEST(BindingTest, LengthsAreBigEndian) {
  const std::string encoded = EncodedContext({{"k", std::string(0x1234, 'v')}});
  EXPECT_EQ(encoded.substr(0, 10), Bytes({2, 0, 0, 0, 1, 'k', 0, 0, 0x12, 0x34}));
}

TEST(BindingTest, PairsAreInTheOrderOfTheirKeysAsUnsignedBytes) {
  // Signed characters would put 0xc3 before 'a'.
  const std::string encoded = EncodedContext({{"\xc3\xa4", "3"}, {"a", "2"}, {"B", "1"}});
  const size_t upper = encoded.find("B");
  const size_t lower = encoded.find("a");
  const size_t beyond_ascii = encoded.find("\xc3\xa4");
  EXPECT_LT(upper, lower);
  EXPECT_LT(lower, beyond_ascii);
}

TEST(BindingTest, ContextIsCaseSensitive) {
  EXPECT_NE(EncodedContext({{"Key", "v"}}), EncodedContext({{"key", "v"}}));
  EXPECT_NE(EncodedContext({{"key", "V"}}), EncodedContext({{"key", "v"}}));
}

TEST(BindingTest, ContextsThatOtherEncodingsTakeForEachOtherDiffer) {
  const Context contexts[] = {
      {{"a", "1&b=2"}},
      {{"a", "1"}, {"b", "2"}},
      {{"a=1&b", "2"}},
      {{"a", "1"}, {"b", "2"}, {"", ""}},
      {{"ab", ""}},
      {{"a", "b"}},
      {{"", "ab"}},
      {{"a", ""}, {"b", ""}},
      {{"", "a"}, {"b", ""}},
      {{"a", std::string("\0", 1)}},
      {{std::string("a\0", 2), ""}},
  };
  std::set<std::string> encoded;
  for (const Context& context : contexts) encoded.insert(EncodedContext(context));
  EXPECT_EQ(encoded.size(), std::size(contexts));
}

TEST(BindingTest, ValueThatImitatesTheNextPairDiffers) {
  // The value holds what the second pair of the other context is encoded as.
  const std::string second_pair = Bytes({0, 0, 0, 1, 'b', 0, 0, 0, 1, '2'});
  EXPECT_NE(EncodedContext({{"a", "1" + second_pair}}), EncodedContext({{"a", "1"}, {"b", "2"}}));
}

TEST(BindingTest, AadOfAContextsBytesIsNotThatContext) {
  const std::string context = EncodedContext({{"a", "1"}});
  EXPECT_NE(EncodedAad(context), context);
  EXPECT_NE(EncodedAad(context.substr(1)), context);
}

// Small alphabets and lengths, so that what can collide does.
TEST(BindingTest, DifferentContextsHaveDifferentBytes) {
  std::mt19937 random(20240229);
  const auto text = [&] {
    std::string result;
    for (size_t i = random() % 5; i > 0; --i) {
      result.push_back(std::string("\0\1ab", 4)[random() % 4]);
    }
    return result;
  };
  std::map<std::string, Context> seen;
  for (int i = 0; i < 50000; ++i) {
    Context context;
    for (size_t pairs = random() % 4; pairs > 0; --pairs) context[text()] = text();
    const auto [it, inserted] = seen.insert({EncodedContext(context), context});
    ASSERT_EQ(it->second, context);
  }
  EXPECT_GT(seen.size(), 10000u);
}

TEST(BindingTest, AadHasAtMost8192Bytes) {
  EXPECT_THAT(Binding::ToAad("Aad", std::string(8192, 'x')), IsOk());
  EXPECT_THAT(Binding::ToAad("Aad", std::string(8193, 'x')),
              FailsWith(Reason::kInvalidParameter,
                        AllOf(HasSubstr("Aad:"), HasSubstr("8193"), HasSubstr("8192"))));
}

TEST(BindingTest, EncodedContextHasAtMost8192Bytes) {
  // A pair takes 8 bytes for its lengths.
  EXPECT_THAT(Binding::ToContext("encryption_context", {{"k", std::string(8183, 'v')}}), IsOk());
  EXPECT_THAT(Binding::ToContext("encryption_context", {{"k", std::string(8184, 'v')}}),
              FailsWith(Reason::kInvalidParameter, AllOf(HasSubstr("encryption_context:"),
                                                         HasSubstr("8193"), HasSubstr("8192"))));
  Context many;
  for (int i = 0; i < 1000; ++i) many[std::to_string(i)] = "";
  EXPECT_THAT(Binding::ToContext("encryption_context", many), FailsWith(Reason::kInvalidParameter));
}

}  // namespace
}  // namespace strongroom::core
