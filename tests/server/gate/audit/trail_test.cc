#include "server/gate/audit/trail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/audit_verifier.h"
#include "tests/server/gate/audit/trail_fixture.h"
#include "tests/testing/status_matchers.h"

namespace strongroom::audit {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;

class TrailTest : public ::testing::Test {
 protected:
  const std::string& directory() { return trail_.options.directory; }
  std::string Path(const std::string& file) { return absl::StrCat(directory(), "/", file); }
  std::string NewestPath() { return Path(FilesIn(directory()).back()); }

  std::vector<nlohmann::json> Records() {
    std::vector<nlohmann::json> records;
    for (const std::string& line : LinesIn(directory())) {
      records.push_back(nlohmann::json::parse(line));
    }
    return records;
  }
  std::vector<std::string> Types() {
    std::vector<std::string> types;
    for (const nlohmann::json& record : Records()) types.push_back(record["type"]);
    return types;
  }

  // As the client does it, with the server's head.
  AuditReport Verify(int64_t first_record = 1) {
    AuditVerification verification;
    verification.first_record = first_record;
    if (head_.has_value()) verification.head = AuditHead{head_->sequence, head_->hash};
    verification.check_seals = [this](const std::vector<AuditSeal>& seals) {
      std::vector<bool> answers;
      for (const AuditSeal& seal : seals) {
        const std::string bytes = SealedBytes(seal.sequence, seal.prev);
        answers.push_back(*trail_.token.MakeMac({reinterpret_cast<const uint8_t*>(bytes.data()),
                                                 bytes.size()}) == seal.mac);
      }
      return absl::StatusOr<std::vector<bool>>(answers);
    };
    absl::StatusOr<AuditReport> report = VerifyAuditTrail(directory(), verification);
    EXPECT_OK(report);
    return report.ok() ? *report : AuditReport{};
  }
  void ExpectWhole() {
    const AuditReport report = Verify();
    EXPECT_FALSE(report.bad.has_value()) << report.bad->sequence << " " << report.bad->file << ":"
                                         << report.bad->line << " " << report.bad->what;
  }

  TrailFixture trail_;
  std::optional<Head> head_;
};

TEST_F(TrailTest, LinesHaveTheirForm) {
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(1));
  trail_.Close();
  const std::vector<std::string> lines = LinesIn(directory());
  ASSERT_THAT(lines, SizeIs(4));
  EXPECT_EQ(lines[0], absl::StrCat("{\"seq\":1,\"prev\":\"", std::string(64, '0'),
                                   "\",\"time\":\"2023-11-14T22:13:20.123456Z\",\"type\":\"start\","
                                   "\"version\":\"1.2.3\"}"));
  EXPECT_THAT(lines[1], AllOf(StartsWith("{\"seq\":2,\"prev\":\""),
                              HasSubstr("\",\"time\":\"2023-11-14T22:13:20.123456Z\","
                                        "\"type\":\"call\",\"request_id\":\"01890a5d-")));
  EXPECT_THAT(lines[2], EndsWith("\"type\":\"stop\",\"version\":\"1.2.3\"}"));
  EXPECT_THAT(lines[3], HasSubstr("\"type\":\"seal\",\"mac\":\""));
  EXPECT_EQ(lines[3].size() - lines[3].find("\"mac\""), 7u + 64u + 2u);
  EXPECT_THAT(FilesIn(directory()), ElementsAre("audit-00000000000000000001.jsonl"));
  ExpectWhole();
}

TEST_F(TrailTest, FilesAreForTheirOwnerAndGroup) {
  const mode_t before = umask(0077);
  ASSERT_OK(trail_.Open());
  umask(before);
  struct stat info;
  ASSERT_EQ(stat(directory().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750u);
  ASSERT_EQ(stat(NewestPath().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(TrailTest, SealedBytesAreDomainSequenceAndHash) {
  Hash hash;
  hash.fill('h');
  EXPECT_EQ(SealedBytes(0x0102030405060708, hash),
            absl::StrCat("strongroom-audit-seal-v1", "\x01\x02\x03\x04\x05\x06\x07\x08",
                         std::string(32, 'h')));
}

TEST_F(TrailTest, RecordIsInTheFileWhenWriteReturns) {
  ASSERT_OK(trail_.Open());
  for (int i = 2; i < 10; ++i) {
    ASSERT_OK(trail_.WriteCalls(1));
    const std::vector<std::string> lines = LinesIn(directory());
    ASSERT_THAT(lines, SizeIs(i));
    EXPECT_EQ(trail_.trail().head().sequence, i);
    EXPECT_THAT(lines.back(), StartsWith(absl::StrCat("{\"seq\":", i, ",")));
  }
}

TEST_F(TrailTest, TrailGoesOnAfterARestart) {
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(2));
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(1));
  head_ = trail_.trail().head();
  ExpectWhole();
  trail_.Close();
  EXPECT_THAT(Types(), ElementsAre("start", "call", "call", "stop", "seal", "start", "call", "stop",
                                   "seal"));
  EXPECT_THAT(FilesIn(directory()), SizeIs(1));
  ExpectWhole();
}

TEST_F(TrailTest, OneTrailAtATimeWritesADirectory) {
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(
      Trail::Open(trail_.options, trail_.token.Sealer(), trail_.keeper, trail_.clock, trail_.log),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
}

TEST_F(TrailTest, DirectoryWithoutAParentIsAnError) {
  trail_.options.directory = "/nonexistent/audit";
  EXPECT_THAT(trail_.Open(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/nonexistent/audit")));
}

TEST_F(TrailTest, ConcurrentRecordsAreAllThereAndChained) {
  constexpr int kThreads = 8;
  constexpr int kRecords = 500;
  trail_.options.seal_interval = absl::Milliseconds(1);
  trail_.options.fsync_interval = absl::Milliseconds(3);
  trail_.options.max_file_bytes = 200000;
  ASSERT_OK(trail_.Open());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i] {
      for (int n = 0; n < kRecords; ++n) {
        Record record = SampleRecord();
        const std::string id = absl::StrCat(i, "-", n);
        record.request_id = id;
        EXPECT_OK(trail_.trail().CheckWritable());
        EXPECT_OK(trail_.trail().Write(record));
        EXPECT_GT(trail_.trail().head().sequence, n);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  head_ = trail_.trail().head();
  ExpectWhole();
  trail_.Close();
  ExpectWhole();
  EXPECT_EQ(Verify().unsealed_records, 0);
  std::vector<int> next(kThreads);
  for (const nlohmann::json& record : Records()) {
    if (record["type"] != "call") continue;
    // In the order in which each thread wrote them.
    const std::string id = record["request_id"];
    int thread, number;
    ASSERT_EQ(sscanf(id.c_str(), "%d-%d", &thread, &number), 2);
    EXPECT_EQ(number, next[thread]++);
  }
  for (int count : next) EXPECT_EQ(count, kRecords);
}

TEST_F(TrailTest, SealsComeByThemselvesAndAreRemembered) {
  trail_.options.seal_interval = absl::Milliseconds(1);
  ASSERT_OK(trail_.Open());
  const Head first = trail_.keeper.AwaitSaved(2);
  EXPECT_EQ(first.sequence, 2);
  ASSERT_OK(trail_.WriteCalls(1));
  const Head second = trail_.keeper.AwaitSaved(3);
  EXPECT_EQ(second.sequence, 4);
  EXPECT_EQ(second, trail_.trail().head());
  EXPECT_THAT(Types(), ElementsAre("start", "seal", "call", "seal"));
  ExpectWhole();
}

TEST_F(TrailTest, VerifySealKnowsItsOwn) {
  ASSERT_OK(trail_.Open());
  trail_.Close();
  ASSERT_OK(trail_.Open());
  AuditSeal found;
  AuditVerification verification;
  verification.check_seals = [&found](const std::vector<AuditSeal>& seals) {
    found = seals[0];
    return absl::StatusOr<std::vector<bool>>(std::vector<bool>(seals.size(), true));
  };
  ASSERT_OK(VerifyAuditTrail(directory(), verification));
  EXPECT_EQ(found.sequence, 3);
  const auto verify = [this](const AuditSeal& seal) {
    return trail_.trail().VerifySeal(seal.sequence, seal.prev, seal.mac);
  };
  EXPECT_THAT(verify(found), IsOkAndHolds(true));
  AuditSeal other = found;
  ++other.sequence;
  EXPECT_THAT(verify(other), IsOkAndHolds(false));
  other = found;
  other.prev[31] ^= 1;
  EXPECT_THAT(verify(other), IsOkAndHolds(false));
  other = found;
  other.mac[31] ^= 1;
  EXPECT_THAT(verify(other), IsOkAndHolds(false));
  trail_.token.SetAway(true);
  EXPECT_THAT(verify(found), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TrailTest, RecordsGoOnWhileTheTokenIsAway) {
  trail_.options.seal_interval = absl::Milliseconds(1);
  trail_.options.max_file_bytes = 500;
  trail_.token.SetAway(true);
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(3));
  trail_.token.AwaitAttempts(2);
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("start", "call", "call", "call", "call"));
  // Without a seal no file ends.
  EXPECT_THAT(FilesIn(directory()), SizeIs(1));
  trail_.token.SetAway(false);
  EXPECT_EQ(trail_.keeper.AwaitSaved(6).sequence, 6);
  // The file was made before the seal was remembered.
  EXPECT_THAT(FilesIn(directory()),
              ElementsAre("audit-00000000000000000001.jsonl", "audit-00000000000000000007.jsonl"));
  ExpectWhole();
}

TEST_F(TrailTest, RecordsWaitWhileASealIsMade) {
  // A token that takes its time: without waiting, the chain would be another when it answers.
  trail_.token.on_mac = [] {
    for (int i = 0; i < 5; ++i) std::this_thread::yield();
  };
  trail_.options.seal_interval = absl::Microseconds(100);
  ASSERT_OK(trail_.Open());
  std::atomic<bool> enough{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([this, &enough] {
      while (!enough) EXPECT_OK(trail_.trail().Write(SampleRecord()));
    });
  }
  int64_t sealed = 0;
  for (int i = 0; i < 10; ++i) sealed = trail_.keeper.AwaitSaved(sealed + 1).sequence;
  enough = true;
  for (std::thread& writer : writers) writer.join();
  trail_.Close();
  int seals = 0;
  for (const std::string& type : Types()) seals += type == "seal" ? 1 : 0;
  EXPECT_EQ(seals, trail_.token.attempts());
  ExpectWhole();
}

TEST_F(TrailTest, RecordsDoNotWaitForATokenThatHangs) {
  // Also the last seal asks for it, which is made when the test is over.
  struct FirstCall {
    std::promise<void> asked;
    std::promise<void> released;
    std::atomic<int> calls{0};
  };
  const auto first = std::make_shared<FirstCall>();
  trail_.token.on_mac = [first] {
    if (++first->calls > 1) return;
    first->asked.set_value();
    first->released.get_future().wait();
  };
  trail_.options.seal_patience = absl::Milliseconds(1);
  trail_.options.seal_interval = absl::Milliseconds(1);
  ASSERT_OK(trail_.Open());
  first->asked.get_future().wait();
  ASSERT_OK(trail_.WriteCalls(1));
  first->released.set_value();
  // The seal that was of another chain is not written.
  trail_.keeper.AwaitSaved(3);
  EXPECT_THAT(Types(), ElementsAre("start", "call", "seal"));
  ExpectWhole();
}

TEST_F(TrailTest, LargeFileGetsASuccessorAfterASeal) {
  trail_.options.max_file_bytes = 2000;
  ASSERT_OK(trail_.Open());
  int64_t sealed = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(trail_.WriteCalls(5));
    sealed = trail_.keeper.AwaitSaved(sealed + 1).sequence;
  }
  trail_.Close();
  const std::vector<std::string> files = FilesIn(directory());
  ASSERT_GE(files.size(), 4u);
  for (size_t i = 0; i + 1 < files.size(); ++i) {
    EXPECT_GE(Content(Path(files[i])).size(), 2000u);
    EXPECT_THAT(LinesOf(Path(files[i])).back(), HasSubstr("\"type\":\"seal\""));
  }
  ExpectWhole();
}

TEST_F(TrailTest, OldFileGetsASuccessorAfterASeal) {
  trail_.options.seal_interval = absl::Milliseconds(1);
  trail_.options.fsync_interval = absl::Milliseconds(1);
  trail_.options.max_file_age = absl::Hours(24);
  ASSERT_OK(trail_.Open());
  trail_.keeper.AwaitSaved(2);
  trail_.clock.Advance(absl::Hours(23));
  ASSERT_OK(trail_.WriteCalls(1));
  trail_.keeper.AwaitSaved(4);
  EXPECT_THAT(FilesIn(directory()), SizeIs(1));
  // A restart does not make it younger.
  ASSERT_OK(trail_.Open());
  const int64_t sealed = trail_.keeper.AwaitSaved(7).sequence;
  EXPECT_THAT(FilesIn(directory()), SizeIs(1));
  trail_.clock.Advance(absl::Hours(1));
  ASSERT_OK(trail_.WriteCalls(1));
  trail_.keeper.AwaitSaved(sealed + 1);
  trail_.Close();
  EXPECT_THAT(FilesIn(directory()), SizeIs(2));
  ExpectWhole();
}

TEST_F(TrailTest, TornLineIsCutOffAndMentioned) {
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(2));
  trail_.Close();
  // What a kill within a write leaves.
  SetContent(NewestPath(), Content(NewestPath()) + "{\"seq\":6,\"prev\":\"00");
  ASSERT_OK(trail_.Open());
  const std::vector<nlohmann::json> records = Records();
  ASSERT_THAT(records, SizeIs(6));
  EXPECT_EQ(records[5]["type"], "start");
  EXPECT_EQ(records[5]["torn_bytes"], 19);
  ExpectWhole();
}

TEST_F(TrailTest, TrailOfAKilledServerGoesOn) {
  trail_.options.seal_interval = absl::Milliseconds(1);
  ASSERT_OK(trail_.Open());
  trail_.keeper.AwaitSaved(2);
  ASSERT_OK(trail_.WriteCalls(1));
  trail_.keeper.AwaitSaved(4);
  // Neither "stop" nor its seal: as they were a moment before the end.
  const std::string path = NewestPath();
  const std::string killed = Content(path) + "{\"seq\":";
  const std::optional<Head> remembered = trail_.keeper.Load().value();
  trail_.options.seal_interval = absl::Hours(1);
  trail_.Close();
  SetContent(path, killed);
  ASSERT_OK(trail_.keeper.Save(*remembered));
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(Types(), ElementsAre("start", "seal", "call", "seal", "start"));
  EXPECT_EQ(Records()[4]["torn_bytes"], 7);
  ExpectWhole();
}

TEST_F(TrailTest, FileWithNothingButATornLineIsUsed) {
  trail_.options.max_file_age = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  trail_.clock.Advance(absl::Hours(2));
  trail_.Close();
  ASSERT_THAT(FilesIn(directory()), SizeIs(2));
  SetContent(NewestPath(), "{\"seq");
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(FilesIn(directory()), SizeIs(2));
  EXPECT_THAT(Types(), ElementsAre("start", "stop", "seal", "start"));
  ExpectWhole();
  trail_.Close();

  // And also if the files before it are stored elsewhere.
  std::filesystem::remove(Path(FilesIn(directory()).front()));
  ASSERT_OK(trail_.Open());
  EXPECT_FALSE(Verify(4).bad.has_value());
  EXPECT_EQ(Types().back(), "start");
}

TEST_F(TrailTest, OldFilesCanBeStoredElsewhere) {
  trail_.options.max_file_age = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  trail_.clock.Advance(absl::Hours(2));
  trail_.Close();
  std::filesystem::remove(Path(FilesIn(directory()).front()));
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(Types(), ElementsAre("start"));
  EXPECT_EQ(trail_.trail().head().sequence, 4);
}

TEST_F(TrailTest, EndCutOffWhileDownIsDamage) {
  for (int left : {4, 3, 0}) {
    SCOPED_TRACE(left);
    std::filesystem::remove_all(directory());
    trail_.keeper.Forget();
    ASSERT_OK(trail_.Open());
    ASSERT_OK(trail_.WriteCalls(2));
    trail_.Close();
    std::vector<std::string> lines = LinesIn(directory());
    ASSERT_THAT(lines, SizeIs(5));
    lines.resize(left);
    SetLines(NewestPath(), lines);
    ASSERT_OK(trail_.Open());
    const std::vector<nlohmann::json> records = Records();
    ASSERT_THAT(records, SizeIs(left + 2));
    // After the larger of both.
    EXPECT_EQ(records[left]["seq"], 6);
    EXPECT_EQ(records[left + 1]["type"], "damaged");
    EXPECT_THAT(records[left + 1]["what"].get<std::string>(), HasSubstr("record 5"));
    const AuditReport report = Verify();
    ASSERT_TRUE(report.bad.has_value());
    EXPECT_EQ(report.bad->sequence, left + 1);
    EXPECT_FALSE(Verify(6).bad.has_value());
  }
}

TEST_F(TrailTest, AllFilesRemovedWhileDownIsDamage) {
  ASSERT_OK(trail_.Open());
  trail_.Close();
  std::filesystem::remove_all(directory());
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(Types(), ElementsAre("start", "damaged"));
  EXPECT_EQ(Verify().bad->sequence, 1);
  EXPECT_THAT(FilesIn(directory()), ElementsAre("audit-00000000000000000004.jsonl"));
}

TEST_F(TrailTest, OtherRecordInThePlaceOfTheRememberedIsDamage) {
  ASSERT_OK(trail_.Open());
  trail_.Close();
  std::vector<std::string> lines = LinesIn(directory());
  lines.back().replace(lines.back().find("\"mac\":\"") + 7, 4, "zzzz");
  SetLines(NewestPath(), lines);
  ASSERT_OK(trail_.Open());
  EXPECT_THAT(Types(), ElementsAre("start", "stop", "seal", "start", "damaged"));
  EXPECT_TRUE(Verify().bad.has_value());
}

TEST_F(TrailTest, ChangedLineInTheNewestFileIsDamage) {
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(2));
  trail_.Close();
  std::vector<std::string> lines = LinesIn(directory());
  lines[1].replace(lines[1].find("orders"), 6, "others");
  SetLines(NewestPath(), lines);
  ASSERT_OK(trail_.Open());
  EXPECT_EQ(Types().back(), "damaged");
  EXPECT_EQ(Records().back()["what"], "record 3 does not follow from record 2");
  EXPECT_EQ(Verify().bad->sequence, 2);
  // What is damaged is left as it is.
  EXPECT_EQ(LinesOf(Path(FilesIn(directory()).front())), lines);
}

// The trail cannot be written while a limit of the process, or something about the directory, is
// in the way, and is again when it is not.
class BrokenTrailTest : public TrailTest {
 protected:
  void SetUp() override {
    signal(SIGXFSZ, SIG_IGN);
    ASSERT_OK(trail_.Open());
    ASSERT_OK(trail_.WriteCalls(2));
  }

  void ExpectRefused() {
    EXPECT_THAT(trail_.WriteCalls(1),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot")));
    EXPECT_THAT(trail_.trail().CheckWritable(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(trail_.trail().CheckWritable(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(trail_.trail().head().sequence, 3);
  }
};

// Until destroyed, no file of this process grows beyond `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(size_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(BrokenTrailTest, FullDiskRefusesAndLeavesNoHalfLine) {
  const std::string before = Content(NewestPath());
  {
    const FileSizeLimit limit(before.size() + 100);
    ExpectRefused();
    EXPECT_EQ(Content(NewestPath()), before);
  }
  EXPECT_OK(trail_.trail().CheckWritable());
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("start", "call", "call", "recovered", "call"));
  EXPECT_EQ(Records()[3]["refused"], 3);
  EXPECT_THAT(FilesIn(directory()), SizeIs(1));
  trail_.Close();
  ExpectWhole();
}

TEST_F(BrokenTrailTest, EveryConcurrentRecordIsWrittenOrRefused) {
  constexpr int kThreads = 4;
  std::atomic<int> written{0};
  std::vector<std::thread> threads;
  {
    const FileSizeLimit limit(Content(NewestPath()).size() + 20000);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, &written] {
        for (int n = 0; n < 100; ++n) {
          if (trail_.trail().Write(SampleRecord()).ok()) ++written;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_LT(written, 100);
  ASSERT_OK(trail_.WriteCalls(1));
  int calls = 0;
  for (const std::string& type : Types()) calls += type == "call" ? 1 : 0;
  EXPECT_EQ(calls, 2 + written + 1);
  head_ = trail_.trail().head();
  ExpectWhole();
}

TEST_F(BrokenTrailTest, MovedDirectoryRefusesUntilItIsBack) {
  const std::string elsewhere = directory() + ".away";
  std::filesystem::rename(directory(), elsewhere);
  ExpectRefused();
  EXPECT_FALSE(std::filesystem::exists(directory()));
  std::filesystem::rename(elsewhere, directory());
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("start", "call", "call", "recovered", "call"));
  ExpectWhole();
}

TEST_F(BrokenTrailTest, RemovedDirectoryRefusesUntilThereIsOne) {
  std::filesystem::remove_all(directory());
  ExpectRefused();
  std::filesystem::create_directory(directory());
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(FilesIn(directory()), ElementsAre("audit-00000000000000000004.jsonl"));
  EXPECT_THAT(Types(), ElementsAre("recovered", "call"));
  EXPECT_EQ(Verify().bad->sequence, 1);
  EXPECT_FALSE(Verify(4).bad.has_value());
}

TEST_F(BrokenTrailTest, MovedFileGetsASuccessor) {
  const std::string path = NewestPath();
  std::filesystem::rename(path, directory() + ".jsonl");
  EXPECT_THAT(trail_.WriteCalls(1), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("recovered", "call"));
  EXPECT_EQ(Verify().bad->sequence, 1);
  // Whole again, with what was taken away.
  std::filesystem::rename(directory() + ".jsonl", path);
  ExpectWhole();
}

TEST_F(BrokenTrailTest, ReplacedFileIsNotWritten) {
  const std::string path = NewestPath();
  const std::string content = Content(path);
  std::filesystem::rename(path, directory() + ".jsonl");
  SetContent(path, content);
  EXPECT_THAT(trail_.WriteCalls(1),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no longer the file")));
  EXPECT_EQ(Content(path), content);
}

TEST_F(BrokenTrailTest, LinesCutOffWhileRunningLeaveAGap) {
  std::vector<std::string> lines = LinesIn(directory());
  lines.pop_back();
  SetLines(NewestPath(), lines);
  EXPECT_THAT(trail_.WriteCalls(1),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("changed by somebody else")));
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("start", "call", "recovered", "call"));
  EXPECT_EQ(Verify().bad->sequence, 3);
}

TEST_F(BrokenTrailTest, TrailIsTriedAgainNotBeforeTheInterval) {
  trail_.options.retry_interval = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  const std::string elsewhere = directory() + ".away";
  std::filesystem::rename(directory(), elsewhere);
  EXPECT_THAT(trail_.WriteCalls(1), Not(IsOk()));
  std::filesystem::rename(elsewhere, directory());
  EXPECT_THAT(trail_.WriteCalls(1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(trail_.trail().CheckWritable(), StatusIs(absl::StatusCode::kUnavailable));
  // The end is written all the same.
  trail_.Close();
  const std::vector<std::string> types = Types();
  ASSERT_GE(types.size(), 3u);
  EXPECT_EQ(types[types.size() - 3], "recovered");
  EXPECT_EQ(types.back(), "seal");
}

class SyncTest : public TrailTest {
 protected:
  SyncTest() {
    trail_.options.sync = [this](int fd) {
      ++syncs_;
      if (failing_) {
        errno = EIO;
        return -1;
      }
      return fdatasync(fd);
    };
  }

  std::atomic<int> syncs_{0};
  std::atomic<bool> failing_{false};
};

TEST_F(SyncTest, AlwaysSyncsBeforeWriteReturns) {
  trail_.options.fsync = Trail::Fsync::kAlways;
  trail_.options.fsync_interval = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  for (int i = 0; i < 5; ++i) {
    const int before = syncs_;
    ASSERT_OK(trail_.WriteCalls(1));
    EXPECT_EQ(syncs_, before + 1);
  }
}

TEST_F(SyncTest, IntervalDoesNotSyncEachRecord) {
  trail_.options.fsync_interval = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  const int before = syncs_;
  ASSERT_OK(trail_.WriteCalls(5));
  EXPECT_EQ(syncs_, before);
  // But a seal is on the disk before it is remembered.
  trail_.Close();
  EXPECT_GT(syncs_, before);
}

TEST_F(SyncTest, AlwaysWithAFailingDiskLeavesNothing) {
  trail_.options.fsync = Trail::Fsync::kAlways;
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(1));
  const std::string before = Content(NewestPath());
  failing_ = true;
  EXPECT_THAT(trail_.WriteCalls(1), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("sync")));
  EXPECT_EQ(Content(NewestPath()), before);
  failing_ = false;
  ASSERT_OK(trail_.WriteCalls(1));
  EXPECT_THAT(Types(), ElementsAre("start", "call", "recovered", "call"));
  ExpectWhole();
}

TEST_F(SyncTest, IntervalWithAFailingDiskRefuses) {
  trail_.options.fsync_interval = absl::Milliseconds(1);
  trail_.options.retry_interval = absl::Hours(1);
  ASSERT_OK(trail_.Open());
  failing_ = true;
  ASSERT_OK(trail_.WriteCalls(1));
  while (trail_.trail().CheckWritable().ok()) std::this_thread::yield();
  EXPECT_THAT(trail_.WriteCalls(1), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("sync")));
  failing_ = false;
  trail_.Close();
  EXPECT_THAT(Types(), ElementsAre("start", "call", "recovered", "stop", "seal"));
  ExpectWhole();
}

TEST_F(SyncTest, SealThatIsNotOnTheDiskIsNotRemembered) {
  ASSERT_OK(trail_.Open());
  ASSERT_OK(trail_.WriteCalls(1));
  failing_ = true;
  trail_.Close();
  EXPECT_FALSE(trail_.keeper.Load().value().has_value());
}

}  // namespace
}  // namespace strongroom::audit
