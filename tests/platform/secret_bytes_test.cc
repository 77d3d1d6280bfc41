#include "platform/secret_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace strongroom {
namespace {

using ::testing::Contains;
using ::testing::Each;

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes>);
static_assert(std::is_nothrow_move_assignable_v<SecretBytes>);

template <typename T, typename = void>
struct HasStreamOperator : std::false_type {};
template <typename T>
struct HasStreamOperator<
    T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};
static_assert(!HasStreamOperator<SecretBytes>::value);

constexpr size_t kPoolBytes = size_t{1} << 15;

// The pool is made once in a process, before the first secret.
const bool pool_is_locked = ReserveSecretMemory(kPoolBytes);

// The VmFlags of the mapping that an address is in (proc_pid_smaps(5)).
std::vector<std::string> MappingFlags(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream in(line);
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char dash = 0;
    if (in >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      std::istringstream words(line.substr(8));
      std::vector<std::string> flags;
      for (std::string flag; words >> flag;) flags.push_back(flag);
      return flags;
    }
  }
  return {};
}

// In smaps: "lo" is locked, "dd" is left out of core dumps.
constexpr char kLocked[] = "lo";
constexpr char kNotDumped[] = "dd";

SecretBytes Filled(size_t size, uint8_t value) {
  SecretBytes secret(size);
  std::fill(secret.MutableSecret().begin(), secret.MutableSecret().end(), value);
  return secret;
}

TEST(SecretBytesTest, NewSecretIsZeros) {
  const SecretBytes secret(100);
  EXPECT_EQ(secret.size(), 100u);
  EXPECT_FALSE(secret.empty());
  EXPECT_THAT(secret.ExposeSecret(), Each(0));
}

TEST(SecretBytesTest, NoBytesAreEmpty) {
  EXPECT_TRUE(SecretBytes().empty());
  EXPECT_TRUE(SecretBytes(0).empty());
  EXPECT_TRUE(SecretBytes::CopyOf("").empty());
  EXPECT_EQ(SecretBytes().ExposeSecretAsText(), "");
  EXPECT_TRUE(SecretBytes() == SecretBytes(0));
}

TEST(SecretBytesTest, CopyHasTheBytes) {
  const SecretBytes secret = SecretBytes::CopyOf("sesame");
  EXPECT_EQ(secret.ExposeSecretAsText(), "sesame");
}

TEST(SecretBytesTest, PoolIsLockedAndNotDumped) {
  ASSERT_TRUE(pool_is_locked) << "32 KiB cannot be locked: see ulimit -l";
  const SecretBytes secret(64);
  EXPECT_THAT(MappingFlags(secret.ExposeSecret().data()), Contains(kLocked));
  EXPECT_THAT(MappingFlags(secret.ExposeSecret().data()), Contains(kNotDumped));
}

TEST(SecretBytesTest, SecretThatThePoolHasNoRoomForIsLockedToo) {
  const SecretBytes secret = Filled(2 * kPoolBytes, 0xAB);
  EXPECT_EQ(secret.size(), 2 * kPoolBytes);
  EXPECT_THAT(MappingFlags(secret.ExposeSecret().data()), Contains(kNotDumped));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sanitizers make mlock(2) do nothing.
  EXPECT_THAT(MappingFlags(secret.ExposeSecret().data()), Contains(kLocked));
#endif
}

TEST(SecretBytesTest, ExhaustedPoolIsNoFailure) {
  std::vector<SecretBytes> secrets;
  for (int i = 0; i < 100; ++i) secrets.push_back(Filled(1024, static_cast<uint8_t>(i)));
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(secrets[static_cast<size_t>(i)].ExposeSecret(), Each(i));
  }
}

// The pool keeps its memory, so what a secret left there can be looked at.
TEST(SecretBytesTest, SecretIsWipedWhenItGoes) {
  constexpr size_t kSize = 256;
  // The pool writes its own links into the head of a free block.
  constexpr size_t kLinks = 2 * sizeof(void*);
  const uint8_t* left = nullptr;
  {
    const SecretBytes secret = Filled(kSize, 0xAB);
    left = secret.ExposeSecret().data();
  }
  const volatile uint8_t* const memory = left;
  for (size_t i = kLinks; i < kSize; ++i) ASSERT_EQ(memory[i], 0) << i;
}

TEST(SecretBytesTest, SecretIsWipedWhenAnotherTakesItsPlace) {
  constexpr size_t kSize = 256;
  SecretBytes secret = Filled(kSize, 0xAB);
  const volatile uint8_t* const memory = secret.ExposeSecret().data();
  secret = SecretBytes::CopyOf("another");
  for (size_t i = 2 * sizeof(void*); i < kSize; ++i) ASSERT_EQ(memory[i], 0) << i;
  EXPECT_EQ(secret.ExposeSecretAsText(), "another");
}

TEST(SecretBytesTest, TruncationKeepsTheHeadAndWipesTheRest) {
  SecretBytes secret = Filled(64, 0xAB);
  const uint8_t* const memory = secret.ExposeSecret().data();
  secret.Truncate(16);
  EXPECT_EQ(secret.size(), 16u);
  EXPECT_THAT(secret.ExposeSecret(), Each(0xAB));
  // Its memory is still its own.
  EXPECT_THAT(absl::MakeConstSpan(memory + 16, 48), Each(0));
  secret.Truncate(100);
  EXPECT_EQ(secret.size(), 16u);
  secret.Truncate(0);
  EXPECT_TRUE(secret.empty());
}

TEST(SecretBytesTest, MoveLeavesNothingBehind) {
  SecretBytes first = SecretBytes::CopyOf("sesame");
  const uint8_t* const memory = first.ExposeSecret().data();
  SecretBytes second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): what it is after
  EXPECT_EQ(second.ExposeSecret().data(), memory);
  EXPECT_EQ(second.ExposeSecretAsText(), "sesame");
  SecretBytes& same = second;
  second = std::move(same);
  EXPECT_EQ(second.ExposeSecretAsText(), "sesame");
}

TEST(SecretBytesTest, EqualityIsOfBytesAndLength) {
  const SecretBytes secret = SecretBytes::CopyOf("sesame");
  EXPECT_TRUE(secret == SecretBytes::CopyOf("sesame"));
  EXPECT_FALSE(secret == SecretBytes::CopyOf("Sesame"));
  EXPECT_FALSE(secret == SecretBytes::CopyOf("sesam"));
  EXPECT_FALSE(secret == SecretBytes());
}

TEST(WipeTest, TextIsOverwrittenAndEmpty) {
  std::string text(100, 'x');
  // A string that was cleared keeps its memory.
  const volatile char* const memory = text.data();
  Wipe(&text);
  EXPECT_TRUE(text.empty());
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(memory[i], '\0') << i;
}

TEST(WipeTest, BytesAreOverwritten) {
  char bytes[16] = "sesame";
  Wipe(bytes, sizeof(bytes));
  EXPECT_THAT(bytes, Each('\0'));
  Wipe(nullptr, 0);
}

}  // namespace
}  // namespace strongroom
