#include "platform/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOkAndHolds;
using ::testing::Not;
using testing::StatusIs;

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, testing::MakeTestDirectory());
    path_ = directory_ + "/file";
  }

  void Write(const std::string& content, mode_t mode) {
    std::ofstream(path_, std::ios::trunc | std::ios::binary) << content;
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
  }

  mode_t Mode() {
    struct stat info = {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  size_t FilesInDirectory() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_)) {
      ++count;
    }
    return count;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(FilesTest, FileIsReadAsItIs) {
  const std::string content("line\nline\r\n\0x\n", 14);
  Write(content, 0644);
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(content));
}

TEST_F(FilesTest, MissingFileAndDirectoryAreNamed) {
  EXPECT_THAT(ReadFile(path_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  EXPECT_THAT(ReadSecretFile(path_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
  EXPECT_THAT(ReadFile(directory_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                             HasSubstr("is a directory, not a file")));
}

TEST_F(FilesTest, FileOverAMebibyteIsRefused) {
  Write(std::string(size_t{1} << 20, 'x'), 0600);
  ASSERT_OK_AND_ASSIGN(const std::string largest, ReadFile(path_));
  EXPECT_EQ(largest.size(), size_t{1} << 20);
  Write(std::string((size_t{1} << 20) + 1, 'x'), 0600);
  EXPECT_THAT(ReadFile(path_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1 MiB")));
  EXPECT_THAT(ReadSecretFile(path_), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FilesTest, SecretLosesItsLastNewlineAndNoMore) {
  const std::pair<std::string, std::string> kCases[] = {
      {"1234", "1234"},       {"1234\n", "1234"},   {"1234\r\n", "1234"},
      {"1234\n\n", "1234\n"}, {"12\n34", "12\n34"}, {" 1234 ", " 1234 "},
      {"1234\r", "1234\r"},   {"\n", ""},           {"", ""},
  };
  for (const auto& [content, secret] : kCases) {
    Write(content, 0600);
    ASSERT_OK_AND_ASSIGN(const SecretBytes read, ReadSecretFile(path_));
    EXPECT_EQ(read.ExposeSecretAsText(), secret);
  }
}

TEST_F(FilesTest, SecretThatOthersMayReadOrWriteIsRefusedWithoutItsContent) {
  for (mode_t mode : {0604, 0602, 0601 | 0004, 0620, 0660, 0644, 0646, 0777}) {
    Write("SesameOpen", mode);
    EXPECT_THAT(
        ReadSecretFile(path_),
        StatusIs(
            absl::StatusCode::kFailedPrecondition,
            AllOf(HasSubstr(path_), HasSubstr("chmod 0600"),
                  HasSubstr(absl::StrCat("mode 0", (mode >> 6) & 7, (mode >> 3) & 7, mode & 7)),
                  Not(HasSubstr("SesameOpen")))));
  }
}

TEST_F(FilesTest, SecretOfOwnerAndGroupIsRead) {
  for (mode_t mode : {0600, 0400, 0640, 0440}) {
    Write("secret", mode);
    EXPECT_OK(ReadSecretFile(path_)) << std::oct << mode;
  }
}

TEST_F(FilesTest, WrittenSecretIsItsOwnersAlone) {
  const mode_t before = umask(0);
  const absl::Status written = WriteSecretFile(path_, Bytes("secret"));
  umask(before);
  EXPECT_OK(written);
  EXPECT_EQ(Mode(), 0600u);
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(std::string("secret")));
  EXPECT_EQ(FilesInDirectory(), 1u);
}

TEST_F(FilesTest, WrittenSecretReplacesWhatWasThereAndItsMode) {
  Write("a longer content from before", 0666);
  EXPECT_OK(WriteSecretFile(path_, Bytes("new")));
  EXPECT_EQ(Mode(), 0600u);
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(std::string("new")));
}

// Whoever may write the directory must not get a secret written to where a link of theirs points.
TEST_F(FilesTest, WrittenSecretReplacesALinkAndNotItsTarget) {
  const std::string target = directory_ + "/target";
  std::ofstream(target) << "before";
  ASSERT_EQ(symlink(target.c_str(), path_.c_str()), 0);
  EXPECT_OK(WriteSecretFile(path_, Bytes("secret")));
  EXPECT_THAT(ReadFile(target), IsOkAndHolds(std::string("before")));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(std::string("secret")));
}

TEST_F(FilesTest, WriteThatCannotBeDoneLeavesNothing) {
  EXPECT_THAT(WriteSecretFile("/nonexistent/file", Bytes("secret")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/file")));
  // A directory is in the way of the rename.
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_THAT(WriteSecretFile(path_, Bytes("secret")), Not(testing::IsOk()));
  EXPECT_EQ(FilesInDirectory(), 1u);
}

TEST_F(FilesTest, WriteIsNotStoppedByWhatACrashLeft) {
  std::ofstream(absl::StrCat(path_, ".", getpid(), ".tmp")) << "half";
  EXPECT_OK(WriteSecretFile(path_, Bytes("secret")));
}

TEST_F(FilesTest, HeldLockIsRefusedAndNamesItsHolder) {
  ASSERT_OK_AND_ASSIGN(const FileLock lock, FileLock::Acquire(path_));
  EXPECT_THAT(FileLock::Acquire(path_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(path_), HasSubstr(absl::StrCat("pid ", getpid())))));
}

TEST_F(FilesTest, LockIsFreeWhenItsHolderIsGone) {
  { ASSERT_OK(FileLock::Acquire(path_)); }
  std::optional<FileLock> lock;
  {
    ASSERT_OK_AND_ASSIGN(FileLock acquired, FileLock::Acquire(path_));
    lock.emplace(std::move(acquired));
  }
  EXPECT_THAT(FileLock::Acquire(path_), StatusIs(absl::StatusCode::kFailedPrecondition));
  lock.reset();
  EXPECT_OK(FileLock::Acquire(path_));
}

TEST_F(FilesTest, AssignedLockFreesTheOneItHeld) {
  const std::string other = directory_ + "/other";
  ASSERT_OK_AND_ASSIGN(FileLock lock, FileLock::Acquire(path_));
  {
    ASSERT_OK_AND_ASSIGN(FileLock second, FileLock::Acquire(other));
    lock = std::move(second);
  }
  EXPECT_OK(FileLock::Acquire(path_));
  EXPECT_THAT(FileLock::Acquire(other), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FilesTest, LockOfAKilledProcessIsFree) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<FileLock> lock = FileLock::Acquire(path_);
    (void)!write(ready[1], lock.ok() ? "y" : "n", 1);
    while (true) pause();
  }
  char held = 0;
  ASSERT_EQ(read(ready[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  EXPECT_THAT(FileLock::Acquire(path_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 HasSubstr(absl::StrCat("pid ", child))));
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_OK(FileLock::Acquire(path_));
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace strongroom
