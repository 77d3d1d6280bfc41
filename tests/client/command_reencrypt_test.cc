// `strongroom reencrypt`: files are rewritten one by one, in one step each.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/command/progress.h"
#include "platform/mutex.h"
#include "strongroom/v1/key_management_service.pb.h"
#include "strongroom/v1/kms_service.pb.h"
#include "tests/client/command_fixture.h"
#include "tests/client/fake_server.h"

namespace strongroom::command {
namespace {

using ::strongroom::testing::ServiceError;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

constexpr char kPrimary[] = "00112233-4455-6677-8899-aabbccddeeff";

grpc::Status InvalidCiphertext() {
  return ServiceError(grpc::StatusCode::INVALID_ARGUMENT, "does not open", "InvalidCiphertext", 400,
                      "request-2");
}

// A blob's header that names `version`, 16 bytes.
std::string BlobUnder(absl::string_view version) {
  return absl::StrCat(absl::string_view("SRKB\x01\x01\x01\x00\x00\x00\x00\x01", 12),
                      std::string(16, 'k'), version, std::string(40, 'x'));
}

// Takes the right to write everywhere from this thread, and those that it starts, if they have it:
// tests may be run by root.
class WithoutOverride {
 public:
  WithoutOverride() {
    syscall(SYS_capget, &header_, before_);
    __user_cap_data_struct without[2] = {before_[0], before_[1]};
    without[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
    EXPECT_EQ(syscall(SYS_capset, &header_, without), 0);
  }
  ~WithoutOverride() { syscall(SYS_capset, &header_, before_); }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2] = {};
};

class ReEncryptCommandTest : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    server_->On<v1::DescribeKeyRequest, v1::DescribeKeyResponse>(
        absl::StrCat(kKeys, "DescribeKey"), [](const auto&, auto* response) {
          response->mutable_key()->set_primary_key_version_id(kPrimary);
          return grpc::Status::OK;
        });
    // "old N" becomes "new N"; what is not old does not open.
    Answer([](const v1::ReEncryptRequest& request, v1::ReEncryptResponse* response) {
      if (!absl::StartsWith(request.ciphertext_blob(), "old")) return InvalidCiphertext();
      response->set_ciphertext_blob("new" + request.ciphertext_blob().substr(3));
      response->set_source_key_version_id("version-1");
      response->set_key_version_id(kPrimary);
      return grpc::Status::OK;
    });
  }

  void Answer(
      std::function<grpc::Status(const v1::ReEncryptRequest&, v1::ReEncryptResponse*)> does) {
    server_->On<v1::ReEncryptRequest, v1::ReEncryptResponse>(
        absl::StrCat(kClassic, "ReEncrypt"),
        [this, does](const v1::ReEncryptRequest& request, v1::ReEncryptResponse* response) {
          {
            MutexLock lock(mutex_);
            seen_ = request;
          }
          return does(request, response);
        });
  }

  Result ReEncrypt(const std::string& line) {
    return Run("reencrypt --destination-key-id d --output json " + line);
  }

  // All files here but the server's socket.
  static std::set<std::string> Files(const std::string& folder = ".") {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename() != "fake.sock") names.insert(entry.path().filename());
    }
    return names;
  }

  size_t Calls() const {
    const std::vector<std::string> calls = server_->calls();
    return static_cast<size_t>(
        std::count(calls.begin(), calls.end(), absl::StrCat(kClassic, "ReEncrypt")));
  }

  Mutex mutex_;
  v1::ReEncryptRequest seen_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ReEncryptCommandTest, FilesAreRewrittenAndKeepTheirModes) {
  Write("a", "old 1");
  Write("b", "old 2");
  ASSERT_EQ(chmod("a", 0640), 0);
  ASSERT_EQ(chmod("b", 0444), 0);
  const Result result = ReEncrypt("--source-key-id s --context k=v a b");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("a"), "new 1");
  EXPECT_EQ(Read("b"), "new 2");
  EXPECT_EQ(ModeOf("a"), 0640);
  EXPECT_EQ(ModeOf("b"), 0444);
  EXPECT_EQ(Files(), (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(result.json(), (Json{{"files", 2}, {"done", 2}, {"skipped", 0}, {"failed", 0}}))
      << result.out;
  MutexLock lock(mutex_);
  EXPECT_EQ(seen_.destination_key_id(), "d");
  EXPECT_EQ(seen_.source_key_id(), "s");
  EXPECT_EQ(seen_.source_encryption_context().at("k"), "v");
  EXPECT_EQ(seen_.destination_encryption_context().at("k"), "v");
}

TEST_F(ReEncryptCommandTest, ContextsOfOldAndNewCanDiffer) {
  Write("a", "old 1");
  EXPECT_EQ(ReEncrypt("--source-context k=v --destination-context l=w a").exit_code, 0);
  {
    MutexLock lock(mutex_);
    EXPECT_THAT(seen_.source_encryption_context(), SizeIs(1));
    EXPECT_EQ(seen_.source_encryption_context().at("k"), "v");
    EXPECT_EQ(seen_.destination_encryption_context().at("l"), "w");
  }
  Write("a", "old 1");
  EXPECT_EQ(ReEncrypt("--aad bound --destination-context l=w a").exit_code, 0);
  MutexLock lock(mutex_);
  EXPECT_EQ(seen_.source_aad(), "bound");
  EXPECT_THAT(seen_.source_encryption_context(), IsEmpty());
}

TEST_F(ReEncryptCommandTest, FilesThatFailStayAsTheyWereAndAreListed) {
  for (int i = 0; i < 50; ++i) {
    Write(absl::StrCat("f", i), i % 10 == 3 ? "bad" : absl::StrCat("old ", i));
  }
  Write("empty", "");
  Write("large", std::string(70000, 'x'));
  const Result result = ReEncrypt("missing --recursive . --parallel 8");
  EXPECT_EQ(result.exit_code, 11);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Read(absl::StrCat("f", i)), i % 10 == 3 ? "bad" : absl::StrCat("new ", i));
  }
  EXPECT_EQ(result.json()["files"], 53) << result.out;
  EXPECT_EQ(result.json()["done"], 45);
  EXPECT_EQ(result.json()["failed"], 8);
  EXPECT_THAT(result.json()["failures"], SizeIs(8));
  EXPECT_THAT(result.json()["failures"], Contains(Json{{"file", "./f13"},
                                                       {"reason", "InvalidCiphertext"},
                                                       {"message", "does not open"},
                                                       {"request_id", "request-2"}}))
      << result.out;
  EXPECT_EQ(result.json()["failures"].back()["file"], "missing");
  EXPECT_EQ(result.json()["failures"].back()["reason"], "LocalError");
  // Nobody watches: lines, of which the last has the end.
  EXPECT_THAT(result.err, HasSubstr("strongroom: 53 of 53 files: 45 done, 0 skipped, 8 failed\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));

  const Result table = Run("reencrypt --destination-key-id d f3");
  EXPECT_EQ(table.exit_code, 11);
  EXPECT_THAT(table.out, AllOf(HasSubstr("InvalidCiphertext"), HasSubstr("Failed   1")));
}

TEST_F(ReEncryptCommandTest, FileIsLeftWholeWhenItsSuccessorCannotBeWritten) {
  Write("a", "old, and long enough that the new one does not fit");
  // As on a full disk.
  struct rlimit before, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before;
  small.rlim_cur = 8;
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result result = ReEncrypt("a");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(result.exit_code, 11);
  EXPECT_EQ(Read("a"), "old, and long enough that the new one does not fit");
  EXPECT_EQ(Files(), std::set<std::string>{"a"});
  EXPECT_EQ(result.json()["failures"][0]["reason"], "LocalError") << result.out;
}

TEST_F(ReEncryptCommandTest, FileInAFolderThatCannotBeWrittenIsLeft) {
  ASSERT_EQ(mkdir("sealed", 0700), 0);
  Write("sealed/a", "old 1");
  Write("b", "old 2");
  ASSERT_EQ(chmod("sealed", 0500), 0);
  Result result;
  {
    const WithoutOverride may_not_write_everywhere;
    result = ReEncrypt("sealed/a b");
  }
  EXPECT_EQ(result.exit_code, 11);
  EXPECT_EQ(Read("sealed/a"), "old 1");
  EXPECT_EQ(Read("b"), "new 2");
  EXPECT_THAT(result.json()["failures"], SizeIs(1)) << result.out;
}

TEST_F(ReEncryptCommandTest, FileWithTheLongestNameIsRewritten) {
  const std::string name(255, 'n');
  Write(name, "old 1");
  EXPECT_EQ(ReEncrypt(name).exit_code, 0);
  EXPECT_EQ(Read(name), "new 1");
}

TEST_F(ReEncryptCommandTest, FileThatChangedMeanwhileIsLeft) {
  Write("a", "old 1");
  Answer([](const auto&, auto* response) {
    Write("a", "somebody's newer blob");
    response->set_ciphertext_blob("new 1");
    return grpc::Status::OK;
  });
  EXPECT_EQ(ReEncrypt("a").exit_code, 11);
  EXPECT_EQ(Read("a"), "somebody's newer blob");
  EXPECT_EQ(Files(), std::set<std::string>{"a"});
}

TEST_F(ReEncryptCommandTest, AnswerWithoutABlobIsNotWritten) {
  Write("a", "old 1");
  Answer([](const auto&, auto*) { return grpc::Status::OK; });
  EXPECT_EQ(ReEncrypt("a").exit_code, 11);
  EXPECT_EQ(Read("a"), "old 1");
}

TEST_F(ReEncryptCommandTest, InterruptionLeavesEachFileOldOrNew) {
  for (const char* name : {"a", "b", "c", "d"}) Write(name, "old");
  Answer([this](const auto&, auto* response) {
    if (Calls() == 2) raise(SIGINT);
    response->set_ciphertext_blob("new");
    return grpc::Status::OK;
  });
  const Result result = ReEncrypt("--parallel 1 a b c d");
  EXPECT_EQ(result.exit_code, 11);
  // What was under way is done.
  EXPECT_EQ(Read("a"), "new");
  EXPECT_EQ(Read("b"), "new");
  EXPECT_EQ(Read("c"), "old");
  EXPECT_EQ(Read("d"), "old");
  EXPECT_EQ(result.json()["done"], 2) << result.out;
  EXPECT_EQ(result.json()["not_begun"], 2);
  EXPECT_EQ(Files(), (std::set<std::string>{"a", "b", "c", "d"}));
}

TEST_F(ReEncryptCommandTest, BlobUnderTheNewestVersionIsSkipped) {
  const std::string newest("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
  Write("newest", BlobUnder(newest));
  const Result result = ReEncrypt("--context k=v newest");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.json()["skipped"], 1) << result.out;
  EXPECT_EQ(Calls(), 0u);

  // What the service tells by its answer is as good.
  Write("said", "a blob of another form");
  Answer([](const auto&, auto* response) {
    response->set_ciphertext_blob("new");
    response->set_source_key_version_id(kPrimary);
    response->set_key_version_id(kPrimary);
    return grpc::Status::OK;
  });
  EXPECT_EQ(ReEncrypt("said").json()["skipped"], 1);
  EXPECT_EQ(Read("said"), "a blob of another form");

  // Another context makes another blob.
  EXPECT_EQ(ReEncrypt("--source-context k=v newest").json()["done"], 1);
  EXPECT_EQ(Read("newest"), "new");
}

TEST_F(ReEncryptCommandTest, OutDirLeavesTheFiles) {
  ASSERT_EQ(mkdir("in", 0700), 0);
  ASSERT_EQ(mkdir("in/below", 0700), 0);
  Write("in/below/a", "old 1");
  Write("b", "old 2");
  ASSERT_EQ(chmod("b", 0640), 0);
  EXPECT_EQ(ReEncrypt("--out-dir out --recursive in b").exit_code, 0);
  EXPECT_EQ(Read("in/below/a"), "old 1");
  EXPECT_EQ(Read("b"), "old 2");
  EXPECT_EQ(Read("out/below/a"), "new 1");
  EXPECT_EQ(Read("out/b"), "new 2");
  EXPECT_EQ(ModeOf("out/b"), 0640);
  EXPECT_EQ(Files("out"), (std::set<std::string>{"b", "below"}));

  Write("out/b", "there");
  EXPECT_EQ(ReEncrypt("--out-dir out b").exit_code, 11);
  EXPECT_EQ(Read("out/b"), "there");
  EXPECT_EQ(ReEncrypt("--out-dir out --force b").exit_code, 0);
  EXPECT_EQ(Read("out/b"), "new 2");
}

TEST_F(ReEncryptCommandTest, LinksAreKeptAndLeftoversPassedOver) {
  ASSERT_EQ(mkdir("in", 0700), 0);
  Write("target", "old 1");
  ASSERT_EQ(symlink("../target", "in/link"), 0);
  Write("in/.strongroom-Ab12Cd", "old 2");
  EXPECT_EQ(ReEncrypt("--recursive in").json()["files"], 0);
  EXPECT_EQ(Read("target"), "old 1");
  EXPECT_EQ(ReEncrypt("in/link target").json()["files"], 1) << "one file, twice";
  EXPECT_EQ(Read("target"), "new 1");
  EXPECT_TRUE(std::filesystem::is_symlink("in/link"));
}

TEST_F(ReEncryptCommandTest, DryRunWritesNothing) {
  Write("a", "old 1");
  Write("b", "bad");
  Answer([](const auto& request, auto*) {
    if (!request.dry_run()) return grpc::Status::OK;
    if (request.ciphertext_blob() == "bad") return InvalidCiphertext();
    return ServiceError(grpc::StatusCode::FAILED_PRECONDITION, "would work", "DryRunOperationError",
                        409, "request-1", std::nullopt,
                        {{"failed_check", "none"}, {"token", "able"}});
  });
  const Result result = ReEncrypt("--dry-run a b");
  EXPECT_EQ(result.exit_code, 11);
  EXPECT_EQ(result.json()["would_work"], 1) << result.out;
  EXPECT_EQ(result.json()["failed"], 1);
  EXPECT_EQ(Read("a"), "old 1");
  EXPECT_EQ(Read("b"), "bad");
}

TEST_F(ReEncryptCommandTest, ThrottlingIsWaitedOut) {
  Write("a", "old 1");
  server_->Fail(absl::StrCat(kClassic, "ReEncrypt"),
                ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "too often",
                             "Rejected.Throttling", 429, "request-1", absl::Milliseconds(1)),
                2);
  EXPECT_EQ(ReEncrypt("a").exit_code, 0);
  EXPECT_EQ(Read("a"), "new 1");
  // A key's uses do not come back by waiting.
  Write("a", "old 1");
  server_->Fail(absl::StrCat(kClassic, "ReEncrypt"),
                ServiceError(grpc::StatusCode::RESOURCE_EXHAUSTED, "no uses left",
                             "Rejected.LimitExceeded", 400, "request-1"),
                1);
  EXPECT_EQ(ReEncrypt("a").exit_code, 11);
  EXPECT_EQ(Read("a"), "old 1");
}

TEST_F(ReEncryptCommandTest, DestinationThatCannotBeUsedEndsItBeforeItBegins) {
  Write("a", "old 1");
  server_->Fail(absl::StrCat(kKeys, "DescribeKey"),
                ServiceError(grpc::StatusCode::NOT_FOUND, "no such key", "Forbidden.KeyNotFound",
                             404, "request-1"),
                1);
  EXPECT_EQ(ReEncrypt("a").exit_code, 4);
  EXPECT_EQ(Calls(), 0u);
  // Whom only may re-encrypt need not be let describe.
  server_->Fail(absl::StrCat(kKeys, "DescribeKey"),
                ServiceError(grpc::StatusCode::PERMISSION_DENIED, "no", "Forbidden.NoPermission",
                             403, "request-1"),
                1);
  EXPECT_EQ(ReEncrypt("a").exit_code, 0);
  EXPECT_EQ(Read("a"), "new 1");
}

TEST_F(ReEncryptCommandTest, GrantTokensAreSent) {
  Write("a", "old 1");
  Write("token", "grant-token");
  ASSERT_EQ(chmod("token", 0600), 0);
  EXPECT_EQ(ReEncrypt("--grant-token-file token a").exit_code, 0);
  MutexLock lock(mutex_);
  EXPECT_THAT(seen_.grant_tokens(), ElementsAre("grant-token"));
}

TEST_F(ReEncryptCommandTest, WrongCommandLineIsRefused) {
  Write("a", "old 1");
  for (const char* line : {"", "--parallel 0 a", "--parallel 65 a", "--force a",
                           "--context k=v --source-context k=v a", "--context k a"}) {
    EXPECT_EQ(ReEncrypt(line).exit_code, 2) << line;
  }
  EXPECT_EQ(Run("reencrypt a").exit_code, 2);
  EXPECT_THAT(server_->calls(), IsEmpty());
}

// --- How far it is ---

TEST(ProgressTest, BarIsDrawnTenTimesASecondAtMostAndTakenAway) {
  std::ostringstream err;
  Progress progress(err, /*terminal=*/true);
  const Deadline start = Deadline() + std::chrono::hours(1);
  progress.Show({.total = 4, .done = 1}, start);
  EXPECT_THAT(err.str(), HasSubstr("[#######.......................] 1 of 4 files: 1 done"));
  const size_t drawn = err.str().size();
  progress.Show({.total = 4, .done = 2}, start + std::chrono::milliseconds(99));
  EXPECT_EQ(err.str().size(), drawn);
  progress.Show({.total = 4, .done = 2, .failed = 1}, start + std::chrono::milliseconds(100));
  EXPECT_THAT(err.str(), HasSubstr("3 of 4 files: 2 done, 0 skipped, 1 failed"));
  progress.Finish({.total = 4, .done = 4});
  EXPECT_TRUE(absl::EndsWith(err.str(), "\r\x1b[K"));
  EXPECT_THAT(err.str(), Not(HasSubstr("\n")));
}

TEST(ProgressTest, LinesComeEveryFiveSecondsAtMost) {
  std::ostringstream err;
  Progress progress(err, /*terminal=*/false);
  const Deadline start = Deadline() + std::chrono::hours(1);
  progress.Show({.total = 4, .done = 1}, start);
  progress.Show({.total = 4, .done = 2}, start + std::chrono::milliseconds(4999));
  EXPECT_EQ(err.str(), "");
  progress.Show({.total = 4, .done = 3}, start + std::chrono::seconds(5));
  EXPECT_EQ(err.str(), "strongroom: 3 of 4 files: 3 done, 0 skipped, 0 failed\n");
}

}  // namespace
}  // namespace strongroom::command
